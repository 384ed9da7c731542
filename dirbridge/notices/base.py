"""The contract of the ways to people, tested by `tests/unit/test_notices.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from dirbridge.errors import harmless
from dirbridge.model.finding import Finding
from dirbridge.store.base import Notice

FORMAT = 1

TIMEOUT = 10.0
"""Seconds for each step of a delivery."""


@dataclass(frozen=True, slots=True)
class Message:
    """One notice on its way.

    Attributes:
        notice: The notice.
        host: Name of the machine that tells it.
    """

    notice: Notice
    host: str

    @property
    def over(self) -> bool:
        """Whether it tells that the cause is over."""
        return self.notice.over_at is not None

    @property
    def subject(self) -> str:
        """One line: what it is about."""
        said = "over: " if self.over else ""
        where = f"{self.notice.domain}: " if self.notice.domain else ""
        return harmless(f"dirbridge: {where}{said}{self.notice.text}", 120)

    def text(self) -> str:
        """Return it in words for a mail."""
        one = self.notice
        since = one.since.isoformat(" ", "seconds")
        ended = one.over_at and one.over_at.isoformat(" ", "seconds")
        then = (
            f"It is over since {ended}; nothing is left to do." if ended else one.next
        )
        return f"{one.text}\n\n{then}\n\nSince {since}, told by {self.host}.\n"

    def as_json(self) -> dict[str, Any]:
        """Return it for programs; see `docs/json/notice.json`."""
        one = self.notice
        return {
            "format": FORMAT,
            "key": one.key,
            "domain": one.domain,
            "code": one.code,
            "state": "over" if self.over else "open",
            "text": one.text,
            "next": "" if self.over else one.next,
            "since": one.since.isoformat(timespec="seconds"),
            "over_at": one.over_at and one.over_at.isoformat(timespec="seconds"),
            "host": self.host,
        }


class Channel(Protocol):
    """One way to people."""

    @property
    def name(self) -> str:
        """A word for it: `webhook` or `mail`."""
        ...

    def send(self, message: Message) -> str:
        """Send a message; waits for `TIMEOUT` in each step.

        Returns:
            "" where the other side has taken it, for one recipient at least; else
            why not, without secrets.
        """
        ...

    def check(self) -> Finding:
        """Say whether the other side can be reached, without sending anything."""
        ...
