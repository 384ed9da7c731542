"""The Password Server's codec: the fact sheet's vectors and dialogues.

The vectors were made with OpenSSL and another program; the dialogues are in the words
of Apple's client and of two other implementations (facts: open-directory 4).
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest

from dirbridge.directory import password_server_codes as codes
from dirbridge.directory.password_server_record import identity
from dirbridge.errors import LocalProtocolError, RemoteProtocolError
from dirbridge.model.login import Cause, Reason
from dirbridge.protocols import cram_md5, digest_md5, password_server, rsa_validate
from dirbridge.protocols.cast5_cbc import Cast5
from dirbridge.protocols.password_server import Family, Lines, Refusal, Reply, Word
from dirbridge.protocols.password_server_login import (
    CRAM_MD5,
    DIGEST_MD5,
    Doubt,
    LoginConnection,
    NoMechanism,
    NotProven,
    Outcome,
    Question,
    Refused,
    Right,
)
from dirbridge.protocols.password_server_session import (
    Examination,
    Examined,
    Need,
    Send,
    Shown,
    TurnedAway,
)
from dirbridge.protocols.rsa_validate import Proof
from tests.wire.feeding import each_cut
from tests.wire.password_server_feeds import (
    BEGINNING,
    CLEAR,
    DIRECTIVES,
    KEY,
    NONCE,
    SEALED,
    SLOT,
    question,
)

GREETING, LISTED, SHOWN = BEGINNING.decode().splitlines()
CHALLENGE = b"<3511208967.11604193@mail1.company.com>"
CHALLENGE_HEX = (
    "3C333531313230383936372E3131363034313933406D61696C312E636F6D70616E792E636F6D3E"
)
USER = f"USER {SLOT} AUTH CRAM-MD5"
AUTH2 = (
    "AUTH2 307864623934353931363632353131316533396536323030306332393238623438642064"
    "39343330663338333066353061316233633030393135663365393932313632"
)
WRONG_AUTH2 = (
    "AUTH2 307864623934353931363632353131316533396536323030306332393238623438642035"
    "66343233313565396163666531633532376239643333323036353064323238"
)
DISABLED_SLOT = "0xa1a21c2c8d9411e1940d045453061d87"
DISABLED_AUTH2 = (
    "AUTH2 307861316132316332633864393431316531393430643034353435333036316438372063"
    "36643066343034316630356232653236656631323162326361303131306564"
)
DIGEST = f"USER {SLOT} AUTH DIGEST-MD5"
RSPAUTH = b"rspauth=2fe5a5f7ac432ed912b6bb78bde98856"


class Script:
    """Plays a server by its lines, and keeps what the client said."""

    def __init__(self, asked: Question) -> None:
        self.client = LoginConnection(asked)
        self.said: list[str] = []
        self.counted = False
        self.cipher: Cast5 | None = None

    def take(self, *lines: str | bytes) -> Outcome | Need:
        """Let the server say some lines, one by one; return what comes of it."""
        seen: Outcome | Need = Need.DATA
        for line in lines:
            self.client.receive_data(self.sent(line))
            if line == SEALED:
                self.cipher = Cast5(NONCE)
            seen = self.follow()
        return seen

    def sent(self, line: str | bytes) -> bytes:
        """Return what the server sends for a line; octets stay as they are."""
        if isinstance(line, bytes):
            return line
        data = f"{line}\r\n".encode()
        return self.cipher.seal(data) if self.cipher else data

    def follow(self) -> Outcome | Need:
        while isinstance(event := self.client.next_event(), Send):
            assert not self.counted, "said more after the response"
            data = self.cipher.open(event.data) if self.cipher else event.data
            self.said.append(data.rstrip(b"\0").decode().removesuffix("\r\n"))
            self.counted = event.counts
        return event

    def begin(self, proof: bytes = CLEAR) -> Script:
        """Play everything up to the key's proof."""
        assert self.take(GREETING, LISTED, SHOWN, proof) is Need.DATA
        return self


def sealed(*mechanisms: str, **changes: str) -> Script:
    """A login whose session is encrypted, as CRAM-MD5 needs it."""
    return login(*mechanisms, **changes).begin(SEALED)


def login(*mechanisms: str, **changes: str) -> Script:
    return Script(replace(question(*mechanisms), **changes))


# Vectors


def test_the_identity_of_a_key() -> None:
    assert identity(KEY) == "FC7786CAF5A6556973D23E6373C06801"


