"""Who can still administer dirbridge while a directory is down."""

from __future__ import annotations

from dirbridge.errors import Unsettled
from dirbridge.model.account import Account, AccountState, Origin, Role
from dirbridge.store.base import Store


def check_not_last(store: Store, account: Account) -> None:
    """Make sure that another local admin could log in.

    Args:
        store: The local user database.
        account: Who is to be one no more.

    Raises:
        Unsettled: `last-admin`.
    """
    if _is_last(store, account):
        raise Unsettled("last-admin", account.canonical)


def _is_last(store: Store, account: Account) -> bool:
    if not _gets_in(store, account):
        return False
    last = 0
    while some := store.page(last):
        last = some[-1].number
        if any(one.number != account.number and _gets_in(store, one) for one in some):
            return False
    return True


def _gets_in(store: Store, account: Account) -> bool:
    return (
        account.origin is Origin.LOCAL
        and account.role is Role.ADMIN
        and account.state is AccountState.ACTIVE
        and store.verifier(account) is not None
    )
