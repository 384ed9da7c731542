"""From what a codec read to a login request."""

from __future__ import annotations

import pytest

from dirbridge.hooks.requests import from_dovecot, from_saslauthd, rejoined, text
from dirbridge.model.secret import Secret
from dirbridge.protocols.dovecot_auth import Auth
from dirbridge.protocols.sasl import Credentials
from dirbridge.protocols.saslauthd import Request


@pytest.mark.parametrize(
    ("login", "realm", "name"),
    [
        ("anna", "", "anna"),
        ("anna", "example.com", "anna@example.com"),
        ("anna@example.com", "", "anna@example.com"),
        ("anna@example.com", "example.com", "anna@example.com"),
        ("anna@Example.COM", "example.com", "anna@Example.COM"),
        ("a@b", "example.com", "a@b@example.com"),
        ("CORP\\anna", "", "CORP\\anna"),
        ("", "example.com", "@example.com"),
    ],
)
def test_names_that_libsasl_has_cut(login, realm, name):
    assert rejoined(login, realm) == name


@pytest.mark.parametrize(
    ("data", "decoded"),
    [
        (b"anna", "anna"),
        ("jürgen 🎻".encode(), "jürgen 🎻"),
        (b"j\xfcrgen", "jürgen"),
        (b"\xff\xfe\0", "ÿþ\0"),
        (b"", ""),
    ],
)
def test_utf_8_else_latin_1(data, decoded):
    assert text(data) == decoded


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("unknown", "None"),
        ("", "None"),
    ],
)
def test_addresses(written, address):
    auth = Auth(1, "PLAIN", {"lip": written, "rip": written}, frozenset())
    request = from_dovecot(auth, Credentials(b"anna", b"secret"), hook="here")
    assert (str(request.local_ip), str(request.remote_ip)) == (address, address)


def test_fields_that_are_not_there():
    auth = Auth(1, "PLAIN", {}, frozenset())
    request = from_dovecot(auth, Credentials(b"anna", b"secret"), hook="here")
    assert (request.local_ip, request.remote_ip) == (None, None)
    assert (request.service, request.secured) == ("", False)


def test_no_password_in_a_repr():
    request = from_saslauthd(
        Request(b"anna", b"secret", b"smtp", b""), hook="here", local_ip=None
    )
    assert request.password == Secret("secret")
    assert "secret" not in repr(request)