@pytest.mark.parametrize(
    ("password", "digest"),
    [
        ("Correct horse 1", "d9430f3830f50a1b3c00915f3e992162"),
        ("wrong", "5f42315e9acfe1c527b9d3320650d228"),
        ("pässwörd", "b7118e0a91296ac61101b3f5c451d303"),
        ("x" * 65, "25984286dbd7a8e2c0a0d7f58e0efb17"),
    ],
)
def test_cram_md5(password: str, digest: str) -> None:
    assert cram_md5.respond(CHALLENGE, SLOT, password) == f"{SLOT} {digest}".encode()


def test_cram_md5_of_the_rfc() -> None:
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    response = cram_md5.respond(challenge, "tim", "tanstaaftanstaaf")
    assert response == b"tim b913a602c7eda7a495b4e6e7334d3890"


def test_digest_md5() -> None:
    response = digest_md5.respond(
        digest_md5.decode_challenge(DIRECTIVES),
        *(SLOT, "Correct horse 1", "rcmd/10.0.0.5", "OA6MG9tEQGm2hh"),
    )
    assert (
        response.text
        == (
            f'username="{SLOT}",realm="mail1.company.com",'
            'nonce="Y8wuf8TMc4T6WbRQOEW2h0/QosFDNDlf1SZI1psWkF8=",'
            'cnonce="OA6MG9tEQGm2hh",nc=00000001,qop=auth,digest-uri="rcmd/10.0.0.5",'
            "response=9d1b1dc2d84d977759aa1999c31cddc6,charset=utf-8"
        ).encode()
    )
    assert digest_md5.proves(RSPAUTH, response)
    assert not digest_md5.proves(RSPAUTH + b"0", response)
    assert not digest_md5.proves(RSPAUTH + b"," + RSPAUTH, response)
    assert not digest_md5.proves(b"", response)


def test_digest_md5_of_the_rfc() -> None:
    """RFC 2831 section 4."""
    challenge = digest_md5.decode_challenge(
        b'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",'
        b"algorithm=md5-sess,charset=utf-8"
    )
    uri = "imap/elwood.innosoft.com"
    response = digest_md5.respond(challenge, "chris", "secret", uri, "OA6MHXh6VqTrRk")
    assert b"response=d388dad90d4bbd760a152321f2143af7," in response.text
    proof = b"rspauth=ea40f60335c427b5527b84dbabcdfffd"
    assert digest_md5.proves(proof, response)


def test_digest_md5_hashes_latin_letters_in_iso_8859_1() -> None:
    """A password that fits is hashed so, others in UTF-8; the charset says nothing."""
    challenge = digest_md5.decode_challenge(DIRECTIVES)
    nonce, cnonce, uri = challenge.nonce.decode(), "c", "rcmd/h"
    for password, octets in (("Größe", b"Gr\xf6\xdfe"), ("€", "€".encode())):
        secret = hashlib.md5(f"{SLOT}:mail1.company.com:".encode() + octets).digest()
        first = hashlib.md5(secret + f":{nonce}:{cnonce}".encode()).hexdigest()
        second = hashlib.md5(f"AUTHENTICATE:{uri}".encode()).hexdigest()
        text = f"{first}:{nonce}:00000001:{cnonce}:auth:{second}"
        expected = hashlib.md5(text.encode()).hexdigest()
        response = digest_md5.respond(challenge, SLOT, password, uri, cnonce)
        assert f"response={expected},".encode() in response.text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"algorithm=md5-sess", b"algorithm=md5"),
        (b",algorithm=md5-sess", b""),
        (b'qop="auth,', b'qop="none,'),
        (b'nonce="Y8wuf8', b'nonce="",nonce="Y8wuf8'),
        (b'nonce="Y8wuf8TMc4T6WbRQOEW2h0/QosFDNDlf1SZI1psWkF8="', b'nonce=""'),
        (b"nonce=", b"once="),
        (b"maxbuf=4096,", b"maxbuf=4096 charset,"),
        (b"maxbuf=4096", b"x=" + b"9" * 2000),
        (b'realm="mail1', b'realm=mail1"'),
    ],
)
def test_a_digest_challenge_that_asks_for_something_else(
    old: bytes, new: bytes
) -> None:
    assert old in DIRECTIVES
    with pytest.raises(RemoteProtocolError):
        digest_md5.decode_challenge(DIRECTIVES.replace(old, new))


