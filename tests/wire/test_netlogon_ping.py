"""The LDAP ping: a real answer of Samba, and anything else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.errors import LocalProtocolError, RemoteProtocolError
from dirbridge.protocols import netlogon_ping
from dirbridge.protocols.netlogon_ping import Pong

fuzz = pytest.mark.fuzz

# What Samba 4.17.12 sent for the request with the id 7: the entry and the result.
DATAGRAM = bytes.fromhex(
    "307a020107647504003071306f04086e65746c6f676f6e3163046117000000bd110000caaa0550867b"
    "4d4ab9df92e84f5e95ac04636f7270076578616d706c6503636f6d00c01803646331c01804434f5250"
    "000344433100001744656661756c742d46697273742d536974652d4e616d6500c03e05000000ffffff"
    "ff300c02010765070a010004000400"
)
VALUE = DATAGRAM[25:122]
SITE = "Default-First-Site-Name"
FIXED = (23).to_bytes(2, "little") + bytes(22)


def test_what_samba_answers_is_read() -> None:
    assert netlogon_ping.parse_pong(DATAGRAM, 7) == Pong(
        forest="corp.example.com",
        domain="corp.example.com",
        host="dc1.corp.example.com",
        netbios_domain="CORP",
        server_site=SITE,
        client_site=SITE,
    )


def test_the_request_is_a_search_of_the_rootdse() -> None:
    request = netlogon_ping.ping_request(7, "corp.example.com")
    assert request[:7] == bytes((0x30, len(request) - 2, 0x02, 1, 7, 0x63, 0x4D))
    assert b"\x04\0\x0a\x01\0" in request
    assert b"\xa3\x1d\x04\x09DnsDomain\x04\x10corp.example.com" in request
    assert b"\xa3\x0d\x04\x05NtVer\x04\x04\x06\0\0\0" in request
    assert request.endswith(b"\x30\x0a\x04\x08Netlogon")


@pytest.mark.parametrize("domain", ["", "a)(b=*", "x" * 300, "a.", ".a"])
def test_a_name_that_is_none_is_not_asked_for(domain: str) -> None:
    with pytest.raises(LocalProtocolError):
        netlogon_ping.ping_request(1, domain)


def test_a_client_in_no_site_is_told_so() -> None:
    names = b"\x01a\0" * 7 + b"\0"
    assert netlogon_ping.parse_response(FIXED + names).client_site == ""


@pytest.mark.parametrize(
    "names",
    [
        b"\xc0\x18",  # to itself
        b"\x01a\xc0\x18",  # to its own begin: round in a circle
        b"\xc0\x30" + bytes(40),  # forward
        b"\x40" + bytes(80),  # no such kind of label
        b"\x3f" + b"a" * 10,  # cut off
        (b"\x3f" + b"a" * 63) * 5,  # too long
        b"\x01\xff\0" + bytes(20),  # no text
        b"",
        b"\xc0",
    ],
)
def test_names_without_an_end_are_refused(names: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        netlogon_ping.parse_response(FIXED + names)


def test_the_answer_to_another_ping_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        netlogon_ping.parse_pong(DATAGRAM, 8)
    with pytest.raises(RemoteProtocolError):
        netlogon_ping.parse_pong(DATAGRAM[124:], 7)


@pytest.mark.parametrize("size", [*range(124)])
def test_a_cut_datagram_is_refused(size: int) -> None:
    with pytest.raises(RemoteProtocolError):
        netlogon_ping.parse_pong(DATAGRAM[:size], 7)


@fuzz
@given(st.binary(max_size=200))
def test_any_value_is_read_or_refused(names: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        netlogon_ping.parse_response(FIXED + names)


@fuzz
@given(st.integers(0, len(DATAGRAM) - 1), st.binary(min_size=1, max_size=8))
def test_a_changed_datagram_is_read_or_refused(at: int, octets: bytes) -> None:
    changed = DATAGRAM[:at] + octets + DATAGRAM[at + len(octets) :]
    with contextlib.suppress(RemoteProtocolError):
        netlogon_ping.parse_pong(changed, 7)
