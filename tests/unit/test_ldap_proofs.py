"""How service accounts prove themselves, and what a KDC's no means."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import spnego
from gssapi.raw.misc import GSSError
from hypothesis import given
from hypothesis import strategies as st
from spnego._spnego import NegState, NegTokenResp, unpack_token

from dirbridge.config.settings import DirectorySettings, Security
from dirbridge.directory.kerberos_codes import CAUSES, REASONS
from dirbridge.errors import BindRefused, DirectoryError, Unreachable, Unsupported
from dirbridge.ldap import gss, proofs
from dirbridge.ldap.access import Access, Endpoint
from dirbridge.ldap.gss import GssFailure
from dirbridge.ldap.ntlm import Ntlm
from dirbridge.ldap.proofs import KdcVerdict, NtlmPassword, Proof, proof_of
from dirbridge.ldap.refusals import AccountRecord
from dirbridge.ldap.sealed import SealBroken
from dirbridge.ldap.service_account import HOLD_OFF, WRONG_HOLD_OFF, ServiceAccount
from dirbridge.ldap.session import Session
from dirbridge.ldap.spnego import ExchangeFailed, NotSealed
from dirbridge.ldap.transport import Transport, Unanswered, open_transport
from dirbridge.model.deadline import Deadline
from dirbridge.model.secret import Secret
from dirbridge.model.sentences import problems_of
from dirbridge.protocols import ber, ldap_messages
from dirbridge.protocols.ldap_messages import Result
from dirbridge.protocols.sasl_layer import frame
from tests.ldap_responder import Responder

SECRET = Secret("right")


def settings(**changes: Any) -> DirectorySettings:
    values = {"type": "active-directory", "server": "dc1", "username": "a@b.example"}
    return DirectorySettings.model_validate(values | changes)


@pytest.mark.parametrize(
    ("changes", "kind", "in_clear"),
    [
        ({}, "SimplePassword", True),
        ({"username": "CORP\\a"}, "SimplePassword", True),
        ({"security": "sealed"}, "KerberosPassword", False),
        ({"security": "sealed", "username": "CORP\\a"}, "NtlmPassword", False),
        ({"security": "sealed", "bind": "kerberos"}, "Keytab", False),
        ({"bind": "kerberos"}, "Keytab", False),
        ({"bind": "external"}, "ClientCertificate", False),
    ],
)
def test_each_setting_means_one_proof(
    changes: dict[str, Any], kind: str, in_clear: bool
) -> None:
    proof = proof_of("b.example", settings(**changes), lambda: SECRET)
    assert type(proof).__name__ == kind
    assert proof.in_clear == in_clear


def test_a_keytab_goes_by_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_bytes(b"\x05\x02one")
    proof = proof_of(
        "b.example",
        settings(bind="kerberos", keytab={"file": str(path)}),
        lambda: SECRET,
    )
    first = proof.secret().reveal()
    assert first == proof.secret().reveal()
    assert "one" not in first
    path.write_bytes(b"\x05\x02two")
    assert proof.secret().reveal() != first


def failure(code: int) -> GssFailure:
    return GssFailure(GSSError(0x70000, 0x96C73A00 + code))


@pytest.fixture
def transport() -> Any:
    with Responder() as server:
        access = Access(domain="example.com", security=Security.SEALED)
        endpoint = Endpoint("127.0.0.1", server.port)
        yield open_transport(endpoint, access, Deadline.after(5))


OTHERS = {
    7: (Unsupported, "spn-unknown"),
    0x0E: (Unsupported, "kerberos"),
    0x1D: (Unreachable, "kdc-unreachable"),
    0x3C: (Unreachable, "kdc-unreachable"),
    0x44: (Unsupported, "realm-unknown"),
    0x9A: (Unsupported, "realm-unknown"),
    0x9C: (Unreachable, "kdc-unreachable"),
    0xA4: (Unreachable, "kdc-unreachable"),
    0xFE: (Unsupported, "kerberos"),
}


@pytest.mark.parametrize("code", OTHERS)
def test_what_is_no_verdict_blames_nobody(code: int, transport: Transport) -> None:
    kind, word = OTHERS[code]
    error = proofs._judged(transport, failure(code))
    assert isinstance(error, kind)
    assert error.code == word
    assert error.operation == "bind"


def test_every_known_code_is_judged(transport: Transport) -> None:
    for code in {*REASONS, *CAUSES}:
        error = proofs._judged(transport, failure(code))
        assert isinstance(error, KdcVerdict | Unreachable | Unsupported)


class Says:
    """A proof whose KDC says no; counts how often it is asked."""

    in_clear = False
    server_judges = False
    refused = "keytab-refused"
    too_weak = "not-sealed"

    def __init__(self, code: int) -> None:
        self.code = code
        self.tries = 0

    def secret(self) -> Secret:
        return SECRET

    def give(self, transport: Transport, secret: Secret, deadline: Deadline) -> Result:
        self.tries += 1
        raise proofs._judged(transport, failure(self.code))


# The KDC's code; ours, and whether it is asked a second time at once.
VERDICTS = {
    1: ("account-expired", False),
    6: ("keytab-refused", False),
    18: ("account-revoked", False),
    23: ("account-password-expired", False),
    24: ("keytab-refused", False),
    0xB5: ("keytab-refused", False),
    0x25: ("clock", True),
}


@pytest.mark.parametrize("code", VERDICTS)
def test_a_verdict_is_not_asked_for_again_and_again(
    code: int, transport: Transport
) -> None:
    word, again = VERDICTS[code]
    says = Says(code)
    proof: Proof = says
    account = ServiceAccount("a@B.EXAMPLE", proof)
    access = Access(domain="example.com", security=Security.SEALED)
    for _ in range(2):
        with pytest.raises(BindRefused) as caught:
            account.bind(Session(transport, access), Deadline.after(5))
        assert caught.value.code == word
    assert says.tries == (2 if again else 1)
    (problem,) = problems_of(caught.value)
    assert "failed to" not in problem.text
    assert "Run `dirbridge check`: it says what" not in problem.next


WRONG = "80090308: LdapErr: DSID-0C0903A9, comment: x, data 52e, v1db1"
LOCKED = "80090308: LdapErr: DSID-0C0903A9, comment: x, data 775, v1db1"
NO_BINDING = "80090346: LdapErr: DSID-0C0903A9, comment: x, data 80090346, v1db1"


class Answered:
    """A proof that gets these answers, the last one again and again."""

    in_clear = False
    refused = "keytab-refused"
    too_weak = "not-sealed"

    def __init__(
        self, *answers: Result, server_judges: bool, seconds: float = 0.0
    ) -> None:
        self.server_judges = server_judges
        self.tries = 0
        self._answers = list(answers)
        self._seconds = seconds

    def secret(self) -> Secret:
        return SECRET

    def give(self, transport: Transport, secret: Secret, deadline: Deadline) -> Result:
        self.tries += 1
        time.sleep(self._seconds)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def bound(account: ServiceAccount, transport: Transport) -> DirectoryError | None:
    access = Access(domain="example.com", security=Security.SEALED)
    try:
        account.bind(Session(transport, access), Deadline.after(20))
    except DirectoryError as error:
        return error
    return None


def test_a_ticket_that_a_server_refuses_is_no_wrong_password(
    transport: Transport,
) -> None:
    """The KDC has let the account in: it is this server, and this server only."""
    proof = Answered(Result(1, 49, WRONG), Result(1, 0, ""), server_judges=False)
    account = ServiceAccount("a@B.EXAMPLE", proof)
    error = bound(account, transport)
    assert isinstance(error, Unreachable)
    assert not isinstance(error, Unanswered)
    assert error.code == "ticket-refused"
    assert "Run `dirbridge check`: it says what" not in problems_of(error)[0].next
    assert bound(account, transport) is None


@pytest.mark.parametrize(
    ("server_judges", "text", "seconds"),
    [
        (True, WRONG, WRONG_HOLD_OFF),
        (True, LOCKED, HOLD_OFF),
        (False, LOCKED, HOLD_OFF),
    ],
)
def test_how_long_a_refused_account_waits(
    server_judges: bool, text: str, seconds: float, transport: Transport
) -> None:
    now = [0.0]
    proof = Answered(Result(1, 49, text), server_judges=server_judges)
    record = AccountRecord(lambda: now[0])
    account = ServiceAccount("a@B.EXAMPLE", proof, record=record)
    for at, tries in ((0.0, 1), (seconds - 1, 1), (seconds + 1, 2)):
        now[0] = at
        assert isinstance(bound(account, transport), BindRefused)
        assert proof.tries == tries


def test_a_missing_channel_binding_is_no_ticket(transport: Transport) -> None:
    proof = Answered(Result(1, 49, NO_BINDING), server_judges=False)
    error = bound(ServiceAccount("a@B.EXAMPLE", proof), transport)
    assert isinstance(error, Unsupported)
    assert error.code == "channel-binding"


def at_once(
    account: ServiceAccount, transport: Transport
) -> list[DirectoryError | None]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: bound(account, transport), range(8)))


def test_a_password_that_worked_before_counts_once_too(transport: Transport) -> None:
    """It was changed in the directory, and many threads come at the same time."""
    right, wrong = Result(1, 0, ""), Result(1, 49, WRONG)
    proof = Answered(right, wrong, server_judges=True, seconds=0.1)
    account = ServiceAccount("CORP\\a", proof)
    assert bound(account, transport) is None
    for error in at_once(account, transport):
        assert isinstance(error, BindRefused)
    assert proof.tries == 2


def test_one_that_still_works_holds_nobody_up(transport: Transport) -> None:
    proof = Answered(Result(1, 0, ""), server_judges=True, seconds=0.4)
    account = ServiceAccount("CORP\\a", proof)
    begun = time.monotonic()
    assert at_once(account, transport) == [None] * 8
    assert time.monotonic() - begun < 8 * 0.4
    assert proof.tries == 8


def test_nobody_waits_long_for_one_at_a_frozen_server(transport: Transport) -> None:
    proof = Answered(Result(1, 0, ""), server_judges=True)
    record = AccountRecord()
    account = ServiceAccount("CORP\\a", proof, record=record)
    assert bound(account, transport) is None
    with record.first:
        assert bound(account, transport) is None


def test_a_kdc_is_not_asked_beside_a_question_that_is_under_way(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can stop libkrb5; its verdict counts when it comes at last."""
    goes_on = threading.Event()
    calls: list[str] = []

    def with_password(principal: str, *_args: object, **_more: object) -> None:
        calls.append(principal)
        goes_on.wait(20)
        raise failure(24)

    monkeypatch.setattr(gss, "with_password", with_password)
    proof = proof_of("b.example", settings(security="sealed"), lambda: SECRET)
    record = AccountRecord()
    account = ServiceAccount("a@b.example", proof, record=record)
    access = Access(domain="example.com", security=Security.SEALED)
    codes = []
    for _ in range(3):
        with pytest.raises(Unreachable) as caught:
            account.bind(Session(transport, access), Deadline.after(0.3))
        codes.append(caught.value.code)
    assert codes == ["kdc-unreachable", "waiting", "waiting"]
    goes_on.set()
    error = bound(account, transport)
    assert isinstance(error, BindRefused)
    assert error.code == "credentials"
    assert calls == ["a@B.EXAMPLE"]


