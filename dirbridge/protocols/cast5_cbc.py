"""CAST5-CBC (RFC 2144) as a Password Server and its clients use it.

The key is the text of a decimal number, cut at 16 octets (OpenSSL's CAST_set_key),
the IV is zero, and the chain goes on over messages, one chain for each direction.
Each message is filled up with NULs (Apple's DSPasswordServerPlugin; facts:
open-directory 4.4). 16 decimal digits are 53 bits and there is no MAC: this keeps
others from reading along and from casual forging, and does no more.
"""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import CAST5
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import CBC

BLOCK = 8
"""Octets of a block."""

_KEY = 16


class Cast5:
    """Both directions of one connection; it has state, so each octet passes once."""

    def __init__(self, key: bytes) -> None:
        cipher = Cipher(CAST5(key[:_KEY]), CBC(bytes(BLOCK)))
        self._sealing = cipher.encryptor()
        self._opening = cipher.decryptor()

    def seal(self, message: bytes) -> bytes:
        """Return a message filled up and encrypted."""
        return self._sealing.update(message + bytes(-len(message) % BLOCK))

    def open(self, blocks: bytes) -> bytes:
        """Return whole blocks decrypted, with what fills up the last one."""
        return self._opening.update(blocks)


def is_there() -> bool:
    """Whether this machine's OpenSSL has CAST5; some are built without it."""
    try:
        Cast5(bytes(_KEY))
    except UnsupportedAlgorithm:
        return False
    return True
