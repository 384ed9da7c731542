"""Search filters."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import filter as ldap_filter
from dirbridge.directory.errors import Undecodable

GOOD = [
    "(cn=Babs Jensen)",
    "(!(cn=Tim Howes))",
    "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))",
    "(o=univ*of*mich*)",
    "(seeAlso=)",
    "(cn:caseExactMatch:=Fred Flintstone)",
    "(cn:=Betty Rubble)",
    "(sn:dn:2.4.6.8.10:=Barney Rubble)",
    "(o:dn:=Ace Industry)",
    "(:1.2.3:=Wilma Flintstone)",
    "(:DN:2.4.6.8.10:=Dino)",
    r"(o=Parens R Us \28for all your parenthetical needs\29)",
    r"(bin=\00\00\00\04)",
    "(userAccountControl:1.2.840.113556.1.4.803:=2)",
    "(&)",
    "(|)",
    "(member;range=0-1499=*)",
    "(uidNumber>=500)",
    "(cn~=Müller)",
]  # mostly RFC 4515 section 4
BAD = [
    ("", 'lacks a "("'),
    ("cn=a", 'lacks a "("'),
    ("(cn=a", 'lacks a ")"'),
    ("(cn=a))", "goes on after its end"),
    ("(cn=a)(cn=b)", "goes on after its end"),
    ("(&(cn=a)", 'lacks a ")"'),
    ("(!)", 'lacks a "("'),
    ("(cn)", 'has no "="'),
    ("(=a)", "no attribute's name"),
    ("(c n=a)", "no attribute's name"),
    (r"(cn=a\zz)", "bad escape"),
    (r"(cn=a\)", "bad escape"),
    ("(uid>=a*)", 'has a "*"'),
    ("(cn=a(b)", 'lacks a ")"'),
    ("(!" * 100 + "(a=b)" + ")" * 100, "nested deeper"),
]


@pytest.mark.parametrize("text", GOOD)
def test_good(text: str) -> None:
    ldap_filter.check(text)


@pytest.mark.parametrize(("text", "why"), BAD)
def test_bad(text: str, why: str) -> None:
    with pytest.raises(Undecodable) as caught:
        ldap_filter.check(text)
    assert why in str(caught.value)


def test_escape() -> None:
    assert ldap_filter.escape(r"a*(b)\c" "\0ü") == r"a\2a\28b\29\5cc\00\c3\bc"
    assert ldap_filter.escape(b"\xb5Cq") == r"\b5Cq"
    assert ldap_filter.escape("o'brien & co") == "o'brien & co"


def test_builders() -> None:
    assert ldap_filter.equals("uid", "a*") == r"(uid=a\2a)"
    assert ldap_filter.present("mail") == "(mail=*)"
    assert ldap_filter.starts_with("uid", "vpn_") == "(uid=vpn_*)"
    assert ldap_filter.at_least("uSNChanged", "7") == "(uSNChanged>=7)"
    assert ldap_filter.at_most("uidNumber", "499") == "(uidNumber<=499)"
    bits = ldap_filter.matches("userAccountControl", ldap_filter.BIT_AND, "2")
    assert bits == "(userAccountControl:1.2.840.113556.1.4.803:=2)"
    assert ldap_filter.negate(bits) == f"(!{bits})"


def test_joins_leave_out_what_is_not_there() -> None:
    assert ldap_filter.all_of("(a=b)", None, "") == "(a=b)"
    assert ldap_filter.all_of("(a=b)", "(c=d)") == "(&(a=b)(c=d))"
    assert ldap_filter.any_of("(a=b)", "(c=d)") == "(|(a=b)(c=d))"


def test_an_attribute_is_no_place_for_a_value() -> None:
    with pytest.raises(Undecodable):
        ldap_filter.equals("uid=*)(uid", "anna")


def test_attributes_of() -> None:
    text = "(&(cn=(x)(uid>=1)(!(mail=*))(cn:=b)(UAC:1.2:=2))".replace("(x)", "x)")
    assert ldap_filter.attributes_of(text) == ("cn", "uid", "mail", "UAC")


@given(st.binary(max_size=40))
def test_whatever_is_escaped_stays_one_value(raw: bytes) -> None:
    text = ldap_filter.equals("cn", raw)
    ldap_filter.check(text)
    inner = text[len("(cn=") : -1]
    assert not set("*()") & set(inner)


@given(st.text(max_size=60) | st.text("(&|!)=*\\a:<>~ 2", max_size=40))
def test_garbage_gives_only_undecodable(text: str) -> None:
    with contextlib.suppress(Undecodable):
        ldap_filter.check(text)
