"""Names are looked up under a deadline, and known on when name servers are silent."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from dirbridge.ldap.addresses import (
    FRESH_SECONDS,
    STALE_SECONDS,
    Address,
    Addresses,
)

HOST = "dc1.example.com"
ONE, TWO = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET6, "2001:db8::1"),
)


class Names:
    """A name service as a test wants it, and a clock that it turns."""

    def __init__(self) -> None:
        self.found: list[Address] = [ONE]
        self.error: OSError | None = None
        self.hangs = threading.Event()
        self.hangs.set()
        self.asked = 0
        self.time = 1000.0
        self.addresses = Addresses(self.look_up, lambda: self.time)

    def look_up(self, host: str) -> list[Address]:
        self.asked += 1
        self.hangs.wait(5)
        if self.error is not None:
            raise self.error
        return self.found

    def resolve(self, host: str = HOST, seconds: float = 3) -> list[Address]:
        return self.addresses.resolve(host, seconds)


def test_a_name_is_looked_up_once_in_a_while() -> None:
    names = Names()
    assert [names.resolve(), names.resolve()] == [[ONE], [ONE]]
    assert names.asked == 1
    names.found = [TWO]
    names.time += FRESH_SECONDS
    assert names.resolve() == [TWO]


def test_case_makes_no_second_name() -> None:
    names = Names()
    assert [names.resolve(), names.resolve(HOST.upper())] == [[ONE], [ONE]]
    assert names.asked == 1
    names.addresses.doubt(HOST.upper())
    names.resolve()
    assert names.asked == 2


def test_where_nobody_answers_the_name_is_looked_up_anew() -> None:
    names = Names()
    names.resolve()
    names.found = [TWO]
    names.addresses.doubt(HOST)
    assert [names.resolve(), names.resolve()] == [[TWO], [TWO]]
    assert names.asked == 2


@pytest.mark.parametrize("hangs", [True, False])
def test_silent_name_servers_take_no_known_name_away(hangs: bool) -> None:
    names = Names()
    names.resolve()
    names.time += FRESH_SECONDS
    if hangs:
        names.hangs.clear()
    else:
        names.error = socket.gaierror(socket.EAI_AGAIN, "try again")
    start = time.monotonic()
    assert names.resolve() == [ONE]
    assert time.monotonic() - start < 2
    asked = names.asked
    names.addresses.doubt(HOST)
    assert names.resolve() == [ONE]
    assert names.asked == asked  # not each connection waits for them
    names.time += STALE_SECONDS
    with pytest.raises(socket.gaierror):
        names.resolve(seconds=0.2)
    names.hangs.set()


def test_a_name_that_is_gone_is_gone() -> None:
    names = Names()
    names.resolve()
    names.time += FRESH_SECONDS
    names.error = socket.gaierror(socket.EAI_NONAME, "no such name")
    with pytest.raises(socket.gaierror):
        names.resolve()


def test_an_unknown_name_has_until_the_deadline() -> None:
    names = Names()
    names.hangs.clear()
    start = time.monotonic()
    with pytest.raises(socket.gaierror, match="silent"):
        names.resolve(seconds=0.3)
    assert 0.2 < time.monotonic() - start < 2
    names.hangs.set()


def test_an_address_stands_for_itself() -> None:
    names = Names()
    assert names.resolve("192.0.2.1") == [ONE]
    assert names.resolve("2001:db8::1") == [TWO]
    assert not names.asked


def test_what_is_no_host_name_is_none() -> None:
    with pytest.raises(socket.gaierror):
        Addresses().resolve("a" * 300, 3)


def test_the_memory_is_bounded() -> None:
    names = Names()
    for number in range(1000):
        names.resolve(f"dc{number}.example.com")
    assert len(names.addresses._known) <= 256
