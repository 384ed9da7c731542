"""DIGEST-MD5 (RFC 2831), client side, for authentication without a security layer.

Both sides prove that they have the password's secret: the server by `rspauth`, which
has to be looked at. RFC 6331 calls the mechanism historic; of what a Password Server
offers it is the best.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hmac import compare_digest

from dirbridge.errors import RemoteProtocolError

LONGEST_CHALLENGE = 2047
"""Octets (RFC 2831 section 2.1.1)."""

_TOKEN = rb"[^\x00-\x20\x7f()<>@,;:\\\"/\[\]?={}]+"
# RFC 2831 section 7.1: elements may be empty; blanks may stand around the commas.
_DIRECTIVE = re.compile(
    rb"[ \t\r\n,]*(%s)[ \t]*=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|(%s))[ \t\r\n]*(?=,|\Z)"
    % (_TOKEN, _TOKEN),
    re.DOTALL,
)
_REST = re.compile(rb"[ \t\r\n,]*")
_COUNT = b"00000001"
_QOP = b"auth"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server asks.

    Attributes:
        nonce: Its nonce, as it stands between the quotes.
        realms: Its realms, likewise.
        utf8: Whether names may be UTF-8; else they are ISO 8859-1.
    """

    nonce: bytes
    realms: tuple[bytes, ...] = ()
    utf8: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent, and what only a server with the secret can answer."""

    text: bytes = field(repr=False)
    rspauth: bytes = field(repr=False)


def decode_challenge(data: bytes) -> Challenge:
    """Read a challenge.

    Raises:
        RemoteProtocolError: It is none, or asks for what is not done here.
    """
    if len(data) > LONGEST_CHALLENGE:
        raise RemoteProtocolError("a DIGEST-MD5 challenge without end")
    found: dict[bytes, list[bytes]] = {}
    for name, value in _directives(data):
        found.setdefault(name, []).append(value)
    once = all(len(found.get(name, ())) == 1 for name in (b"nonce", b"algorithm"))
    if not once or found[b"algorithm"] != [b"md5-sess"] or not found[b"nonce"][0]:
        raise RemoteProtocolError("not a DIGEST-MD5 challenge with nonce and md5-sess")
    quality = found.get(b"qop", [_QOP])
    if _QOP not in re.split(rb"[ \t]*,[ \t]*", quality[0]):
        raise RemoteProtocolError("a DIGEST-MD5 challenge that does not offer auth")
    charset = [each.lower() for each in found.get(b"charset", ())]
    return Challenge(
        found[b"nonce"][0], tuple(found.get(b"realm", ())), charset == [b"utf-8"]
    )


def respond(
    challenge: Challenge, user: str, password: str, uri: str, cnonce: str
) -> Response:
    """Return the response to a challenge.

    Args:
        challenge: The server's.
        user: The name, for a Password Server the slot.
        password: The password; ISO 8859-1 where it fits, else UTF-8 (section 2.1.2.1).
        uri: `service/host`.
        cnonce: Random text of our own.
    """
    realm = next(iter(challenge.realms), b"")
    name = _hashed(user)
    secret = _md5(
        b":".join((name, _realm_hashed(realm, challenge.utf8), _hashed(password)))
    )
    first = b":".join((secret, challenge.nonce, cnonce.encode()))
    target = uri.encode()
    keyed = (_hex(first), challenge.nonce, _COUNT, cnonce.encode(), _QOP)
    answer, proof = (
        _hex(b":".join((*keyed, _hex(method + b":" + target))))
        for method in (b"AUTHENTICATE", b"")
    )
    parts = [b'username="%s"' % user.encode()]
    parts += [b'realm="%s"' % realm] if challenge.realms else []
    parts += [b'nonce="%s"' % challenge.nonce, b'cnonce="%s"' % cnonce.encode()]
    parts += [b"nc=" + _COUNT, b"qop=" + _QOP, b'digest-uri="%s"' % target]
    parts += [b"response=" + answer] + [b"charset=utf-8"] * challenge.utf8
    return Response(b",".join(parts), proof)


def proves(final: bytes, response: Response) -> bool:
    """Whether the server's last word shows that it has the password's secret."""
    try:
        found = [value for name, value in _directives(final) if name == b"rspauth"]
    except RemoteProtocolError:
        return False
    return len(found) == 1 and compare_digest(found[0].lower(), response.rspauth)


def _directives(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while match := _DIRECTIVE.match(data, at):
        name, quoted, token = match.groups()
        yield name.lower(), token if quoted is None else quoted
        at = match.end()
    if not _REST.fullmatch(data, at):
        raise RemoteProtocolError("broken DIGEST-MD5 directives")


def _hashed(text: str) -> bytes:
    try:
        return text.encode("iso-8859-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _realm_hashed(realm: bytes, utf8: bool) -> bytes:
    """Return the realm as it is hashed: in ISO 8859-1 too, where it fits."""
    try:
        return _hashed(realm.decode()) if utf8 else realm
    except UnicodeDecodeError:
        return realm


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _hex(data: bytes) -> bytes:
    return _md5(data).hex().encode()