def test_the_first_message_under_cast5() -> None:
    """Checked against OpenSSL."""
    line = Lines()
    line.seal(Cast5(NONCE))
    assert line.end(USER.encode()).hex().upper() == (
        "9B04BC9BF0D81CDE595A8330FE10B244DCBA5FD1F3FC215604645F9AC078F1FA383D733AC3768CF4"
        "3D7BF8DBCC5394F8AF71F0411C9B428C"
    )
    assert rsa_validate.judge(b"{16}f/kW2vZGwSedLNFIW6rmZw==", NONCE) is Proof.SEALED


def test_cast5_goes_on_over_messages() -> None:
    server, lines = Cast5(NONCE), Lines()
    lines.seal(Cast5(NONCE))
    data = server.seal(b"+OK one\r\n") + server.seal(b"+OK two\r\n+OK three\r\n")
    for at in range(0, len(data), 5):
        lines.receive_data(data[at : at + 5])
    taken = [lines.take() for _ in range(4)]
    assert taken == [b"+OK one", b"+OK two", b"+OK three", None]
    assert not lines.waiting


# Dialogues


def test_dialogue_1_success() -> None:
    script = sealed(CRAM_MD5)
    assert script.take(f"+AUTHOK {CHALLENGE_HEX}") is Need.DATA
    assert script.take("+OK") == Right()
    assert script.counted
    assert script.cipher is not None
    assert script.cipher.open(script.client.quit()).rstrip(b"\0") == b"QUIT\r\n"
    listed, validate, *rest = script.said
    assert listed == "LIST RSAPUBLIC"
    assert re.fullmatch(r"RSAVALIDATE \{128\}[A-Za-z0-9+/]{171}=", validate)
    assert rest == [USER, AUTH2]


def test_dialogue_2_wrong_password() -> None:
    script = sealed(CRAM_MD5, password="wrong")
    outcome = script.take(f"+AUTHOK {CHALLENGE_HEX}", "-ERR SASL -13")
    refusal = Refusal(Family.SASL, -13, "-ERR SASL -13")
    assert outcome == Refused(refusal, counted=True)
    assert script.said[2:] == [USER, WRONG_AUTH2]
    meaning = codes.decode(-13, sasl=True, counted=True)
    assert meaning is Reason.WRONG_PASSWORD


def test_dialogue_3_disabled_account() -> None:
    script = sealed(CRAM_MD5, password="Off-1", slot=DISABLED_SLOT)
    outcome = script.take(f"+AUTHOK {CHALLENGE_HEX}", "-AUTHERR -2")
    assert outcome == Refused(Refusal(Family.POLICY, -2, "-AUTHERR -2"), counted=True)
    assert script.said[2:] == [USER.replace(SLOT, DISABLED_SLOT), DISABLED_AUTH2]
    assert codes.decode(-2, sasl=False, counted=True) is Reason.DISABLED


@each_cut
def test_a_login_by_digest_md5(cut) -> None:
    script = login()
    answers = (f"+AUTHOK {DIRECTIVES.hex()}", f"+OK {RSPAUTH.hex().upper()}")
    lines = (GREETING, LISTED, SHOWN, CLEAR.decode().strip(), *answers)
    for line in lines:
        outcome = script.take(*cut(f"{line}\r\n".encode()))
    assert outcome == Right()
    assert script.said[2] == DIGEST


def test_a_login_in_a_sealed_session() -> None:
    script = login().begin(SEALED)
    assert script.cipher is not None
    assert script.client.sealed
    assert script.said[-1] == DIGEST
    answers = (f"+AUTHOK {DIRECTIVES.hex()}", f"+OK {RSPAUTH.hex()}")
    assert script.take(*answers) == Right()
    assert script.said[-1].startswith("AUTH2 ")
    assert script.cipher.open(script.client.quit()).rstrip(b"\0") == b"QUIT\r\n"


def test_the_key_on_request() -> None:
    """Very old servers answer LIST RSAPUBLIC with one line."""
    script = login()
    assert script.take(GREETING, LISTED) is Need.PERHAPS
    script.client.nothing_came()
    assert script.follow() is Need.DATA
    assert script.said[-1] == "RSAPUBLIC"
    script.take(SHOWN, CLEAR)
    assert script.said[-1] == DIGEST


