"""Steps: logins that succeed, logins that fail, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from demo.command import Answer
from demo.stage import AD, BOUND_IP, OD, Stage
from demo.step import Scene
from demo.syncing import DELETED, NEW_NAME, RENAMED

WRONG = "this is not it"


@dataclass(frozen=True, slots=True)
class Login:
    """One login and what should come of it.

    Attributes:
        typed: What the person types as the name.
        owner: Whose password is typed, as `name@domain`; "" for a wrong one.
        user: The account that should be meant, "" where none is.
        reasons: Why it should fail, the words that may say so; empty where it
            should succeed.
        step: The first step of `explain` that should find fault, "" for none.
        about: What is special, for people.
        address: The address that is connected to.
    """

    typed: str
    owner: str
    user: str
    reasons: tuple[str, ...] = ()
    step: str = ""
    about: str = ""
    address: str = ""


def _refused(
    name: str, reasons: str, step: str, about: str, owner: str | None = None
) -> Login:
    owner = name if owner is None else owner
    return Login(name, owner, name, tuple(reasons.split("|")), step, about)


GOOD = (
    Login(f"anna@{AD}", f"anna@{AD}", f"anna@{AD}"),
    Login(f"carla@{OD}", f"carla@{OD}", f"carla@{OD}"),
    Login("CORP\\bob", f"bob@{AD}", f"bob@{AD}"),
    Login(f"jürgen@{AD}", f"jürgen@{AD}", f"jürgen@{AD}"),
    Login(f"max@{OD}", f"maximilian@{OD}", f"maximilian@{OD}"),
    Login(f"{NEW_NAME}@{AD}", f"{RENAMED.sam}@{AD}", f"{RENAMED.sam}@{AD}"),
)

BAD = (
    _refused(f"bob@{AD}", "wrong-password", "", "wrong password", owner=""),
    _refused(f"disabled@{AD}", "disabled", "account", "disabled"),
    # Kerberos has one word for locked, disabled and expired; explain looks closer.
    _refused(f"locked@{AD}", "revoked|locked", "state", "locked"),
    _refused(f"expired@{AD}", "expired", "account", "expired"),
    _refused(
        f"mustchange@{AD}", "password-expired|must-change", "state", "must change"
    ),
    _refused(f"dora@{OD}", "disabled", "account", "disabled in Open Directory"),
    _refused(f"{DELETED.sam}@{AD}", "deactivated", "account", "vanished"),
    Login(f"nobody@{AD}", "", "", ("unknown",), "account", "nobody's name"),
)

BARE = (
    Login("anna", f"anna@{AD}", f"anna@{AD}", address=BOUND_IP[AD]),
    Login("anna", f"anna@{OD}", f"anna@{OD}", address=BOUND_IP[OD]),
    Login(
        *("anna", f"anna@{AD}", f"anna@{OD}", ("wrong-password",), ""),
        about="the other one's password",
        address=BOUND_IP[OD],
    ),
)


def good_logins(stage: Stage, scene: Scene) -> str:
    """People who should get in, each by another kind of name."""
    tried = [_try(stage, scene, one) for one in GOOD]
    _explain_good(stage, scene, GOOD[0].typed)
    accepted = [one for one in tried if one.verdict == "accepted"]
    methods = ", ".join(sorted({one.method for one in accepted}))
    return f"{len(accepted)} logins accepted, by {methods}"


def bad_logins(stage: Stage, scene: Scene) -> str:
    """People who should not get in, each with the explanation."""
    tried = [_try(stage, scene, one) for one in BAD]
    refused = [one for one in tried if one.verdict == "rejected"]
    reasons = {one.reason for one in refused}
    return f"{len(refused)} logins refused, for {len(reasons)} reasons"


def bare_names(stage: Stage, scene: Scene) -> str:
    """One bare name at two addresses of the mail server."""
    tried = [_try(stage, scene, one) for one in BARE]
    users = [one.user for one in tried if one.verdict == "accepted"]
    return f"`{BARE[0].typed}` is {' or '.join(users)}"


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a login."""

    verdict: str = ""
    reason: str = ""
    user: str = ""
    method: str = ""


def _try(stage: Stage, scene: Scene, login: Login) -> Tried:
    """Log in, explain what failed, and show both in one row."""
    at = ("--to-ip", login.address) if login.address else ()
    password = stage.password(login.owner) if login.owner else WRONG
    with scene.screen.busy(f"dirbridge login {login.typed}"):
        answer = stage.dirbridge("login", login.typed, *at, stdin=f"{password}\n")
    good, why = _as_expected(login, answer), ""
    if login.reasons:
        with scene.screen.busy(f"dirbridge explain {login.typed}"):
            explained = stage.dirbridge("explain", login.typed, *at)
        why, step = _fault(explained)
        good = good and step == login.step
    name = f"{login.typed} at {login.address}" if login.address else login.typed
    scene.row(good, name, _middle(answer), _rest(login, answer), why)
    wanted = ("verdict", "reason", "user", "method")
    return Tried(**{key: answer.data.get(key, "") for key in wanted})


def _as_expected(login: Login, answer: Answer) -> bool:
    data = answer.data
    if login.reasons:
        refused = data.get("verdict") == "rejected" and answer.code == 1
        return refused and data["reason"] in login.reasons
    accepted = data.get("verdict") == "accepted" and answer.code == 0
    return accepted and data["user"] == login.user


def _middle(answer: Answer) -> str:
    data = answer.data
    verdict = data.get("verdict", f"exit code {answer.code}")
    reason = data.get("reason")
    return f"{verdict}: {reason}" if reason else str(verdict)


def _rest(login: Login, answer: Answer) -> str:
    data = answer.data
    seconds = f"{answer.seconds:.1f} s"
    if not data:
        return "; ".join(f"{p['text']} {p['next']}" for p in answer.problems)
    by = data["method"] or "no server asked"
    user = f"as {data['user']}" if data["verdict"] == "accepted" else login.about
    return ", ".join(part for part in (user, by, seconds) if part)


def _fault(explained: Answer) -> tuple[str, str]:
    """What `explain` finds, in one line, and the step that found it first."""
    steps = explained.data.get("steps", [])
    faults = [one for one in steps if one["outcome"] in ("failed", "unknown")]
    if not steps:
        return f"explain failed with {explained.code}", "nothing"
    if not faults:
        return "explain: with the right password this login would succeed", ""
    first = faults[0]
    who = f" Who can mend it: {first['who_can_fix']}." if first["who_can_fix"] else ""
    return f"explain: {first['found']}{who}", first["name"]


def _found(step: dict[str, Any]) -> str:
    """What a step found; what it lists goes behind the colon."""
    found: str = step["found"]
    if not found.endswith(":"):
        return found
    return f"{found} {', '.join(': '.join(fact) for fact in step['facts'][:1])}"


def _explain_good(stage: Stage, scene: Scene, name: str) -> None:
    """Show the whole explanation of one login, with where each value is from."""
    answer = scene.run(lambda: stage.dirbridge("explain", name))
    for step in answer.data["steps"]:
        scene.check(f"{step['name']:<9} {_found(step)}", step["outcome"], "ok")
    mapping = next(s for s in answer.data["steps"] if s["name"] == "mapping")
    rows = [
        (field, *text.partition("  <- ")[::2])
        for field, text in mapping["facts"]
        if field in ("login_names", "display_name", "primary_address", "aliases")
    ]
    scene.screen.table(("field", "value", "from attribute (transforms)"), rows)
    scene.check("each of these values names its attribute", all(r[2] for r in rows))
