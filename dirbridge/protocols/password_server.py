"""The lines of Apple's Password Server protocol, client side.

Theory. Lines end in CRLF; the server speaks first, then each command has one answer
(`LIST RSAPUBLIC` has two). An answer is `+OK`, `+AUTHOK`, `-ERR` or `-AUTHERR`,
alone or with a blank and data. Octets are hex in USER, AUTH and AUTH2, in capitals
when they are sent, as Apple's decoder misreads others; elsewhere they are
`{length}base64`. The daemon was never published: all of this comes from Apple's own
client (DSPasswordServerPlugin) and from two independent implementations (facts:
open-directory 4). That client takes every answer without `-ERR` for a success; here
only an exact word is an answer, and anything else the end of the connection.

After RSAVALIDATE both directions may be encrypted, see `cast5_cbc`. What the server
sends before it was asked is refused: it could be somebody else's answer, put there
before the encryption began.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from dirbridge.errors import LocalProtocolError, RemoteProtocolError, harmless
from dirbridge.protocols.cast5_cbc import BLOCK, Cast5

PORT, LEGACY_PORT = 3659, 106
"""The registered port (apple-sasl), and the one before it, which is 3com-tsmux's."""

LONGEST_LINE = 1023
"""Most octets of a command (GETDISABLEDUSERS in Apple's client)."""

LONGEST_REPLY = 4096
"""Most octets of an answer: the buffer of Apple's client."""

_SLOT = re.compile(r"[!#-\[\]-~]{1,200}")
_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")
_REFUSAL = re.compile(rb"(SASL )?(-?\d{1,6})")
_MECHANISMS = re.compile(rb'\(SASL((?: +"[^"]{1,64}")*) *\)')
_GREETING = re.compile(rb"ApplePasswordServer (\d{1,9}(?:\.\d{1,9}){0,3})(?: |\Z)")


class Word(Enum):
    """How an answer begins."""

    OK = b"+OK"
    AUTH_OK = b"+AUTHOK"
    ERROR = b"-ERR"
    AUTH_ERROR = b"-AUTHERR"


class Family(Enum):
    """Whose numbers a refusal has: -13 is not the same in both."""

    POLICY = "policy"
    SASL = "SASL"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A server's no.

    Attributes:
        family: Whose number it is.
        number: The number; -1 where there is none, as Apple's client reads it.
        said: The line, for people.
        bare: Whether nothing stood behind the word.
    """

    family: Family
    number: int
    said: str
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        word: How it begins.
        data: What follows the blank.
    """

    word: Word
    data: bytes = field(default=b"", repr=False)

    @property
    def good(self) -> bool:
        """Whether it is no refusal."""
        return self.word in _GOOD


_GOOD = frozenset({Word.OK, Word.AUTH_OK})
_WORDS: Mapping[bytes, Word] = {word.value: word for word in Word}


def decode_reply(line: bytes) -> Reply:
    """Read an answer without its line end.

    Raises:
        RemoteProtocolError: It begins with none of the four words.
    """
    start, _, data = line.partition(b" ")
    word = _WORDS.get(start)
    if word is None:
        raise RemoteProtocolError("an answer of no kind that there is")
    return Reply(word, data.strip(b" "))


def decode_refusal(reply: Reply) -> Refusal:
    """Read what stands behind `-ERR` or `-AUTHERR`."""
    match = _REFUSAL.fullmatch(reply.data)
    words = reply.word.value + b" " + reply.data
    said = harmless(words.decode("ascii", "replace"), 100)
    if not match:
        return Refusal(Family.POLICY, -1, said, bare=not reply.data)
    return Refusal(Family.SASL if match[1] else Family.POLICY, int(match[2]), said)


def decode_hex(data: bytes) -> bytes:
    """Read hex in whichever case.

    Raises:
        RemoteProtocolError: It is none, or of an odd length.
    """
    try:
        return binascii.unhexlify(data)
    except binascii.Error as error:
        raise RemoteProtocolError("broken hex") from error


def decode_mechanisms(data: bytes) -> tuple[str, ...]:
    """Read the answer to LIST: `(SASL "DIGEST-MD5" "CRAM-MD5" )`.

    Raises:
        RemoteProtocolError: It is not that.
    """
    match = _MECHANISMS.fullmatch(data)
    if not match:
        raise RemoteProtocolError("not a list of mechanisms")
    names = re.findall(rb'"([^"]*)"', match[1])
    return tuple(name.decode("ascii", "replace").upper() for name in names)


def decode_version(data: bytes) -> str:
    """Read the version from the greeting, "" where it is another product's."""
    match = _GREETING.match(data)
    return match[1].decode() if match else ""


def user(slot: str, mechanism: str) -> bytes:
    """Return the command that begins a login by a mechanism.

    Raises:
        LocalProtocolError: The slot is none that can be sent.
    """
    if not _SLOT.fullmatch(slot):
        raise LocalProtocolError("a slot with letters that cannot be sent")
    return b"USER " + slot.encode() + b" " + auth(mechanism)


def auth(mechanism: str) -> bytes:
    """Return the command that names the mechanism where USER alone did not.

    Raises:
        LocalProtocolError: It is no mechanism's name.
    """
    if not _MECHANISM.fullmatch(mechanism):
        raise LocalProtocolError("not a mechanism's name")
    return b"AUTH " + mechanism.encode()


def auth2(data: bytes) -> bytes:
    """Return the command with a response."""
    return b"AUTH2 " + data.hex().upper().encode()


class Lines:
    """Cuts what a server sends into lines, and ends what is sent to it."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._plain = bytearray()
        self._cipher: Cast5 | None = None

    @property
    def sealed(self) -> bool:
        """Whether both directions are encrypted."""
        return self._cipher is not None

    @property
    def waiting(self) -> bool:
        """Whether there is anything that was not taken."""
        return bool(self._raw or self._plain)

    def seal(self, cipher: Cast5) -> None:
        """Encrypt all that follows, both ways.

        Raises:
            RemoteProtocolError: Something follows in clear already.
        """
        if self.waiting:
            raise RemoteProtocolError("more in clear where encryption begins")
        self._cipher = cipher

    def receive_data(self, data: bytes) -> None:
        """Take octets as they come."""
        if self._cipher is None:
            self._plain += data
            return
        self._raw += data
        whole = len(self._raw) // BLOCK * BLOCK
        self._plain += self._cipher.open(bytes(self._raw[:whole]))
        del self._raw[:whole]
        self._drop_filling()

    def take(self) -> bytes | None:
        """Return the next line without its end, None where it is not whole yet.

        Raises:
            RemoteProtocolError: It is longer than an answer can be.
        """
        end = self._plain.find(b"\n", 0, LONGEST_REPLY)
        if end < 0:
            if len(self._plain) >= LONGEST_REPLY:
                raise RemoteProtocolError("an answer without end")
            return None
        line = bytes(self._plain[:end]).removesuffix(b"\r")
        del self._plain[: end + 1]
        self._drop_filling()
        return line

    def end(self, command: bytes) -> bytes:
        """Return a command as it goes out.

        Raises:
            LocalProtocolError: It is longer than a server takes, or no one line.
        """
        if len(command) > LONGEST_LINE - 2 or not command.isascii():
            raise LocalProtocolError(f"a command of {len(command)} octets")
        line = command + b"\r\n"
        return self._cipher.seal(line) if self._cipher else line

    def _drop_filling(self) -> None:
        """Drop what fills up an encrypted message; no answer begins with NUL."""
        if self._cipher is not None:
            self._plain = self._plain.lstrip(b"\0")
