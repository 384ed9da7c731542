"""Frames of a SASL security layer (RFC 4422 section 3.7, RFC 4513 section 5.2.1.6).

After a bind that negotiated one, every buffer that crosses the connection is four
octets of length, most significant first, and a token of that many octets. A token
holds any piece of the LDAP stream: a part of a message, one, or several. Nothing here
knows what is in a token.
"""

from __future__ import annotations

from dirbridge.errors import LocalProtocolError, RemoteProtocolError

MAX_TOKEN = 0xFFFFFF
"""Longest token, as in RFC 4752 section 3.3, which has three octets for it."""

_LENGTH = 4


def frame(token: bytes) -> bytes:
    """Put a token's length in front of it.

    Raises:
        LocalProtocolError: It is empty or longer than a peer takes.
    """
    if not 1 <= len(token) <= MAX_TOKEN:
        raise LocalProtocolError(f"a token of {len(token)} octets")
    return len(token).to_bytes(_LENGTH, "big") + token


class Frames:
    """Cuts a stream of octets into tokens."""

    def __init__(self, limit: int = MAX_TOKEN) -> None:
        self._limit = limit
        self._data = bytearray()

    def receive_data(self, data: bytes) -> None:
        """Take octets as they come."""
        self._data += data

    def missing(self) -> int:
        """Return how many octets are missing to the next length or token.

        Returns:
            At least that many must come before `take` can give a token; 0 where it can.

        Raises:
            RemoteProtocolError: The length is nonsense.
        """
        if len(self._data) < _LENGTH:
            return _LENGTH - len(self._data)
        return max(_LENGTH + self._size() - len(self._data), 0)

    def take(self) -> bytes | None:
        """Return the next token, None where it is not whole yet.

        Raises:
            RemoteProtocolError: The length is nonsense.
        """
        if self.missing():
            return None
        end = _LENGTH + self._size()
        token = bytes(self._data[_LENGTH:end])
        del self._data[:end]
        return token

    def __bool__(self) -> bool:
        return bool(self._data)

    def _size(self) -> int:
        size = int.from_bytes(self._data[:_LENGTH], "big")
        if not 1 <= size <= self._limit:
            raise RemoteProtocolError(f"a sealed message of {size} octets")
        return size
