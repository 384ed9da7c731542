"""What `check` and `explain` tell people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How one step ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `check` tried.

    Attributes:
        where: The server or file.
        what: What was tried: `connect`, `certificate`, `bind`, `base`, `realm`.
        outcome: How it ended.
        text: What was seen, one sentence.
        next: The mend; where the outcome is ok, what could be better, or "".
        code: Stable word for programs.
    """

    where: str
    what: str
    outcome: Outcome
    text: str
    next: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an explanation.

    Attributes:
        name: What was asked: `domain`, `account`, `entry`, `mapping`, `state`.
        found: What was found, one sentence.
        rule: The rule that decided.
        outcome: How it ended.
        who_can_fix: Who can mend it: `nobody` when there is nothing to mend.
        facts: Further lines for people, such as each mapped value.
    """

    name: str
    found: str
    rule: str
    outcome: Outcome
    who_can_fix: str = ""
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why somebody can or cannot log in, step by step.

    Attributes:
        name: The name that was asked.
        steps: The steps in order.
    """

    name: str
    steps: tuple[Step, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst outcome: failed, then unknown, then warning, then ok."""
        order = (Outcome.FAILED, Outcome.UNKNOWN, Outcome.WARNING)
        seen = {step.outcome for step in self.steps}
        return next((outcome for outcome in order if outcome in seen), Outcome.OK)
