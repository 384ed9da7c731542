"""CRAM-MD5 (RFC 2195), client side.

It proves to the server that the client has the password, and nothing to the client.
"""

from __future__ import annotations

import hmac

from dirbridge.errors import RemoteProtocolError

LONGEST_CHALLENGE = 1024
"""Octets; real ones have fewer than 200."""


def respond(challenge: bytes, user: str, password: str) -> bytes:
    """Return the response to a server's challenge.

    Args:
        challenge: All of it, angle brackets included.
        user: The name, for a Password Server the slot.
        password: The password; its UTF-8 is the key.

    Raises:
        RemoteProtocolError: The challenge is empty, too long, or has a NUL.
    """
    if not 0 < len(challenge) <= LONGEST_CHALLENGE or b"\0" in challenge:
        raise RemoteProtocolError("not a CRAM-MD5 challenge")
    key = password.encode("utf-8", "surrogatepass")
    digest = hmac.new(key, challenge, "md5").hexdigest()
    return f"{user} {digest}".encode()
