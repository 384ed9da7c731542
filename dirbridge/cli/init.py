"""`dirbridge init`: from nothing to a configuration that has been tried."""

from __future__ import annotations

import getpass
import os
import sys
import tomllib
from pathlib import Path

import click

from dirbridge.app import App
from dirbridge.cli import check as check_command
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, PROBLEMS
from dirbridge.config.loading import validate
from dirbridge.config.settings import DirectoryType
from dirbridge.config.starter import Answers, starter
from dirbridge.errors import ConfigError, Problem
from dirbridge.ldap.discovery import domain_controllers, ldap_servers
from dirbridge.model.finding import Outcome

# As they are written in the configuration; click would take the members' names.
_KINDS = [kind.value for kind in DirectoryType]


@click.command()
@click.option("--domain", help="The mail domain.")
@click.option("--type", "kind", type=click.Choice(_KINDS), help="Its kind.")
@click.option("--server", "servers", multiple=True, help="A server; may be repeated.")
@click.option("--directory-domain", help="Active Directory's own DNS name.")
@click.option("--username", help="The service account: user@domain or a DN.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="The servers' CA.")
@click.option("--store", "store_url", help="The user database's url.")
@click.option("--socket", type=click.Path(path_type=Path), help="Postfix's socket.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/etc/dirbridge"),
    show_default=True,
    help="The folder to write to.",
)
@shared
def init(  # noqa: PLR0913 - one argument for each question
    call: Call,
    *,
    domain: str | None,
    kind: str | None,
    servers: tuple[str, ...],
    directory_domain: str | None,
    username: str | None,
    ca_file: Path | None,
    store_url: str | None,
    socket: Path | None,
    output: Path,
) -> int:
    """Ask for a domain, find its servers, write a configuration and try it.

    What is given as an option is not asked. The service account's password is
    asked for; in a pipe it is the first line of standard input. Nothing that is
    there already is overwritten.
    """
    target = output / "dirbridge.toml"
    _refuse_existing(target)
    domain = _asked(domain, "Mail domain")
    found_kind, found = _discovered(call, directory_domain or domain, servers)
    chosen = DirectoryType(kind or _asked_kind(found_kind))
    answers = Answers(
        domain=domain,
        type=chosen,
        servers=found or (_asked(None, "Directory server"),),
        username=_asked(username, "Service account (user@domain or a DN)"),
        password_file=output / "secrets" / domain,
        directory_domain=directory_domain,
        ca_file=ca_file,
        store=store_url or "sqlite:////var/lib/dirbridge/dirbridge.db",
        socket=socket or Path("/var/spool/postfix/private/dirbridge"),
    )
    text = starter(answers)
    validate(tomllib.loads(text), target)  # before anything is written
    _refuse_existing(answers.password_file)
    _write(answers.password_file, _password() + "\n", 0o600)
    _write(target, text, 0o644)
    call.out.say(f"wrote {target} and {answers.password_file}")
    return _tried(call, target)


def _asked(given: str | None, question: str) -> str:
    if given is not None:
        return given
    return str(click.prompt(question, err=True)).strip()


def _asked_kind(default: DirectoryType) -> str:
    if not sys.stdin.isatty():
        return default
    kinds = click.Choice(_KINDS)
    return str(click.prompt("Kind of directory", type=kinds, default=str(default)))


def _discovered(
    call: Call, domain: str, servers: tuple[str, ...]
) -> tuple[DirectoryType, tuple[str, ...]]:
    """Take the servers that were given, else look them up in DNS."""
    if servers:
        return DirectoryType.ACTIVE_DIRECTORY, servers
    for kind, look_up in (
        (DirectoryType.ACTIVE_DIRECTORY, domain_controllers),
        (DirectoryType.OPEN_DIRECTORY_KERBEROS, ldap_servers),
    ):
        if found := look_up(domain):
            call.out.say(f"DNS names for {domain}: {', '.join(found)}")
            return kind, found
    call.out.say(f"DNS names no directory server for {domain}.")
    return DirectoryType.ACTIVE_DIRECTORY, ()


def _password() -> str:
    """Return the service account's password.

    Raises:
        ConfigError: It was empty.
    """
    if sys.stdin.isatty():
        password = getpass.getpass("Its password: ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if password:
        return password
    then = "Type it, or give it as the first line of standard input."
    problem = Problem("no-password", "init", "The password was empty.", then)
    raise ConfigError((problem,))


def _write(path: Path, text: str, mode: int) -> None:
    """Write a new file; the mode holds from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(path, flags, mode), "w", encoding="utf-8") as file:
        file.write(text)


def _tried(call: Call, target: Path) -> int:
    findings = App.load(target).findings()
    check_command.report(call.out, findings)
    failed = any(one.outcome is Outcome.FAILED for one in findings)
    call.out.say()
    call.out.say(f"next: dirbridge sync --dry-run --config {target}")
    call.out.finish({"config": str(target)}, ok=not failed)
    return PROBLEMS if failed else DONE


def _refuse_existing(path: Path) -> None:
    """Leave alone what is there.

    Raises:
        ConfigError: It is there.
    """
    if not path.exists():
        return
    problem = Problem(
        "exists",
        str(path),
        "There is such a file already; it was left as it is.",
        "Change it by hand, or name another folder with --output.",
    )
    raise ConfigError((problem,))