def ntlm() -> Ntlm:
    initiator = Ntlm("CORP\\anna", Secret("right"), "dc1.corp.example.com")
    assert (initiator.step(None) or b"")[:1] == b"\x60"
    return initiator


def test_ntlm_answers_no_challenge_that_would_not_seal() -> None:
    """Flags of zero, by a server or by somebody in between who wants less."""
    initiator = ntlm()
    assert not initiator.counted
    with pytest.raises(NotSealed):
        initiator.step(b"NTLMSSP\0\2\0\0\0" + bytes(100))
    assert not initiator.proven


def test_ntlm_offers_ntlm_only() -> None:
    """Whatever else is installed: no second mechanism, no second try."""
    token = Ntlm("CORP\\anna", Secret("right"), "dc1").step(None) or b""
    kerberos = bytes.fromhex("2a864886f712010202")
    assert kerberos not in token
    assert bytes.fromhex("2b06010401823702020a") in token
    assert b"anna" not in token


@cache
def waiting() -> Ntlm:
    """One that waits for a challenge; making it takes a while."""
    return ntlm()


# The decoder is pyspnego's, and slow: not marked as one of ours.
@given(st.binary(min_size=1, max_size=64), st.booleans())
def test_any_challenge_gives_one_error(data: bytes, raw: bool) -> None:
    challenge = b"NTLMSSP\0\2\0\0\0" if raw else b""
    with pytest.raises(ExchangeFailed):
        waiting().step(challenge + data[:40])


