"""passwordserver_<HEX>: the list of Password Servers, and their identity."""

from __future__ import annotations

import contextlib
import plistlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import password_server_record as record
from dirbridge.directory.errors import Undecodable
from dirbridge.directory.password_server_record import Address, PasswordServer
from tests.garbage import mutated, pieces

# Facts: open-directory 4.3.
KEY = (
    "1024 65537 114574792543369925664970476099531574810470011447394859817353327283009"
    "25264193923402720345433659609254741289330074825558283024639530760105105974145598"
    "57587265655760506987130276435982118234584614269966754703071576680879946123951279"
    "20329176467950738294806584152682809589286911571551061068009380246772002575640033"
    " root@mail1.company.com"
)
ID = "FC7786CAF5A6556973D23E6373C06801"

LIST = {
    "ID": ID,
    "Status": "AllowReplication",
    "Parent": {"IP": "10.0.0.5", "DNS": "mail1.company.com", "IDRangeBegin": "0x1"},
    "Replicas": [
        {
            "IP": ["10.0.0.6:3659", "ipv6/2001:db8::6", "no address", 7],
            "ReplicaName": "Replica1",
            "ReplicaPolicy": "SyncDefault",
            "ReplicaStatus": "NotFound",
            "Replicas": [{"IP": "10.0.1.1", "ReplicaName": "Replica3"}],
        },
        {"IP": "10.0.0.7", "DNS": "mail7.company.com.", "ReplicaName": "Replica2"},
        {"IP": "10.0.0.8", "ReplicaName": "Replica4"},
        {"ReplicaName": "nowhere"},
        "no dictionary",
    ],
    "DecommissionedReplicas": [{"IP": "10.0.0.8"}, "Replica9"],
    "Unheard Of": [{"a": 1}],
}


def test_identity() -> None:
    assert record.identity(KEY) == ID


def test_the_whole_list() -> None:
    read = record.decode(plistlib.dumps(LIST), b"10.0.0.5", "passwordserver")
    assert read.id == ID
    assert read.belongs_to(KEY)
    assert not read.belongs_to(KEY.replace("root", "anna"))
    assert read.primary == PasswordServer((Address("10.0.0.5"),), "mail1.company.com")
    assert [(one.name, one.tier) for one in read.replicas] == [
        ("Replica1", 1), ("Replica3", 2), ("Replica2", 1)
    ]  # fmt: skip
    assert read.replicas[0].addresses == (
        Address("10.0.0.6", 3659),
        Address("2001:db8::6"),
    )
    assert read.replicas[2].dns == "mail7.company.com"
    assert read.decommissioned == {"10.0.0.8", "replica9"}


def test_the_order_in_which_to_ask() -> None:
    read = record.decode(plistlib.dumps(LIST))
    names = [one.name for one in read.in_order()]
    assert names == ["", "Replica3", "Replica2", "Replica1"]
    names = [one.name for one in read.in_order("Mail7.company.com")]
    assert names == ["Replica2", "", "Replica3", "Replica1"]
    assert read.in_order("10.0.1.1")[0].name == "Replica3"


def test_the_record_alone() -> None:
    read = record.decode(None, b"10.0.0.5", f"passwordserver_{ID.lower()}")
    assert (read.id, read.replicas) == (ID, ())
    assert read.servers == (PasswordServer((Address("10.0.0.5"),)),)
    assert record.decode(None).servers == ()
    assert not record.decode(None).belongs_to(KEY)


def test_a_users_record_is_chosen_by_the_key() -> None:
    own, other = record.decode(plistlib.dumps(LIST)), record.decode(None, name="x")
    foreign = record.decode(None, b"10.9.9.9", "passwordserver_" + "0" * 32)
    assert record.choose([foreign, other, own], KEY) is own
    assert record.choose([foreign, other], KEY) is other
    assert record.choose([foreign], KEY) is None


@pytest.mark.parametrize("key", ["Decommission", "DecommissionedReplicas"])
def test_decommissioned_by_text(key: str) -> None:
    plist = {"Replicas": {"IP": "10.0.0.6", "DNS": "b"}, key: "B"}
    assert record.decode(plistlib.dumps(plist)).replicas == ()


@pytest.mark.parametrize("name", ["passwordserver", "passwordserver_12", "x_" + ID])
def test_names_without_an_id(name: str) -> None:
    assert record.id_of_record(name) == ""


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.5", Address("10.0.0.5")),
        (" 10.0.0.5:106 ", Address("10.0.0.5", 106)),
        ("2001:db8::5", Address("2001:db8::5")),
        ("ipv6/2001:db8::5", Address("2001:db8::5")),
        ("[2001:db8::5]:3659", Address("2001:db8::5", 3659)),
        ("dns/od.company.com.:3659", Address("od.company.com", 3659)),
        ("IPV4/10.0.0.5", Address("10.0.0.5")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert record.parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "x/10.0.0.5", "10.0.0.5:0", "10.0.0.5:70000", "a b", "[::1", "::x",
             "10.0.0.5:\u0661", "-a", "a:b", "ipv4/"]
)  # fmt: skip
def test_no_addresses(text: str) -> None:
    assert record.parse_address(text) is None


def test_endless_tiers() -> None:
    table: dict[str, object] = {"IP": "10.0.0.5"}
    for _ in range(record.MOST_TIERS + 1):
        table = {"IP": "10.0.0.5", "Replicas": [table]}
    with pytest.raises(Undecodable):
        record.decode(plistlib.dumps(table))


_VALUES = st.none() | st.sampled_from(
    ["10.0.0.5", "", ID, 7, True, ["10.0.0.6:1"], {"IP": "ipv6/::1"}, [{"DNS": "a"}],
     [{"Replicas": [{"IP": "10.0.0.9"}]}], "[", b"octets"]
)  # fmt: skip


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(LIST, _VALUES)))
def test_any_shape_is_read(shape: dict[str, object]) -> None:
    raw = plistlib.dumps({k: v for k, v in shape.items() if v is not None})
    read = record.decode(raw)
    assert sorted(read.in_order(), key=id) == sorted(read.servers, key=id)


SHORT = {key: LIST[key] for key in ("ID", "Parent")} | {
    "Replicas": [{"IP": "10.0.0.6"}]
}


@given(mutated(plistlib.dumps(SHORT)))
def test_garbage_gives_only_undecodable(raw: bytes) -> None:
    for location in (None, raw[-8:]):
        with contextlib.suppress(Undecodable):
            record.decode(raw if location is None else None, location, str(raw))


@given(
    pieces(("0", "1", "255", ".", ":", "[", "]", "/", "ipv6/", "dns/", "a", " ", "Ä"))
)
def test_an_address_is_read_or_not(raw: bytes) -> None:
    found = record.parse_address(raw.decode())
    assert found is None or found.host
