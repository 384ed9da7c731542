"""What says where mail goes: proxyAddresses, targetAddress, group types, DNs."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import extended_dn, group_type, proxy_addresses, sid
from dirbridge.directory.errors import Undecodable
from dirbridge.directory.extended_dn import ExtendedDn
from dirbridge.directory.group_type import GroupType, Scope
from dirbridge.directory.proxy_addresses import ProxyAddresses
from dirbridge.model.names import fold

GUID = "727143b5-d199-4a97-82b7-fb7e562abb66"
GUID_HEX = "b543717299d1974a82b7fb7e562abb66"
SID_HEX = "01050000000000051500000001000000020000000300000001020000"
SID = "S-1-5-21-1-2-3-513"


class TestProxyAddresses:
    def test_one_primary_some_aliases_and_what_is_no_mail(self) -> None:
        read = proxy_addresses.decode_all(
            (b"smtp:a.m@Example.com", b"X500:/o=E/cn=anna", b"SMTP:anna@example.com",
             b"sip:anna@example.com", b"smtp:ANNA@example.com", b"EUM:17;p=x")
        )  # fmt: skip
        assert read == ProxyAddresses(
            "anna@example.com",
            ("a.m@example.com",),
            ("X500:/o=E/cn=anna", "sip:anna@example.com", "EUM:17;p=x"),
        )

    def test_two_primary_ones_are_told(self) -> None:
        read = proxy_addresses.decode_all((b"SMTP:b@x.com", b"SMTP:a@x.com"))
        assert read.primary == "b@x.com"
        assert read.surplus == ("a@x.com",)
        assert read.aliases == ("a@x.com",)

    def test_no_primary(self) -> None:
        read = proxy_addresses.decode_all((b"smtp:a@x.com", b"Smtp:b@x.com"))
        assert read.primary is None
        assert read.aliases == ("a@x.com", "b@x.com")
        assert proxy_addresses.decode_all(()) == ProxyAddresses()

    def test_broken_values_are_told(self) -> None:
        read = proxy_addresses.decode_all(
            (b"a@x.com", b"SMTP:", b"\xff", b"smtp:no address", b"SMTP:a@x.com")
        )
        assert read.primary == "a@x.com"
        assert read.broken == ("a@x.com", "SMTP:", "\ufffd", "smtp:no address")

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            (b"SMTP:a@Partner.net", "a@partner.net"),
            (b"smtp:a@partner.net", "a@partner.net"),
            (b"a@partner.net", "a@partner.net"),
            (b"X400:c=us;a= ;p=x", None),
        ],
    )
    def test_target(self, raw: bytes, expected: str | None) -> None:
        assert proxy_addresses.decode_target(raw) == expected

    @pytest.mark.parametrize("raw", [b"", b"SMTP:", b"SMTP:nobody", b"\xff"])
    def test_no_target(self, raw: bytes) -> None:
        with pytest.raises(Undecodable):
            proxy_addresses.decode_target(raw)

    @given(
        st.lists(
            st.binary(max_size=12)
            | st.sampled_from(
                (b"SMTP:a@x.y", b"smtp:A@x.y", b"SMTP:b@x.y", b"smtp:c@x.y", b"sip:a")
            ),
            max_size=6,
        )
    )
    def test_nothing_is_lost_and_no_address_comes_twice(self, raw: list[bytes]) -> None:
        read = proxy_addresses.decode_all(raw)
        addresses = [*((read.primary,) if read.primary else ()), *read.aliases]
        assert len({fold(one) for one in addresses}) == len(addresses)
        assert set(read.surplus) <= set(read.aliases)
        assert len(addresses) + len(read.others) + len(read.broken) <= len(raw)
        for value in raw:
            with contextlib.suppress(Undecodable):
                proxy_addresses.decode_target(value)


class TestGroupType:
    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            (b"-2147483646", GroupType(Scope.GLOBAL, True)),
            (b"-2147483644", GroupType(Scope.DOMAIN_LOCAL, True)),
            (b"-2147483640", GroupType(Scope.UNIVERSAL, True)),
            (b"-2147483643", GroupType(Scope.DOMAIN_LOCAL, True, builtin=True)),
            (b"2", GroupType(Scope.GLOBAL, False)),
            (b"8", GroupType(Scope.UNIVERSAL, False)),
            (b"2147483650", GroupType(Scope.GLOBAL, True)),
        ],
    )
    def test_decode(self, raw: bytes, expected: GroupType) -> None:
        assert group_type.decode(raw) == expected

    @pytest.mark.parametrize("raw", [b"", b"0", b"6", b"x", b"99999999999", b"\xff"])
    def test_no_group_type(self, raw: bytes) -> None:
        with pytest.raises(Undecodable):
            group_type.decode(raw)

    @given(
        st.binary(max_size=14)
        | st.integers(-(2**33), 2**33).map(lambda n: str(n).encode())
    )
    def test_garbage(self, raw: bytes) -> None:
        with contextlib.suppress(Undecodable):
            read = group_type.decode(raw)
            assert read.security is bool(int(raw.decode().strip()) & 0x8000_0000)


class TestExtendedDn:
    @pytest.mark.parametrize(
        "text",
        [
            f"<GUID={GUID}>;<SID={SID}>;CN=A\\, B,DC=x",
            f"<GUID={GUID_HEX}>;<SID={SID_HEX}>;CN=A\\, B,DC=x",
            f"<RMD_ADDTIME=1>;<GUID={GUID_HEX.upper()}>;<SID={SID}>;CN=A\\, B,DC=x",
        ],
    )
    def test_both_forms(self, text: str) -> None:
        assert extended_dn.decode(text) == ExtendedDn("CN=A\\, B,DC=x", GUID, SID)

    def test_a_plain_dn(self) -> None:
        assert extended_dn.decode(b"CN=A,DC=x") == ExtendedDn("CN=A,DC=x")

    def test_ids_alone(self) -> None:
        assert extended_dn.decode(f"<GUID={GUID}>") == ExtendedDn("", GUID)

    @pytest.mark.parametrize(
        "text",
        ["<GUID=12>;CN=a", "<SID=S-1>;CN=a", "<GUID", f"<GUID={GUID}>CN=a",
         f"<GUID={GUID}>;<guid={GUID}>;CN=a", "<SID=0105>;CN=a", b"\xff"],
    )  # fmt: skip
    def test_broken(self, text: str | bytes) -> None:
        with pytest.raises(Undecodable):
            extended_dn.decode(text)

    @given(
        st.integers(0, 90),
        st.text("<>=;GUIDS-105aF,", max_size=6),
        st.integers(0, 6),
    )
    def test_mutated(self, where: int, new: str, gone: int) -> None:
        text = f"<GUID={GUID}>;<SID={SID}>;CN=A,DC=x"
        with contextlib.suppress(Undecodable):
            read = extended_dn.decode(text[:where] + new + text[where + gone :])
            assert not read.dn.startswith("<")

    @given(st.binary(max_size=60))
    def test_garbage(self, raw: bytes) -> None:
        with contextlib.suppress(Undecodable):
            extended_dn.decode(raw)


class TestPrimaryGroup:
    def test_it_is_of_the_same_domain(self) -> None:
        assert sid.primary_group("S-1-5-21-1-2-3-1104", b"513") == SID
        assert sid.domain(SID) == "S-1-5-21-1-2-3"

    @pytest.mark.parametrize(
        ("own", "raw"),
        [("S-1-5", b"513"), ("x", b"513"), (SID, b"-1"), (SID, b"4294967296"),
         (SID, b""), (SID, b"\xff"), (SID, b"1e3")],
    )  # fmt: skip
    def test_neither_sid_nor_rid(self, own: str, raw: bytes) -> None:
        with pytest.raises(Undecodable):
            sid.primary_group(own, raw)

    @given(st.binary(max_size=12))
    def test_garbage(self, raw: bytes) -> None:
        with contextlib.suppress(Undecodable):
            assert sid.rid(sid.primary_group(SID, raw)) == int(raw.decode().strip())
