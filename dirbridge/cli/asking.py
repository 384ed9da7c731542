"""Let a person decide, or type a new password."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterable

import click

from dirbridge.cli.output import Output
from dirbridge.model.account import Account
from dirbridge.model.account_sentences import account_problem
from dirbridge.model.names import fold
from dirbridge.model.secret import Secret

SHORTEST = 8
"""Characters of a local password (NIST SP 800-63B 5.1.1.1)."""

_FEW = 4
"""Fewer different characters are no password."""


def confirm(question: str) -> None:
    """Let a person decide; nobody else is asked, as there would be no answer.

    Raises:
        UsageError: Standard input is no terminal.
        Abort: The answer is no.
    """
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody is there to ask; add --yes.")
    click.confirm(question, abort=True, err=True)


def new_password(out: Output, where: str, names: Iterable[str]) -> Secret | None:
    """Ask twice on a terminal, else take the first line of standard input.

    Args:
        out: Is told what is wrong with it.
        where: The account, as it is called.
        names: What the password may not be.

    Returns:
        The password, or None where it will not do.
    """
    password = _typed()
    if password is None:
        out.problem(account_problem("no-password", where))
        return None
    why = weakness(password, names)
    if why:
        out.problem(account_problem("weak-password", where, why=why))
        return None
    return password


def names_of(account: Account) -> tuple[str, ...]:
    """Return what an account's password may not be."""
    values = account.values
    own = (account.canonical, account.mailbox, values.upn, values.primary_address)
    return tuple(filter(None, (*own, *values.login_names, values.display_name)))


def weakness(password: Secret, names: Iterable[str]) -> str:
    """Return why a password would soon be guessed, "" where none of this is so."""
    text = password.reveal()
    folded = fold(text)
    if len(text) < SHORTEST:
        return f"it has fewer than {SHORTEST} characters"
    if len(set(folded)) < _FEW:
        return "it is nearly the same character again and again"
    if any(folded == fold(name) for name in names):
        return "it is the account's own name"
    return ""


def _typed() -> Secret | None:
    if not sys.stdin.isatty():
        line = sys.stdin.readline().rstrip("\r\n")
        return Secret(line) if line else None
    first = getpass.getpass("New password: ")
    again = getpass.getpass("Once more: ")
    return Secret(first) if first and first == again else None
