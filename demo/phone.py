"""Step: a phone with an old password, and the guard before the directory."""

from __future__ import annotations

import base64
import re
import socket
from collections import Counter
from pathlib import Path

from demo.stage import AD, Stage
from demo.step import Scene
from testbed import cast
from testbed.process import wait_until

PERSON = cast.ad("lockme")
NAME = f"{PERSON.sam}@{AD}"
THRESHOLD = 5
"""Wrong passwords after which Active Directory locks this account, for years."""

PHONE, LAPTOP = "198.51.100.7", "198.51.100.8"
TRIES = 30
OLD = "the password of last year"


class Device:
    """A mail program somewhere, as the mail server's Dovecot hook tells of it."""

    def __init__(self, hook: Path, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(str(hook))
        self._lines = self._socket.makefile("rb")
        self._address = address
        self._number = 0
        while self._lines.readline() not in {b"DONE\n", b""}:
            pass
        self._socket.sendall(b"VERSION\t1\t0\nCPID\t1\n")

    def login(self, password: str) -> str:
        """Log in once; gives `OK`, `FAIL`, or "" where the connection was closed."""
        self._number += 1
        response = base64.b64encode(f"\0{NAME}\0{password}".encode()).decode()
        words = f"{self._number}\tPLAIN\tservice=imap\trip={self._address}"
        self._socket.sendall(f"AUTH\t{words}\tresp={response}\n".encode())
        return self._lines.readline().decode().partition("\t")[0].strip()

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()


def guarded(stage: Stage, scene: Scene) -> str:
    """Let a phone try on and on, and the owner log in from the laptop."""
    right = stage.bed.password(PERSON)
    hook = stage.folder / "sockets" / "dovecot-auth"
    before = len(stage.log_lines())
    try:
        with Device(hook, PHONE) as phone, Device(hook, LAPTOP) as laptop:
            answer = laptop.login(right)
            scene.row(answer == "OK", f"laptop → {NAME}", answer, "as on every day")
            with scene.screen.busy(f"the phone tries {TRIES} times"):
                answers = Counter(phone.login(_typed(n)) for n in range(TRIES))
            told = ", ".join(f"{number} {one}" for one, number in answers.items())
            scene.row(answers == {"FAIL": TRIES}, f"phone → {NAME}", told)
            answer = laptop.login(right)
            scene.row(answer == "OK", f"laptop → {NAME}", answer, "still gets in")
        spent = _bad_passwords(stage)
        scene.check("Active Directory did not lock the account", spent < THRESHOLD)
        reached = _told(stage, scene, before)
    finally:
        stage.bed.dc1.unlock(PERSON)
    return f"{TRIES} wrong tries, {reached} of them reached Active Directory"


def _typed(number: int) -> str:
    """The old password again and again, with guesses in between."""
    return OLD if number % 2 else f"{OLD} {number}"


def _bad_passwords(stage: Stage) -> int:
    """How often the account was tried in vain, by the DCs' own count."""
    counts = []
    for dc in (stage.bed.dc1, stage.bed.dc2):
        text = dc.search(f"(sAMAccountName={PERSON.sam})", "badPwdCount")
        found = re.search(r"^badPwdCount: (\d+)", text, re.MULTILINE)
        counts.append(int(found[1]) if found else 0)
    return max(counts)


def _told(stage: Stage, scene: Scene, before: int) -> int:
    """Show who refused the phone, and how helpdesk finds it.

    Returns:
        How many tries a directory was asked about.
    """
    wait_until(
        lambda: len(stage.log_lines()) >= before + TRIES + 2, "`serve` logs no line"
    )
    lines = [one for one in stage.log_lines()[before:] if one["rip"] == PHONE]
    by = Counter(f"{one['reason']} by {one['method'] or 'nobody'}" for one in lines)
    for reason, number in by.most_common():
        scene.screen.note(f"{number} times {reason}")
    answer = scene.run(lambda: stage.dirbridge("explain", NAME, "--from-ip", PHONE))
    facts = [fact for step in answer.data["steps"] for fact in step["facts"]]
    named = [words for words in facts if any(PHONE in word for word in words)]
    scene.check("`explain` names the phone's address", bool(named))
    return sum(one["method"] != "guard" for one in lines)
