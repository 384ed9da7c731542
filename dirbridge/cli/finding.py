"""Find the account that an admin names, whatever its state."""

from __future__ import annotations

from dirbridge.app import App
from dirbridge.cli.output import Output
from dirbridge.errors import Problem
from dirbridge.model.account import Account
from dirbridge.model.login import Reason
from dirbridge.model.names import DirectoryId
from dirbridge.model.sentences import REASONS
from dirbridge.store.base import Store
from dirbridge.sync.by_hand import named


def find_account(app: App, out: Output, store: Store, name: str) -> Account | None:
    """Return the account that is meant, or tell why there is none.

    A login would not find who is removed; an admin does. Where several accounts of
    the domain have or had the name, the one whose mailbox it is goes first.

    Args:
        app: Knows the domains.
        out: Is told the problem.
        store: The local user database.
        name: A login name, an address, `mailbox@domain`, or a stable id.
    """
    found = app.resolver(store).resolve(name)
    if found.account is not None:
        return found.account
    candidates: dict[int, Account] = {}
    with store.view() as view:
        for domain in found.domains or app.settings.domains:
            names = (name, *found.names_in(domain))
            candidates |= {a.number: a for a in named(view, domain, names)}
        for domain in app.settings.domains:
            for directory in app.settings.domains[domain].directory:
                by_id = view.by_id(domain, directory.name, (DirectoryId(name),))
                candidates |= {a.number: a for a in by_id.values()}
    if len(candidates) == 1:
        return next(iter(candidates.values()))
    own = [a for a in candidates.values() if a.canonical == name]
    if len(own) == 1:
        return own[0]
    out.problem(_several(name, candidates) if candidates else _nobody(name))
    return None


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
