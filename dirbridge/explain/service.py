"""Why somebody can or cannot log in, step by step and without the password.

No rule is written here a second time: the steps call the very functions that a
login and a sync call, and tell what those returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from socket import gethostname

from dirbridge.authenticators.base import Authenticator
from dirbridge.directory import account_facts
from dirbridge.directory.account_state import barriers
from dirbridge.errors import ConfigError, DirectoryError
from dirbridge.explain.credentials import (
    app_password_steps,
    is_local,
    local_step,
    method_rule,
    of_no_matter,
)
from dirbridge.explain.directory import Directory
from dirbridge.explain.groups import (
    Groups,
    access_step,
    group_steps,
    stored_groups,
)
from dirbridge.explain.guarding import Guarding
from dirbridge.login.domains import Resolution, Resolver
from dirbridge.login.refusals import barred_by, refuse
from dirbridge.model.account import LIVE, Account, AccountState, AccountValues, Origin
from dirbridge.model.entry import Entry, Finished, Found, ReadKind
from dirbridge.model.fields import differences
from dirbridge.model.finding import Explanation, Finding, Outcome, Step
from dirbridge.model.login import Accepted, Attempt, IPAddress, IPNetwork, Reason
from dirbridge.model.mapping import (
    Elsewhere,
    Mapped,
    MappingResult,
    Unmapped,
)
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.plan import Change, Op, Plan
from dirbridge.model.secret import Secret
from dirbridge.model.sentences import REASONS, Advice, problems_of
from dirbridge.store.base import StoreView
from dirbridge.sync.planner import Policy, as_mapped, make_plan
from dirbridge.sync.read import read_of

_ANY_PASSWORD = Secret("x")

_BARS = frozenset({Outcome.FAILED, Outcome.UNKNOWN})
_TAKEN_AWAY = frozenset({AccountState.DEACTIVATED, AccountState.REMOVED})
_STATE = frozenset({"state", "state_reason"})

ATTEMPTS = 5
"""How many of the newest attempts are shown."""


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explain logins.

    Attributes:
        resolver: Finds who is meant, as a login does.
        directories: Each domain's directories.
        methods: Gives the authenticators of an account, in order.
        required_from: For each domain the clients' networks from which only app
            passwords are taken.
        guarding: Tells what the guard knows of an account.
    """

    resolver: Resolver
    directories: Mapping[DomainName, tuple[Directory, ...]]
    methods: Callable[[Account], tuple[Authenticator, ...]]
    required_from: Mapping[DomainName, tuple[IPNetwork, ...]] = field(
        default_factory=dict
    )
    guarding: Guarding = field(default_factory=Guarding)

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
            if not found.accounts:
                yield from self._unknown_entries(found)
            return
        # What the directory says now decides what to do about the stored state.
        live = tuple(self._entry(account)) if account.origin is Origin.MAPPED else ()
        yield _account_step(account, found, live)
        store = self.resolver.store
        yield from map(of_no_matter, live) if is_local(store, account) else live
        networks = self.required_from.get(account.domain, ())
        yield from app_password_steps(store, account, networks, remote_ip)
        yield from self._methods(account)
        yield from self.guarding.steps(store, account, remote_ip)
        yield self._attempts(account)

    def _attempts(self, account: Account) -> Step:
        recorded = self.resolver.store.attempts(account.canonical, ATTEMPTS)
        facts = tuple(
            (f"{one.at:%F %H:%M:%S}", _attempt_line(one.attempt)) for one in recorded
        )
        found = "The newest attempts:" if facts else "No attempt is recorded."
        return Step("attempts", found, "", Outcome.OK, facts=facts)

    def _unknown_entries(self, found: Resolution) -> Iterator[Step]:
        """Look whether the directories know a name that the store does not."""
        for domain in found.domains:
            for directory in self.directories.get(domain, ()):
                try:
                    entries = _looked_up(directory, found.names_in(domain))
                except (ConfigError, DirectoryError) as error:
                    yield from _cannot_ask("entry", error)
                else:
                    yield from self._not_accounts(directory, entries)

    def _not_accounts(
        self,
        directory: Directory,
        entries: Iterable[Found],
        gone: frozenset[DirectoryId] = frozenset(),
    ) -> Iterator[Step]:
        """Say of each entry why it has no account with the name.

        Args:
            directory: Where they are.
            entries: What was found.
            gone: Whose entry is not there any more, which no sync may have seen.
        """
        mapped = [(one, directory.mapping(one.entry)) for one in entries]
        if not mapped:
            found = (
                "The directory has no entry with this name. Check the spelling, or "
                "have the person entered there."
            )
            yield Step("entry", found, "", Outcome.FAILED, "directory admin")
        with self.resolver.store.view() as view:
            plan = _planned(directory.policy, view, mapped, gone)
            ids = [one.entry.id for one, _ in mapped]
            policy = directory.policy
            stored = view.by_id(policy.domain, policy.source, ids)
            known = stored_groups(view, policy)
        for one, result in mapped:
            changes = [c for c in plan.changes if c.account == one.entry.id]
            mine = stored.get(one.entry.id)
            outside = _outside(directory, known, result, mine)
            yield _left_out(one) or outside or _not_yet(one, result, changes, mine)
            yield from _mapping_steps(one.entry, result, None, directory)
            if isinstance(result, Mapped):
                yield from group_steps(Groups.of(known, result.values))

    def _entry(self, account: Account) -> Iterator[Step]:
        for directory in self.directories.get(account.domain, ()):
            if directory.connector.source == account.source:
                yield from self._live(account, directory)

    def _live(self, account: Account, directory: Directory) -> Iterator[Step]:
        """Tell what the directory has of an account now, and what a sync would do."""
        policy = directory.policy
        if policy.protects(account):
            text = "No sync touches this account: it stands in `protected`."
            yield Step("protected", text, "", Outcome.OK)
        try:
            entry = directory.connector.find(account.values.directory_id)
            if entry is None:
                yield from self._gone(account, directory)
                return
        except (ConfigError, DirectoryError) as error:
            yield from _cannot_ask("entry", error)
            return
        yield Step("entry", f"The directory has {entry.dn}.", "", Outcome.OK)
        yield from self._read(account, entry, directory)
        yield _state_step(entry)

    def _read(
        self, account: Account, entry: Entry, directory: Directory
    ) -> Iterator[Step]:
        """Tell what a sync would make of an account's entry."""
        policy, result = directory.policy, directory.mapping(entry)
        with self.resolver.store.view() as view:
            known = stored_groups(view, policy)
            plan = (
                _made(policy, view, (result,)) if isinstance(result, Mapped) else None
            )
        access = tuple(_access(directory, known, result, account))
        barred = any(one.outcome in _BARS for one in access)
        yield from _mapping_steps(entry, result, account, directory, barred=barred)
        if plan is not None:
            yield from _conflict_steps(plan)
        if isinstance(result, Mapped):
            yield from group_steps(Groups.of(known, result.values))
        yield from access

    def _gone(self, account: Account, directory: Directory) -> Iterator[Step]:
        """Tell that an entry is gone, and of new ones with its names.

        Raises:
            DirectoryError: The directory cannot be asked.
        """
        who = account.values.directory_id
        text = f"The directory has no entry {who} any more."
        found = _looked_up(directory, account.values.login_names)
        if found:
            # What is said of these decides what to do.
            yield Step("entry", text, "", Outcome.FAILED)
            yield from self._not_accounts(directory, found, frozenset({who}))
            return
        text += " Have it restored there, then run `dirbridge sync`."
        yield Step("entry", text, "", Outcome.FAILED, "directory admin")

    def _methods(self, account: Account) -> Iterator[Step]:
        store = self.resolver.store
        if is_local(store, account):
            yield local_step(store, account)
            return
        try:
            findings = [(one.method, one.check()) for one in self.methods(account)]
        except (ConfigError, DirectoryError) as error:
            yield from _cannot_ask("method", error)
            return
        usable = [method for method, seen in findings if not _lacking(seen)]
        facts = tuple(
            (method, "; ".join(one.text for one in _doubtful(seen)) or "is set up")
            for method, seen in findings
        )
        yield Step(
            "method",
            f"Asked in this order: {', '.join(m for m, _ in findings) or 'nobody'}.",
            method_rule(store, account),
            Outcome.OK if usable else Outcome.UNKNOWN,
            "" if usable else "mail admin",
            facts,
        )


