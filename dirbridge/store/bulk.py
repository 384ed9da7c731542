"""Accounts and changes as whole rows for bulk writing.

A first import builds millions of these, so a row is a tuple in the order of its
table's columns, and nothing is done for a row that can be done for a statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import StrEnum

from dirbridge.model.account import Account, AccountState, Origin, Role
from dirbridge.model.entry import EntryKind
from dirbridge.model.plan import Change, Op
from dirbridge.model.recipient import By
from dirbridge.store import rows
from dirbridge.store.base import NameKind, Run
from dirbridge.store.schema import AddressKind, key

Moment = Callable[[datetime | None], object]
"""How a driver takes a time; a ValueError where it has no zone."""

BulkRow = tuple[object, ...]

_PLAIN: dict[StrEnum, str] = {
    # Drivers look long for how to send anything that is not exactly a str.
    word: word.value
    for words in (AccountState, Origin, Role, EntryKind, Op, By)
    for word in words
}
_LOGIN = NameKind.LOGIN.value
_UPN = NameKind.UPN.value
_LOG_IN_BY = (
    AddressKind.PRIMARY.value,
    AddressKind.ALIAS.value,
    AddressKind.KEPT.value,
)
_WRITE_TO = (
    AddressKind.TO_PRIMARY.value,
    AddressKind.TO_ALIAS.value,
    AddressKind.TO_KEPT.value,
)


def account_row(account: Account, number: int, moment: Moment) -> BulkRow:
    """Return an account's row of `accounts`."""
    values = account.values
    return (
        number,
        account.domain,
        account.mailbox,
        rows.mailbox_key(account),
        _PLAIN[account.origin],
        _PLAIN[account.role],
        _PLAIN[account.state],
        account.state_reason,
        moment(account.state_since),
        account.source,
        values.directory_id,
        values.dn,
        values.principal,
        values.display_name,
        values.given_name,
        values.surname,
        values.forward,
        values.quota,
        values.title,
        values.department,
        values.phone,
        _PLAIN[values.state],
        values.state_reason,
        moment(values.expires_at),
        moment(values.created_at),
        _PLAIN[values.kind],
        account.digest or None,
        values.name,
        values.number,
        values.primary_group,
        values.forward_dn,
        values.forward_keep,
    )


def name_rows(account: Account, number: int) -> Iterator[BulkRow]:
    """Return the rows of `names` of one account."""
    values = account.values
    for position, name in enumerate(values.login_names):
        yield number, _LOGIN, position, name, key(name)
    if values.upn is not None:
        yield number, _UPN, 0, values.upn, key(values.upn)


def address_rows(account: Account, number: int, moment: Moment) -> Iterator[BulkRow]:
    """Return the rows of `addresses` of one account."""
    values = account.values
    primary, alias, kept = _LOG_IN_BY if values.kind is EntryKind.ACCOUNT else _WRITE_TO
    free = rows.is_live(account)
    seen: set[str] = set()
    if values.primary_address is not None:
        folded = key(values.primary_address)
        seen.add(folded)
        yield number, primary, 0, values.primary_address, folded, None, free
    for position, address in enumerate(values.aliases):
        folded = key(address)
        live = free and folded not in seen
        seen.add(folded)
        yield number, alias, position, address, folded, None, live
    for position, old in enumerate(account.kept):
        address, until = old.address, moment(old.until)
        yield number, kept, position, address, key(address), until, False


def member_rows(account: Account, number: int) -> Iterator[BulkRow]:
    """Return the rows of `members` of one group."""
    for position, member in enumerate(account.values.members):
        yield number, position, _PLAIN[member.by], member.value


def change_rows(
    changes: Iterable[Change], first: int, run: Run, server: str, moment: Moment
) -> list[BulkRow]:
    """Return the rows of `changes` of some changes, the first at a position."""
    at, number = moment(run.finished_at), run.number
    return [
        (
            number,
            position,
            at,
            _PLAIN[change.op],
            change.account,
            change.name,
            rows.as_json(change.before),
            rows.as_json(change.after),
            change.why,
            server,
        )
        for position, change in enumerate(changes, first)
    ]
