"""Distinguished names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import dn
from dirbridge.directory.dn import Ava
from dirbridge.directory.errors import Undecodable
from testbed.cast import AD_PEOPLE, OD_PEOPLE

# From RFC 4514 section 4, and names of real directories.
CASES = [
    ("", ()),
    ("UID=jsmith,DC=example", ((Ava("UID", "jsmith"),), (Ava("DC", "example"),))),
    (
        "OU=Sales+CN=J.  Smith,DC=net",
        ((Ava("OU", "Sales"), Ava("CN", "J.  Smith")), (Ava("DC", "net"),)),
    ),
    (r"CN=James \"Jim\" Smith\, III", ((Ava("CN", 'James "Jim" Smith, III'),),)),
    (r"CN=Before\0dAfter", ((Ava("CN", "Before\rAfter"),),)),
    (
        "1.3.6.1.4.1.1466.0=#04024869",
        ((Ava("1.3.6.1.4.1.1466.0", "#04024869", True),),),
    ),
    (r"CN=Lu\C4\8Di\C4\87", ((Ava("CN", "Lučić"),),)),
    (r"CN=gone\0ADEL:7271", ((Ava("CN", "gone\nDEL:7271"),),)),
    (r"CN=\ two \ ", ((Ava("CN", " two  "),),)),
    (r"CN=\#1", ((Ava("CN", "#1"),),)),
    ("CN = padded , DC = x ", ((Ava("CN", "padded"),), (Ava("DC", "x"),))),
    ("CN=", ((Ava("CN", ""),),)),
    ("CN=a=b", ((Ava("CN", "a=b"),),)),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_parse(text: str, expected: dn.Dn) -> None:
    assert dn.parse(text) == expected
    assert dn.parse(dn.join(expected)) == expected


@pytest.mark.parametrize(
    "text",
    ["anna", "CN=a,,DC=b", "=a", "CN=#zz", "CN=a\\", r"CN=a\q", r"CN=\ff", "CN=a;b",
     'CN="a"', "C N=a", ",", "CN=a\0"],
)  # fmt: skip
def test_no_dn(text: str) -> None:
    with pytest.raises(Undecodable):
        dn.parse(text)


@pytest.mark.parametrize("person", [*AD_PEOPLE, *OD_PEOPLE], ids=lambda p: p.cn)
def test_the_cast(person) -> None:
    value = getattr(person, "uid", person.cn)
    assert dn.rdn_value(person.dn) == value
    assert dn.comparable(dn.join(dn.parse(person.dn))) == dn.comparable(person.dn)


def test_parent_and_child() -> None:
    top = "OU=Staff,DC=corp,DC=company,DC=com"
    whole = dn.child("CN", "Groß, Jürgen", top)
    assert whole == rf"CN=Groß\, Jürgen,{top}"
    assert dn.parent(whole) == top
    assert dn.parent("DC=com") == ""
    assert dn.child("DC", "com", "") == "DC=com"


def test_is_below_folds_case_and_blanks() -> None:
    assert dn.is_below("cn=A  b,ou=STAFF, dc=x", "OU=Staff,DC=X")
    assert dn.is_below("OU=Staff,DC=X", "ou=staff,dc=x")
    assert dn.is_below("cn=a", "")
    assert not dn.is_below("CN=a,OU=NotStaff,DC=x", "OU=Staff,DC=x")
    assert not dn.is_below("DC=x", "OU=Staff,DC=x")


def test_is_below_is_no_text_comparison() -> None:
    assert not dn.is_below(r"CN=a\,OU=Staff,DC=x", "OU=Staff,DC=x")


def test_rdn_value_of_a_named_attribute() -> None:
    assert dn.rdn_value("cn=A+uid=anna,dc=x", "UID") == "anna"
    assert dn.rdn_value("cn=A,dc=x", "uid") is None
    assert dn.rdn_value("") is None


def test_dns_names() -> None:
    assert dn.from_dns_name("mail1.company.com.") == "dc=mail1,dc=company,dc=com"
    assert dn.dns_name("cn=users,DC=Mail1,dc=company,dc=com") == "mail1.company.com"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_escape_round_trip(value: str) -> None:
    assert dn.rdn_value(dn.child("cn", value, "dc=x")) == value


@given(st.text(max_size=60) | st.text('cnCN=,+\\ #"aé0F', max_size=30))
def test_garbage_gives_only_undecodable(text: str) -> None:
    try:
        parsed = dn.parse(text)
    except Undecodable:
        return
    assert dn.parse(dn.join(parsed)) == parsed


LEVELS = st.lists(
    st.tuples(st.sampled_from(["CN", "ou", "dc"]), st.text("aB ß=#+\\0.", max_size=5)),
    min_size=1,
    max_size=3,
)


@given(LEVELS)
def test_the_quick_way_says_the_same(levels) -> None:
    text = ",".join(f"{name}={value}" for name, value in levels)
    if not dn._PLAIN.match(text):
        return
    slow = dn._parse_with_care(text)
    assert dn.parse(text) == slow
    assert dn.join(slow) == text
    assert dn.parent(text) == dn.join(slow[1:])
    assert dn.rdn_value(text) == slow[0][0].value


def test_the_quick_way_is_the_usual_one() -> None:
    assert dn._PLAIN.match("CN=Groß Jürgen,OU=Staff,DC=corp,DC=company,DC=com")
    assert not dn._PLAIN.match("CN= a,DC=x")
    assert not dn._PLAIN.match("CN=\ud800,DC=x")