def _attempt_line(attempt: Attempt) -> str:
    verdict = attempt.verdict
    word = type(verdict).__name__.lower()
    why = getattr(verdict, "reason", getattr(verdict, "cause", ""))
    by = f"by {verdict.method}" if verdict.method else ""
    place = f"from {attempt.remote_ip or 'unknown'}"
    times = f"{attempt.times} times" if attempt.times > 1 else ""
    parts = (word, times, why, by, attempt.service, place)
    told = " ".join(part for part in parts if part)
    detail = "" if isinstance(verdict, Accepted) else verdict.detail
    return f"{told}: {detail}" if detail else told


def _lacking(findings: list[Finding]) -> list[Finding]:
    return [one for one in findings if one.outcome is Outcome.FAILED]


def _doubtful(findings: list[Finding]) -> list[Finding]:
    return [one for one in findings if one.outcome is not Outcome.OK]


def _bad(name: str, reason: Reason, rule: str) -> Step:
    advice = REASONS[reason]
    found = f"{advice.text} {advice.next}"
    return Step(name, found, rule, Outcome.FAILED, advice.who)


def _domain_step(found: Resolution) -> Step:
    names = ", ".join(found.domains) or "none"
    outcome = Outcome.OK if found.domains else Outcome.FAILED
    return Step("domain", f"The mail domain is {names}.", found.rule, outcome)


