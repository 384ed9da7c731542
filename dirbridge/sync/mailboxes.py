"""Mailbox names: given once, when an account is created, changed by no sync."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

from dirbridge.model.account import Account, AccountValues
from dirbridge.model.names import DirectoryId, DomainName, fold
from dirbridge.sync.claims import Claim, address_claim


def with_mailboxes(
    drafts: Mapping[DirectoryId, Account],
    everybody: Iterable[Account],
    domain: DomainName,
    addresses: Mapping[Claim, DirectoryId | None],
) -> dict[DirectoryId, Account]:
    """Give each new account its mailbox name, oldest entry first.

    A name is free when no account of the domain ever had it, and when the address
    that it makes, `mailbox@domain`, belongs to nobody else.

    Args:
        drafts: The accounts; those without a mailbox name get one.
        everybody: All stored accounts.
        domain: Their mail domain.
        addresses: Who has which address after the run.
    """
    taken = {fold(account.mailbox) for account in everybody if account.domain == domain}
    given: dict[DirectoryId, Account] = {}
    for who, draft in sorted(drafts.items(), key=lambda item: age(item[1])):
        if draft.mailbox:
            continue
        names = _candidates(mailbox_name(draft.values))
        name = next(
            name
            for name in names
            if fold(name) not in taken
            and addresses.get(address_claim(f"{name}@{domain}"), who) == who
        )
        taken.add(fold(name))
        given[who] = replace(draft, mailbox=name)
    return {who: given.get(who, draft) for who, draft in drafts.items()}


def _candidates(wanted: str) -> Iterator[str]:
    yield wanted
    yield from (f"{wanted}-{number}" for number in count(2))


def mailbox_name(values: AccountValues) -> str:
    """Return the mailbox name that an account would like.

    It is the main login name, folded, with everything replaced that is not safe
    in a path or an address: so `home` never leaves its folder.

    Args:
        values: The account's values.
    """
    wanted = fold(values.login_names[0]) if values.login_names else "account"
    return re.sub(r"[^\w.'+-]+", ".", wanted).strip(".") or "account"


def age(account: Account) -> tuple[datetime, str]:
    """Order accounts by the age of their entries, the oldest first."""
    made = account.values.created_at or datetime.max.replace(tzinfo=UTC)
    return (made, account.values.directory_id)