@pytest.fixture
def ntlm_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets pyspnego's own server begin an exchange: it knows somebody."""
    users = tmp_path / "users"
    users.write_text("CORP:nobody:other\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))


@pytest.mark.parametrize("seal", [True, False])
def test_a_challenge_from_beyond_the_year_9999(seal: bool, ntlm_server: None) -> None:
    initiator = Ntlm("CORP\\anna", Secret("right"), "dc1", seal=seal)
    protocol = "negotiate" if seal else "ntlm"
    options = spnego.NegotiateOptions[f"use_{protocol}"]
    server = spnego.server(protocol=protocol, options=options)
    challenge = bytearray(server.step(initiator.step(None)) or b"")
    time_stamp = challenge.index(bytes.fromhex("07000800")) + 4  # MsvAvTimestamp
    challenge[time_stamp : time_stamp + 8] = b"\xff" * 8
    with pytest.raises(ExchangeFailed):
        initiator.step(bytes(challenge))


def test_what_ntlm_cannot_unseal_is_a_broken_seal() -> None:
    for token in (b"", b"x", bytes(16), bytes(100)):
        with pytest.raises(SealBroken):
            ntlm().unwrap(token)


def test_what_cannot_be_sealed_is_a_broken_seal() -> None:
    """Before the exchange has ended there is no key; later it may be gone."""
    with pytest.raises(SealBroken):
        ntlm().wrap(b"x")
    kerberos = object.__new__(gss.Kerberos)
    kerberos._context = gss.Context(
        name=gss._service("dc1.corp.example.com"), usage="initiate"
    )
    with pytest.raises(SealBroken):
        kerberos.wrap(b"x")


def bind_answer(number: int, code: int, credentials: bytes | None) -> bytes:
    given = b"" if credentials is None else ber.tlv(0x87, credentials)
    body = ber.tlv(0x61, ber.enumerated(code), ber.octets(b""), ber.octets(b""), given)
    return ldap_messages.message(number, body)


class Liar:
    """A server that knows no password: it ends an NTLM exchange with success.

    pyspnego's own server makes the challenge; what the client answers to it is never
    looked at.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.tokens = 0

    def __enter__(self) -> int:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        stream, _ = self._listener.accept()
        with stream, contextlib.suppress(OSError):
            hello = stream.recv(65536)
            stream.sendall(bind_answer(1, 14, self._challenge(hello)))
            stream.recv(65536)
            done = NegTokenResp(neg_state=NegState.accept_complete).pack()
            stream.sendall(bind_answer(2, 0, done if self.kind == "no mic" else None))
            stream.recv(65536)
            stream.sendall(frame(bytes(64)))
            stream.recv(65536)

    def _challenge(self, hello: bytes) -> bytes:
        server = spnego.server(protocol="ntlm")
        # The token begins with the SPNEGO OID in its own tag.
        token = unpack_token(hello[hello.index(b"\x60", 20) :])
        challenge = server.step(token.mech_token) or b""
        if self.kind == "raw":
            return challenge
        early = self.kind == "early"
        state = NegState.accept_complete if early else NegState.accept_incomplete
        return NegTokenResp(
            neg_state=state,
            supported_mech="1.3.6.1.4.1.311.2.2.10",
            response_token=challenge,
        ).pack()


@pytest.mark.parametrize("kind", ["raw", "early", "no mic"])
def test_ntlm_believes_nobody_who_does_not_seal(kind: str, ntlm_server: None) -> None:
    record = AccountRecord()
    proof = NtlmPassword("CORP\\anna", lambda: SECRET)
    account = ServiceAccount("CORP\\anna", proof, record=record)
    access = Access(domain="example.com", security=Security.SEALED)
    with Liar(kind) as port:
        endpoint = Endpoint("127.0.0.1", port)
        error = bound(account, open_transport(endpoint, access, Deadline.after(5)))
    assert isinstance(error, Unanswered | Unsupported)
    assert error.code in {"seal-broken", "server-not-proven"}
    assert not record.is_proven(SECRET)