def _account_missing(found: Resolution) -> Step:
    rule = "Compared: login names, UPNs, primary addresses, aliases."
    advice = REASONS[found.reason or Reason.UNKNOWN]
    asked = bool(found.domains) and not found.accounts
    # Where directories are asked next, what they say decides what to do.
    text = advice.text if asked else f"{advice.text} {advice.next}"
    facts = tuple(
        (one.canonical, f"{one.state}, {one.values.dn or one.origin}")
        for one in found.accounts
    )
    return Step("account", text, rule, Outcome.FAILED, advice.who, facts)


def _account_step(account: Account, found: Resolution, live: tuple[Step, ...]) -> Step:
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
    # The reason that was stored says the same as the advice, and more exactly.
    why = account.state_reason if account.state is not AccountState.ACTIVE else None
    then, who = _mend(account, advice, live)
    found_text = f"{text}. {_sentence(why or advice.text)} {then}"
    return Step("account", found_text, rule, Outcome.FAILED, who, facts)


def _mend(account: Account, advice: Advice, live: tuple[Step, ...]) -> tuple[str, str]:
    """Return what to do about an account that is barred, and who can."""
    if account.origin is Origin.LOCAL or account.state not in _TAKEN_AWAY:
        return advice.next, advice.who
    lacking = (s.who_can_fix for s in live if s.outcome is Outcome.FAILED)
    who = next(filter(None, lacking), "")
    if who:
        return "What to do is said below.", who
    if any(s.outcome is Outcome.UNKNOWN for s in live):
        return "Mend what is said below, and ask again.", "mail admin"
    return "Run `dirbridge sync`.", "mail admin"


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _conflict_steps(plan: Plan) -> Iterator[Step]:
    """Tell what the account may not have, and why."""
    for change in plan.of(Op.CONFLICT):
        rule = "Nobody gets another's name or address by chance."
        who = "mail admin"
        yield Step("conflict", change.why, rule, Outcome.WARNING, who)


def _access(
    directory: Directory,
    known: Mapping[DirectoryId, AccountValues],
    mapped: MappingResult,
    account: Account | None,
) -> Iterator[Step]:
    """Tell whether somebody may have a mailbox here; a group is asked anew."""
    policy = directory.policy
    if isinstance(mapped, Elsewhere):
        yield _elsewhere(mapped, policy, account)
    if policy.require_group is None or not isinstance(mapped, Mapped):
        return
    groups = Groups.of(known, mapped.values)
    group = groups.required(policy)
    try:
        if group is not None:
            groups = groups.anew(group, directory.connector, directory.mapping)
    except (ConfigError, DirectoryError) as error:
        yield from _cannot_ask("access", error)
        return
    yield access_step(groups, group, policy, account)


def _outside(
    directory: Directory,
    known: Mapping[DirectoryId, AccountValues],
    result: MappingResult,
    account: Account | None,
) -> Step | None:
    """Say why an entry gets no mailbox in this domain, None where it does."""
    steps = _access(directory, known, result, account)
    return next((one for one in steps if one.outcome in _BARS), None)


def _elsewhere(result: Elsewhere, policy: Policy, account: Account | None) -> Step:
    live = account is not None and account.state in LIVE
    then = "The next sync takes it out. " if live else ""
    text = (
        f"{result.why} {then}Give it an address of {policy.domain} if it shall have a "
        "mailbox here."
    )
    rule = 'Only entries with an address of the domain (take = "by-address").'
    outcome = Outcome.WARNING if live else Outcome.FAILED
    return Step("access", text, rule, outcome, "directory admin")


