"""The record cn=KerberosClient, and realms in general."""

from __future__ import annotations

import contextlib
import plistlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import kerberos_client, realm
from dirbridge.directory.errors import Undecodable
from dirbridge.model.names import RealmName
from tests.garbage import mutated, pieces

WHOLE = {
    "edu.mit.kerberos": {
        "libdefaults": {"default_realm": "MAIL1.COMPANY.COM"},
        "realms": {
            "MAIL1.COMPANY.COM": {
                "KDC_List": ["mail1.company.com.", "10.0.0.5"],
                "KADM_List": ["mail1.company.com"],
            },
            "LKDC:SHA1.AB": {"KDC_List": ["x"]},
        },
        "domain_realm": {".company.com": "MAIL1.COMPANY.COM", ".local": "LKDC:SHA1.AB"},
    },
    "generationID": 7,
}


def test_the_record() -> None:
    client = kerberos_client.decode(plistlib.dumps(WHOLE))
    assert client.default_realm == "MAIL1.COMPANY.COM"
    assert client.kdcs == {"MAIL1.COMPANY.COM": ("mail1.company.com", "10.0.0.5")}
    assert client.kadmins == {"MAIL1.COMPANY.COM": ("mail1.company.com",)}
    assert client.domain_realm == {".company.com": "MAIL1.COMPANY.COM"}
    assert client.generation == 7


def test_a_local_realm_is_no_default() -> None:
    raw = {"edu.mit.kerberos": {"libdefaults": {"default_realm": "lkdc:sha1.ab"}}}
    assert kerberos_client.decode(plistlib.dumps(raw)).default_realm is None


@pytest.mark.parametrize(
    "inner", [3, {"realms": 3}, {"realms": {"R": 3, "S": {"KDC_List": 3}}},
              {"libdefaults": [], "domain_realm": {"a": 3}}]
)  # fmt: skip
def test_whatever_is_not_what_it_should_be_is_passed_over(inner: object) -> None:
    client = kerberos_client.decode(plistlib.dumps({"edu.mit.kerberos": inner}))
    assert client.default_realm is None
    assert not client.domain_realm
    assert not any(client.kdcs.values())


@given(mutated(plistlib.dumps(WHOLE)))
def test_garbage_gives_only_undecodable(raw: bytes) -> None:
    with contextlib.suppress(Undecodable):
        client = kerberos_client.decode(raw)
        assert not any(map(realm.is_local, client.kdcs))


@pytest.mark.parametrize("name", ["LKDC:SHA1.AB", " lkdc:x", "WELLKNOWN:ORG.H5L"])
def test_local_realms(name: str) -> None:
    assert realm.is_local(name)
    assert realm.or_none(name) is None


@pytest.mark.parametrize("name", ["", " ", "A B", "-A", "A\nB", "Ä", 7, None])
def test_no_realm(name: object) -> None:
    assert realm.or_none(name) is None


def test_the_first_that_is_named_counts() -> None:
    ours, kdc = RealmName("OURS"), RealmName("KDC")
    people = ["a@PEOPLE", "b@people", "c", "d@LKDC:SHA1.AB"]
    assert realm.first_of(ours, kdc, principals=people) == "OURS"
    assert realm.first_of(None, kdc, principals=people) == "KDC"
    assert realm.first_of(None, None, principals=people) == "PEOPLE"
    assert realm.first_of(principals=[*people, "e@OTHERS"]) == ""
    assert realm.first_of(None) == ""


@given(
    st.binary(max_size=12) | pieces(("LKDC:", "lkdc:", "A", "b", ".", "-", " ", "_"))
)
def test_a_realm_is_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(Undecodable):
        read = realm.decode(raw.decode("latin-1"))
        assert read == read.upper()
        assert not realm.is_local(read)
        assert realm.decode(read) == read
