"""KEEP=1: everything stays, with small commands that work from any shell."""

from __future__ import annotations

import os
import shlex
import threading

from demo import command
from demo.screen import Screen
from demo.stage import AD, BOUND_IP, OD, Stage
from demo.syncing import RENAMED
from testbed import cast, namespace

# The servers live in a network of their own: whoever talks to them joins it.
SCRIPTS = {
    "enter": """\
# Run a command beside the demo's servers; without one, a shell.
[ $# -gt 0 ] || set -- "${{SHELL:-/bin/sh}}"
exec {enter} --wdns="$PWD" env DIRBRIDGE_CONFIG={config} "$@"
""",
    "dirbridge": """\
# dirbridge with the demo's configuration.
exec {folder}/enter {program} "$@"
""",
    "password": """\
# The password of NAME@example.com or NAME@example.org.
exec awk -F '\\t' -v name="$1" '$1 == name {{ print $2 }}' {folder}/passwords
""",
    "freeze-dc1": """\
# DC 1 still accepts connections and never answers.
exec pkill -STOP --session {dc1}
""",
    "thaw-dc1": """\
# DC 1 answers again.
exec pkill -CONT --session {dc1}
""",
}

TRY = (
    "cd {folder}",
    "./dirbridge status",
    "./dirbridge accounts list example.org",
    "./dirbridge sync runs",
    f"./dirbridge accounts history {RENAMED.sam}@{AD}",
    f"./dirbridge explain locked@{AD}",
    f"./password anna@{AD} | ./dirbridge login anna",
    f"./password anna@{OD} | ./dirbridge login anna --to-ip {BOUND_IP[OD]}",
    f'./enter testsaslauthd -f sockets/{AD} -u anna -p "$(./password anna@{AD})"',
    "./freeze-dc1    # log in again, then ./thaw-dc1",
    "./enter tail serve.log",
)


def keep(stage: Stage, screen: Screen) -> None:
    """Print what to try and wait until somebody ends it."""
    write_commands(stage)
    screen.to_try(
        "Everything stays. From any root shell of this machine:",
        [line.format(folder=stage.folder) for line in TRY],
        "The configuration is dirbridge.toml there, all passwords are in passwords.\n"
        f"To end it: Ctrl-C here, or `kill {os.getpid()}`; the folder goes as well.",
    )
    threading.Event().wait()


def write_commands(stage: Stage) -> None:
    """Write the scripts and the passwords into the demo's folder."""
    values = {
        "folder": shlex.quote(str(stage.folder)),
        "config": shlex.quote(str(stage.config)),
        "program": shlex.quote(str(command.PROGRAM)),
        "enter": shlex.join(namespace.inside_command(os.getpid())),
        "dc1": ",".join(map(str, stage.bed.dc1.pids)),
    }
    for name, text in SCRIPTS.items():
        path = stage.folder / name
        path.write_text(f"#!/bin/sh\n{text.format(**values)}")
        path.chmod(0o700)
    secret = stage.folder / "passwords"
    secret.touch(mode=0o600)
    secret.write_text(_passwords(stage))


def _passwords(stage: Stage) -> str:
    names = (
        *(f"{one.sam}@{AD}" for one in cast.AD_PEOPLE if one.has_password),
        *(f"{one.uid}@{OD}" for one in cast.OD_PEOPLE),
    )
    return "".join(f"{name}\t{stage.password(name)}\n" for name in names)
