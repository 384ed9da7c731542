"""The SASL machines."""

from __future__ import annotations

import pytest

from dirbridge.protocols.sasl import (
    MECHANISMS,
    Challenge,
    Credentials,
    Login,
    Plain,
    Refused,
)

ANNA = Credentials(b"anna", b"secret")


def test_plain_is_offered_before_login():
    assert list(MECHANISMS) == ["PLAIN", "LOGIN"]


@pytest.mark.parametrize("empty", [None, b""])
def test_plain_asks_once(empty):
    machine = Plain()
    assert machine.step(empty) == Challenge(b"")
    assert machine.step(b"\0anna\0secret") == ANNA


@pytest.mark.parametrize("empty", [None, b""])
def test_plain_refuses_to_be_told_nothing_twice(empty):
    machine = Plain()
    machine.step(empty)
    assert machine.step(b"") == Refused("malformed")


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        (b"\0anna\0secret", ANNA),
        (b"anna\0anna\0secret", ANNA),
        (b"\0anna\0", Credentials(b"anna", b"")),
        (b"\0j\xc3\xbcrgen\0p\xe4ss", Credentials(b"j\xc3\xbcrgen", b"p\xe4ss")),
        (b'\0anna\0p@ss:w%rd"\\ x', Credentials(b"anna", b'p@ss:w%rd"\\ x')),
        (b"bob\0anna\0secret", Refused("authzid", b"anna")),
        (b"Anna\0anna\0secret", Refused("authzid", b"anna")),
        # Who says it in another order may have put the password there.
        (b"anna\0secret\0", Refused("authzid")),
        (b"\0\0secret", Refused("malformed")),
        (b"\0anna\0sec\0ret", Refused("malformed")),
        (b"anna\0secret", Refused("malformed")),
        (b"anna", Refused("malformed")),
        (b"\0\0\0\0", Refused("malformed")),
    ],
)
def test_plain(message, outcome):
    assert Plain().step(message) == outcome


@pytest.mark.parametrize("empty", [None, b""])
def test_login_asks_for_both(empty):
    machine = Login()
    assert machine.step(empty) == Challenge(b"Username:")
    assert machine.step(b"anna") == Challenge(b"Password:")
    assert machine.step(b"secret") == ANNA


def test_login_takes_an_initial_response_as_the_name():
    machine = Login()
    assert machine.step(b"anna") == Challenge(b"Password:")
    assert machine.step(b"secret") == ANNA


def test_login_passes_on_what_is_empty():
    machine = Login()
    machine.step(None)
    assert machine.step(b"") == Challenge(b"Password:")
    assert machine.step(b"") == Credentials(b"", b"")


def test_no_password_in_a_repr():
    assert "secret" not in repr(ANNA)
