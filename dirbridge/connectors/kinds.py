"""What an entry is: an account, a group or a contact.

All three come in one search, so the entry itself must say. Its object class does; an
entry that does not show it is taken for an account, whose mapping then says what is
missing: nobody shall vanish because a right was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from dirbridge.directory import dn as names
from dirbridge.directory.errors import Undecodable
from dirbridge.model.entry import EntryKind

Values = Mapping[str, tuple[bytes, ...]]

KindOf = Callable[[str, Values], EntryKind]
"""Tells the kind from an entry's DN and its attributes, names in lower case."""

GROUP_CLASSES = frozenset(
    (b"posixgroup", b"groupofnames", b"groupofuniquenames", b"apple-group")
)
"""Object classes of groups in plain LDAP servers and Open Directory."""

PERSON_CLASSES = frozenset((b"person", b"inetorgperson", b"posixaccount", b"account"))
"""Who has one of these is no group: a user and its own group may be one entry."""

LOGIN_CLASSES = frozenset(
    (
        *(b"posixaccount", b"shadowaccount", b"account", b"apple-user"),
        *(b"sambasamaccount", b"uidobject"),
    )
)
"""Who has one of these logs in (RFC 2307 section 4, RFC 4519 3.14, RFC 4524 3.1)."""


def account(_dn: str, _values: Values) -> EntryKind:
    """Take every entry for an account, where nothing else is read."""
    return EntryKind.ACCOUNT


def active_directory(_dn: str, values: Values) -> EntryKind:
    """Go by the structural class, of which Active Directory has one for each kind."""
    classes = _classes(values)
    if b"group" in classes:
        return EntryKind.GROUP
    # A user can be made of a contact's class chain, never the other way round.
    is_contact = b"contact" in classes and b"user" not in classes
    return EntryKind.CONTACT if is_contact else EntryKind.ACCOUNT


def plain(login_attributes: frozenset[str], dn: str, values: Values) -> EntryKind:
    """Go by a group's class, and take who has nothing to log in with for a contact.

    A server may let an attribute be searched but not be read. Who only seems to have
    nothing to log in with, by the class or by the DN, is an account.

    Args:
        login_attributes: Where login names come from, in lower case; none where no
            contacts are read.
        dn: The entry's DN.
        values: The entry's attributes.
    """
    classes = _classes(values)
    if classes & GROUP_CLASSES and not classes & PERSON_CLASSES:
        return EntryKind.GROUP
    if not login_attributes or any(values.get(name) for name in login_attributes):
        return EntryKind.ACCOUNT
    if not classes or classes & LOGIN_CLASSES or _is_named_by(login_attributes, dn):
        return EntryKind.ACCOUNT
    return EntryKind.CONTACT


def _is_named_by(attributes: frozenset[str], dn: str) -> bool:
    """Whether one of the attributes stands in the RDN, or the DN cannot be read."""
    try:
        rdn = next(iter(names.parse(dn)), ())
    except Undecodable:
        return True
    return any(ava.attribute.lower() in attributes for ava in rdn)


def _classes(values: Values) -> frozenset[bytes]:
    return _folded(values.get("objectclass", ()))


@lru_cache(maxsize=256)  # a directory has few different ones
def _folded(names: tuple[bytes, ...]) -> frozenset[bytes]:
    return frozenset(map(bytes.lower, names))
