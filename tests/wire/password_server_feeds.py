"""What the fuzz tests feed the codecs of the Password Server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from enum import Enum
from typing import Any

from dirbridge.directory import password_server_codes
from dirbridge.errors import LocalProtocolError, RemoteProtocolError
from dirbridge.protocols import cram_md5, digest_md5, password_server, rsa_validate
from dirbridge.protocols.cast5_cbc import Cast5
from dirbridge.protocols.password_server_login import (
    CRAM_MD5,
    DIGEST_MD5,
    LoginConnection,
    Question,
)
from dirbridge.protocols.password_server_session import Connection, Examination, Need
from tests.wire.fuzzing import Fed

SLOT = "0xdb945916625111e39e62000c2928b48d"
MODULUS = (
    "1145747925433699256649704760995315748104700114473948598173533272830092526419392340"
    "2720345433659609254741289330074825558283024639530760105105974145598575872656557605"
    "0698713027643598211823458461426996675470307157668087994612395127920329176467950738"
    "294806584152682809589286911571551061068009380246772002575640033"
)
KEY = f"1024 65537 {MODULUS} root@mail1.company.com"
NONCE = (
    b"115792089237316195423570985008687907853269984665640564039457584007913129639935"
)
DIRECTIVES = (
    b'nonce="Y8wuf8TMc4T6WbRQOEW2h0/QosFDNDlf1SZI1psWkF8=",realm="mail1.company.com",'
    b'qop="auth,auth-int,auth-conf",cipher="rc4-40,rc4-56,rc4,des,3des",maxbuf=4096,'
    b"charset=utf-8,algorithm=md5-sess"
)

BEGINNING = (
    b"+OK ApplePasswordServer 10.5.0.0 password server at 10.0.0.5 ready.\r\n"
    b'+OK (SASL "DIGEST-MD5" "CRAM-MD5" "DHX" )\r\n+OK ' + KEY.encode() + b"\r\n"
)
CLEAR = b"+OK {78}" + base64.b64encode(NONCE) + b"\r\n"
SEALED = b"+OK {16}" + base64.b64encode(hashlib.md5(NONCE).digest()) + b"\r\n"
ENDING = b"+AUTHOK " + DIRECTIVES.hex().encode() + b"\r\n+OK 727370617574683D\r\n"


def question(*mechanisms: str) -> Question:
    key = rsa_validate.decode_key(KEY.encode())
    return Question(
        *(SLOT, "Correct horse 1", key, "10.0.0.5", NONCE, "OA6MG9tEQGm2hh"),
        mechanisms or (DIGEST_MD5, CRAM_MD5),
    )


def talked(made: Callable[[], Connection[Any]], data: bytes) -> None:
    """Give the answers one by one, each after its question, as a server does."""
    talk = made()
    for line in data.splitlines(keepends=True):
        for piece in (line[:1], line[1:], b"") if line.endswith(b"!") else (line,):
            talk.receive_data(piece)
            while not isinstance(talk.next_event(), Need):
                pass
    if talk.next_event() is Need.PERHAPS:
        talk.nothing_came()


def cut(data: bytes, cipher: Cast5 | None = None) -> None:
    lines = password_server.Lines()
    if cipher:
        lines.seal(cipher)
    for piece in filter(None, (data[:1], data[1:9], data[9:])):
        lines.receive_data(piece)
        while lines.take() is not None:
            pass


def remote(name: str, read: Callable[[bytes], object], *samples: bytes) -> Fed:
    return Fed(name, read, samples, RemoteProtocolError)


def local(name: str, read: Callable[[str], object], *samples: bytes) -> Fed:
    return Fed(name, read, samples, LocalProtocolError, (str,))


def code(data: bytes) -> object:
    number = int.from_bytes(data, "big", signed=True)
    return password_server_codes.decode(number, sasl=len(data) % 2 > 0, counted=True)


def refused(data: bytes) -> None:
    reply = password_server.decode_reply(data)
    refusal = password_server.decode_refusal(reply)
    assert isinstance(refusal.family, Enum)


FEEDS = [
    remote(
        "cram_md5.respond", lambda data: cram_md5.respond(data, SLOT, "x"), b"<1@x>"
    ),
    remote("digest_md5.decode_challenge", digest_md5.decode_challenge, DIRECTIVES),
    remote("password_server.Lines", cut, BEGINNING, b"x" * 5000),
    remote("password_server.decode_hex", password_server.decode_hex, b"3c3E", b"3"),
    remote(
        "password_server.decode_mechanisms",
        password_server.decode_mechanisms,
        b'(SASL "DIGEST-MD5" "CRAM-MD5" )',
    ),
    remote("password_server.decode_refusal", refused, b"-ERR SASL -13", b"-AUTHERR -2"),
    remote("password_server.decode_reply", password_server.decode_reply, b"+AUTHOK 3C"),
    remote(
        "password_server.decode_version", password_server.decode_version, BEGINNING[4:]
    ),
    local("password_server.auth", password_server.auth, b"CRAM-MD5"),
    local(
        "password_server.user", lambda t: password_server.user(t, "X"), SLOT.encode()
    ),
    remote("password_server_codes.decode", code, b"\xff", b"\xff\xf3"),
    remote(
        "password_server_login.LoginConnection",
        lambda data: talked(lambda: LoginConnection(question()), data),
        BEGINNING + CLEAR + ENDING,
        BEGINNING + SEALED + b"\x9b\x04\xbc\x9b\xf0\xd8\x1c\xde" * 3,
    ),
    remote(
        "password_server_session.Connection",
        lambda data: talked(lambda: LoginConnection(question(CRAM_MD5)), data),
        BEGINNING + SEALED + Cast5(NONCE).seal(b"+OK\r\n+OK 3C3E\r\n+OK\r\n"),
    ),
    remote(
        "password_server_session.Examination",
        lambda data: talked(lambda: Examination(NONCE), data),
        BEGINNING + CLEAR,
    ),
    remote("rsa_validate.decode_binary", rsa_validate.decode_binary, CLEAR[4:-2]),
    remote("rsa_validate.decode_key", rsa_validate.decode_key, KEY.encode()),
    remote("rsa_validate.judge", lambda d: rsa_validate.judge(d, NONCE), SEALED[4:-2]),
]
