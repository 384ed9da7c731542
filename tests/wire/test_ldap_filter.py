"""Filters in BER, compared with ldap3's own encoder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.operation.search import compile_filter, parse_filter
from ldap3.utils.asn1 import encode as encode_as_ldap3

from dirbridge.directory import filter as ldap_filter
from dirbridge.errors import LocalProtocolError
from dirbridge.protocols.ldap_filter import MAX_DEPTH, encode

EXAMPLES = [
    "(objectClass=*)",
    "(uid=anna)",
    "(cn=J\\c3\\bcrgen \\28x\\29 \\2a \\5c)",
    "(cn=Jürgen)",
    "(uid=)",
    "(cn=a*)",
    "(cn=*a)",
    "(cn=a*b*c)",
    "(cn=*b*)",
    "(cn;lang-de=x)",
    "(2.5.4.3=x)",
    "(uSNChanged>=17)",
    "(uSNChanged<=17)",
    "(cn~=x)",
    "(userAccountControl:1.2.840.113556.1.4.803:=2)",
    "(cn:dn:2.4.6.8.10:=x)",
    "(cn:=x)",
    "(:1.2.3:=x)",
    "(!(uid=a))",
    "(&(uid=a)(|(cn=b)(!(sn=c))))",
    "(sn=a=b>=c)",
]

names = st.sampled_from(["uid", "cn", "sAMAccountName", "cn;lang-de", "2.5.4.3"])
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
# ldap3 takes blanks at the ends away, which are a part of the value (RFC 4515).
values = texts.filter(lambda value: value == value.strip())
octets = st.binary(min_size=1, max_size=16).filter(lambda value: value == value.strip())
items = st.one_of(
    st.builds(ldap_filter.equals, names, values | octets),
    st.builds(ldap_filter.at_least, names, values),
    st.builds(ldap_filter.at_most, names, values),
    st.builds(ldap_filter.starts_with, names, values),
    st.builds(ldap_filter.present, names),
    st.builds(ldap_filter.matches, names, st.just(ldap_filter.BIT_AND), values),
)
filters = items | st.builds(
    lambda parts, n: ldap_filter.all_of(
        ldap_filter.any_of(*parts[n:]), *map(ldap_filter.negate, parts[:n])
    ),
    st.lists(items, min_size=2, max_size=4),
    st.integers(0, 1),
)


def of_ldap3(text: str) -> bytes:
    parsed = parse_filter(text, None, False, False, None, False)
    built = compile_filter(parsed.elements[0])
    return bytes(encode_as_ldap3(built))


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_filter_is_what_ldap3_makes_of_it(text: str) -> None:
    assert encode(text) == of_ldap3(text)


def test_blanks_at_the_ends_are_a_part_of_the_value() -> None:
    assert encode("(uid= )") == b"\xa3\x08\x04\x03uid\x04\x01 "


@given(filters)
def test_any_filter_is_what_ldap3_makes_of_it(text: str) -> None:
    assert encode(text) == of_ldap3(text)


def test_absolute_true_and_false() -> None:
    assert (encode("(&)"), encode("(|)")) == (b"\xa0\x00", b"\xa1\x00")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "uid=a",
        "(uid=a",
        "(uid=a))",
        "(uid=a)(uid=b)",
        "(uid)",
        "(=a)",
        "( uid=a)",
        "(&(uid=a) (uid=b))",
        "(!)",
        "(!(uid=a)(uid=b))",
        "(uid=a\\zz)",
        "(uid=a\\2)",
        "(uid=a\0)",
        "(uid=a**b)",
        "(uid=**)",
        "(uid>=a*)",
        "(::=a)",
        "(cn:dn:x y:=a)",
        "(ünï=a)",
        "(!" * (MAX_DEPTH + 1) + "(uid=a)" + ")" * (MAX_DEPTH + 1),
    ],
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        encode(text)


@pytest.mark.fuzz
@given(st.text("()&|!=*\\:<>~ab1; \0", max_size=24))
def test_any_text_is_a_filter_or_the_local_error(text: str) -> None:
    try:
        assert encode(text)
    except LocalProtocolError:
        return
