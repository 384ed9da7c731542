"""Accounts, runs, changes and attempts as rows, and back; rows go no further."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from sqlalchemy import select

from dirbridge.model.account import (
    Account,
    AccountState,
    AccountValues,
    KeptAddress,
    Origin,
    Role,
)
from dirbridge.model.login import (
    Accepted,
    Attempt,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.plan import Change, Value
from dirbridge.store.base import (
    AuditRow,
    NameKind,
    RecordedAttempt,
    Run,
    RunResult,
)
from dirbridge.store.schema import (
    AccountRow,
    AddressKind,
    AttemptRow,
    ChangeRow,
    RunRow,
    key,
)

Row = dict[str, object]

ACCOUNT = select(
    AccountRow.number,
    AccountRow.domain,
    AccountRow.mailbox,
    AccountRow.origin,
    AccountRow.role,
    AccountRow.state,
    AccountRow.state_reason,
    AccountRow.state_since,
    AccountRow.source,
    AccountRow.directory_id,
    AccountRow.dn,
    AccountRow.principal,
    AccountRow.display_name,
    AccountRow.given_name,
    AccountRow.surname,
    AccountRow.forward,
    AccountRow.quota,
    AccountRow.title,
    AccountRow.department,
    AccountRow.phone,
    AccountRow.entry_state,
    AccountRow.entry_state_reason,
    AccountRow.expires_at,
    AccountRow.created_at,
)
"""What `account` reads, in this order."""

RUN = select(
    RunRow.number,
    RunRow.domain,
    RunRow.source,
    RunRow.server,
    RunRow.kind,
    RunRow.started_at,
    RunRow.finished_at,
    RunRow.result,
    RunRow.read,
    RunRow.changes,
    RunRow.known,
    RunRow.why,
)
CHANGE = select(
    ChangeRow.run,
    ChangeRow.at,
    ChangeRow.op,
    ChangeRow.account,
    ChangeRow.name,
    ChangeRow.before,
    ChangeRow.after,
    ChangeRow.why,
    ChangeRow.server,
)
ATTEMPT = select(
    AttemptRow.at,
    AttemptRow.verdict,
    AttemptRow.reason,
    AttemptRow.user,
    AttemptRow.request_name,
    AttemptRow.method,
    AttemptRow.server,
    AttemptRow.detail,
    AttemptRow.service,
    AttemptRow.hook,
    AttemptRow.remote_ip,
    AttemptRow.local_ip,
    AttemptRow.milliseconds,
)


@dataclass(slots=True)
class Lists:
    """An account's lists while its rows are gathered, each in its order."""

    logins: list[str] = field(default_factory=list)
    upn: str | None = None
    primary: Address | None = None
    aliases: list[Address] = field(default_factory=list)
    kept: list[KeptAddress] = field(default_factory=list)

    def add_name(self, kind: str, name: str) -> None:
        """Take a row of `names`."""
        if kind == NameKind.LOGIN:
            self.logins.append(name)
        else:
            self.upn = name

    def add_address(self, kind: str, address: str, until: datetime | None) -> None:
        """Take a row of `addresses`."""
        if kind == AddressKind.PRIMARY:
            self.primary = Address(address)
        elif kind == AddressKind.ALIAS:
            self.aliases.append(Address(address))
        elif until is not None:
            self.kept.append(KeptAddress(Address(address), until))


def account(row: Sequence[Any], lists: Lists) -> Account:
    """Build an account from a row of `ACCOUNT` and its lists."""
    (number, domain, mailbox, origin, role, state, reason, since, source) = row[:9]
    (directory_id, dn, principal, display, given, surname, forward) = row[9:16]
    (quota, title, department, phone, said, said_reason, expires, created) = row[16:]
    return Account(
        number=number,
        domain=DomainName(domain),
        mailbox=mailbox,
        origin=Origin(origin),
        role=Role(role),
        state=AccountState(state),
        state_reason=reason,
        state_since=since,
        source=source,
        kept=tuple(lists.kept),
        values=AccountValues(
            directory_id=DirectoryId(directory_id),
            dn=dn,
            login_names=tuple(lists.logins),
            upn=lists.upn,
            principal=principal,
            display_name=display,
            given_name=given,
            surname=surname,
            primary_address=lists.primary,
            aliases=tuple(lists.aliases),
            forward=forward,
            quota=quota,
            title=title,
            department=department,
            phone=phone,
            state=AccountState(said),
            state_reason=said_reason,
            expires_at=expires,
            created_at=created,
        ),
    )


