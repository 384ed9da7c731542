"""What needs a person after a run, and what is over; pure.

Each cause has one key, so that people are told of it once however many runs and
bridges meet it, and once more when it is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from dirbridge.errors import BindRefused, DirbridgeError, Problem, UnsafePlan
from dirbridge.model import sentences
from dirbridge.model.names import DomainName
from dirbridge.model.plan import Plan
from dirbridge.store.base import Notice, Run, RunResult


class Code(StrEnum):
    """The causes of notices."""

    STOPPED = "sync-stopped"
    FAILING = "sync-failing"
    REFUSED = "service-account-refused"
    CONFLICTS = "new-conflicts"
    USER_LIMIT = "user-limit"
    STORE = "store-away"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended, as far as notices care.

    Attributes:
        domain: The mail domain.
        source: The directory within it.
        result: How it ended.
        error: Why it failed or stopped, or None.
        new: Keys of what it found that needs a person and was not known before.
        known: Keys of all that is known to need a person, see `Run.known`; None
            where the run says nothing of it.
    """

    domain: DomainName
    source: str
    result: RunResult
    error: DirbridgeError | None = None
    new: frozenset[str] = frozenset()
    known: frozenset[str] | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        plan: Plan,
        run: Run | None,
        stopped: UnsafePlan | None,
        new: frozenset[str],
    ) -> Ended:
        """Return how a run ended that was no dry run.

        Args:
            plan: Its plan.
            run: The run as stored, None where nothing was.
            stopped: What stopped it, or None.
            new: Keys of what was not known before.
        """
        result = run.result if run else RunResult.UNCHANGED
        return cls(
            domain=plan.domain,
            source=plan.source,
            result=RunResult.STOPPED if stopped else result,
            error=stopped,
            new=new,
            known=frozenset(run.known) if run else None,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be kept, and what to be forgotten.

    Attributes:
        keep: Notices that are new or changed.
        forget: Keys of those that were over before anybody was told.
    """

    keep: tuple[Notice, ...] = ()
    forget: tuple[str, ...] = ()


def judge(
    ended: Ended,
    failures: int,
    most_failures: int,
    held: Mapping[str, Notice],
    now: datetime,
) -> Outcome:
    """Return what a run's end changes in the notices.

    Args:
        ended: The run.
        failures: How many runs have failed in a row, this one among them.
        most_failures: From how many on people are told.
        held: The notices that are there, by key.
        now: The present (UTC).
    """
    keep, forget = list[Notice](), list[str]()
    for code, problem in _causes(ended, failures, most_failures):
        key = _key(code, ended)
        before = held.get(key)
        if problem is None:
            if before is None or before.over_at is not None:
                continue
            if before.told_at is None:
                forget.append(key)
            else:
                keep.append(replace(before, over_at=now))
            continue
        found = _notice(key, code, ended, problem, now)
        after = _merged(before, found, again=code is Code.CONFLICTS)
        if after != before:
            keep.append(after)
    return Outcome(tuple(keep), tuple(forget))


def whose(key: str) -> tuple[str, str]:
    """Return the domain and the directory that a notice is about."""
    _, domain, source = (*key.split(" ", 2), "", "")[:3]
    return domain, source


def _key(code: Code, ended: Ended) -> str:
    return f"{code} {ended.domain} {ended.source}"


def conflicts(known: frozenset[str]) -> int:
    """Return how many conflicts are among the keys that a run knew."""
    return sum(not _is_unmapped(key) for key in known)


def _causes(
    ended: Ended, failures: int, most_failures: int
) -> Iterator[tuple[Code, Problem | None]]:
    """Yield each cause that the run tells something about; None where it is over."""
    if ended.result is RunResult.FAILED:
        if isinstance(ended.error, BindRefused):
            yield Code.REFUSED, _problem(ended)
        elif failures >= most_failures:
            yield Code.FAILING, _failing(ended, failures)
        return
    yield Code.REFUSED, None
    yield Code.FAILING, None
    if ended.result is RunResult.STOPPED:
        yield Code.STOPPED, _problem(ended)
        return
    yield Code.STOPPED, None
    if ended.known is not None:
        yield from _found(ended, ended.known)


def _found(
    ended: Ended, known: frozenset[str]
) -> Iterator[tuple[Code, Problem | None]]:
    limited = sum(map(_is_limit, known))
    there = conflicts(known) - limited
    new = sum(not _is_unmapped(key) and not _is_limit(key) for key in ended.new)
    if new:
        yield Code.CONFLICTS, sentences.of_conflicts(ended.domain, new, there)
    elif not there:
        yield Code.CONFLICTS, None
    limit = sentences.of_user_limit(ended.domain, limited) if limited else None
    yield Code.USER_LIMIT, limit


def _is_unmapped(key: str) -> bool:
    return " unmapped " in key


def _is_limit(key: str) -> bool:
    return '"user-limit"' in key


def _problem(ended: Ended) -> Problem:
    if isinstance(ended.error, UnsafePlan):
        return sentences.of_stop(ended.error, ended.domain)
    found = sentences.problems_of(ended.error) if ended.error else ()
    return found[0] if found else sentences.of_nothing(ended.domain)


def _failing(ended: Ended, failures: int) -> Problem:
    return sentences.of_failures(_problem(ended), failures)


def _notice(
    key: str, code: Code, ended: Ended, problem: Problem, now: datetime
) -> Notice:
    return Notice(key, ended.domain, code, problem.text, problem.next, since=now)


def _merged(before: Notice | None, found: Notice, *, again: bool) -> Notice:
    """Return a notice that goes on, or begins; the words are always the newest.

    Args:
        before: The one that is there.
        found: What the run says.
        again: Whether people are told of this once more: it is more of the kind.
    """
    if before is None:
        return found
    told = None if again else before.told_at
    return replace(found, since=before.since, told_at=told)
