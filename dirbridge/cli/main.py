"""The outermost frame: run a command, turn errors into sentences and exit codes."""

from __future__ import annotations

import gc
import importlib
import sys
import traceback

import click

from dirbridge import __version__
from dirbridge.cli.options import Call
from dirbridge.cli.output import (
    DONE,
    INTERRUPTED,
    USAGE,
    Output,
    code_of,
)
from dirbridge.errors import (
    DirbridgeError,
    Problem,
)
from dirbridge.model.sentences import problems_of

COMMANDS = (
    "init",
    "check",
    "sync",
    "status",
    "serve",
    "explain",
    "login",
    "accounts",
    "domains",
    "mappings",
    "realms",
    "connect",
    "store",
    "demo",
)
"""Each is a module of this package with a command of the same name."""

GARBAGE = {"sync": (500_000, 50, 100)}
"""How many new objects Python makes before it looks for garbage in cycles; by itself
it does so after 700. A first import has next to none, and the looking for it took a
quarter of its time (measured)."""

SELDOM = (20_000, 20, 10)
"""The same for all other commands, of which `serve` runs for months."""


class Commands(click.Group):
    """The group of all commands; a command's module is loaded when it is run.

    Loading all of them would make every command wait for libraries that only
    others need.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which an admin meets them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"dirbridge.cli.{cmd_name}")
        # What was imported stays; nobody need look whether it is garbage, again and
        # again while a sync makes its many millions of objects.
        gc.freeze()
        gc.set_threshold(*GARBAGE.get(cmd_name, SELDOM))
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dirbridge")
def main() -> None:
    """Put Active Directory or Apple Open Directory behind a mail server.

    Exit codes: 0 done, 1 problems found, 2 wrong usage or configuration,
    3 stopped for safety, 4 directory unavailable, 5 store unavailable.
    """


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: The arguments, without the program's name; else those of the
            process.
    """
    sys.exit(exit_code(sys.argv[1:] if arguments is None else arguments))


def exit_code(arguments: list[str]) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: The arguments, without the program's name.
    """
    call = Call(config=None, out=Output("", json="--json" in arguments))
    try:
        code = main.main(
            arguments, prog_name="dirbridge", obj=call, standalone_mode=False
        )
    except (click.exceptions.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        return _usage(call.out, error)
    except Exception as error:  # the outermost frame
        return _failed(call.out, error)
    return code if isinstance(code, int) else DONE


def _failed(out: Output, error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        # The reader of a pipe left; there is nobody to tell.
        return DONE
    if isinstance(error, DirbridgeError):
        out.problem(*problems_of(error))
    else:
        out.problem(_internal(error))
    out.finish()
    return code_of(error)


def _usage(out: Output, error: click.ClickException) -> int:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None and not out.json:
        click.echo(context.get_usage(), err=True)
    text, then = error.format_message(), _usage_next(error, context)
    out.problem(Problem("usage", "command line", text, then))
    out.finish()
    return USAGE


def _usage_next(error: click.ClickException, context: click.Context | None) -> str:
    command = context.command_path if context is not None else "dirbridge"
    match error:
        case click.BadParameter(param=click.Parameter(type=click.Choice())):
            # click has just named them.
            return f"Write one of them; `{command} --help` says what they are for."
        case _:
            return f"Run `{command} --help`."


def _internal(error: Exception) -> Problem:
    """Name the error's class and place; its text may hold personal values."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return Problem(
        "internal",
        f"{frame.filename}:{frame.lineno}",
        f"dirbridge failed in itself ({type(error).__name__} in {frame.name}).",
        "Report it with this line and the command that you ran.",
    )
