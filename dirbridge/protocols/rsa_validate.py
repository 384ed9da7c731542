"""How a Password Server proves that it has the key of a user's authAuthority.

A random number is sent encrypted with the public key; who can answer with it, or with
its MD5, has the private one (Apple's DSPasswordServerPlugin; facts: open-directory
4.4). The second form also makes the number the key of what follows, see `cast5_cbc`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from enum import Enum, auto
from hmac import compare_digest

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from dirbridge.errors import LocalProtocolError, RemoteProtocolError

FEWEST_BITS, MOST_BITS = 1024, 4096
"""Sizes of a key: Apple's have 1024 bits; an answer for more fits no line."""

_KEY = re.compile(rb"(\d{3,5}) (\d{1,10}) (\d{300,1300})(?: [^\r\n]*)?", re.ASCII)
_BINARY = re.compile(rb"\{(\d{1,5})\}([A-Za-z0-9+/]*={0,2})", re.ASCII)
_NONCE = re.compile(rb"\d{16,78}", re.ASCII)
_HASH = b"hash\0"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A Password Server's RSA key; its comment does not count.

    Attributes:
        bits: The size as written.
        exponent: 35 on old servers, 65537 since 10.7.
        modulus: The modulus.
    """

    bits: int
    exponent: int
    modulus: int


class Proof(Enum):
    """What the answer to RSAVALIDATE shows."""

    NONE = auto()
    CLEAR = auto()
    """It has the key; the session stays in clear."""
    SEALED = auto()
    """It has the key; all that follows is encrypted."""


def decode_key(text: bytes) -> PublicKey:
    """Read `bits exponent modulus comment`.

    Raises:
        RemoteProtocolError: It is no such text, or no key to rely on.
    """
    match = _KEY.fullmatch(text)
    if not match:
        raise RemoteProtocolError("not a public key with bits, exponent and modulus")
    key = PublicKey(*map(int, match.groups()))
    sound = FEWEST_BITS <= key.modulus.bit_length() <= MOST_BITS
    if not sound or key.exponent < 3 or not (key.exponent & key.modulus & 1):  # noqa: PLR2004 - RFC 8017 3.1
        raise RemoteProtocolError("a public key that proves nothing")
    return key


def question(key: PublicKey, nonce: bytes, *, seal: bool) -> bytes:
    """Return what follows `RSAVALIDATE `.

    Args:
        key: The key that the server has to have.
        nonce: A random number of 256 bits, in decimal digits.
        seal: Whether to ask for the form that encrypts the session.

    Raises:
        LocalProtocolError: The nonce is no such number.
    """
    if not _NONCE.fullmatch(nonce):
        raise LocalProtocolError("a nonce that is no long decimal number")
    public = RSAPublicNumbers(key.exponent, key.modulus).public_key()
    # Of the protocol; what an oracle could tell here is a number used once.
    return encode_binary(public.encrypt(nonce + _HASH * seal, PKCS1v15()))


def judge(answer: bytes, nonce: bytes) -> Proof:
    """Say what the answer shows.

    Servers of 10.2 do not know the form that encrypts and send the number itself,
    which some fill up.

    Raises:
        RemoteProtocolError: It is not `{length}base64`.
    """
    data = decode_binary(answer)
    if compare_digest(data, hashlib.md5(nonce, usedforsecurity=False).digest()):
        return Proof.SEALED
    clear = compare_digest(data[: len(nonce)], nonce)
    return Proof.CLEAR if clear else Proof.NONE


def encode_binary(data: bytes) -> bytes:
    """Write octets as `{length}base64`."""
    return b"{%d}%s" % (len(data), base64.b64encode(data))


def decode_binary(text: bytes) -> bytes:
    """Read `{length}base64`.

    Raises:
        RemoteProtocolError: It is not that, or shorter than it says.
    """
    match = _BINARY.fullmatch(text)
    if not match:
        raise RemoteProtocolError("not {length}base64")
    try:
        data = base64.b64decode(match[2], validate=True)
    except binascii.Error as error:
        raise RemoteProtocolError("broken base64") from error
    if len(data) < int(match[1]):
        raise RemoteProtocolError("less data than announced")
    return data[: int(match[1])]
