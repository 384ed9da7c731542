"""`python -m demo [KEEP=1]`: play the demo; exit code 0 when all was as expected."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.keep import keep
from demo.screen import Screen
from demo.stage import Stage
from demo.step import play
from demo.story import STEPS
from testbed import namespace
from testbed.process import BedError

DONE, UNEXPECTED, USAGE, INTERRUPTED = 0, 1, 2, 130
USAGE_TEXT = """\
usage: ./run demo [KEEP=1]
  KEEP=1   leave everything running afterwards, with commands to try
"""
TITLE = "dirbridge: the main job on real servers"


def main(arguments: list[str]) -> int:
    """Play the demo and return the exit code."""
    if not set(arguments) <= {"KEEP=1", "KEEP=0"}:
        asked = {"-h", "--help"} & set(arguments)
        print(USAGE_TEXT, end="", file=sys.stdout if asked else sys.stderr)
        return DONE if asked else USAGE
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    wanted = "KEEP=1" in arguments or os.environ.get("KEEP") == "1"
    try:
        # Before any thread; its own, also where we are in a test's already.
        namespace.enter(fresh=True)
        with _stage() as stage:
            return _play(stage, keeping=wanted)
    except (namespace.NamespaceError, BedError) as error:
        print(error, file=sys.stderr)
        return UNEXPECTED
    except KeyboardInterrupt:
        print("\nThe demo was ended; nothing of it is left.", file=sys.stderr)
        return INTERRUPTED


def _play(stage: Stage, *, keeping: bool) -> int:
    screen = Screen()
    screen.title(TITLE, f"everything below comes from this run, in {stage.folder}")
    code = DONE if play(STEPS, stage, screen) else UNEXPECTED
    if keeping:
        # Ctrl-C is the way to end it: what was seen decides the exit code.
        with contextlib.suppress(KeyboardInterrupt):
            keep(stage, screen)
    return code


@contextmanager
def _stage() -> Iterator[Stage]:
    """Give a stage in a temporary folder; both are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="dirbridge-demo."))
    # PostgreSQL is no root and has to pass; every secret in there is 0600.
    folder.chmod(0o711)
    stage: Stage | None = None
    try:
        stage = Stage(folder)
        yield stage
    finally:
        # A second Ctrl-C must not leave servers behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if stage is not None:
            stage.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
