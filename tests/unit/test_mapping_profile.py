"""Mapping profiles: what is shipped, and every mistake in one of your own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.config import shipped
from dirbridge.errors import ConfigError
from dirbridge.mapping.fields import (
    ACCOUNT_FIELDS,
    CONTACT_FIELDS,
    GROUP_FIELDS,
    Kind,
)
from dirbridge.mapping.profile import (
    VOLATILE,
    lint_profile,
    list_profiles,
    load_profile,
    load_profile_file,
)
from dirbridge.mapping.transforms import TRANSFORMS, chain
from dirbridge.model.account import AccountValues

SHIPPED = ("389-ds", "active-directory", "open-directory", "openldap")

GOOD = """
name = "mine"
format = 1
id = "entryUUID"
base_filter = "(uid=*)"
[account.login_names]
sources = [{ attribute = "uid" }]
"""


def written(tmp_path: Path, text: str, name: str = "mine") -> Path:
    folder = tmp_path / "mappings"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_are_sound(name: str) -> None:
    assert lint_profile(name) == ()
    profile = load_profile(name)
    assert profile.name == name
    assert not VOLATILE & {each.lower() for each in profile.attributes}
    assert profile.attributes[0] == profile.id
    for exclusion in profile.exclude:
        assert exclusion.why
        assert f"(!{exclusion.filter})" in profile.search_filter()


def test_attributes_of_active_directory() -> None:
    assert load_profile("active-directory").attributes == (
        "objectGUID", "sAMAccountName", "userPrincipalName", "displayName", "cn",
        "givenName", "sn", "title", "department", "telephoneNumber", "proxyAddresses",
        "mail", "targetAddress", "altRecipient", "deliverAndRedirect",
        "primaryGroupID", "userAccountControl", "accountExpires", "whenCreated",
        "member", "objectSid", "objectClass",
    )  # fmt: skip


def test_search_filter(tmp_path: Path) -> None:
    text = GOOD.replace(
        "[account.login",
        '[[exclude]]\nname = "x"\nfilter = "(a=b)"\nwhy = "y"\n[account.login',
    )
    profile = load_profile_file(written(tmp_path, text))
    assert profile.search_filter() == "(&(uid=*)(!(a=b)))"
    assert profile.search_filter(None, "(c=d)") == "(&(uid=*)(!(a=b))(c=d))"


def test_open_directory_compares_no_numbers() -> None:
    """Old servers have no order for uidNumber; NOT of that matches nobody."""
    assert "<=" not in load_profile("open-directory").search_filter()


def test_what_an_entry_must_have(tmp_path: Path) -> None:
    profile = load_profile_file(written(tmp_path, 'must_have = ["UID"]\n' + GOOD))
    assert profile.must_have == ("UID",)
    assert load_profile("active-directory").must_have == ("userAccountControl",)
    assert load_profile("open-directory").must_have == ()


def test_a_local_profile_wins(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("mine", "openldap"), "openldap")
    assert load_profile("openldap", tmp_path).base_filter == "(uid=*)"
    assert load_profile("openldap").base_filter != "(uid=*)"
    found = {each.name: each.local for each in list_profiles(tmp_path)}
    assert found == {
        "389-ds": False,
        "active-directory": False,
        "open-directory": False,
        "openldap": True,
    }


def test_unknown_profile(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_profile("active-directry", tmp_path)
    (problem,) = caught.value.problems
    assert problem.code == "unknown-profile"
    assert problem.where == "mappings/active-directry.toml"
    assert problem.next == 'Write "active-directory", if that is meant.'


def test_fingerprint_follows_the_content(tmp_path: Path) -> None:
    one = load_profile_file(written(tmp_path, GOOD)).fingerprint
    same = load_profile_file(written(tmp_path, "# a comment\n" + GOOD)).fingerprint
    other = load_profile_file(
        written(tmp_path, GOOD.replace("uid=", "cn="))
    ).fingerprint
    assert one == same
    assert one != other


GROUPS = GOOD.replace(
    "[account.login", 'group_filter = "(objectClass=groupOfNames)"\n[account.login'
)

FILE = "mappings/mine.toml"
BAD = {
    "unknown transform": (
        GOOD + '[account.upn]\nsources = [{ attribute = "a", transforms = ["lowr"] }]',
        "unknown-transform",
        f"{FILE}: account.upn.sources #1: transforms",
        'There is no transform "lowr".',
        'Write "lower", if that is meant.',
    ),
    "unknown field": (
        GOOD + '[account.display-name]\nsources = [{ attribute = "cn" }]',
        "unknown-field",
        f"{FILE}: account: display-name",
        'There is no field "display-name".',
        'Write "display_name", if that is meant.',
    ),
    "unknown group field": (
        GROUPS + '[group.colour]\nsources = [{ attribute = "cn" }]',
        "unknown-field",
        f"{FILE}: group: colour",
        'There is no field "colour".',
        "Choose one of these: name,",
    ),
    "unknown contact field": (
        GROUPS.replace("group", "contact", 1)
        + '[contact.targt]\nsources = [{ attribute = "mail" }]',
        "unknown-field",
        f"{FILE}: contact: targt",
        'There is no field "targt".',
        'Write "target", if that is meant.',
    ),
    "groups without a filter": (
        GOOD + '[group.name]\nsources = [{ attribute = "cn" }]',
        "missing-key",
        f"{FILE}: group_filter",
        "Nothing says which entries are groups.",
        'Add group_filter = "(objectClass=...)"',
    ),
    "a filter without fields": (
        GROUPS.replace("group", "contact", 1),
        "missing-key",
        f"{FILE}: contact",
        "Nothing says what a contact is made of.",
        "Add [contact.display_name]",
    ),
    "a broken group filter": (
        GROUPS.replace("groupOfNames)", "groupOfNames")
        + '[group.name]\nsources = [{ attribute = "cn" }]',
        "filter-syntax",
        f"{FILE}: group_filter",
        'The filter lacks a ")"',
        "Mend it as RFC 4515 says",
    ),
    "unknown key": (
        GOOD + '[account.upn]\nsource = [{ attribute = "a" }]',
        "unknown-key",
        f"{FILE}: account.upn: source",
        'The key "source" is not known here.',
        'Write "sources", if that is meant.',
    ),
    "wrong type": (
        GOOD + '[account.upn]\nsources = [{ attribute = "a" }]\nrequired = "yes"',
        "wrong-type",
        f"{FILE}: account.upn: required",
        'required = "yes" must be true or false.',
        "Write true or false.",
    ),
    "transform on the wrong kind": (
        GOOD + '[account.quota]\nsources = [{ attribute = "a", '
        'transforms = ["filetime"] }]',
        "wrong-transforms",
        f"{FILE}: account.quota.sources #1: transforms",
        "the field holds a number, and the transforms give a time.",
        "docs/mappings.md",
    ),
    "transforms that do not fit": (
        GOOD + '[account.upn]\nsources = [{ attribute = "a", '
        'transforms = ["filetime", "lower"] }]',
        "wrong-transforms",
        f"{FILE}: account.upn.sources #1: transforms",
        '"lower" takes a text, not a time.',
        "docs/mappings.md",
    ),
    "number without a transform": (
        GOOD + '[account.quota]\nsources = [{ attribute = "a" }]',
        "wrong-transforms",
        f"{FILE}: account.quota.sources #1: transforms",
        "the field holds a number, and the transforms give a raw value.",
        "docs/mappings.md",
    ),
    "many in one": (
        GOOD + '[account.upn]\nsources = [{ attribute = "a" }]\nmany = true',
        "wrong-value",
        f"{FILE}: account.upn: many",
        'The field "upn" holds only one value.',
        "Take many = true out.",
    ),
    "neither source nor default": (
        GOOD + "[account.upn]",
        "missing-key",
        f"{FILE}: account.upn: sources",
        'The field "upn" has neither sources nor a default.',
        "Add sources",
    ),
    "unknown word in a default": (
        GOOD + '[account.upn]\ndefault = "{user}@{domian}"',
        "wrong-value",
        f"{FILE}: account.upn: default",
        "{user} is not known in a default.",
        "Choose one of these: login, domain,",
    ),
    "brace without partner": (
        GOOD + '[account.upn]\ndefault = "{login"',
        "wrong-value",
        f"{FILE}: account.upn: default",
        "The default has a brace without its partner.",
        "{login}@{domain}",
    ),
    "volatile attribute": (
        GOOD + '[account.upn]\nsources = [{ attribute = "lastLogon" }]',
        "volatile-attribute",
        f"{FILE}: account.upn.sources #1: attribute",
        '"lastLogon" changes at every login or replication.',
        "Map an attribute",
    ),
    "password": (
        GOOD + '[account.upn]\nsources = [{ attribute = "userPassword" }]',
        "secret-attribute",
        f"{FILE}: account.upn.sources #1: attribute",
        '"userPassword" holds a password or a key.',
        "Take it out;",
    ),
    "no attribute's name": (
        GOOD + '[account.upn]\nsources = [{ attribute = "a;binary" }]',
        "wrong-value",
        f"{FILE}: account.upn.sources #1: attribute",
        '"a;binary" is not the name of an LDAP attribute.',
        "Use letters",
    ),
    "no identity": (
        GOOD.replace("entryUUID", "mail"),
        "wrong-value",
        f"{FILE}: id",
        '"mail" is not an attribute that stays with an entry for ever.',
        "Choose one of these: objectGUID,",
    ),
    "must have what no rule reads": (
        'must_have = ["uuid"]\n' + GOOD,
        "wrong-value",
        f"{FILE}: must_have #1",
        'No rule of an account reads "uuid".',
        'Write "uid", if that is meant.',
    ),
    "must have of a wrong type": (
        'must_have = "uid"\n' + GOOD,
        "wrong-type",
        f"{FILE}: must_have",
        'must_have = "uid" must be a list.',
        "Write it like",
    ),
    "filter": (
        GOOD.replace("(uid=*)", "(uid=*"),
        "filter-syntax",
        f"{FILE}: base_filter",
        'The filter lacks a ")" at character 7.',
        "RFC 4515",
    ),
    "exclusion's filter": (
        'exclude = [{ name = "a", filter = "b", why = "c" }]\n' + GOOD,
        "filter-syntax",
        f"{FILE}: exclude #1: filter",
        'The filter lacks a "("',
        "RFC 4515",
    ),
    "exclusion without a reason": (
        'exclude = [{ name = "a", filter = "(a=b)" }]\n' + GOOD,
        "missing-key",
        f"{FILE}: exclude #1: why",
        'The key "why" is missing.',
        "Add it",
    ),
    "another format": (
        GOOD.replace("format = 1", "format = 2"),
        "wrong-value",
        f"{FILE}: format",
        "format = 2 must be 1.",
        "Write 1.",
    ),
    "another name": (
        GOOD.replace('"mine"', '"yours"'),
        "wrong-value",
        f"{FILE}: name",
        'named "yours" but its file "mine.toml"',
        "Give both the same name.",
    ),
    "nobody can log in": (
        GOOD.replace("login_names", "upn"),
        "missing-key",
        f"{FILE}: account: login_names",
        "Nothing says what people log in with.",
        "Add [account.login_names]",
    ),
    "broken TOML": (
        "name = ",
        "toml-syntax",
        "mine.toml: line 1",
        "The line is not TOML",
        "Mend the line",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_profile(case: str, tmp_path: Path) -> None:
    text, code, where, wrong, mend = BAD[case]
    problem = lint_profile(written(tmp_path, text))[0]
    assert problem.code == code
    assert problem.where.endswith(where)
    assert wrong in problem.text
    assert mend in problem.next
    assert problem.next.endswith(".")


def test_every_problem_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("(uid=*)", "uid") + "[account.upn]\nmany = 3\ndefault = 'x'\n"
        '[account.titel]\ndefault = "x"\n'
        '[account.phone]\nsources = [{ attribute = "a", transforms = ["x", "y"] }]\n'
    )
    codes = [each.code for each in lint_profile(written(tmp_path, text))]
    assert sorted(codes) == [
        "filter-syntax",
        "unknown-field",
        "unknown-transform",
        "unknown-transform",
        "wrong-type",
    ]


def test_group_tables_are_read(tmp_path: Path) -> None:
    text = GROUPS + '[group.members]\nsources = [{ attribute = "member" }]\nmany = true'
    profile = load_profile_file(written(tmp_path, text))
    (rule,) = profile.group
    assert (rule.name, rule.many, rule.table) == ("members", True, "group")
    assert profile.group_filter == "(objectClass=groupOfNames)"
    assert profile.attributes == ("entryUUID", "uid", "member", "objectClass")
    assert profile.login_attributes == {"uid"}


def test_contact_tables_are_read(tmp_path: Path) -> None:
    text = GROUPS.replace("group", "contact", 1)
    text += '[contact.target]\nsources = [{ attribute = "mail" }]'
    profile = load_profile_file(written(tmp_path, text))
    assert [rule.name for rule in profile.contact] == ["target"]
    assert profile.contact_filter == "(objectClass=groupOfNames)"
    assert profile.group_filter is None


def test_without_groups_and_contacts_nothing_more_is_asked(tmp_path: Path) -> None:
    profile = load_profile_file(written(tmp_path, GOOD))
    assert profile.attributes == ("entryUUID", "uid")
    assert (profile.group, profile.contact) == ((), ())


def test_shipped_files_are_found() -> None:
    assert set(shipped.files("mappings")) == set(SHIPPED)
    assert shipped.files("mappings", Path("/none")) == shipped.files("mappings")


def test_every_transform_says_what_it_does() -> None:
    for transform in TRANSFORMS.values():
        assert transform.meaning.endswith(".")


@given(
    st.lists(st.sampled_from(sorted(TRANSFORMS)), max_size=4).map(tuple),
    st.sampled_from(Kind),
)
def test_a_chain_raises_only_value_errors(names: tuple[str, ...], kind: Kind) -> None:
    try:
        steps = chain(names, kind)
    except ValueError:
        return
    assert {TRANSFORMS[name] for name in names} <= set(steps)


OTHERWISE = {"directory_id", "kind", "dn", "state_reason"}


def test_fields_are_those_of_accounts_groups_and_contacts() -> None:
    named = {"member_ids", "member_names", "nested", "target"}
    fields = {*ACCOUNT_FIELDS, *GROUP_FIELDS, *CONTACT_FIELDS} - named
    assert fields == set(AccountValues.__slots__) - OTHERWISE
    assert {"members", "number", "name"}.isdisjoint(ACCOUNT_FIELDS)
    assert {"login_names", "upn", "principal"}.isdisjoint(
        {*GROUP_FIELDS, *CONTACT_FIELDS}
    )


@pytest.mark.parametrize(
    ("table", "mend"),
    [("account.groups", "Who is in a group is read from"),
     ("group.kind", "Take the table out.")],
)  # fmt: skip
def test_a_field_that_there_was_once_says_what_to_do(
    tmp_path: Path, table: str, mend: str
) -> None:
    text = GOOD.replace("[account", 'group_filter = "(cn=*)"\n[account', 1)
    text += '[group.name]\nsources = [{ attribute = "cn" }]\n'
    text += f'[{table}]\nsources = [{{ attribute = "x" }}]\n'
    with pytest.raises(ConfigError) as caught:
        load_profile_file(written(tmp_path, text))
    (problem,) = caught.value.problems
    assert problem.code == "unknown-field"
    assert problem.where.endswith(table.replace(".", ": "))
    assert problem.next.startswith(mend)
