"""Accounts and changes as whole rows for bulk writing.

A first import builds millions of these, so a row is a tuple in the order of its
table's columns, and nothing is done for a row that can be done for a statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from dirbridge.model.account import Account
from dirbridge.model.entry import EntryKind
from dirbridge.model.plan import Change
from dirbridge.store import rows
from dirbridge.store.base import NameKind, Run
from dirbridge.store.schema import AddressKind, key

Moment = Callable[[datetime | None], object]
"""How a driver takes a time; a ValueError where it has no zone."""

BulkRow = tuple[object, ...]

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
    # `_value_`: drivers look long for how to send what is not exactly a str, and
    # the property `value` is slow.
    values = account.values
    return (
        number,
        account.domain,
        account.mailbox,
        rows.mailbox_key(account),
        account.origin._value_,
        account.role._value_,
        account.state._value_,
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
        values.state._value_,
        values.state_reason,
        values.expires_at and moment(values.expires_at),
        values.created_at and moment(values.created_at),
        values.kind._value_,
        account.digest or None,
        values.name,
        values.number,
        values.primary_group,
        values.forward_dn,
        values.forward_keep,
    )


def name_rows(account: Account, number: int) -> list[BulkRow]:
    """Return the rows of `names` of one account."""
    values = account.values
    made: list[BulkRow] = [
        (number, _LOGIN, position, name, key(name))
        for position, name in enumerate(values.login_names)
    ]
    if values.upn is not None:
        made.append((number, _UPN, 0, values.upn, key(values.upn)))
    return made


def address_rows(account: Account, number: int, moment: Moment) -> list[BulkRow]:
    """Return the rows of `addresses` of one account."""
    values = account.values
    primary, alias, kept = _LOG_IN_BY if values.kind is EntryKind.ACCOUNT else _WRITE_TO
    live = rows.is_live(account)
    made: list[BulkRow] = []
    seen: list[str] = []
    if values.primary_address is not None:
        folded = key(values.primary_address)
        seen.append(folded)
        made.append((number, primary, 0, values.primary_address, folded, None, live))
    for position, address in enumerate(values.aliases):
        folded = key(address)
        first = live and folded not in seen
        seen.append(folded)
        made.append((number, alias, position, address, folded, None, first))
    for position, old in enumerate(account.kept):
        folded, until = key(old.address), moment(old.until)
        made.append((number, kept, position, old.address, folded, until, False))
    return made


def member_rows(account: Account, number: int) -> Iterator[BulkRow]:
    """Return the rows of `members` of one group."""
    for position, member in enumerate(account.values.members):
        yield number, position, member.by._value_, member.value


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
            change.op._value_,
            change.account,
            change.name,
            rows.as_json(change.before),
            rows.as_json(change.after),
            change.why,
            server,
        )
        for position, change in enumerate(changes, first)
    ]
