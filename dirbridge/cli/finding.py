"""Find the account that an admin names, whatever its state."""

from __future__ import annotations

from collections.abc import Iterator

from dirbridge.app import App
from dirbridge.errors import AccountError, Problem
from dirbridge.login.domains import Resolution
from dirbridge.model.account import Account, AccountState
from dirbridge.model.account_sentences import account_problem
from dirbridge.model.entry import EntryKind
from dirbridge.model.login import Reason
from dirbridge.model.names import DirectoryId, fold
from dirbridge.model.sentences import REASONS
from dirbridge.store.base import Store
from dirbridge.sync.by_hand import named


def find_account(app: App, store: Store, name: str) -> Account:
    """Return the account that is meant.

    A login would not find who is removed; an admin does. What commands call an
    account, `mailbox@domain`, means that one, though another may log in by it.

    Args:
        app: Knows the domains.
        store: The local user database.
        name: A login name, an address, `mailbox@domain`, or a stable id.

    Raises:
        AccountError: Nobody is meant, or it is not clear who.
    """
    found = app.resolver(store).resolve(name)
    candidates = {one.number: one for one in _candidates(app, store, name, found)}
    own = [a for a in candidates.values() if a.canonical == fold(name)]
    for likely in (own, found.accounts, tuple(candidates.values())):
        if len(likely) == 1:
            return likely[0]
    raise AccountError(_several(name, candidates) if candidates else _nobody(name))


def find_person(app: App, store: Store, name: str) -> Account:
    """Return the account of somebody who may log in some day.

    As `find_account`; but groups, contacts and removed accounts have no credentials.

    Raises:
        AccountError: Nobody such is meant.
    """
    found = find_account(app, store, name)
    if found.kind is not EntryKind.ACCOUNT:
        raise AccountError(account_problem("no-person", found.canonical))
    if found.state is AccountState.REMOVED:
        raise AccountError(account_problem("removed-account", found.canonical))
    return found


def _candidates(
    app: App, store: Store, name: str, found: Resolution
) -> Iterator[Account]:
    """Yield who has or had the name in any state, and whose stable id it is."""
    with store.view() as view:
        for domain in found.domains or app.settings.domains:
            yield from named(view, domain, (name, *found.names_in(domain)))
        for domain, settings in app.settings.domains.items():
            for one in settings.directory:
                yield from view.by_id(domain, one.name, (DirectoryId(name),)).values()


def _nobody(name: str) -> Problem:
    advice = REASONS[Reason.UNKNOWN]
    return Problem(Reason.UNKNOWN, name, advice.text, advice.next)


def _several(name: str, found: dict[int, Account]) -> Problem:
    listed = "; ".join(
        f"{a.canonical}, {a.state}, {a.values.directory_id}" for a in found.values()
    )
    text = f"Several accounts have or had this name: {listed}."
    return Problem(
        Reason.AMBIGUOUS, name, text, "Name the one that you mean by its id."
    )
