"""Whether a read in pages comes on: what a server must do not to be left.

Waiting has its own end (`Transport.allow`), but a server may also answer for ever: a
page without an entry and a cookie for the next one, again and again, or one octet just
before each wait ends.
"""

from __future__ import annotations

from dirbridge.errors import RemoteProtocolError

MOST_EMPTY = 100
"""Pages in a row without an entry. A few are right: Active Directory ends a page also
when its time is over, and Samba leaves out what was deleted meanwhile."""

WAITS = 20
"""So many times `read_seconds` may be waited for one page."""

LEAST_OCTETS = 4096
"""Octets for each second that is waited longer: a server that knows no pages gives
everything in one, over a slow line as well."""


class Progress:
    """Sees to one read's coming on."""

    def __init__(self, patience: float) -> None:
        """Begin with the first page.

        Args:
            patience: Seconds for an answer.
        """
        self._most = WAITS * patience
        self._left = self._most
        self._empty = 0
        self._any = False

    def came(self, octets: int, seconds: float, *, entries: bool) -> None:
        """Note a part of a page.

        Args:
            octets: Its size.
            seconds: How long it was waited for.
            entries: Whether an entry is in it.

        Raises:
            TimeoutError: The page comes too slowly to wait for its end.
        """
        self._any = self._any or entries
        self._left += octets / LEAST_OCTETS - seconds
        if self._left < 0:
            raise TimeoutError("a page of the answer comes too slowly")

    def page_ended(self) -> None:
        """Note the end of a page after which there is another one.

        Raises:
            RemoteProtocolError: Too many had no entry.
        """
        self._empty = 0 if self._any else self._empty + 1
        if self._empty > MOST_EMPTY:
            raise RemoteProtocolError(f"{self._empty} pages in a row without an entry")
        self._any, self._left = False, self._most