@pytest.mark.parametrize(
    "order", [(SHOWN, SHOWN, CLEAR), (SHOWN + "\r\n" + SHOWN, CLEAR)]
)
def test_a_second_line_that_comes_late(order: tuple[str | bytes, ...]) -> None:
    script = login()
    script.take(GREETING, LISTED)
    script.client.nothing_came()
    script.take(*order)
    assert script.said[1] == "RSAPUBLIC"
    assert script.said[-1] == DIGEST


def test_no_silence_where_an_answer_is_due() -> None:
    with pytest.raises(LocalProtocolError):
        login().client.nothing_came()


@pytest.mark.parametrize("first", ["+OK", "+OK ", "-ERR"])
def test_user_and_mechanism_in_two_steps(first: str) -> None:
    script = sealed(CRAM_MD5)
    assert script.take(first) is Need.DATA
    assert script.said[-1] == "AUTH CRAM-MD5"
    assert script.take(f"+OK {CHALLENGE_HEX}", "+OK") == Right()


def test_small_letters_in_hex_are_read() -> None:
    script = sealed(CRAM_MD5)
    assert script.take(f"+AUTHOK {CHALLENGE_HEX.lower()}", "+OK") == Right()
    assert script.said[-1] == AUTH2


# Servers that are not to be believed


def test_another_key_ends_it_before_anything_is_said() -> None:
    other = SHOWN.replace(" 65537 1", " 65537 2", 1)
    script = login()
    assert script.take(GREETING, LISTED, other) == NotProven(Doubt.KEY)
    assert script.said == ["LIST RSAPUBLIC"]


def test_the_comment_of_a_key_does_not_count() -> None:
    script = login()
    script.take(GREETING, LISTED, SHOWN.replace("root@mail1", "admin@old"))
    assert script.said[-1].startswith("RSAVALIDATE")


@pytest.mark.parametrize(
    "answer",
    [
        "-ERR -5",
        "+OK {16}" + base64.b64encode(bytes(16)).decode(),
        "+OK {78}" + base64.b64encode(NONCE[::-1]).decode(),
        "+OK {77}" + base64.b64encode(NONCE).decode(),
        "+OK {0}",
    ],
)
def test_a_server_without_the_private_key_never_sees_a_response(answer: str) -> None:
    script = login()
    assert script.take(GREETING, LISTED, SHOWN, answer) == NotProven(Doubt.VALIDATION)
    assert len(script.said) == 2


def test_an_answer_to_rsavalidate_may_be_filled_up() -> None:
    filled = "+OK {128}" + base64.b64encode(NONCE + bytes(50)).decode()
    script = login()
    script.take(GREETING, LISTED, SHOWN, filled)
    assert script.said[-1] == DIGEST


@pytest.mark.parametrize(
    "proof", ["", b"rspauth=".hex(), b"rspauth=00".hex(), RSPAUTH.hex()[:-2] + "30"]
)
def test_ok_without_the_proof_of_the_secret_is_not_believed(proof: str) -> None:
    script = login().begin()
    outcome = script.take(f"+AUTHOK {DIRECTIVES.hex()}", f"+OK {proof}")
    assert outcome == NotProven(Doubt.PROOF)


@pytest.mark.parametrize(
    "lines",
    [
        ("+OKAY",),
        ("+OK",),  # where a challenge is due behind AUTH
        ("+AUTHOKAY 3C",),
        ("+ok",),
        ("OK",),
        ("",),
        ("\0\0",),
        ("HTTP/1.1 400 Bad Request",),
        ("+AUTHOK 3C3",),
        ("+AUTHOK xx",),
        ("+AUTHOK 3C 3E",),
        (f"+OK {CHALLENGE_HEX}",),
        ("+AUTHOK 00",),
        ("+AUTHOK " + "3C" * 1025,),
        ("+AUTHOK " + "3C" * 3000,),
        (f"+AUTHOK {CHALLENGE_HEX}", "+OKAY"),
        (f"+AUTHOK {CHALLENGE_HEX}", "+AUTHOK"),
        (f"+AUTHOK {CHALLENGE_HEX}", f"+AUTHOK {CHALLENGE_HEX}"),
        (f"+AUTHOK {CHALLENGE_HEX}\r\n+OK",),  # before it was asked
    ],
)
def test_nonsense_is_never_a_verdict(lines: tuple[str, ...]) -> None:
    script = sealed(CRAM_MD5)
    with pytest.raises(RemoteProtocolError):
        script.take(*lines, *("+OKAY",) * (lines == ("+OK",)))
    assert script.client.next_event() is Need.DATA