def _mapping_steps(
    entry: Entry,
    mapped: MappingResult,
    account: Account | None,
    directory: Directory,
    *,
    barred: bool = False,
) -> Iterator[Step]:
    """Tell where the values come from; who is barred stays in the stored state."""
    if isinstance(mapped, Elsewhere):
        return
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
        for field, rule in directory.provenance(entry).items()
    )
    found, outcome = "Every field comes from the rule beside it.", Outcome.OK
    if account is not None:
        after = as_mapped(directory.policy, account, mapped, datetime.now(UTC))
        _, differing = differences(account, after)
        changed = [name for name in differing if not (barred and name in _STATE)]
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
    now = datetime.now(UTC)
    reasons = barriers(entry, now, gethostname())
    seen = account_facts.facts(entry, now)
    if not reasons:
        found = "The directory shows nothing that would stop a login."
        return Step("state", found, "Read live.", Outcome.OK, facts=seen)
    text = " ".join(REASONS[reason].text for reason in reasons)
    mends = tuple((str(reason), REASONS[reason].next) for reason in reasons)
    # Only some mail servers are refused by a workstation restriction.
    mild = set(reasons) == {Reason.WORKSTATION}
    outcome = Outcome.WARNING if mild else Outcome.FAILED
    who = REASONS[reasons[0]].who
    return Step("state", text, "Read live.", outcome, who, (*mends, *seen))


def _looked_up(directory: Directory, names: Iterable[str]) -> tuple[Found, ...]:
    """Look several names up; an entry that has more than one of them comes once."""
    found = (one for name in names for one in directory.connector.lookup(name))
    return tuple({one.entry.id: one for one in found}.values())


def _planned(
    policy: Policy,
    view: StoreView,
    entries: Iterable[tuple[Found, MappingResult]],
    gone: frozenset[DirectoryId],
) -> Plan:
    """Return what a sync would do if these entries were all that had changed."""
    return _made(
        policy,
        view,
        tuple(
            result
            for one, result in entries
            if isinstance(result, Mapped) and _left_out(one) is None
        ),
        gone,
    )


def _made(
    policy: Policy,
    view: StoreView,
    mapped: tuple[Mapped, ...],
    gone: frozenset[DirectoryId] = frozenset(),
) -> Plan:
    finished = Finished(ReadKind.DELTA, complete=True, server="", base="")
    read = read_of(finished, mapped, gone=gone)
    return make_plan(policy, view, read, datetime.now(UTC))


def _left_out(found: Found) -> Step | None:
    """Say why no sync takes the entry, or None where one does."""
    if found.excluded_by:
        names = "; ".join(f"{one.name}: {one.why}" for one in found.excluded_by)
        text = f"{_there(found)}, but the mapping leaves it out."
        return Step("entry", text, names, Outcome.FAILED, "mail admin")
    if not found.in_scope:
        rule = "Only entries below the base that match the filter become accounts."
        text = f"{_there(found)}, which is outside of what is synced."
        return Step("entry", text, rule, Outcome.FAILED, "mail admin")
    return None


def _not_yet(
    found: Found,
    mapped: MappingResult,
    changes: Iterable[Change],
    account: Account | None,
) -> Step:
    """Say why an entry that a sync takes has no account with the name."""
    lost = [change for change in changes if change.op is Op.CONFLICT]
    why = " ".join(change.why for change in lost)
    # These are answered here, not in the directory.
    ours = any(c.after.get("conflict") in {"user-limit", "recreated"} for c in lost)
    who = "directory admin" if lost and not ours else "mail admin"
    if isinstance(mapped, Unmapped):
        text, who = "it cannot be mapped, so no sync takes it.", "directory admin"
    elif any(change.op is not Op.CONFLICT for change in changes):
        it = (
            f"its account {account.canonical} lacks this name"
            if account
            else ("it has no account")
        )
        text = f"{it} yet. Run `dirbridge sync`. {why}"
    elif lost:
        text = f"a sync does not take it as it is. {why}"
    else:
        whose = f"its account is {account.canonical}" if account else "it has none"
        text = f"{whose}, which does not have this name. Use one of its names below."
    return Step("entry", f"{_there(found)}; {text.strip()}", "", Outcome.FAILED, who)


def _there(found: Found) -> str:
    return f"The directory has {found.entry.dn}"


def _cannot_ask(step: str, error: ConfigError | DirectoryError) -> Iterator[Step]:
    for problem in problems_of(error):
        text = f"{problem.text} {problem.next}"
        yield Step(step, text, problem.where, Outcome.UNKNOWN, "mail admin")
