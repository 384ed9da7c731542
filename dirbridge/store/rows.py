"""Accounts, runs, changes and attempts as rows, and back; rows go no further."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from ipaddress import ip_address
from operator import attrgetter
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
from dirbridge.model.entry import EntryKind
from dirbridge.model.fields import Value
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
from dirbridge.model.plan import Approval, Change, Op
from dirbridge.model.recipient import By, Reference
from dirbridge.store.base import (
    AuditRow,
    NameKind,
    Notice,
    RecordedAttempt,
    Run,
    RunResult,
)
from dirbridge.store.schema import (
    AccountRow,
    AddressKind,
    AttemptRow,
    ChangeRow,
    NoticeRow,
    OfferRow,
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
    AccountRow.kind,
    AccountRow.digest,
    AccountRow.name,
    AccountRow.group_number,
    AccountRow.primary_group,
    AccountRow.forward_dn,
    AccountRow.forward_keep,
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
OFFER = select(
    OfferRow.id,
    OfferRow.domain,
    OfferRow.source,
    OfferRow.covers,
    OfferRow.offered_at,
    OfferRow.until,
    OfferRow.used_by,
)
NOTICE = select(
    NoticeRow.key,
    NoticeRow.domain,
    NoticeRow.code,
    NoticeRow.text,
    NoticeRow.next,
    NoticeRow.since,
    NoticeRow.told_at,
    NoticeRow.over_at,
).order_by(NoticeRow.since, NoticeRow.key)
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
    AttemptRow.times,
)


@dataclass(slots=True)
class Lists:
    """An account's lists while its rows are gathered, each in its order."""

    logins: list[str] = field(default_factory=list)
    upn: str | None = None
    primary: Address | None = None
    aliases: list[Address] = field(default_factory=list)
    kept: list[KeptAddress] = field(default_factory=list)
    members: list[Reference] = field(default_factory=list)

    def add_name(self, kind: str, name: str) -> None:
        """Take a row of `names`."""
        if kind == NameKind.LOGIN:
            self.logins.append(name)
        else:
            self.upn = name

    def add_address(self, kind: str, address: str, until: datetime | None) -> None:
        """Take a row of `addresses`."""
        if kind in _PRIMARY:
            self.primary = Address(address)
        elif kind in _ALIAS:
            self.aliases.append(Address(address))
        elif until is not None:
            self.kept.append(KeptAddress(Address(address), until))

    def add_member(self, by: str, value: str) -> None:
        """Take a row of `members`."""
        self.members.append(Reference(By(by), value))


_PRIMARY = (AddressKind.PRIMARY.value, AddressKind.TO_PRIMARY.value)
_ALIAS = (AddressKind.ALIAS.value, AddressKind.TO_ALIAS.value)


# Faster than to call the enum, and there are five in each account.
_ORIGINS = {word.value: word for word in Origin}
_ROLES = {word.value: word for word in Role}
_STATES = {word.value: word for word in AccountState}
_KINDS = {word.value: word for word in EntryKind}


def account(row: Sequence[Any], lists: Lists) -> Account:
    """Build an account from a row of `ACCOUNT` and its lists."""
    (number, domain, mailbox, origin, role, state, reason, since, source) = row[:9]
    (directory_id, dn, principal, display, given, surname, forward) = row[9:16]
    (quota, title, department, phone, said, said_reason, expires, created) = row[16:24]
    (kind, digest, name, group_number, primary_group, forward_dn, keep) = row[24:]
    return Account(
        number=number,
        domain=DomainName(domain),
        mailbox=mailbox,
        origin=_ORIGINS[origin],
        role=_ROLES[role],
        state=_STATES[state],
        state_reason=reason,
        state_since=since,
        source=source,
        kept=tuple(lists.kept),
        digest=digest or b"",
        values=AccountValues(
            directory_id=DirectoryId(directory_id),
            kind=_KINDS[kind],
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
            forward_dn=forward_dn,
            forward_keep=keep,
            quota=quota,
            title=title,
            department=department,
            phone=phone,
            name=name,
            members=tuple(lists.members),
            number=group_number,
            primary_group=primary_group,
            state=_STATES[said],
            state_reason=said_reason,
            expires_at=expires,
            created_at=created,
        ),
    )


def mailbox_key(account: Account) -> str:
    """Return what an account's mailbox name is unique by in its domain.

    Groups and contacts have none, so theirs is their identity: it begins with a
    blank, as no mailbox name does.
    """
    if account.kind is EntryKind.ACCOUNT:
        return key(account.mailbox)
    return f" {len(account.source)}:{account.source}{account.values.directory_id}"


def is_live(account: Account) -> bool:
    """Return whether nobody else may have this account's addresses."""
    return account.state is not AccountState.REMOVED


def is_storable(text: str) -> bool:
    """Return whether every database can hold a text: no NUL, no lone surrogate."""
    if text.isascii():
        return "\0" not in text
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
    # One look at all texts at once; names of fields are only made for bad news.
    if is_storable(_texts(account)) and _fits(account):
        return
    who = ascii(account.values.directory_id)
    raise Unstorable(f"{_unstorable(account)} of {who} cannot be stored")


