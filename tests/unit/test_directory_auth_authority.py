"""authAuthority of Open Directory."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import auth_authority
from dirbridge.directory.auth_authority import AuthAuthority, PasswordServerData
from dirbridge.directory.errors import Undecodable

SLOT = "0xdb945916625111e39e62000c2928b48d"
KEY = "1024 65537 1234567890 root@mail1.company.com"

# Examples from facts: open-directory 3.
VALUES = [
    (f";ApplePasswordServer;{SLOT},{KEY}:10.0.0.5", "applepasswordserver"),
    (";Kerberosv5;;jdoe@MAIL1.COMPANY.COM;MAIL1.COMPANY.COM;", "kerberosv5"),
    (";Kerberosv5Cert;;x;LKDC:SHA1.AB;", "kerberosv5cert"),
    (";basic;", "basic"),
    ("1.0.0;basic;", "basic"),
    (";ShadowHash;HASHLIST:<SALTED-SHA1>", "shadowhash"),
    (";LocalCachedUser;/LDAPv3/od.example.com:jdoe:AFE453BF", "localcacheduser"),
    (";LocalWindowsHash;", "localwindowshash"),
    (";DisabledUser;;ShadowHash;", "disableduser"),
    (";DisabledUser;<;ApplePasswordServer;0x1>", "disableduser"),
    (";disableduser;", "disableduser"),
]


@pytest.mark.parametrize(("text", "kind"), VALUES)
def test_decode(text: str, kind: str) -> None:
    value = auth_authority.decode(text.encode())
    assert value.kind == kind
    assert str(value) == text


@pytest.mark.parametrize(
    "text", ["", "basic", ";basic", ";;x", "1.0.0.0;basic;", "x;b;"]
)
def test_no_value(text: str) -> None:
    with pytest.raises(Undecodable):
        auth_authority.decode(text)


def test_kerberos() -> None:
    value = auth_authority.decode(";Kerberosv5;;jdoe@R.COM;R.COM;")
    data = auth_authority.decode_kerberos(value)
    assert (data.slot, data.principal, data.realm) == ("", "jdoe@R.COM", "R.COM")


def test_kerberos_with_slot_and_key() -> None:
    value = auth_authority.decode(f";kerberosv5;{SLOT};jdoe@R;R;{KEY}:10.0.0.5")
    data = auth_authority.decode_kerberos(value)
    assert data.slot == SLOT
    assert data.public_key == f"{KEY}:10.0.0.5"


def test_kerberos_without_principal() -> None:
    data = auth_authority.decode_kerberos(AuthAuthority("", "Kerberosv5", ";;R.COM;"))
    assert (data.principal, data.realm) == ("", "R.COM")


@pytest.mark.parametrize(
    "data",
    [";;;", "", ";x@LKDC:SHA1.AB;LKDC:SHA1.AB;", ";x@lkdc:sha1.ab;R.COM;", ";;lkdc:x;",
     ";x@WELLKNOWN:ORG;R;", ";@R;R;"],
)  # fmt: skip
def test_kerberos_refused(data: str) -> None:
    with pytest.raises(Undecodable):
        auth_authority.decode_kerberos(AuthAuthority("", "Kerberosv5", data))


@pytest.mark.parametrize("decode", ["decode_kerberos", "decode_password_server"])
def test_another_tag(decode: str) -> None:
    with pytest.raises(Undecodable):
        getattr(auth_authority, decode)(AuthAuthority("", "basic", "a,b:c;d;e;f"))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (f"{SLOT},{KEY}:10.0.0.5", PasswordServerData(SLOT, KEY, "ipv4", "10.0.0.5")),
        (
            f"{SLOT},{KEY}:ipv6/2001:db8::1",
            PasswordServerData(SLOT, KEY, "ipv6", "2001:db8::1"),
        ),
        (f"{SLOT},{KEY}:dns/od.x", PasswordServerData(SLOT, KEY, "dns", "od.x")),
        (
            "0x3e5d:17.221.41.95",
            PasswordServerData("0x3e5d", "", "ipv4", "17.221.41.95"),
        ),
    ],
)
def test_password_server(data: str, expected: PasswordServerData) -> None:
    value = AuthAuthority("", "ApplePasswordServer", data)
    assert auth_authority.decode_password_server(value) == expected


@pytest.mark.parametrize(
    "data", ["", SLOT, f"{SLOT},{KEY}", ",k:a", f"{SLOT},{KEY}:x/y"]
)
def test_password_server_refused(data: str) -> None:
    with pytest.raises(Undecodable):
        auth_authority.decode_password_server(
            AuthAuthority("", "ApplePasswordServer", data)
        )


def test_disabled_by_any_value() -> None:
    values = [b";Kerberosv5;;a@R;R;", b"\xff", b";DisabledUser;;ShadowHash;"]
    assert auth_authority.is_disabled(values)
    assert not auth_authority.is_disabled(values[:2])
    assert not auth_authority.is_disabled([])


@given(
    st.sampled_from(["", "1", "1.0.0"]),
    st.from_regex(r"\A[A-Za-z][A-Za-z0-9]{0,12}\Z"),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
)
def test_round_trip(version: str, tag: str, data: str) -> None:
    value = AuthAuthority(version, tag, data)
    assert auth_authority.decode(str(value).encode()) == value


@given(
    st.binary(max_size=60)
    | st.text(";:,/.@0x1LKDC", max_size=40).map(
        lambda text: f";Kerberosv5;{text}".encode()
    )
    | st.text(";:,/.@0x1ipv46", max_size=40).map(
        lambda text: f";ApplePasswordServer;{text}".encode()
    )
)
def test_garbage_gives_only_undecodable(raw: bytes) -> None:
    for decode in (
        auth_authority.decode_kerberos,
        auth_authority.decode_password_server,
    ):
        with contextlib.suppress(Undecodable):
            decode(auth_authority.decode(raw))
