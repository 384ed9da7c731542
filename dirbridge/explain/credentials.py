"""What the local user database itself has for an account's logins."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from dirbridge.login.app_passwords import METHOD, is_within, server_of
from dirbridge.login.choices import LOCAL
from dirbridge.model.account import Account, Origin
from dirbridge.model.credentials import AppPassword
from dirbridge.model.finding import Outcome, Step
from dirbridge.model.login import IPAddress, IPNetwork, Reason
from dirbridge.model.sentences import REASONS
from dirbridge.store.base import RecordedAttempt, StoreReader


def method_rule(store: StoreReader, account: Account) -> str:
    """Return why an account has the methods that it has."""
    if store.credentials(account).methods:
        return (
            "They were chosen for this account with `dirbridge accounts switch`. The "
            "next one is asked only when nobody could say."
        )
    return "The next method is asked only when nobody could say."


def is_local(store: StoreReader, account: Account) -> bool:
    """Whether nobody but the user database is asked about an account's password."""
    chosen = store.credentials(account).methods
    return account.origin is Origin.LOCAL or set(chosen) == {LOCAL}


def local_step(store: StoreReader, account: Account) -> Step:
    """Tell of an account whose password is checked here alone."""
    mapped = account.origin is Origin.MAPPED
    rule = method_rule(store, account) if mapped else "A local account."
    if store.verifier(account) is None:
        advice = REASONS[Reason.NO_PASSWORD]
        text = f"{advice.text} {advice.next}"
        return Step("method", text, rule, Outcome.FAILED, advice.who)
    found = "The password is checked here, against the local user database."
    return Step("method", found, rule, Outcome.OK)


def of_no_matter(step: Step) -> Step:
    """Weaken what the directory says of a password that it is not asked about."""
    if step.outcome not in (Outcome.FAILED, Outcome.UNKNOWN):
        return step
    rule = "The password is checked here: of this only what a sync takes over counts."
    return replace(step, outcome=Outcome.WARNING, rule=rule)


def app_password_steps(
    store: StoreReader,
    account: Account,
    networks: Collection[IPNetwork],
    remote_ip: IPAddress | None,
) -> Iterator[Step]:
    """Tell of an account's app passwords, and whether only those are taken.

    Args:
        store: The local user database.
        account: The account.
        networks: From where only those are.
        remote_ip: Where the client is, None where that was not said.
    """
    held = store.credentials(account).app_passwords
    required = is_within(remote_ip, networks)
    if not held and not required:
        if networks and remote_ip is None:
            yield _none_for(networks)
        return
    uses = store.last_accepted(account, METHOD)
    newest = {one.attempt.verdict.server: one for one in uses}
    facts = tuple((one.label, _line(one, newest.get(server_of(one)))) for one in held)
    rule = "They are checked here, before any other method."
    if not required:
        found = "These app passwords are taken as well:"
        yield Step(METHOD, found, rule, Outcome.OK, facts=facts)
        return
    advice = REASONS[Reason.APP_PASSWORD]
    text = advice.text if held else f"{advice.text} {advice.next}"
    outcome = Outcome.OK if held else Outcome.FAILED
    who = "" if held else advice.who
    yield Step(METHOD, text, "require_app_password_from", outcome, who, facts)


def _none_for(networks: Collection[IPNetwork]) -> Step:
    advice = REASONS[Reason.APP_PASSWORD]
    named = ", ".join(map(str, networks))
    found = (
        f"From {named} only app passwords are taken, and this account has none. "
        f"{advice.next}"
    )
    rule = "require_app_password_from"
    return Step(METHOD, found, rule, Outcome.WARNING, advice.who)


def _line(one: AppPassword, use: RecordedAttempt | None) -> str:
    made = f"made {one.created_at:%F}"
    if use is None:
        return f"{made}, not used as far as attempts are kept"
    where = f" from {use.attempt.remote_ip}" if use.attempt.remote_ip else ""
    return f"{made}, last used {use.at:%F %H:%M}{where}"
