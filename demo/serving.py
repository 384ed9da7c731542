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
from testbed.samba import Dc1

CLIENTS = 4
PERSON = "anna"
TITLES = {"dc1": "DC 1", "dc2": "DC 2"}


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
        (AD, "CORP\\bob", stage.password(f"bob@{AD}"), "ok", f"bob@{AD}"),
        (AD, "anna", WRONG, "refused", f"anna@{AD}"),
    )
    answers: Counter[str] = Counter()
    for socket, name, password, expected, user in cases:
        asked, logged = stage.logged_saslauthd(socket, name, password)
        answers[asked.answer] += 1
        good = asked.answer == expected and logged["user"] == user
        told = f"{logged['verdict']} {logged['reason']}".strip()
        rest = f"log: {told} {logged['user']}, {asked.seconds:.2f} s"
        scene.row(good, f"{name} → {socket}", asked.answer, rest)
    told = ", ".join(f"{number} {answer}" for answer, number in answers.items())
    return f"logins by testsaslauthd: {told}"


@dataclass(slots=True)
class Crowd:
    """Clients who log in again and again until told to stop."""

    stage: Stage
    password: str
    answers: list[Asked] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def log_in_until_stopped(self) -> None:
        """One client; a pause leaves the two cores to the servers."""
        while not self._stop.is_set():
            self.answers.append(self.stage.saslauthd(AD, PERSON, self.password))
            self._stop.wait(0.15)

    def stop(self) -> None:
        """Let every client finish the login it is at."""
        self._stop.set()


@dataclass(frozen=True, slots=True)
class Phase:
    """Something that happens to DC 1, and the logins meanwhile.

    Attributes:
        name: For people.
        happens: Does it.
        by: Which DC should answer then; the phase lasts until it has answered so
            many logins.
        logins: How many.
    """

    name: str
    happens: Callable[[Dc1], None]
    by: str
    logins: int


PHASES = (
    Phase("all well", lambda _dc1: None, "dc1", 10),
    Phase("DC 1 is stopped", Dc1.stop, "dc2", 40),
    # A server that failed rests for half a minute; then it is tried again.
    Phase("DC 1 starts again", Dc1.start, "dc1", 10),
    Phase("DC 1 is frozen", Dc1.freeze, "dc2", 40),
    Phase("DC 1 is thawed", Dc1.thaw, "dc2", 20),
)
LONGEST_PHASE = 60.0
EXPECTED_TOTAL = 100


def outage(stage: Stage, scene: Scene) -> str:
    """Stop, freeze and revive DC 1 while clients log in without a pause."""
    with scene.screen.busy("the two DCs agree on what was changed"):
        stage.bed.wait_replicated()
    crowd = Crowd(stage, stage.password(f"{PERSON}@{AD}"))
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(crowd.log_in_until_stopped) for _ in range(CLIENTS)]
        try:
            for phase in PHASES:
                _play(phase, stage, scene, crowd)
        finally:
            stage.bed.dc1.thaw()
            crowd.stop()
    for client in clients:
        client.result()
    return _judge(stage, scene, crowd)


def _judge(stage: Stage, scene: Scene, crowd: Crowd) -> str:
    answers = Counter(one.answer for one in crowd.answers)
    total, slowest = len(crowd.answers), _slowest(crowd.answers)
    scene.check(f"{total} logins in all", total >= EXPECTED_TOTAL)
    scene.check("no login was wrongly refused", answers["refused"], 0)
    scene.check("every login got its answer", answers["no answer"], 0)
    wrong = stage.saslauthd(AD, PERSON, WRONG)
    scene.check("and a wrong password is still refused", wrong.answer, "refused")
    scene.check("`serve` still runs", stage.serve.running)
    return (
        f"{answers['ok']} of {total} logins accepted, {answers['refused']} refused; "
        f"the slowest took {slowest:.1f} s"
    )


def _play(phase: Phase, stage: Stage, scene: Scene, crowd: Crowd) -> None:
    before, begun = len(crowd.answers), stage.answered_by(PERSON)
    deadline = time.monotonic() + LONGEST_PHASE
    with scene.screen.busy(f"{phase.name}: {CLIENTS} clients log in"):
        phase.happens(stage.bed.dc1)
        settled = stage.answered_by(PERSON)[phase.by]
        while time.monotonic() < deadline:
            if stage.answered_by(PERSON)[phase.by] >= settled + phase.logins:
                break
            time.sleep(0.2)
    by = stage.answered_by(PERSON) - begun
    mine = crowd.answers[before:]
    answers = Counter(one.answer for one in mine)
    told = ", ".join(f"{number} {answer}" for answer, number in answers.items())
    servers = ", ".join(f"{TITLES[name]}: {by[name]}" for name in TITLES)
    good = set(answers) == {"ok"} and by[phase.by] >= phase.logins
    rest = f"{servers}; slowest {_slowest(mine):.1f} s"
    scene.row(good, phase.name, told or "no login", rest)


def _slowest(asked: list[Asked]) -> float:
    return max((one.seconds for one in asked), default=0.0)


def nobody_there(stage: Stage, scene: Scene) -> str:
    """Stop both domain controllers: an outage is no wrong password."""
    with scene.screen.busy("both domain controllers are stopped"):
        stage.bed.dc1.stop()
        stage.bed.dc2.stop()
    try:
        password = stage.password(f"anna@{AD}")
        asked, logged = stage.logged_saslauthd(AD, "anna", password)
        told = f"log: {logged['verdict']} {logged['reason']}, {asked.seconds:.1f} s"
        good = asked.answer == "no answer" and logged["verdict"] == "unavailable"
        scene.row(good, f"{PERSON} → {AD}", asked.answer, told)
        password = stage.password(f"carla@{OD}")
        other = stage.saslauthd(OD, "carla", password)
        rest = f"the other directory is well, {other.seconds:.1f} s"
        scene.row(other.answer == "ok", f"carla → {OD}", other.answer, rest)
    finally:
        with scene.screen.busy("both domain controllers start again"):
            stage.bed.dc1.start()
            stage.bed.dc2.start()
    return f"{asked.answer}, not a refusal; the log says {logged['verdict']}"
