"""Options that commands share, and what they give to a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from dirbridge.cli.output import Output

if TYPE_CHECKING:
    from dirbridge.app import App

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(slots=True)
class Call:
    """What every command starts from.

    Attributes:
        config: The file given with `--config`, or None.
        out: How to speak.
    """

    config: Path | None
    out: Output

    def app(self) -> App:
        """Load the configuration and return the application built from it.

        Raises:
            ConfigError: The configuration cannot be used.
        """
        # Only here: commands that need no directory start without its libraries.
        from dirbridge.app import App  # noqa: PLC0415

        return App.load(self.config)


def shared(command: Command) -> Command:
    """Give a command `--config` and `--json`, and pass both as one `Call`."""

    def set_config(
        context: click.Context, _option: click.Parameter, value: Path | None
    ) -> None:
        if value is not None:
            _call(context).config = value

    def set_json(context: click.Context, _option: click.Parameter, value: bool) -> None:
        _call(context).out.json |= value

    with_config = click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        expose_value=False,
        callback=set_config,
        help="The configuration; else $DIRBRIDGE_CONFIG, ./dirbridge.toml, "
        "/etc/dirbridge/dirbridge.toml.",
    )
    with_json = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=set_json,
        help="Write JSON for programs.",
    )
    wrapped: Any = with_config(with_json(click.pass_obj(command)))
    return cast(Command, wrapped)


def _call(context: click.Context) -> Call:
    call = context.find_root().ensure_object(Call)
    call.out.command = context.command_path.partition(" ")[2]
    return call
