"""`dirbridge connect`: print the lines that a mail server needs."""

from __future__ import annotations

import click

from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE
from dirbridge.hooks.lines import postfix_lines


@click.group()
def connect() -> None:
    """Print the lines that connect a mail server; nothing is changed."""


@connect.command()
@shared
def postfix(call: Call) -> int:
    """Print the main.cf lines for Postfix."""
    lines = postfix_lines(call.app().settings)
    if not call.out.json:
        click.echo(lines, nl=False)
    call.out.finish({"lines": lines.splitlines()})
    return DONE