def account_row(account: Account) -> Row:
    """Return an account's row without its number."""
    values = account.values
    return {
        "domain": account.domain,
        "mailbox": account.mailbox,
        "mailbox_key": key(account.mailbox),
        "origin": account.origin.value,
        "role": account.role.value,
        "state": account.state.value,
        "state_reason": account.state_reason,
        "state_since": account.state_since,
        "source": account.source,
        "directory_id": values.directory_id,
        "dn": values.dn,
        "principal": values.principal,
        "display_name": values.display_name,
        "given_name": values.given_name,
        "surname": values.surname,
        "forward": values.forward,
        "quota": values.quota,
        "title": values.title,
        "department": values.department,
        "phone": values.phone,
        "entry_state": values.state.value,
        "entry_state_reason": values.state_reason,
        "expires_at": values.expires_at,
        "created_at": values.created_at,
    }


def name_rows(number: int, values: AccountValues) -> Iterable[Row]:
    """Return the rows of `names` of one account."""
    upns = () if values.upn is None else (values.upn,)
    for kind, names in ((NameKind.LOGIN, values.login_names), (NameKind.UPN, upns)):
        for position, name in enumerate(names):
            yield {
                "account": number,
                "kind": kind.value,
                "position": position,
                "name": name,
                "key": key(name),
            }


def address_rows(number: int, account: Account) -> Iterable[Row]:
    """Return the rows of `addresses` of one account."""
    live: set[str] = set()
    for kind, position, address, until in _addresses(account):
        folded = key(address)
        holds = kind is not AddressKind.KEPT and is_live(account)
        yield {
            "account": number,
            "kind": kind.value,
            "position": position,
            "address": address,
            "key": folded,
            "until": until,
            "live": holds and folded not in live,
        }
        live.add(folded)


def is_live(account: Account) -> bool:
    """Return whether nobody else may have this account's addresses."""
    return account.state is not AccountState.REMOVED


def is_storable(text: str) -> bool:
    """Return whether every database can hold a text: no NUL, no lone surrogate."""
    try:
        return b"\0" not in text.encode("utf-8")
    except UnicodeEncodeError:
        return False


_LARGEST = 2**63 - 1


class Unstorable(ValueError):
    """An account holds what no database can; names its id and field, no value."""


def check_storable(account: Account) -> None:
    """Refuse an account that not every database can hold.

    SQLite would take a NUL that PostgreSQL refuses; a store must not depend on it.

    Raises:
        Unstorable: A text, a time without a zone, or a number is out of bounds.
    """
    kept = {f"kept until {i}": k.until for i, k in enumerate(account.kept)}
    held = {**account_row(account), **kept, "lists": "".join(_listed(account))}
    for name, value in held.items():
        match value:
            case str():
                good = is_storable(value)
            case datetime():
                good = value.tzinfo is not None
            case int():
                good = abs(value) <= _LARGEST
            case _:
                good = True
        if not good:
            who = ascii(account.values.directory_id)
            raise Unstorable(f"{name} of {who} cannot be stored")


def _listed(account: Account) -> Iterable[str]:
    values = account.values
    yield values.upn or ""
    yield from values.login_names
    for _, _, address, _ in _addresses(account):
        yield address


def _addresses(
    account: Account,
) -> Iterable[tuple[AddressKind, int, Address, datetime | None]]:
    values = account.values
    if values.primary_address is not None:
        yield AddressKind.PRIMARY, 0, values.primary_address, None
    for position, address in enumerate(values.aliases):
        yield AddressKind.ALIAS, position, address, None
    for position, kept in enumerate(account.kept):
        yield AddressKind.KEPT, position, kept.address, kept.until


def run(row: Sequence[Any]) -> Run:
    """Build a run from a row of `RUN`."""
    number, domain, source, server, kind, started, finished, result = row[:8]
    read, changes, known, why = row[8:]
    return Run(
        number=number,
        domain=DomainName(domain),
        source=source,
        server=server,
        kind=kind,
        started_at=started,
        finished_at=finished,
        result=RunResult(result),
        read=read,
        changes=json.loads(changes),
        known=tuple(json.loads(known)),
        why=why,
    )


