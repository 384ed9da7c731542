"""Step: one login by each method, each account switched in place."""

from __future__ import annotations

import secrets

from demo.command import Answer
from demo.stage import AD, OD, Stage
from demo.step import Scene
from testbed.password_server import of_bed

SWITCHED = (
    (f"bob@{AD}", "ldap-bind"),
    (f"emoji@{AD}", "nt-domain"),
    (f"anna@{OD}", "kerberos"),
    (f"siobhan@{OD}", "password-server"),
    (f"maximilian@{OD}", "local"),
)
PHONE = f"anna@{AD}"


def each_method(stage: Stage, scene: Scene) -> str:
    """Switch people to every method in turn, and let them log in."""
    with of_bed(stage.bed.directory):
        used = [_switched(stage, scene, *one) for one in SWITCHED]
        back = _back(stage, scene)
        used.append(_app_password(stage, scene))
    return f"accepted by {', '.join(used)}; back again by {back}"


def _switched(stage: Stage, scene: Scene, name: str, method: str) -> str:
    local = method == "local"
    password = secrets.token_urlsafe(12) if local else stage.password(name)
    words = ("accounts", "switch", name, "--method", method)
    with scene.screen.busy(f"dirbridge {' '.join(words)}"):
        stage.dirbridge(*words, stdin=f"{password}\n")
    answer = _login(stage, scene, name, password)
    by = str(answer.data.get("method"))
    told = f"by {by} at {answer.data.get('server')}, {answer.seconds:.1f} s"
    good = (answer.code, by) == (0, method)
    scene.row(good, name, str(answer.data.get("verdict")), told)
    return by


def _login(stage: Stage, scene: Scene, name: str, password: str) -> Answer:
    with scene.screen.busy(f"dirbridge login {name}"):
        return stage.dirbridge("login", name, stdin=f"{password}\n")


def _back(stage: Stage, scene: Scene) -> str:
    """Give one of them the methods of the domain again; the mailbox never moved."""
    name = SWITCHED[0][0]
    scene.run(lambda: stage.dirbridge("accounts", "switch", name, "--default"))
    answer = _login(stage, scene, name, stage.password(name))
    scene.check(f"{name} logs in as before", answer.data.get("method"), "kerberos")
    return str(answer.data.get("method"))


def _app_password(stage: Stage, scene: Scene) -> str:
    """Make a password for one phone, use it, revoke it, and try it again."""
    words = ("accounts", "app-password")
    made = scene.run(
        lambda: stage.dirbridge(*words, "add", PHONE, "--label", "phone")
    ).data
    password = str(made["password"])
    used = _login(stage, scene, PHONE, password)
    good = used.data.get("method") == "app-password"
    scene.row(good, PHONE, f"accepted by {used.data.get('method')}", "with it")
    with scene.screen.busy("dirbridge accounts app-password revoke"):
        stage.dirbridge(*words, "revoke", PHONE, "--label", "phone")
    after = _login(stage, scene, PHONE, password)
    scene.check("once it is revoked it is a wrong password", after.code, 1)
    return str(used.data.get("method"))
