"""Whom a KDC is asked for, and whether an entry is the one that a ticket is for.

A name is no identity: since the last sync a principal may have gone to somebody else,
and Active Directory's KDC takes a user principal name for a login name, which lets
another person have it. So what a ticket says is compared with the account's own entry,
read by its stable id.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from dirbridge.directory import auth_authority
from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.model.account import Account
from dirbridge.model.entry import Entry
from dirbridge.model.names import fold

_SHORT_NAMES = ("sAMAccountName", "uid")
_WHOLE_NAMES = ("userPrincipalName", "krbPrincipalName", "krbCanonicalName")
_ESCAPE = "\\"
_SEPARATORS = f"{_ESCAPE}/@"


@dataclass(frozen=True, slots=True)
class Asked:
    """A name to ask a KDC for.

    Attributes:
        text: As `krb5_parse_name` reads it, with its realm.
        enterprise: Whether it is an enterprise name (RFC 6806 section 5): the KDC
            looks up whose it is, and what it answers is another name.
    """

    text: str
    enterprise: bool = False


@dataclass(frozen=True, slots=True)
class Ticket:
    """Whom a ticket that was proven is for.

    Attributes:
        name: The client's principal, as libkrb5 writes it.
        sid: The account's SID by the ticket's PAC, None where it has none.
        own: Whether the directory itself said that it is the account's, by its id.
    """

    name: str
    sid: bytes | None = None
    own: bool = False


def principal_of(account: Account, realm: str, *, lookup: bool) -> Asked | None:
    """Return whom to ask for, None where the account has no name in this realm.

    Args:
        account: The account.
        realm: The realm.
        lookup: Whether the realm's KDC looks up enterprise names, as Active
            Directory's does: names with an @ are user principal names there, whose
            suffix need not be the realm's.
    """
    values = account.values
    if values.principal:
        own = fold(values.principal.rpartition("@")[2]) == fold(realm)
        return Asked(values.principal) if own else None
    short = next(iter(values.login_names), "")
    if short and not (lookup and "@" in short):
        return Asked(f"{_quoted(short)}@{realm}")
    upn = (short or values.upn or "") if lookup else ""
    return Asked(f"{_quoted(upn, _ESCAPE)}@{realm}", enterprise=True) if upn else None


def is_for(ticket: Ticket, entry: Entry, realm: str) -> bool | None:
    """Tell whether a ticket is for the person of an entry.

    Args:
        ticket: What was proven.
        entry: The account's entry, read live.
        realm: The realm.

    Returns:
        None where the entry shows nothing that could be compared.
    """
    own = entry.values("objectSid")
    if ticket.sid is not None and own:
        return ticket.sid in own
    names = {fold(name) for name in _names(entry, realm)}
    return fold(unquoted(ticket.name)) in names if names else None


def _names(entry: Entry, realm: str) -> Iterator[str]:
    """Yield an entry's principals."""
    for attribute in _SHORT_NAMES:
        for value in _texts(entry, attribute):
            yield f"{value}@{realm}"
    for attribute in _WHOLE_NAMES:
        for value in _texts(entry, attribute):
            yield value
            yield f"{value}@{realm}"  # how an enterprise name comes back unchanged
    for raw in entry.values("authAuthority"):
        with suppress(Undecodable):
            authority = auth_authority.decode(raw)
            if authority.kind == auth_authority.KERBEROS:
                data = auth_authority.decode_kerberos(authority)
                whole = "@" in data.principal
                yield data.principal if whole else f"{data.principal}@{data.realm}"


def _texts(entry: Entry, attribute: str) -> Iterator[str]:
    for raw in entry.values(attribute):
        with suppress(Undecodable):
            yield as_text(raw)


def _quoted(name: str, separators: str = _SEPARATORS) -> str:
    """Escape what `krb5_parse_name` would take for a separator."""
    return "".join(f"\\{c}" if c in separators else c for c in name)


def unquoted(name: str) -> str:
    """Undo the escapes; a principal with a quoted @ reads as the enterprise name."""
    letters = iter(name)
    return "".join(next(letters, "") if c == "\\" else c for c in letters)
