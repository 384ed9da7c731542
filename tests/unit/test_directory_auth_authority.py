"""authAuthority of Open Directory."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import auth_authority
from dirbridge.directory.auth_authority import (
    AuthAuthority,
    CachedUserData,
    KerberosData,
    PasswordServerData,
    Ways,
)
from dirbridge.directory.errors import Undecodable
from dirbridge.model.names import RealmName
from tests.garbage import mutated, spelled

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
     ";x@WELLKNOWN:ORG;R;", ";@R;R;", ";a@;R;"],
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
    "data", ["", SLOT, f"{SLOT},{KEY}", ",k:a", f"{SLOT},{KEY}:x/y", f"{SLOT},:a", "s:"]
)
def test_password_server_refused(data: str) -> None:
    with pytest.raises(Undecodable):
        auth_authority.decode_password_server(
            AuthAuthority("", "ApplePasswordServer", data)
        )


PWS = f";ApplePasswordServer;{SLOT},{KEY}:10.0.0.5"
KRB = ";Kerberosv5;;jdoe@R.COM;R.COM;"


def test_disabled_by_any_value() -> None:
    values = [b";Kerberosv5;;a@R;R;", b"\xff", b";DisabledUser;;ShadowHash;"]
    assert auth_authority.is_disabled(values)
    assert not auth_authority.is_disabled(values[:2])
    assert not auth_authority.is_disabled([])


@pytest.mark.parametrize(
    "raw", [";disableduser;", "x;DisabledUser;", "1.0;DISABLEDUSER",
            b"\xff;DisabledUser;", ";ShadowHash;;DisabledUser;;basic;"]
)  # fmt: skip
def test_a_broken_value_still_disables(raw: bytes | str) -> None:
    assert auth_authority.is_disabled([raw])
    assert auth_authority.ways([KRB, raw]) == Ways(disabled=True)


@pytest.mark.parametrize(
    ("data", "was"),
    [
        (PWS, PWS),
        (f"<{PWS}>", PWS),
        (f"<{PWS}", PWS),
        (";ShadowHash;", ";ShadowHash;"),
        ("<;ShadowHash;HASHLIST:<SMB-NT>>", ";ShadowHash;HASHLIST:<SMB-NT>"),
        ("", ";basic;"),
        ("<>", ";basic;"),
    ],
)
def test_what_a_disabled_user_was(data: str, was: str) -> None:
    value = auth_authority.decode(f";DisabledUser;{data}")
    assert str(auth_authority.former(value)) == was


@pytest.mark.parametrize("text", [";basic;", ";DisabledUser;nonsense"])
def test_nobody_that_was_disabled(text: str) -> None:
    with pytest.raises(Undecodable):
        auth_authority.former(auth_authority.decode(text))


def test_ways_are_chosen_by_tag_not_by_place() -> None:
    first, second = auth_authority.ways([PWS, KRB]), auth_authority.ways([KRB, PWS])
    assert first == second
    assert first.kerberos == KerberosData("", "jdoe@R.COM", RealmName("R.COM"))
    assert first.password_server is not None
    assert (first.basic, first.disabled, first.unusable) == (False, False, ())


@pytest.mark.parametrize(
    "raw", [";ShadowHash;", ";LocalWindowsHash;", ";Unheard-Of;x", "broken", b"\xff",
            ";Kerberosv5Cert;;x@R;R;", ";Kerberosv5;;x@LKDC:SHA1.AB;LKDC:SHA1.AB;",
            f";ApplePasswordServer;{SLOT}:10.0.0.5", ";LDAP bind;"]
)  # fmt: skip
def test_a_value_that_lets_nobody_in(raw: bytes | str) -> None:
    found = auth_authority.ways([raw])
    assert (found.kerberos, found.password_server) == (None, None)
    assert (found.basic, found.disabled) == (False, False)


def test_basic_by_its_tag_or_by_no_value_at_all() -> None:
    assert auth_authority.ways([]).basic
    assert auth_authority.ways(["1.0.0;Basic;"]).basic
    assert auth_authority.ways([";ShadowHash;", KRB]).unusable == ("ShadowHash",)


def test_a_local_realm_does_not_hide_the_right_one() -> None:
    local = ";Kerberosv5;;jdoe@LKDC:SHA1.AB;LKDC:SHA1.AB;"
    found = auth_authority.ways([local, KRB]).kerberos
    assert found is not None
    assert found.realm == "R.COM"


@pytest.mark.parametrize(
    ("data", "hashes"),
    [("", ()), ("BetterHashOnly", ("BetterHashOnly",)),
     ("HASHLIST:<SALTED-SHA1,SMB-NT>", ("SALTED-SHA1", "SMB-NT")), ("HASHLIST:<>", ())],
)  # fmt: skip
def test_shadow_hashes(data: str, hashes: tuple[str, ...]) -> None:
    value = AuthAuthority("", "ShadowHash", data)
    assert auth_authority.decode_hashes(value) == hashes


@pytest.mark.parametrize("text", [";ShadowHash;HASHLIST:<a", ";basic;"])
def test_no_shadow_hashes(text: str) -> None:
    with pytest.raises(Undecodable):
        auth_authority.decode_hashes(auth_authority.decode(text))


# --- every form of the grammar ---------------------------------------------------

# Semicolons, commas, colons and slashes wherever the grammar lets them stand.
_VERSIONS = ("", "1", "1.0", "1.0.0", "10.20.30")
_TAGS = (*auth_authority.TAGS, "Unheard-Of", "x")
_WORD = "abzAZ019.-"


def form(raw: bytes) -> tuple[KerberosData, PasswordServerData, CachedUserData]:
    """Make one value of each kind with data out of 24 octets."""
    word, other = "w" + spelled(raw[:6], _WORD), "o" + spelled(raw[6:12], _WORD)
    loose = spelled(raw[12:20], "01 rot@.abc;,:/<>")
    return (
        KerberosData(
            word if raw[20] % 2 else "",
            f"{word}@{other}" if raw[21] % 2 else "",
            RealmName(other),
            loose,
        ),
        PasswordServerData(
            word + spelled(raw[20:], "x;/@-:"),
            "k" + loose.replace(":", ""),
            ("ipv4", "ipv6", "dns")[raw[22] % 3],
            other + spelled(raw[12:18], "0.:;,"),
        ),
        CachedUserData("/" + loose.rstrip(":"), word, other),
    )


_FORMS = st.binary(min_size=24, max_size=24)


@pytest.mark.fuzz
@given(_FORMS)
def test_every_form_comes_back(raw: bytes) -> None:
    kerberos, server, cached = form(raw)
    version = _VERSIONS[raw[23] % len(_VERSIONS)]
    for tag, data, decode in (
        ("Kerberosv5", kerberos, auth_authority.decode_kerberos),
        ("ApplePasswordServer", server, auth_authority.decode_password_server),
        ("LocalCachedUser", cached, auth_authority.decode_cached_user),
    ):
        written = (tag, tag.lower(), tag.upper())[raw[0] % 3]
        text = f"{version};{written};{data}"
        value = auth_authority.decode(text.encode())
        assert (value, str(value)) == (AuthAuthority(version, written, str(data)), text)
        assert decode(value) == data
        disabled = auth_authority.decode(f";DisabledUser;<{text}>")
        assert auth_authority.former(disabled) == value
        assert auth_authority.ways([text, str(disabled)]) == Ways(disabled=True)
    found = auth_authority.ways(
        [f";ApplePasswordServer;{server}", f";Kerberosv5;{kerberos}"]
    )
    assert (found.kerberos, found.password_server) == (kerberos, server)


@given(_FORMS)
def test_only_a_known_tag_lets_anybody_in(raw: bytes) -> None:
    tag, data = _TAGS[raw[0] % len(_TAGS)] + "X" * (raw[1] % 2), form(raw)[raw[2] % 3]
    found = auth_authority.ways([f"{_VERSIONS[raw[3] % 5]};{tag};{data}"])
    usable = {
        "Kerberosv5": found.kerberos,
        "ApplePasswordServer": found.password_server,
        "basic": found.basic,
    }
    assert not any(way for name, way in usable.items() if name != tag)


@given(
    st.sampled_from(_VERSIONS),
    st.from_regex(r"\A[A-Za-z][A-Za-z0-9]{0,12}\Z"),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
def test_round_trip(version: str, tag: str, data: str) -> None:
    value = AuthAuthority(version, tag, data)
    assert auth_authority.decode(str(value).encode()) == value


_DECODERS = (
    auth_authority.decode_kerberos,
    auth_authority.decode_password_server,
    auth_authority.decode_cached_user,
    auth_authority.decode_hashes,
    auth_authority.former,
)


@given(mutated(*(text.encode() for text, _ in VALUES)))
def test_garbage_gives_only_undecodable(raw: bytes) -> None:
    auth_authority.ways([raw])
    with contextlib.suppress(Undecodable):
        value = auth_authority.decode(raw)
        for decode in _DECODERS:
            with contextlib.suppress(Undecodable):
                decode(value)
