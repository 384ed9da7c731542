"""Work that steps back behind logins."""

from __future__ import annotations

import os
import threading

import pytest

from dirbridge.authenticators.modest import LOW, Modest


def test_it_runs_with_the_lowest_priority_and_leaves_the_caller_its_own() -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = priority()
    assert Modest(1).run(priority) == LOW
    assert priority() == before


def test_what_it_returns_and_raises_comes_back() -> None:
    modest = Modest(2)
    assert modest.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        modest.run(divmod, 7, 0)


def test_no_thread_is_there_before_the_first_call() -> None:
    before = threading.active_count()
    Modest(2)
    assert threading.active_count() == before
