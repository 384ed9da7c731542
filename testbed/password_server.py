"""A Password Server of the tests' own, after the published clients.

Apple's daemon was never published and runs on no Linux. This one speaks its protocol
as facts: open-directory 4 has it, on real sockets, and can be told to be old, wrong or
hostile at any step. It shares no line with dirbridge.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.decrepit.ciphers.algorithms import CAST5
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from testbed import apple
from testbed.cast import OD_HOST, OD_PEOPLE, Condition
from testbed.listening import Listening
from testbed.server import read_passwords

PORT = 3659
SIGNED_OFF = "+OK password server signing off."
WRONG = "-ERR SASL -13"
UNKNOWN = "-ERR -4"

SILENCE = b"\0silence"
"""Instead of an answer: nothing, with the connection open."""

CLOSE = b"\0close"
"""Instead of an answer: the end of the connection."""

BELIEVE = b"\0believe"
"""Instead of looking at the password: take any."""


@dataclass(frozen=True)
class User:
    """Who has a slot.

    Attributes:
        password: The right one.
        at_user: What USER is answered instead of a challenge.
        at_auth2: What AUTH2 is answered where the password is right.
    """

    password: str = field(repr=False)
    at_user: str = ""
    at_auth2: str = ""


@dataclass(frozen=True)
class Manners:
    """How a server behaves; the default is a 10.5 server that does all well.

    Attributes:
        version: In the greeting.
        mechanisms: As LIST names them.
        sealing: Whether it knows the form of RSAVALIDATE that encrypts (since 10.3).
        lists_key: Whether LIST RSAPUBLIC has a second line.
        two_steps: Whether USER takes no AUTH (10.2, 10.3); `+OK` or `-ERR` says so.
        lower: Whether hex is in small letters.
        challenge: The CRAM-MD5 challenge; new ones where empty.
        instead: Raw octets, or a constant, instead of the answer to a command;
            `GREETING` for the first line.
        realm: Of DIGEST-MD5.
        directives: The DIGEST-MD5 challenge, where it shall be another one.
        shows: The public-key text that it shows, where it is not its own.
        refuses: What is answered to a mechanism for which nobody has a secret.
    """

    version: str = "10.5.0.0"
    mechanisms: tuple[str, ...] = ("DIGEST-MD5", "CRAM-MD5", "DHX")
    sealing: bool = True
    lists_key: bool = True
    two_steps: str = ""
    lower: bool = False
    challenge: bytes = b""
    realm: str = "mail1.company.com"
    directives: str = ""
    instead: dict[str, bytes] = field(default_factory=dict)
    shows: str = ""
    refuses: dict[str, str] = field(default_factory=dict)


class PasswordServer(Listening):
    """Serves slots in threads of this process.

    Attributes:
        users: By slot.
        manners: How it behaves; may be changed at any time.
        tries: How often each slot's password was looked at.
        wrong: How often each slot's password was wrong.
        transcript: What was said, in clear, each line with `S: ` or `C: `.
    """

    def __init__(
        self,
        key: rsa.RSAPrivateKey | Path,
        users: dict[str, User],
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        comment: str = "root@mail1.company.com",
        manners: Manners | None = None,
    ) -> None:
        self.key = _loaded(key) if isinstance(key, Path) else key
        self.users = users
        self.manners = manners or Manners()
        self.comment = comment
        self.tries: dict[str, int] = {}
        self.wrong: dict[str, int] = {}
        self.transcript: list[str] = []
        super().__init__(self._talk, address, port)

    @property
    def public_key(self) -> str:
        """Its public-key text."""
        if self.manners.shows:
            return self.manners.shows
        numbers = self.key.public_key().public_numbers()
        return f"{self.key.key_size} {numbers.e} {numbers.n} {self.comment}"

    def behave(self, **changes: Any) -> None:
        """Change its manners."""
        self.manners = replace(Manners(), **changes)

    def _talk(self, stream: socket.socket) -> None:
        with contextlib.suppress(_End):
            _Session(self, stream).run()


class _End(Exception):
    """The session is over."""


class _Session:
    """One connection."""

    def __init__(self, server: PasswordServer, stream: socket.socket) -> None:
        self.server = server
        self.manners = server.manners
        self.stream = stream
        self.buffer = b""
        self.sealing: Callable[[bytes], bytes] | None = None
        self.opening: Callable[[bytes], bytes] | None = None
        self.slot = ""
        self.check: Callable[[bytes, str], str | None] | None = None

    def run(self) -> None:
        host = self.stream.getsockname()[0]
        place = "10.0.0.5" if host == "127.0.0.1" else host
        self.answer(
            "GREETING",
            f"+OK ApplePasswordServer {self.manners.version}"
            f" password server at {place} ready.",
        )
        while True:
            line = self.line()
            self.server.transcript.append(f"C: {line}")
            command, _, rest = line.partition(" ")
            known = getattr(self, f"do_{command.lower()}", None)
            if known is None:
                self.answer(command, "-ERR -5")
            else:
                known(rest)

    def line(self) -> str:
        while b"\n" not in self.buffer:
            data = self.stream.recv(4096)
            if not data:
                raise _End
            self.buffer += self.opening(data) if self.opening else data
        line, _, rest = self.buffer.partition(b"\n")
        self.buffer = rest.lstrip(b"\0")
        return line.removesuffix(b"\r").decode("ascii")

    def answer(self, step: str, text: str) -> None:
        raw = self.manners.instead.get(step, b"")
        if raw == SILENCE:
            self.stream.settimeout(60)
            self.stream.recv(1)
            raise _End
        if raw == CLOSE:
            raise _End
        if raw and raw != BELIEVE:
            self.send(raw)
            # A line without an end is followed by the end of the connection.
            if not raw.endswith(b"\n"):
                raise _End
            return
        self.server.transcript.append(f"S: {text}")
        self.send(text.encode() + b"\r\n")

    def send(self, data: bytes) -> None:
        if self.sealing:
            data = self.sealing(data + bytes(-len(data) % 8))
        self.stream.sendall(data)

    def hex(self, data: bytes) -> str:
        return data.hex() if self.manners.lower else data.hex().upper()

    def do_list(self, what: str) -> None:
        names = "".join(f'"{name}" ' for name in self.manners.mechanisms)
        self.answer("LIST", f"+OK (SASL {names})")
        if what == "RSAPUBLIC" and self.manners.lists_key:
            self.answer("KEY", f"+OK {self.server.public_key}")

    def do_rsapublic(self, _rest: str) -> None:
        self.answer("RSAPUBLIC", f"+OK {self.server.public_key}")

    def do_rsavalidate(self, rest: str) -> None:
        octets = base64.b64decode(rest.partition("}")[2])
        try:
            plain = self.server.key.decrypt(octets, padding.PKCS1v15())
        except ValueError:  # it is for another key
            plain = b"1" * 77 + b"hash\0"
        asked = plain.endswith(b"hash\0")
        nonce = plain.removesuffix(b"hash\0")
        sealed = asked and self.manners.sealing
        proof = hashlib.md5(nonce).digest() if sealed else nonce
        text = base64.b64encode(proof).decode()
        self.answer("RSAVALIDATE", f"+OK {{{len(proof)}}}{text}")
        if sealed:
            cipher = Cipher(CAST5(nonce[:16]), modes.CBC(bytes(8)))
            self.sealing = cipher.encryptor().update
            self.opening = cipher.decryptor().update

    def do_user(self, rest: str) -> None:
        words = rest.split(" ")
        self.slot = words[0]
        if "AUTH" not in words:
            self.answer("USER", "+OK")
            return
        if self.manners.two_steps:
            self.answer("USER", self.manners.two_steps)
            return
        self.begin("USER", words[words.index("AUTH") + 1], "+AUTHOK")

    def do_auth(self, mechanism: str) -> None:
        self.begin("AUTH", mechanism, "+OK")

    def begin(self, step: str, mechanism: str, word: str) -> None:
        user = self.server.users.get(self.slot)
        if user is not None and user.at_user:
            self.answer(step, user.at_user)
            return
        if user is None and BELIEVE not in self.manners.instead.values():
            self.answer(step, UNKNOWN)
            return
        if mechanism not in self.manners.mechanisms:
            self.answer(step, "-ERR SASL -4")
            return
        if mechanism in self.manners.refuses:
            self.answer(step, self.manners.refuses[mechanism])
            return
        challenge = self.cram() if mechanism == "CRAM-MD5" else self.digest()
        self.answer(step, f"{word} {self.hex(challenge)}")

    def do_auth2(self, rest: str) -> None:
        self.server.tries[self.slot] = self.server.tries.get(self.slot, 0) + 1
        if self.manners.instead.get("AUTH2") == BELIEVE:
            self.answer("AUTH2", "+OK")
            return
        user = self.server.users[self.slot]
        assert self.check is not None
        proof = self.check(bytes.fromhex(rest), user.password)
        if proof is None:
            self.server.wrong[self.slot] = self.server.wrong.get(self.slot, 0) + 1
            self.answer("AUTH2", WRONG)
        elif user.at_auth2:
            self.answer("AUTH2", user.at_auth2)
        else:
            self.answer("AUTH2", f"+OK {proof}".rstrip())

    def do_quit(self, _rest: str) -> None:
        self.answer("QUIT", SIGNED_OFF)
        raise _End

    def cram(self) -> bytes:
        number = secrets.randbelow(10**10)
        challenge = (
            self.manners.challenge or f"<{number}.{number}@mail1.company.com>".encode()
        )

        def check(response: bytes, password: str) -> str | None:
            digest = hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()
            right = f"{self.slot} {digest}".encode() == response
            return "" if right else None

        self.check = check
        return challenge

    def digest(self) -> bytes:
        nonce = base64.b64encode(secrets.token_bytes(32)).decode()
        realm = self.manners.realm

        def check(response: bytes, password: str) -> str | None:
            said = dict(_pairs(response.decode()))
            name = f"{self.slot}:".encode() + _narrow(realm) + b":"
            secret = _md5(name + _narrow(password)).digest()
            first = _md5(secret + f":{nonce}:{said['cnonce']}".encode()).hexdigest()

            def of(method: str) -> str:
                second = _md5(f"{method}:{said['digest-uri']}".encode()).hexdigest()
                middle = f"{nonce}:{said['nc']}:{said['cnonce']}:auth"
                return _md5(f"{first}:{middle}:{second}".encode()).hexdigest()

            right = (
                said["nonce"] == nonce
                and said["username"] == self.slot
                and said["digest-uri"].startswith("rcmd/")
                and said["response"] == of("AUTHENTICATE")
            )
            return self.hex(f"rspauth={of('')}".encode()) if right else None

        self.check = check
        return (
            self.manners.directives
            or f'nonce="{nonce}",realm="{realm}",'
            'qop="auth,auth-int,auth-conf",cipher="rc4-40,rc4-56,rc4,des,3des",'
            "maxbuf=4096,charset=utf-8,algorithm=md5-sess"
        ).encode()


def new_key(bits: int = 1024) -> rsa.RSAPrivateKey:
    """A key of a server's own."""
    return rsa.generate_private_key(65537, bits)


