"""What a plan makes of accounts, without a store."""

from __future__ import annotations

from dataclasses import replace

from dirbridge.model.account import Account
from dirbridge.model.plan import Plan


def applied(stored: list[Account], plan: Plan) -> list[Account]:
    """What the store holds after the plan."""
    by_number = {account.number: account for account in stored}
    for number, digest in plan.remembered.items():
        by_number[number] = replace(by_number[number], digest=digest)
    for change in plan.changes:
        if change.result is not None:
            number = change.result.number or max(by_number, default=0) + 1
            by_number[number] = replace(change.result, number=number)
    return list(by_number.values())
