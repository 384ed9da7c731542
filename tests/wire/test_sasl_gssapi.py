"""The machines of GSSAPI and GSS-SPNEGO, over a context that is a table."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dirbridge.protocols.sasl import Challenge, Failed, Proven, Refused
from dirbridge.protocols.sasl_gssapi import (
    MECHANISMS,
    MOST_TOKENS,
    Gssapi,
    GssSpnego,
    NotAccepted,
)

ANNA = Proven("anna@CORP.EXAMPLE.COM", sid=b"sid")
OFFER = b"<\x01\0\0\0>"


class Context:
    """Answers each token by the next of a list; it is complete with the last."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.tokens: list[bytes] = []

    @property
    def complete(self) -> bool:
        return not self.answers

    def step(self, token: bytes) -> bytes:
        self.tokens.append(token)
        if token == b"bad":
            raise NotAccepted("not for us")
        if token == b"ours":
            raise NotAccepted("the keytab is gone", ours=True)
        return self.answers.pop(0)

    def wrap(self, data: bytes) -> bytes:
        return b"<" + data + b">"

    def unwrap(self, token: bytes) -> bytes:
        if token[:1] != b"<":
            raise NotAccepted("not wrapped")
        return token[1:-1]

    def client(self) -> Proven:
        return ANNA


def outcomes(machine: Gssapi | GssSpnego, *responses: bytes | None) -> Sequence[object]:
    return [machine.step(response) for response in responses]


@pytest.mark.parametrize("empty", [None, b""])
def test_gssapi_from_the_first_byte_to_the_last(empty):
    context = Context(b"AP-REP")
    said = outcomes(Gssapi(context), empty, b"AP-REQ", b"", b"<\x01\0\0\0anna>")
    assert said[:3] == [Challenge(b""), Challenge(b"AP-REP"), Challenge(OFFER)]
    assert said[3] == Proven(ANNA.principal, b"anna", b"sid")
    assert context.tokens == [b"AP-REQ"]


def test_gssapi_with_an_initial_response_and_no_answer_to_it():
    said = outcomes(Gssapi(Context(b"")), b"AP-REQ", b"<\x01\0\x40\0>")
    assert said == [Challenge(OFFER), ANNA]


@pytest.mark.parametrize(
    "choice",
    [b"", b"\x01", b"\x01\0\0", b"\x02\0\0\0", b"\x04\0\0\0anna", b"\x03\0\0\0"],
)
def test_no_layer_is_the_only_choice(choice):
    machine = Gssapi(Context(b""))
    assert outcomes(machine, b"AP-REQ", b"<" + choice + b">")[1] == Refused("malformed")


def test_what_is_not_wrapped_is_not_taken():
    said = outcomes(Gssapi(Context(b"")), b"AP-REQ", b"\x01\0\0\0anna")
    assert said[1] == Failed("not wrapped")


def test_spnego_ends_with_the_context():
    assert outcomes(GssSpnego(Context(b"")), b"init") == [ANNA]
    said = outcomes(GssSpnego(Context(b"more", b"done")), None, b"init", b"next", b"")
    assert said == [Challenge(b""), Challenge(b"more"), Challenge(b"done"), ANNA]


@pytest.mark.parametrize("machine", [Gssapi, GssSpnego])
def test_the_last_token_is_acknowledged_by_nothing(machine):
    said = outcomes(machine(Context(b"done")), b"init", b"more")
    assert said == [Challenge(b"done"), Refused("malformed")]


@pytest.mark.parametrize("machine", [Gssapi, GssSpnego])
def test_faults_are_told_as_whose_they_are(machine):
    assert machine(Context(b"")).step(b"bad") == Failed("not for us")
    ours = machine(Context(b"")).step(b"ours")
    assert ours == Failed("the keytab is gone", ours=True)


@pytest.mark.parametrize("machine", [Gssapi, GssSpnego])
def test_an_exchange_ends(machine):
    assert machine(Context(b"", b"")).step(b"init") == Failed(
        "the exchange stands still"
    )
    endless = machine(Context(*[b"more"] * 20))
    said = outcomes(endless, *[b"token"] * (MOST_TOKENS + 1))
    assert said[-1] == Failed("the exchange has no end")


@pytest.mark.parametrize("machine", [Gssapi, GssSpnego])
def test_nothing_twice_is_a_token_like_any_other(machine):
    context = Context(b"")
    outcomes(machine(context), None, b"")
    assert context.tokens == [b""]


def test_gssapi_is_offered_first():
    assert list(MECHANISMS) == ["GSSAPI", "GSS-SPNEGO"]
