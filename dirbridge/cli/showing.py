"""How commands show one account to programs."""

from __future__ import annotations

from datetime import datetime

from dirbridge.cli.output import Json
from dirbridge.login.app_passwords import METHOD, server_of
from dirbridge.model.account import Account
from dirbridge.model.credentials import AppPassword
from dirbridge.model.fields import show
from dirbridge.store.base import RecordedAttempt, StoreReader


def account_json(account: Account) -> Json:
    """Return an account, with the fields that hold something."""
    return {
        "account": account.canonical,
        "kind": account.kind,
        "domain": account.domain,
        "mailbox": account.mailbox,
        "origin": account.origin,
        "role": account.role,
        "directory": account.source,
        "directory_id": account.values.directory_id,
        "state": account.state,
        "since": account.state_since.isoformat(),
        **{
            field: list(value) if isinstance(value, tuple) else value
            for field, value in show(account).items()
            if field not in ("state", "entry_kind")
        },
    }


def credentials_json(store: StoreReader, account: Account) -> Json:
    """Return what an account's logins may use, without any password or digest."""
    held, uses = store.credentials(account), last_uses(store, account)
    proven = None if held.offline is None else _time(held.offline.proven_at)
    return {
        "methods": list(held.methods),
        "local_password": held.verifier is not None,
        "offline_login_proven_at": proven,
        "app_passwords": [
            app_password_json(one, uses.get(server_of(one)))
            for one in store.app_passwords(account)
        ],
    }


def last_uses(store: StoreReader, account: Account) -> dict[str, RecordedAttempt]:
    """Return when each app password let its person in last, as far as is remembered.

    Args:
        store: The local user database.
        account: The account.

    Returns:
        The attempts by what they say as their server; see `server_of`.
    """
    found = store.last_accepted(account, METHOD)
    return {one.attempt.verdict.server: one for one in found}


def app_password_json(one: AppPassword, use: RecordedAttempt | None) -> Json:
    """Return an app password for programs, without its digest.

    Args:
        one: The app password.
        use: When it let its person in last, where that is remembered.
    """
    address = None if use is None else use.attempt.remote_ip
    return {
        "number": one.number,
        "label": one.label,
        "created_at": _time(one.created_at),
        "revoked_at": None if one.revoked_at is None else _time(one.revoked_at),
        "last_used_at": None if use is None else _time(use.at),
        "last_used_from": None if address is None else str(address),
    }


def _time(moment: datetime) -> str:
    return moment.isoformat()
