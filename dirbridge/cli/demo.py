"""`dirbridge demo`: the main job on real servers of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from dirbridge.cli.options import Call
from dirbridge.cli.output import USAGE
from dirbridge.errors import Problem


@click.command()
@click.argument("options", nargs=-1)
@click.pass_obj
def demo(call: Call, *, options: tuple[str, ...]) -> int:
    """Start an Active Directory and an Open Directory and show the main job.

    The demo starts real servers from the source tree; KEEP=1 leaves them running.
    """
    tree = Path(__file__).resolve().parents[2]
    if not (tree / "testbed").is_dir():
        call.out.problem(
            Problem(
                "no-source-tree",
                "demo",
                "The demo's servers come with the source tree, not with the package.",
                "Get the source tree and run `./run demo` in it.",
            )
        )
        call.out.finish()
        return USAGE
    return subprocess.run(  # noqa: S603 - no shell, our own module
        [sys.executable, "-m", "demo", *options], cwd=tree, check=False
    ).returncode
