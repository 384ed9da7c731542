"""The tests' own Password Server says, byte for byte, what the fact sheet has.

So what dirbridge meets there is what it would meet elsewhere; the client here is a
bare socket.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import padding

from testbed.password_server import (
    CLOSE,
    SILENCE,
    Manners,
    PasswordServer,
    User,
    new_key,
)

SLOT = "0xdb945916625111e39e62000c2928b48d"
SECOND = "0xa1a21c2c8d9411e1940d045453061d87"
CHALLENGE = b"<3511208967.11604193@mail1.company.com>"
CHALLENGE_HEX = (
    "3C333531313230383936372E3131363034313933406D61696C312E636F6D70616E792E636F6D3E"
)
NONCE = "11579208923731619542357098500868790785326998466564056403945758400791312963993"
KEY = new_key()

BEGINNING = """\
S: +OK ApplePasswordServer 10.5.0.0 password server at 10.0.0.5 ready.
C: LIST RSAPUBLIC
S: +OK (SASL "DIGEST-MD5" "CRAM-MD5" "DHX" )
S: +OK KEY
C: RSAVALIDATE NONCE
S: +OK {77}PLAIN
"""
END = """\
C: QUIT
S: +OK password server signing off.
"""
DIALOGUES = {
    "1, success": """\
C: USER SLOT AUTH CRAM-MD5
S: +AUTHOK CHALLENGE
C: AUTH2 307864623934353931363632353131316533396536323030306332393238623438642064\
39343330663338333066353061316233633030393135663365393932313632
S: +OK
""",
    "2, wrong password": """\
C: USER SLOT AUTH CRAM-MD5
S: +AUTHOK CHALLENGE
C: AUTH2 307864623934353931363632353131316533396536323030306332393238623438642035\
66343233313565396163666531633532376239643333323036353064323238
S: -ERR SASL -13
""",
    "3, disabled account": """\
C: USER SECOND AUTH CRAM-MD5
S: +AUTHOK CHALLENGE
C: AUTH2 307861316132316332633864393431316531393430643034353435333036316438372063\
36643066343034316630356232653236656631323162326361303131306564
S: -AUTHERR -2
""",
}


@pytest.fixture
def server() -> Iterator[PasswordServer]:
    users = {
        SLOT: User("Correct horse 1"),
        SECOND: User("Off-1", at_auth2="-AUTHERR -2"),
    }
    with PasswordServer(KEY, users, manners=Manners(challenge=CHALLENGE)) as made:
        yield made


@pytest.mark.parametrize("dialogue", DIALOGUES.values(), ids=DIALOGUES)
def test_the_dialogues(server: PasswordServer, dialogue: str) -> None:
    encrypted = KEY.public_key().encrypt(NONCE.encode(), padding.PKCS1v15())
    text = BEGINNING + dialogue + END
    for word, meaning in {
        "KEY": server.public_key,
        "NONCE": f"{{128}}{base64.b64encode(encrypted).decode()}",
        "PLAIN": base64.b64encode(NONCE.encode()).decode(),
        "CHALLENGE": CHALLENGE_HEX,
        "SLOT": SLOT,
        "SECOND": SECOND,
    }.items():
        text = text.replace(word, meaning)
    assert len(base64.b64encode(encrypted)) == 172
    with socket.create_connection((server.address, server.port), 9) as stream:
        for line in text.splitlines():
            octets = line[3:].encode() + b"\r\n"
            if line.startswith("C: "):
                stream.sendall(octets)
            else:
                assert stream.recv(len(octets), socket.MSG_WAITALL) == octets
        assert stream.recv(1) == b""


@pytest.mark.parametrize("instead", [SILENCE, CLOSE, b"+OKAY\r\n", b"+OK no end"])
def test_what_it_says_instead(server: PasswordServer, instead: bytes) -> None:
    server.behave(instead={"GREETING": instead})
    with socket.create_connection((server.address, server.port), 9) as stream:
        if instead == SILENCE:
            stream.settimeout(0.2)
            with pytest.raises(TimeoutError):
                stream.recv(1)
        else:
            expected = b"" if instead == CLOSE else instead
            assert stream.recv(100) == expected
