"""Places that are taken and given back."""

from __future__ import annotations

import threading
import time

from dirbridge.login.places import Places


def test_there_are_so_many_and_no_more() -> None:
    places = Places(2)
    assert [places.take() for _ in range(3)] == [True, True, False]
    places.give_back()
    assert [places.take() for _ in range(2)] == [True, False]


def test_nobody_waits_longer_than_he_wants() -> None:
    places = Places(0)
    begun = time.monotonic()
    assert not places.take(0.05)
    assert time.monotonic() - begun >= 0.05


def test_who_waits_gets_the_place_that_is_given_back() -> None:
    places = Places(0)
    got: list[bool] = []
    waiting = threading.Thread(target=lambda: got.append(places.take(30)))
    waiting.start()
    places.give_back()
    waiting.join(20)
    assert got == [True]
    assert not places.take()


def test_no_time_left_is_no_wait() -> None:
    assert not Places(0).take(-1.0)
