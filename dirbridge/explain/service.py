"""Why somebody can or cannot log in, step by step and without the password.

No rule is written here a second time: the steps call the very functions that a
login and a sync call, and tell what those returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from dirbridge.authenticators.base import Authenticator
from dirbridge.connectors.base import Connector
from dirbridge.directory.account_state import barriers
from dirbridge.errors import DirectoryError, Problem
from dirbridge.login.domains import Resolution, Resolver
from dirbridge.login.service import barred_by, refuse
from dirbridge.model.account import Account, Origin
from dirbridge.model.entry import Entry, Found
from dirbridge.model.finding import Explanation, Finding, Outcome, Step
from dirbridge.model.login import Attempt, IPAddress, Reason
from dirbridge.model.mapping import Mapped, Unmapped
from dirbridge.model.names import DomainName
from dirbridge.model.secret import Secret
from dirbridge.model.sentences import REASONS, problems_of
from dirbridge.sync.fields import differences
from dirbridge.sync.planner import Policy, as_mapped

_ANY_PASSWORD = Secret("x")

ATTEMPTS = 5
"""How many of the newest attempts are shown."""


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory of a domain, as explain needs it.

    Attributes:
        connector: Reads entries, live.
        mapping: Turns an entry into values, or says why not.
        policy: The rules by which a sync would make an account of it.
    """

    connector: Connector
    mapping: Callable[[Entry], Mapped | Unmapped]
    policy: Policy


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explain logins.

    Attributes:
        resolver: Finds who is meant, as a login does.
        directories: Each domain's directories.
        methods: Gives the authenticators of an account, in order.
    """

    resolver: Resolver
    directories: Mapping[DomainName, tuple[Directory, ...]]
    methods: Callable[[Account], tuple[Authenticator, ...]]

    def explain(
        self,
        name: str,
        local_ip: IPAddress | None = None,
        remote_ip: IPAddress | None = None,
    ) -> Explanation:
        """Run the steps of a login without its password.

        Args:
            name: What the person types.
            local_ip: The address that the client connects to.
            remote_ip: The client's address.

        Raises:
            StoreError: The local user database cannot be read.
        """
        return Explanation(name, tuple(self._steps(name, local_ip, remote_ip)))

    def _steps(
        self, name: str, local_ip: IPAddress | None, remote_ip: IPAddress | None
    ) -> Iterator[Step]:
        refusal = refuse(name, _ANY_PASSWORD)
        if refusal is not None:
            yield _bad("name", refusal, "A login name has 1 to 1024 characters.")
            return
        found = self.resolver.resolve(name, local_ip, remote_ip)
        yield _domain_step(found)
        account = found.account
        if account is None:
            yield _account_missing(found)
            for domain in found.domains:
                yield from self._unknown_entry(domain, name)
            return
        yield _account_step(account, found)
        if account.origin is Origin.MAPPED:
            yield from self._entry(account)
        yield from self._methods(account)
        yield self._attempts(account)

    def _attempts(self, account: Account) -> Step:
        recorded = self.resolver.store.attempts(account.canonical, ATTEMPTS)
        facts = tuple(
            (f"{one.at:%F %H:%M:%S}", _attempt_line(one.attempt)) for one in recorded
        )
        found = "The newest attempts:" if facts else "No attempt is recorded."
        return Step("attempts", found, "", Outcome.OK, facts=facts)

    def _unknown_entry(self, domain: DomainName, name: str) -> Iterator[Step]:
        """Look whether the directory knows a name that the store does not."""
        for directory in self.directories.get(domain, ()):
            try:
                entries = directory.connector.lookup(name)
            except DirectoryError as error:
                yield _cannot_ask(error)
                continue
            if not entries:
                found = "The directory has no entry with this name."
                yield Step("entry", found, "", Outcome.FAILED, "directory admin")
            for one in entries:
                yield _left_out(one)
                yield from _mapping_steps(directory.mapping(one.entry), None, directory)

    def _entry(self, account: Account) -> Iterator[Step]:
        for directory in self.directories.get(account.domain, ()):
            if directory.connector.source == account.source:
                yield from _live(account, directory)

    def _methods(self, account: Account) -> Iterator[Step]:
        if account.origin is Origin.LOCAL:
            found = "The password is checked here, against the local user database."
            yield Step("method", found, "A local account.", Outcome.OK)
            return
        findings = [(one.method, one.check()) for one in self.methods(account)]
        usable = [method for method, seen in findings if not _lacking(seen)]
        facts = tuple(
            (method, "; ".join(one.text for one in _lacking(seen)) or "is set up")
            for method, seen in findings
        )
        yield Step(
            "method",
            f"Asked in this order: {', '.join(m for m, _ in findings) or 'nobody'}.",
            "The next method is asked only when nobody could say.",
            Outcome.OK if usable else Outcome.UNKNOWN,
            "" if usable else "mail admin",
            facts,
        )


def _attempt_line(attempt: Attempt) -> str:
    verdict = attempt.verdict
    word = type(verdict).__name__.lower()
    why = getattr(verdict, "reason", getattr(verdict, "cause", ""))
    parts = (word, why, attempt.service, f"from {attempt.remote_ip or 'unknown'}")
    return " ".join(part for part in parts if part)


def _lacking(findings: list[Finding]) -> list[Finding]:
    return [one for one in findings if one.outcome is Outcome.FAILED]


def _bad(name: str, reason: Reason, rule: str) -> Step:
    advice = REASONS[reason]
    found = f"{advice.text} {advice.next}"
    return Step(name, found, rule, Outcome.FAILED, advice.who)


def _domain_step(found: Resolution) -> Step:
    names = ", ".join(found.domains) or "none"
    outcome = Outcome.OK if found.domains else Outcome.FAILED
    return Step("domain", f"The mail domain is {names}.", found.rule, outcome)


def _account_missing(found: Resolution) -> Step:
    reason = found.reason or Reason.UNKNOWN
    rule = "Compared: login names, UPNs, primary addresses, aliases."
    return _bad("account", reason, rule)


def _account_step(account: Account, found: Resolution) -> Step:
    rule = f"Found by its {found.kind} name." if found.kind else ""
    barred = barred_by(account, datetime.now(UTC))
    text = (
        f"{account.canonical} is {account.state} since {account.state_since:%F %H:%M}"
    )
    facts = (
        ("origin", str(account.origin)),
        ("name", account.values.display_name or ""),
        ("address", account.values.primary_address or ""),
    )
    if barred is None:
        return Step("account", f"{text}.", rule, Outcome.OK, facts=facts)
    advice = REASONS[barred]
    why = account.state_reason
    why = f" ({why})" if why and why != advice.text else ""
    found_text = f"{text}{why}. {advice.text} {advice.next}"
    return Step("account", found_text, rule, Outcome.FAILED, advice.who, facts)


def _live(account: Account, directory: Directory) -> Iterator[Step]:
    try:
        entry = directory.connector.find(account.values.directory_id)
    except DirectoryError as error:
        yield _cannot_ask(error)
        return
    if entry is None:
        found = f"The directory has no entry {account.values.directory_id} any more."
        yield Step("entry", found, "", Outcome.FAILED, "directory admin")
        return
    yield Step("entry", f"The directory has {entry.dn}.", "", Outcome.OK)
    yield from _mapping_steps(directory.mapping(entry), account, directory)
    yield _state_step(entry)


def _mapping_steps(
    mapped: Mapped | Unmapped, account: Account | None, directory: Directory
) -> Iterator[Step]:
    if isinstance(mapped, Unmapped):
        rule = f"The field {mapped.field} could not be filled."
        who = "directory admin"
        yield Step("mapping", mapped.reason, rule, Outcome.FAILED, who)
        return
    facts = tuple(
        (
            field,
            f"{_shown(mapped, field)}  <- {rule.attribute}{_arrow(rule.transforms)}",
        )
        for field, rule in mapped.provenance.items()
    )
    found, outcome = "Every field comes from the rule beside it.", Outcome.OK
    if account is not None:
        after = as_mapped(directory.policy, account, mapped.values, datetime.now(UTC))
        _, changed = differences(account, after)
        if changed:
            found = f"Changed since the last sync: {', '.join(changed)}."
            outcome = Outcome.WARNING
    notes = tuple(("dropped", note) for note in mapped.notes)
    yield Step("mapping", found, "", outcome, facts=(*facts, *notes))


def _shown(mapped: Mapped, field: str) -> str:
    value = getattr(mapped.values, field, None)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _arrow(transforms: tuple[str, ...]) -> str:
    return f" ({', '.join(transforms)})" if transforms else ""


def _state_step(entry: Entry) -> Step:
    reasons = barriers(entry, datetime.now(UTC))
    if not reasons:
        found = "The directory shows nothing that would stop a login."
        return Step("state", found, "Read live.", Outcome.OK)
    text = " ".join(REASONS[reason].text for reason in reasons)
    facts = tuple((str(reason), REASONS[reason].next) for reason in reasons)
    # Only some mail servers are refused by a workstation restriction.
    mild = set(reasons) == {Reason.WORKSTATION}
    outcome = Outcome.WARNING if mild else Outcome.FAILED
    return Step("state", text, "Read live.", outcome, REASONS[reasons[0]].who, facts)


def _left_out(found: Found) -> Step:
    where = f"The directory has {found.entry.dn}"
    if found.excluded_by:
        names = "; ".join(f"{one.name}: {one.why}" for one in found.excluded_by)
        text = f"{where}, but the mapping leaves it out."
        return Step("entry", text, names, Outcome.FAILED, "mail admin")
    if not found.in_scope:
        rule = "Only entries below the base that match the filter become accounts."
        text = f"{where}, which is outside of what is synced."
        return Step("entry", text, rule, Outcome.FAILED, "mail admin")
    text = f"{where}; it has no account yet. Run `dirbridge sync`."
    return Step("entry", text, "", Outcome.FAILED, "mail admin")


def _cannot_ask(error: DirectoryError) -> Step:
    problem: Problem = problems_of(error)[0]
    text = f"{problem.text} {problem.next}"
    return Step("entry", text, problem.where, Outcome.UNKNOWN, "mail admin")
