"""Mailbox names: given once, when an account is created, changed by no sync."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from dirbridge.model.account import Account, AccountValues
from dirbridge.model.names import DirectoryId, DomainName, fold


def with_mailboxes(
    drafts: Mapping[DirectoryId, Account],
    everybody: Iterable[Account],
    domain: DomainName,
) -> dict[DirectoryId, Account]:
    """Give each new account its mailbox name, oldest entry first."""
    taken = {fold(account.mailbox) for account in everybody if account.domain == domain}
    given: dict[DirectoryId, Account] = {}
    for who, draft in sorted(drafts.items(), key=lambda item: age(item[1])):
        if not draft.mailbox:
            name = _free_name(mailbox_name(draft.values), taken)
            taken.add(fold(name))
            given[who] = replace(draft, mailbox=name)
    return {who: given.get(who, draft) for who, draft in drafts.items()}


def mailbox_name(values: AccountValues) -> str:
    """Return the mailbox name that an account would like.

    It is the main login name, folded, with everything replaced that is not safe
    in a path or an address: so `home` never leaves its folder.

    Args:
        values: The account's values.
    """
    wanted = fold(values.login_names[0]) if values.login_names else "account"
    return re.sub(r"[^\w.'+-]+", ".", wanted).strip(".") or "account"


def _free_name(wanted: str, taken: set[str]) -> str:
    if fold(wanted) not in taken:
        return wanted
    number = 2
    while fold(f"{wanted}-{number}") in taken:
        number += 1
    return f"{wanted}-{number}"


def age(account: Account) -> tuple[datetime, str]:
    """Order accounts by the age of their entries, the oldest first."""
    made = account.values.created_at or datetime.max.replace(tzinfo=UTC)
    return (made, account.values.directory_id)
