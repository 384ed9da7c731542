"""Steps: a running bridge, and what it does when its servers die."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from demo.logins import WRONG
from demo.stage import AD, OD, Asked, Stage
from demo.step import Scene

CLIENTS = 4
EXPECTED_TOTAL = 100


def sockets(stage: Stage, scene: Scene) -> str:
    """Start `serve` and log in as a mail server would."""
    with scene.screen.busy("dirbridge serve starts"):
        started = time.monotonic()
        stage.start_serve()
    seconds = time.monotonic() - started
    scene.screen.command("dirbridge serve", seconds)
    cases = (
        (AD, "anna", stage.password(f"anna@{AD}"), "ok", f"anna@{AD}"),
        (OD, "anna", stage.password(f"anna@{OD}"), "ok", f"anna@{OD}"),
        (AD, f"carla@{OD}", stage.password(f"carla@{OD}"), "ok", f"carla@{OD}"),
        (AD, "anna", WRONG, "refused", f"anna@{AD}"),
    )
    for socket, name, password, expected, user in cases:
        asked = stage.saslauthd(socket, name, password)
        logged = stage.log_lines()[-1]
        good = asked.answer == expected and logged["user"] == user
        told = f"{logged['verdict']} {logged['reason']}".strip()
        by = f"{logged['user']} by {logged['method']}"
        rest = f"{by}, log: {told}, {asked.seconds:.2f} s"
        scene.row(good, f"{name} on {socket}'s socket", asked.answer, rest)
    return f"{len(cases)} logins by testsaslauthd"


@dataclass(frozen=True, slots=True)
class Phase:
    """Something that happens to DC 1, and the logins meanwhile."""

    name: str
    happens: Callable[[Stage], None]
    logins: int


@dataclass(slots=True)
class Crowd:
    """Clients who log in again and again until told to stop."""

    stage: Stage
    password: str
    answers: list[Asked] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def log_in_until_stopped(self) -> None:
        """One client."""
        while not self._stop.is_set():
            asked = self.stage.saslauthd(AD, "anna", self.password)
            with self._lock:
                self.answers.append(asked)
            # A mail server does not hammer either; and the servers have to work.
            self._stop.wait(0.05)

    def stop(self) -> None:
        """Let every client finish the login it is at."""
        self._stop.set()

    def wait_for(self, count: int, seconds: float) -> None:
        """Wait until so many logins are answered, or the time is over."""
        deadline = time.monotonic() + seconds
        while len(self.answers) < count and time.monotonic() < deadline:
            time.sleep(0.05)


def _stop_dc1(stage: Stage) -> None:
    stage.bed.dc1.stop()


def _freeze_dc1(stage: Stage) -> None:
    stage.bed.dc1.start()
    stage.bed.dc1.freeze()


def _thaw_dc1(stage: Stage) -> None:
    stage.bed.dc1.thaw()


PHASES = (
    Phase("all well", lambda _stage: None, 10),
    Phase("DC 1 stopped", _stop_dc1, 40),
    Phase("DC 1 up, then frozen", _freeze_dc1, 25),
    Phase("DC 1 back", _thaw_dc1, 25),
)
LONGEST_PHASE = 40.0


def outage(stage: Stage, scene: Scene) -> str:
    """Stop, freeze and revive DC 1 while clients log in without a pause."""
    with scene.screen.busy("the two DCs agree on what was changed"):
        stage.bed.wait_replicated()
    crowd = Crowd(stage, stage.password(f"anna@{AD}"))
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(CLIENTS):
            pool.submit(crowd.log_in_until_stopped)
        try:
            for phase in PHASES:
                _play(phase, stage, scene, crowd)
        finally:
            stage.bed.dc1.thaw()
            crowd.stop()
    answers = Counter(one.answer for one in crowd.answers)
    slowest = max(one.seconds for one in crowd.answers)
    total = sum(answers.values())
    scene.check(f"{total} logins in all", total >= EXPECTED_TOTAL)
    scene.check("no login was wrongly refused", answers["refused"], 0)
    scene.check("every login got its answer", answers["no answer"], 0)
    wrong = stage.saslauthd(AD, "anna", WRONG)
    scene.check("and a wrong password is still refused", wrong.answer, "refused")
    scene.check("`serve` still runs", stage.serve.running)
    return (
        f"{answers['ok']} of {total} logins accepted, {answers['refused']} refused; "
        f"the slowest took {slowest:.1f} s"
    )


def _play(phase: Phase, stage: Stage, scene: Scene, crowd: Crowd) -> None:
    before = len(crowd.answers)
    with scene.screen.busy(f"{phase.name}: {CLIENTS} clients log in"):
        phase.happens(stage)
        happened = len(crowd.answers)
        crowd.wait_for(happened + phase.logins, LONGEST_PHASE)
    mine = crowd.answers[before:]
    answers = Counter(one.answer for one in mine)
    told = ", ".join(f"{number} {answer}" for answer, number in answers.items())
    slowest = max((one.seconds for one in mine), default=0.0)
    good = set(answers) == {"ok"} and len(mine) >= phase.logins
    scene.row(good, phase.name, told or "no login", f"the slowest took {slowest:.1f} s")


def nobody_there(stage: Stage, scene: Scene) -> str:
    """Stop both domain controllers: an outage is no wrong password."""
    with scene.screen.busy("both domain controllers are stopped"):
        stage.bed.dc1.stop()
        stage.bed.dc2.stop()
    try:
        asked = stage.saslauthd(AD, "anna", stage.password(f"anna@{AD}"))
        logged = stage.log_lines()[-1]
        told = f"log: {logged['verdict']} {logged['reason']}, {asked.seconds:.1f} s"
        good = asked.answer == "no answer" and logged["verdict"] == "unavailable"
        scene.row(good, f"anna on {AD}'s socket", asked.answer, told)
        password = stage.password(f"carla@{OD}")
        other = stage.saslauthd(OD, "carla", password)
        rest = f"the other directory is well, {other.seconds:.1f} s"
        scene.row(other.answer == "ok", f"carla on {OD}'s socket", other.answer, rest)
    finally:
        with scene.screen.busy("both domain controllers start again"):
            stage.bed.dc1.start()
            stage.bed.dc2.start()
    return f"{logged['verdict']}, so the mail server says: try again later"