def _loaded(path: Path) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for each in text.split(","):
        name, _, value = each.partition("=")
        yield name, value.strip('"')


def _narrow(password: str) -> bytes:
    try:
        return password.encode("latin-1")
    except UnicodeEncodeError:
        return password.encode()


def _md5(data: bytes) -> hashlib._Hash:
    return hashlib.md5(data)


# What the master's policy says of the cast; LDAP shows none of it.
_STATES = {
    Condition.KDC_DISABLED: "-AUTHERR -2",
    Condition.KDC_EXPIRED: "-AUTHERR -6",
    Condition.KDC_MUST_CHANGE: "-AUTHERR -7",
}


def of_bed(directory: Path, address: str = apple.MASTER_ADDRESS) -> PasswordServer:
    """The Password Server of the bed's Open Directory, with the whole cast.

    Args:
        directory: The bed's.
        address: The master's, or the replica's.
    """
    passwords = read_passwords(directory)
    users = {
        apple.slot(person.uid): User(
            passwords[f"od:{person.uid}"], at_auth2=_STATES.get(person.condition, "")
        )
        for person in OD_PEOPLE
    }
    key = directory / "ca" / "passwordserver.key"
    comment = f"root@{OD_HOST}"
    return PasswordServer(key, users, address=address, port=PORT, comment=comment)
