"""What an entry is, by its object class."""

from __future__ import annotations

import pytest

from dirbridge.connectors import kinds
from dirbridge.model.entry import EntryKind

DN = "o=a"
ACCOUNT, GROUP, CONTACT = EntryKind.ACCOUNT, EntryKind.GROUP, EntryKind.CONTACT


def values(*classes: str, **more: str) -> kinds.Values:
    given = {name: (value.encode(),) for name, value in more.items()}
    return {"objectclass": tuple(name.encode() for name in classes), **given}


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (("top", "person", "organizationalPerson", "user"), ACCOUNT),
        (("top", "group"), GROUP),
        (("top", "Group"), GROUP),
        (("top", "person", "organizationalPerson", "contact"), CONTACT),
        (("top", "person", "organizationalPerson", "user", "contact"), ACCOUNT),
        ((), ACCOUNT),
    ],
)
def test_active_directory(classes: tuple[str, ...], kind: EntryKind) -> None:
    assert kinds.active_directory(DN, values(*classes)) is kind


def test_an_entry_that_hides_its_class_is_an_account() -> None:
    """Its mapping says what it lacks; as a contact it would seem to have vanished."""
    for kind_of in (kinds.active_directory, kinds.account):
        assert kind_of(DN, {"mail": (b"a@x.com",)}) is ACCOUNT
    assert kinds.plain(frozenset(), DN, {"mail": (b"a@x.com",)}) is ACCOUNT


@pytest.mark.parametrize(
    ("given", "contacts", "kind"),
    [
        (values("inetOrgPerson", uid="a"), True, ACCOUNT),
        (values("inetOrgPerson", mail="a@x.com"), True, CONTACT),
        (values("inetOrgPerson", mail="a@x.com"), False, ACCOUNT),
        (values("groupOfNames"), True, GROUP),
        (values("posixGroup", "apple-group"), False, GROUP),
        (values("groupOfUniqueNames", uid="a"), True, GROUP),
        (values("inetOrgPerson", cn="a"), True, ACCOUNT),
        (values("posixAccount", "posixGroup", uid="a"), True, ACCOUNT),
    ],
)
def test_plain_servers(given: kinds.Values, contacts: bool, kind: EntryKind) -> None:
    login = frozenset({"uid", "cn"}) if contacts else frozenset()
    assert kinds.plain(login, DN, given) is kind


@pytest.mark.parametrize(
    ("dn", "given", "kind"),
    [
        ("cn=a,dc=b", values("inetOrgPerson", mail="a@x.com"), CONTACT),
        ("uid=a,dc=b", values("inetOrgPerson", mail="a@x.com"), ACCOUNT),
        ("cn=a+UID=a,dc=b", values("inetOrgPerson", mail="a@x.com"), ACCOUNT),
        ("cn=a,uid=b,dc=b", values("inetOrgPerson", mail="a@x.com"), CONTACT),
        ("no dn", values("inetOrgPerson", mail="a@x.com"), ACCOUNT),
        ("cn=a,dc=b", values("inetOrgPerson", "shadowAccount"), ACCOUNT),
        ("cn=a,dc=b", {"mail": (b"a@x.com",)}, ACCOUNT),
    ],
)
def test_who_hides_its_login_name_is_no_contact(
    dn: str, given: kinds.Values, kind: EntryKind
) -> None:
    """A server may let it be searched, not read: all would be contacts and vanish."""
    assert kinds.plain(frozenset({"uid"}), dn, given) is kind