@pytest.mark.parametrize("at", range(6))
def test_the_end_is_no_verdict(at: int) -> None:
    lines = (GREETING, LISTED, SHOWN, SEALED, f"+AUTHOK {CHALLENGE_HEX}", "+OK")
    script = login(CRAM_MD5)
    script.take(*lines[:at])
    last = lines[at]
    if isinstance(last, str):
        script.client.receive_data(script.sent(last)[:-8])
        script.client.receive_data(b"")
        with pytest.raises(RemoteProtocolError):
            script.client.next_event()


@pytest.mark.parametrize(
    "listed",
    ["+OK", "+OK (SASL", '+OK (SASL "A" B)', '+OK "DIGEST-MD5"', '+OK (SASL "A") x'],
)
def test_a_list_that_is_none(listed: str) -> None:
    with pytest.raises(RemoteProtocolError):
        login().take(GREETING, listed)


@pytest.mark.parametrize("listed", ["+OK (SASL )", "+OK (SASL)", '+OK (SASL "PPS")'])
def test_none_of_the_admitted_mechanisms(listed: str) -> None:
    outcome = login().take(GREETING, listed, SHOWN, CLEAR)
    assert isinstance(outcome, NoMechanism)
    assert "DIGEST-MD5" not in outcome.offered


def test_cram_md5_only_where_it_is_admitted() -> None:
    only_cram = '+OK (SASL "CRAM-MD5" )'
    outcome = login(DIGEST_MD5).take(GREETING, only_cram, SHOWN, CLEAR)
    assert outcome == NoMechanism(("CRAM-MD5",))


def test_cram_md5_never_in_clear() -> None:
    only_cram = '+OK (SASL "CRAM-MD5" )'
    script = login(CRAM_MD5)
    outcome = script.take(GREETING, only_cram, SHOWN, CLEAR)
    assert outcome == NoMechanism(("CRAM-MD5",), clear=True)
    assert not any("USER" in said for said in script.said)


def test_in_clear_the_mechanism_that_proves_itself_is_taken() -> None:
    script = login(CRAM_MD5, DIGEST_MD5).begin()
    assert script.said[-1] == DIGEST
    outcome = script.take("-ERR SASL -20")
    assert isinstance(outcome, Refused)
    assert script.said[-1] == DIGEST


@pytest.mark.parametrize("no", ["-ERR SASL -4", "-ERR -13", "-AUTHERR SASL -20"])
def test_another_mechanism_where_the_first_was_refused_at_once(no: str) -> None:
    script = sealed(DIGEST_MD5, CRAM_MD5)
    script.take(no)
    assert script.said[-2:] == [DIGEST, USER]
    assert script.take(f"+AUTHOK {CHALLENGE_HEX}", "+OK") == Right()


def test_never_another_mechanism_after_the_response() -> None:
    script = sealed(DIGEST_MD5, CRAM_MD5)
    outcome = script.take(f"+AUTHOK {DIRECTIVES.hex()}", "-ERR SASL -4")
    assert isinstance(outcome, Refused)
    assert outcome.counted


@pytest.mark.parametrize("first", ["+AUTHOK", "+AUTHOK "])
def test_no_challenge_means_disabled(first: str) -> None:
    outcome = login().begin().take(first)
    assert outcome == Refused(Refusal(Family.POLICY, -2, "+AUTHOK"))


@pytest.mark.parametrize("before", [(), (GREETING,), (GREETING, LISTED)])
def test_turned_away(before: tuple[str, ...]) -> None:
    script = login()
    outcome = script.take(*before, "-ERR -1 too busy")
    refusal = Refusal(Family.POLICY, -1, "-ERR -1 too busy")
    assert outcome == TurnedAway(refusal)


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        (KEY, True),
        (KEY.replace("65537", "35"), True),
        (KEY.rpartition(" ")[0], True),
        (KEY.replace("65537", "1"), False),
        (KEY.replace("65537", "65536"), False),
        (KEY.replace("40033 ", "40034 "), False),
        ("512 65537 " + "9" * 150, False),
        ("8192 65537 " + "9" * 2400, False),
        (KEY.replace(" ", "  "), False),
        ("", False),
    ],
)
def test_keys_to_rely_on(key: str, fits: bool) -> None:
    try:
        assert rsa_validate.decode_key(key.encode()).bits == 1024
    except RemoteProtocolError:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize(
    "slot", ["", "0x1 AUTH PLAIN", "0x1\r\nQUIT", 'x"y', "ö", "x" * 201]
)
def test_a_slot_that_cannot_be_sent(slot: str) -> None:
    with pytest.raises(LocalProtocolError):
        password_server.user(slot, CRAM_MD5)


