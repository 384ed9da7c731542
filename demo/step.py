"""Steps, and how they are played: each is compared with what it should show."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from demo.command import Answer, CommandError
from demo.screen import Screen
from demo.stage import Stage
from testbed.process import BedError


class Scene:
    """One step while it is played: shows, compares, and counts.

    Attributes:
        checks: How much was compared.
        good: How much of it was as expected.
    """

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.checks = 0
        self.good = 0

    def check(self, what: str, seen: object, expected: object = True) -> bool:
        """Compare, show and count.

        Args:
            what: What holds where both are the same, for people.
            seen: What this run gave.
            expected: What it should have given.
        """
        self.screen.check(what, seen, expected)
        return self._count(seen == expected)

    def row(
        self, good: bool, name: str, middle: str, rest: str = "", why: str = ""
    ) -> bool:
        """Show and count one line of a list."""
        self.screen.row(good, name, middle, rest, why)
        return self._count(good)

    def run(self, work: Callable[[], Answer]) -> Answer:
        """Run a command and show it.

        Raises:
            CommandError: It gave no data, only problems.
        """
        with self.screen.busy("dirbridge works"):
            answer = work()
        self.screen.command(answer.command, answer.seconds)
        if not answer.data:
            said = " ".join(f"{p['text']} {p['next']}" for p in answer.problems)
            raise CommandError(f"`{answer.command}` ended with {answer.code}: {said}")
        return answer

    def fail(self, text: str) -> None:
        """Show and count something that broke."""
        self.screen.problem(text)
        self._count(False)

    def _count(self, good: bool) -> bool:
        self.checks += 1
        self.good += good
        return good


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the demo.

    Attributes:
        name: Its heading.
        expected: What should be seen, for people.
        run: Does it; gives one line for the summary, made of what was seen.
    """

    name: str
    expected: str
    run: Callable[[Stage, Scene], str]


@dataclass(frozen=True, slots=True)
class Played:
    """How a step went."""

    step: Step
    good: int
    checks: int
    seen: str
    seconds: float

    @property
    def as_expected(self) -> bool:
        """Whether everything was as expected, and something was compared."""
        return 0 < self.checks == self.good


def play(steps: Sequence[Step], stage: Stage, screen: Screen) -> bool:
    """Play all steps and the summary; a step that breaks does not end it.

    Returns:
        Whether every outcome was as expected.
    """
    started = time.monotonic()
    played = [_play(n, one, stage, screen) for n, one in enumerate(steps, start=1)]
    rows = [
        (n, p.step.name, p.good, p.checks, p.seen, p.seconds)
        for n, p in enumerate(played, start=1)
    ]
    screen.summary(rows, time.monotonic() - started)
    return all(one.as_expected for one in played)


def _play(number: int, step: Step, stage: Stage, screen: Screen) -> Played:
    screen.heading(number, step.name, step.expected)
    scene, started, seen = Scene(screen), time.monotonic(), "it broke off"
    try:
        seen = step.run(stage, scene)
    except (BedError, CommandError) as error:
        scene.fail(str(error))
    except (LookupError, TypeError, ValueError, OSError) as error:
        # An answer of another shape than expected: the other steps go on.
        scene.fail(f"{type(error).__name__}: {error}")
    return Played(step, scene.good, scene.checks, seen, time.monotonic() - started)
