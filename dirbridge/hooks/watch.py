"""Tells when a word has come, of many sockets, each watched for one word only.

An event loop is made for sockets that are watched for long: to watch one for a single
word, and to let it go, costs it twice as much as all the rest of that wait. So they
are watched by an epoll of their own, which stands for all of them in the loop and needs
no word to let go of what has come (EPOLLONESHOT, epoll_ctl(2)).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_ONCE = select.EPOLLIN | select.EPOLLONESHOT


class Watch(Generic[T]):
    """Waits for one word on each of some sockets; used on the event loop."""

    def __init__(self, come: Callable[[T], None]) -> None:
        """Watch nothing yet; to be called on the running event loop.

        Args:
            come: Told who waited, when something can be read or has ended. He is not
                waiting any more. Must not raise.
        """
        self._come = come
        self._waiting: dict[int, T] = {}
        self._epoll = select.epoll()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._pass)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, number: int, one: T) -> None:
        """Let somebody wait for the next word.

        Args:
            number: The socket's. A socket that is closed is forgotten by itself.
            one: Who waits.
        """
        self._waiting[number] = one
        try:
            self._epoll.modify(number, _ONCE)
        except FileNotFoundError:
            self._epoll.register(number, _ONCE)

    def remove(self, number: int) -> None:
        """Let nobody wait on a socket; it may be read by others from now on."""
        self._waiting.pop(number, None)

    def close(self) -> None:
        """Watch nothing any more; closing twice is harmless."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _pass(self) -> None:
        for number, _ in self._epoll.poll(0):
            one = self._waiting.pop(number, None)
            if one is not None:
                self._come(one)