def test_a_response_that_a_server_would_cut_off_is_not_sent() -> None:
    long = DIRECTIVES.replace(b"mail1.company.com", b"m" * 300)
    with pytest.raises(RemoteProtocolError):
        login().begin().take(f"+AUTHOK {long.hex()}")


# Refusals


@pytest.mark.parametrize(
    ("line", "family", "number"),
    [
        (b"-ERR -13", Family.POLICY, -13),
        (b"-ERR SASL -13", Family.SASL, -13),
        (b"-AUTHERR -2", Family.POLICY, -2),
        (b"-AUTHERR SASL -19", Family.SASL, -19),
        (b"-ERR", Family.POLICY, -1),
        (b"-ERR go away \x1b[31m", Family.POLICY, -1),
        (b"-ERR -99999999999", Family.POLICY, -1),
    ],
)
def test_refusals(line: bytes, family: Family, number: int) -> None:
    refusal = password_server.decode_refusal(password_server.decode_reply(line))
    assert (refusal.family, refusal.number) == (family, number)
    assert "\x1b" not in refusal.said


def test_one_number_means_two_things() -> None:
    assert codes.decode(-13, sasl=True, counted=True) is Reason.WRONG_PASSWORD
    assert codes.decode(-13, sasl=False, counted=True) is Cause.CONFIGURATION


@pytest.mark.parametrize(
    ("number", "meaning"),
    [
        (-1, Reason.WRONG_PASSWORD),
        (-2, Reason.DISABLED),
        (-3, Cause.CONFIGURATION),
        (-4, Reason.UNKNOWN),
        (-6, Reason.EXPIRED),
        (-7, Reason.MUST_CHANGE),
    ],
)
@pytest.mark.parametrize("counted", [True, False])
def test_policy_numbers(number: int, meaning: Reason | Cause, counted: bool) -> None:
    """A wrong password is not believed where there was none yet."""
    doubtful = meaning is Reason.WRONG_PASSWORD and not counted
    expected = Cause.CONFIGURATION if doubtful else meaning
    assert codes.decode(number, sasl=False, counted=counted) is expected


@pytest.mark.parametrize(
    "number", [-5, -8, *range(-12, -8), *range(-17, -13), -18, 0, 7]
)
@pytest.mark.parametrize("sasl", [True, False])
def test_a_number_without_a_meaning_here_is_no_wrong_password(
    number: int, sasl: bool
) -> None:
    meaning = codes.decode(number, sasl=sasl, counted=True)
    assert isinstance(meaning, Cause) or (sasl and number == -18)


@pytest.mark.parametrize(
    ("number", "meaning"),
    [
        (-1, Cause.UNREACHABLE),
        (-18, Reason.PASSWORD_EXPIRED),
        (-19, Reason.DISABLED),
        (-20, Reason.UNKNOWN),
        (-21, Reason.LOCKED),
        (-24, Cause.BUSY),
        (-26, Cause.CONFIGURATION),
    ],
)
def test_sasl_numbers(number: int, meaning: Reason | Cause) -> None:
    assert codes.decode(number, sasl=True, counted=True) is meaning


# Without a login


def test_an_examination() -> None:
    client = Examination(NONCE)
    for line in (GREETING, LISTED, SHOWN, CLEAR.decode().strip()):
        client.receive_data(f"{line}\r\n".encode())
        while isinstance(event := client.next_event(), Send):
            pass
    mechanisms = ("DIGEST-MD5", "CRAM-MD5", "DHX")
    shown = Shown(mechanisms, KEY.encode(), "10.5.0.0")
    assert event == Examined(shown, proven=True, sealed=False)


def test_nothing_secret_shows() -> None:
    script = login().begin()
    script.client.receive_data(f"+AUTHOK {DIRECTIVES.hex()}\r\n".encode())
    event = script.client.next_event()
    shown = (
        f"{question()!r} {event!r} {script.client!r} {Reply(Word.OK, b'9d1b1dc2')!r}"
    )
    for secret in ("Correct horse", NONCE.decode(), "OA6MG9tEQGm2hh", "9d1b1dc2"):
        assert secret not in shown
