"""Who is waited for too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from dirbridge.hooks.overdue import Overdue


async def empty(overdue: Overdue[str]) -> None:
    for _ in range(500):
        if not len(overdue):
            return
        await asyncio.sleep(0.01)


def late_of(act: Callable[[Overdue[str]], Awaitable[None]]) -> list[str]:
    late: list[str] = []

    async def main() -> None:
        overdue: Overdue[str] = Overdue(0.05, late.append)
        await act(overdue)
        await empty(overdue)

    asyncio.run(main())
    return late


async def two_of_three(overdue: Overdue[str]) -> None:
    for one in ("first", "second", "third"):
        overdue.add(one)
        await asyncio.sleep(0.01)
    overdue.remove("second")
    assert "second" not in overdue
    assert "first" in overdue


def test_who_stays_is_told_in_the_order_of_coming() -> None:
    assert late_of(two_of_three) == ["first", "third"]


async def one_after_all(overdue: Overdue[str]) -> None:
    overdue.add("first")
    await empty(overdue)
    overdue.add("later")


def test_the_timer_starts_again() -> None:
    assert late_of(one_after_all) == ["first", "later"]


def test_one_that_raises_keeps_nobody_from_being_told() -> None:
    late: list[str] = []

    def tell(one: str) -> None:
        late.append(one)
        if one == "first":
            raise ZeroDivisionError

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        overdue: Overdue[str] = Overdue(0.02, tell)
        overdue.add("first")
        overdue.add("second")
        await empty(overdue)

    asyncio.run(main())
    assert late == ["first", "second"]


async def unknown(overdue: Overdue[str]) -> None:
    overdue.remove("nobody")


def test_nobody_is_missed() -> None:
    assert late_of(unknown) == []