def _fits(account: Account) -> bool:
    """Tell whether every time has a zone and no number is too large."""
    values = account.values
    return (
        account.state_since.tzinfo is not None
        and (values.expires_at is None or values.expires_at.tzinfo is not None)
        and (values.created_at is None or values.created_at.tzinfo is not None)
        and (values.quota is None or abs(values.quota) <= _LARGEST)
        and abs(account.number) <= _LARGEST
        and not any(kept.until.tzinfo is None for kept in account.kept)
    )


_OWN_TEXTS = attrgetter("domain", "mailbox", "source", "state_reason")
_TEXTS = attrgetter(
    *("directory_id", "dn", "upn", "principal", "display_name", "given_name"),
    *("surname", "primary_address", "forward", "forward_dn", "title", "department"),
    *("phone", "name", "number", "primary_group", "state_reason"),
)


def _texts(account: Account) -> str:
    """Return every text of an account in one."""
    v = account.values
    texts = [*filter(None, _TEXTS(v)), *v.login_names, *v.aliases]
    texts += filter(None, _OWN_TEXTS(account))
    if v.members or account.kept:
        texts += (member.value for member in v.members)
        texts += (kept.address for kept in account.kept)
    return "".join(texts)


def _unstorable(account: Account) -> str:
    """Return the first field that no database can hold."""
    for held in (account, account.values):
        for told in fields(held):
            if not _is_good(getattr(held, told.name)):
                return told.name
    return "a value"


def _is_good(value: object) -> bool:
    match value:
        case str(text) | Reference(value=text):
            good = is_storable(text)
        case datetime(tzinfo=zone):
            good = zone is not None
        case int():
            good = abs(value) <= _LARGEST
        case tuple():
            good = all(map(_is_good, value))
        case KeptAddress():
            good = _is_good(value.address) and _is_good(value.until)
        case _:
            good = True
    return good


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


def approval(row: Sequence[Any]) -> Approval:
    """Build an approval from a row of `OFFER`."""
    name, domain, source, covers, offered_at, until, used_by = row
    covered = ((Op(op), DirectoryId(one)) for op, one in json.loads(covers))
    return Approval(
        id=name,
        domain=DomainName(domain),
        source=source,
        covers=frozenset(covered),
        offered_at=offered_at,
        until=until,
        used_by=used_by,
    )


def offer_row(offer: Approval) -> Row:
    """Return an approval's row."""
    covers = sorted((op.value, one) for op, one in offer.covers)
    return {
        "id": offer.id,
        "domain": offer.domain,
        "source": offer.source,
        "covers": json.dumps(covers, ensure_ascii=False),
        "offered_at": offer.offered_at,
        "until": offer.until,
        "used_by": offer.used_by,
    }


def notice_row(notice: Notice) -> Row:
    """Return a notice's row."""
    return {field.name: getattr(notice, field.name) for field in fields(notice)}


_JSON = json.JSONEncoder(ensure_ascii=False, sort_keys=True)


def as_json(value: Mapping[str, Value] | Mapping[str, int] | Sequence[str]) -> str:
    """Return JSON with its keys sorted; NUL cannot occur, as JSON escapes it."""
    if not value:
        return "{}" if isinstance(value, Mapping) else "[]"
    plain = value if isinstance(value, dict | tuple) else dict(value)  # type: ignore[arg-type]
    return _JSON.encode(plain)


_LONGEST_TEXT = 255
_VERDICTS: Mapping[type[Verdict], str] = {
    Accepted: "accepted",
    Rejected: "rejected",
    Unavailable: "unavailable",
}


ATTEMPT_COLUMNS = (
    *("at", "verdict", "reason", "user", "user_key", "request_name", "name_key"),
    *("method", "server", "detail", "service", "hook", "remote_ip", "local_ip"),
    *("milliseconds", "times"),
)
"""What `attempt_row` gives, in its order; the database gives the number."""


def attempt_row(attempt: Attempt, at: object) -> tuple[object, ...]:
    """Return an attempt's row; it holds no password.

    Args:
        attempt: The attempt.
        at: Now, as the driver takes it.
    """
    verdict = attempt.verdict
    user, name = _harmless(verdict.user), _harmless(attempt.request_name)
    return (
        at,
        _VERDICTS[type(verdict)],
        _reason(verdict),
        user,
        key(user),
        name,
        key(name),
        verdict.method,
        _harmless(verdict.server),
        "" if isinstance(verdict, Accepted) else _harmless(verdict.detail),
        _harmless(attempt.service),
        _harmless(attempt.hook),
        None if attempt.remote_ip is None else str(attempt.remote_ip),
        None if attempt.local_ip is None else str(attempt.local_ip),
        attempt.milliseconds,
        attempt.times,
    )


def attempt(row: Sequence[Any]) -> RecordedAttempt:
    """Build an attempt from a row of `ATTEMPT`."""
    at, verdict, reason, user, name, method, server, detail = row[:8]
    service, hook, remote, local, milliseconds, times = row[8:]
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
            times=times,
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
        times=attempt.times,
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
    if text.isascii() and text.isprintable() and len(text) <= _LONGEST_TEXT:
        return text
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
