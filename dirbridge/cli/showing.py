"""How commands show one account to programs."""

from __future__ import annotations

from dirbridge.cli.output import Json
from dirbridge.model.account import Account
from dirbridge.model.fields import show


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
