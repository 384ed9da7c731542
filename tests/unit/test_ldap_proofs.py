"""How service accounts prove themselves, and what a KDC's no means."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from gssapi.raw.misc import GSSError
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.config.settings import DirectorySettings, Security
from dirbridge.directory.kerberos_codes import CAUSES, REASONS
from dirbridge.errors import BindRefused, Unreachable, Unsupported
from dirbridge.ldap import proofs
from dirbridge.ldap.access import Access, Endpoint
from dirbridge.ldap.gss import GssFailure
from dirbridge.ldap.ntlm import Ntlm
from dirbridge.ldap.proofs import KdcVerdict, Proof, proof_of
from dirbridge.ldap.sealed import SealBroken
from dirbridge.ldap.service_account import ServiceAccount
from dirbridge.ldap.session import Session
from dirbridge.ldap.spnego import ExchangeFailed, NotSealed
from dirbridge.ldap.transport import Transport, open_transport
from dirbridge.model.deadline import Deadline
from dirbridge.model.secret import Secret
from dirbridge.model.sentences import problems_of
from dirbridge.protocols.ldap_messages import Result
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


def test_what_ntlm_cannot_unseal_is_a_broken_seal() -> None:
    for token in (b"", b"x", bytes(16), bytes(100)):
        with pytest.raises(SealBroken):
            ntlm().unwrap(token)