def run_row(run: Run) -> Row:
    """Return a run's row without its number."""
    return {
        "domain": run.domain,
        "source": run.source,
        "server": run.server,
        "kind": run.kind,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "result": run.result.value,
        "read": run.read,
        "changes": as_json(run.changes),
        "known": as_json(run.known),
        "why": run.why,
    }


def audit_row(run: Run, server: str, change: Change) -> AuditRow:
    """Return what the audit keeps of a change."""
    return AuditRow(
        run=run.number,
        at=run.finished_at,
        op=change.op.value,
        account=change.account,
        name=change.name,
        before=as_json(change.before),
        after=as_json(change.after),
        why=change.why,
        server=server,
    )


def change_row(told: AuditRow) -> Row:
    """Return an audit row as a row of `changes`, without its position."""
    return {field.name: getattr(told, field.name) for field in fields(told)}


def as_json(value: Mapping[str, Value] | Mapping[str, int] | Sequence[str]) -> str:
    """Return JSON with its keys sorted; NUL cannot occur, as JSON escapes it."""
    plain = dict(value) if isinstance(value, Mapping) else list(value)
    return json.dumps(plain, ensure_ascii=False, sort_keys=True)


_LONGEST_TEXT = 255
_VERDICTS: tuple[tuple[type[Verdict], str], ...] = (
    (Accepted, "accepted"),
    (Rejected, "rejected"),
    (Unavailable, "unavailable"),
)


def attempt_row(attempt: Attempt, at: datetime) -> Row:
    """Return an attempt's row; it holds no password."""
    kept = storable(attempt)
    verdict = kept.verdict
    return {
        "at": at,
        "verdict": next(name for kind, name in _VERDICTS if type(verdict) is kind),
        "reason": _reason(verdict),
        "user": verdict.user,
        "user_key": key(verdict.user),
        "request_name": kept.request_name,
        "name_key": key(kept.request_name),
        "method": verdict.method,
        "server": verdict.server,
        "detail": "" if isinstance(verdict, Accepted) else verdict.detail,
        "service": kept.service,
        "hook": kept.hook,
        "remote_ip": None if kept.remote_ip is None else str(kept.remote_ip),
        "local_ip": None if kept.local_ip is None else str(kept.local_ip),
        "milliseconds": kept.milliseconds,
    }


def attempt(row: Sequence[Any]) -> RecordedAttempt:
    """Build an attempt from a row of `ATTEMPT`."""
    at, verdict, reason, user, name, method, server, detail = row[:8]
    service, hook, remote, local, milliseconds = row[8:]
    return RecordedAttempt(
        at,
        Attempt(
            verdict=_verdict(verdict, reason, (user, method, server, detail)),
            request_name=name,
            service=service,
            hook=hook,
            remote_ip=None if remote is None else ip_address(remote),
            local_ip=None if local is None else ip_address(local),
            milliseconds=milliseconds,
        ),
    )


def storable(attempt: Attempt) -> Attempt:
    """Return an attempt with every text that a stranger sent made harmless."""
    return Attempt(
        verdict=_storable_verdict(attempt.verdict),
        request_name=_harmless(attempt.request_name),
        service=_harmless(attempt.service),
        hook=_harmless(attempt.hook),
        remote_ip=attempt.remote_ip,
        local_ip=attempt.local_ip,
        milliseconds=attempt.milliseconds,
    )


def _storable_verdict(verdict: Verdict) -> Verdict:
    if isinstance(verdict, Accepted):
        return verdict
    detail = _harmless(verdict.detail)
    rest = (verdict.user, verdict.method, verdict.server, detail)
    if isinstance(verdict, Rejected):
        return Rejected(verdict.reason, *rest)
    return Unavailable(verdict.cause, *rest)


def _harmless(text: str) -> str:
    """Shorten a text and replace what no database holds."""
    encoded = text[:_LONGEST_TEXT].encode("utf-8", "replace")
    return encoded.decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _reason(verdict: Verdict) -> str:
    match verdict:
        case Accepted():
            return ""
        case Rejected():
            return verdict.reason.value
        case Unavailable():
            return verdict.cause.value


def _verdict(kind: str, reason: str, rest: tuple[str, str, str, str]) -> Verdict:
    if kind == "accepted":
        return Accepted(*rest[:3])
    if kind == "rejected":
        return Rejected(Reason(reason), *rest)
    return Unavailable(Cause(reason), *rest)
