"""Mailbox names: given once, when an account is created, changed by no sync."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

from dirbridge.model.account import Account, AccountValues
from dirbridge.model.entry import EntryKind
from dirbridge.model.names import DirectoryId, DomainName, fold
from dirbridge.sync.claims import Claim, address_claim

_PLAIN = re.compile(r"[a-z0-9_]+")

Taken = Callable[[str, DirectoryId], bool]
"""Whether a folded mailbox name is not free for this newcomer."""


def give_mailboxes(
    newcomers: Iterable[Account], taken: Taken
) -> dict[DirectoryId, Account]:
    """Give each new account its mailbox name, oldest entry first.

    A name is free when no account of the domain ever had it, and when the address
    that it makes, `mailbox@domain`, belongs to nobody else.

    Args:
        newcomers: Accounts without a mailbox name.
        taken: Asked with a name and who wants it.
    """
    given: dict[DirectoryId, Account] = {}
    names: set[str] = set()
    for newcomer in sorted(newcomers, key=age):
        who = newcomer.values.directory_id
        name = next(
            name
            for name in _candidates(mailbox_name(newcomer.values))
            if fold(name) not in names and not taken(fold(name), who)
        )
        names.add(fold(name))
        given[who] = replace(newcomer, mailbox=name)
    return given


def _candidates(wanted: str) -> Iterator[str]:
    yield wanted
    yield from (f"{wanted}-{number}" for number in count(2))


def needs_mailbox(account: Account) -> bool:
    """Whether an account has no mailbox name yet: a new one, or one that was none."""
    return account.kind is EntryKind.ACCOUNT and not account.mailbox


def mailbox_claims(values: AccountValues, domain: DomainName) -> tuple[Claim, ...]:
    """Return the address that a newcomer's mailbox would answer to.

    Args:
        values: The account's values; groups and contacts have no mailbox.
        domain: Their mail domain.
    """
    if values.kind is not EntryKind.ACCOUNT:
        return ()
    return (address_claim(f"{mailbox_name(values)}@{domain}"),)


def mailbox_name(values: AccountValues) -> str:
    """Return the mailbox name that an account would like.

    It is the main login name, folded, with everything replaced that is not safe
    in a path or an address: so `home` never leaves its folder.

    Args:
        values: The account's values.
    """
    wanted = fold(values.login_names[0]) if values.login_names else "account"
    if _PLAIN.fullmatch(wanted):
        return wanted
    return re.sub(r"[^\w.'+-]+", ".", wanted).strip(".") or "account"


def age(account: Account) -> tuple[datetime, str]:
    """Order accounts by the age of their entries, the oldest first."""
    return entry_age(account.values)


def entry_age(values: AccountValues) -> tuple[datetime, str]:
    """Order entries by their age, the oldest first."""
    made = values.created_at or datetime.max.replace(tzinfo=UTC)
    return (made, values.directory_id)
