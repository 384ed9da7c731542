"""`dirbridge init`: from nothing to a configuration that has been tried.

Nothing is written before every answer is sound, and then both files or none.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click

from dirbridge.app import App
from dirbridge.cli import check as check_command
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, PROBLEMS
from dirbridge.config.loading import load_realms, validate
from dirbridge.config.problems import sentence
from dirbridge.config.settings import DirectoryType
from dirbridge.config.starter import Answers, starter
from dirbridge.config.types import HostPort, parse_domain
from dirbridge.errors import ConfigError, Problem
from dirbridge.ldap.discovery import domain_controllers, ldap_servers
from dirbridge.model.finding import Outcome
from dirbridge.store.opening import Owner, owner_of

# As they are written in the configuration; click would take the members' names.
_KINDS = [kind.value for kind in DirectoryType]
_USUAL_STORE = "sqlite:////var/lib/dirbridge/dirbridge.db"
_USUAL_SOCKET = "/var/spool/postfix/private/dirbridge"


@click.command()
@click.option("--domain", help="The mail domain.")
@click.option("--type", "kind", type=click.Choice(_KINDS), help="Its kind.")
@click.option("--server", "servers", multiple=True, help="A server; may be repeated.")
@click.option("--directory-domain", help="Active Directory's own DNS name.")
@click.option("--username", help="The service account: user@domain or a DN.")
@click.option("--ca-file", help="The servers' CA.")
@click.option("--store", default=_USUAL_STORE, help="The user database's url.")
@click.option("--socket", default=_USUAL_SOCKET, help="Postfix's socket.")
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
    ca_file: str | None,
    store: str,
    socket: str,
    output: Path,
) -> int:
    """Ask for a domain, find its servers, write a configuration and try it.

    What is given as an option is not asked, and without a terminal nothing is.
    The service account's password is asked for; in a pipe it is the first line of
    standard input. Nothing that is there already is overwritten.
    """
    output = output.absolute()
    target = output / "dirbridge.toml"
    _refuse_existing(target)
    interview = _Interview()
    domain = interview.answer(_DOMAIN, domain)
    own_name = interview.option(_DIRECTORY_DOMAIN, directory_domain)
    given = tuple(interview.checked(_SERVER, each) for each in servers)
    found = _Found()
    if not (kind and given) and (name := own_name or domain) and interview.sound:
        found = _discovered(call, name)
    chosen = interview.kind(kind, found.kind)
    given = given or found.servers or (interview.answer(_SERVER, None),)
    username = interview.answer(_USERNAME, username)
    ca = interview.option(_CA_FILE, ca_file)
    socket = interview.checked(_SOCKET, socket)
    store = interview.checked(_STORE, store)
    interview.settle()
    answers = Answers(
        domain=domain,
        type=chosen,
        servers=given,
        username=username,
        password_file=output / "secrets" / domain,
        directory_domain=own_name or None,
        ca_file=Path(ca).absolute() if ca else None,
        store=store,
        socket=Path(socket).absolute(),
    )
    _save(answers, target)
    call.out.say(f"wrote {target} and {answers.password_file}")
    return _tried(call, target)


@dataclass(frozen=True, slots=True)
class _Question:
    """One thing to know.

    Attributes:
        option: The option that gives it.
        text: What a person at a terminal is asked.
        parse: Gives the answer as it is written down, or raises ValueError with
            `what is wrong; how to write it`.
        shown: Whether a wrong answer may be repeated; a url may hold a password.
    """

    option: str
    text: str
    parse: Callable[[str], str]
    shown: bool = True

    def read(self, given: str) -> str:
        """Return the answer as it is written down.

        Raises:
            ValueError: It is none.
        """
        if not given.isprintable():
            raise ValueError("holds control characters; type it anew")
        return self.parse(given.strip())


def _filled(given: str) -> str:
    if not given:
        raise ValueError("is empty; give it a value")
    return given


_DOMAIN = _Question("--domain", "Mail domain", parse_domain)
_DIRECTORY_DOMAIN = _Question("--directory-domain", "", parse_domain)
_SERVER = _Question("--server", "Directory server", lambda t: str(HostPort.parse(t)))
_USERNAME = _Question("--username", "Service account (user@domain or a DN)", _filled)
_CA_FILE = _Question("--ca-file", "", _filled)
_SOCKET = _Question("--socket", "", _filled)
_STORE = _Question("--store", "", _filled, shown=False)


@dataclass(slots=True)
class _Interview:
    """Takes answers from options, else from the terminal; keeps what is wrong.

    Without a terminal nothing is asked: the first line of standard input is the
    password, and must not become the answer to something else.

    Attributes:
        problems: What is wrong with options.
        missing: Options that were not given and could not be asked for.
    """

    problems: list[Problem] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong so far."""
        return not self.problems

    def answer(self, question: _Question, given: str | None) -> str:
        """Return what was given, else what is answered now; "" where neither is."""
        if given is not None:
            return self.checked(question, given)
        if not sys.stdin.isatty():
            self.missing.append(question.option)
            return ""
        asked = partial(_typed, question)
        return str(click.prompt(question.text, err=True, value_proc=asked))

    def option(self, question: _Question, given: str | None) -> str:
        """Return what was given; "" where nothing was, which is as good."""
        return "" if given is None else self.checked(question, given)

    def checked(self, question: _Question, given: str) -> str:
        """Return what was given as it is written down; "" where it is wrong."""
        try:
            return question.read(given)
        except ValueError as error:
            wrong, _, mend = str(error).partition("; ")
            subject = question.option
            if question.shown:
                subject += f" {json.dumps(given, ensure_ascii=not given.isprintable())}"
            problem = Problem(
                "wrong-value", question.option, f"{subject} {wrong}.", sentence(mend)
            )
            self.problems.append(problem)
            return ""

    def kind(self, given: str | None, found: DirectoryType | None) -> DirectoryType:
        """Return the kind of directory: given, else asked or found in DNS."""
        if given is not None:
            return DirectoryType(given)
        if sys.stdin.isatty():
            kinds = click.Choice(_KINDS)
            default = found and found.value
            typed = click.prompt(
                "Kind of directory", type=kinds, default=default, err=True
            )
            return DirectoryType(typed)
        if found is None:
            self.missing.append("--type")
        return found or DirectoryType.LDAP

    def settle(self) -> None:
        """End the interview.

        Raises:
            ConfigError: Something is wrong or missing; all of it.
        """
        if self.missing:
            self.problems.append(
                Problem(
                    "missing-option",
                    "init",
                    "Standard input is no terminal, so nothing can be asked; not "
                    f"given: {', '.join(self.missing)}.",
                    "Give each as an option. --server and --type may be left out "
                    "where DNS names the domain's servers.",
                )
            )
        if self.problems:
            raise ConfigError(tuple(self.problems))


def _typed(question: _Question, text: str) -> str:
    """Read what was typed; click asks again after a usage error."""
    try:
        return question.read(text)
    except ValueError as error:
        raise click.UsageError(f"That {error}.") from None


@dataclass(frozen=True, slots=True)
class _Found:
    """What DNS says: a kind of directory and its servers, or nothing."""

    kind: DirectoryType | None = None
    servers: tuple[str, ...] = ()


def _discovered(call: Call, domain: str) -> _Found:
    for kind, look_up in (
        (DirectoryType.ACTIVE_DIRECTORY, domain_controllers),
        (DirectoryType.OPEN_DIRECTORY_KERBEROS, ldap_servers),
    ):
        # An empty target says "not here" (RFC 2782).
        if servers := tuple(each for each in look_up(domain) if each):
            call.out.say(f"DNS names for {domain}: {', '.join(servers)}")
            return _Found(kind, servers)
    call.out.say(f"DNS names no directory server for {domain}.")
    return _Found()


def _password() -> str:
    """Return the service account's password.

    Raises:
        ConfigError: It is empty, or no text.
    """
    try:
        password = _password_line()
        password.encode()
    except UnicodeError:
        raise _no_password("bad-password", "The password is not UTF-8 text.") from None
    if not password:
        raise _no_password("no-password", "The password was empty.")
    if "\0" in password:
        raise _no_password("bad-password", "The password holds a NUL.")
    return password


def _password_line() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    try:
        return getpass.getpass("Its password: ")
    except EOFError:
        return ""


def _no_password(code: str, text: str) -> ConfigError:
    then = "Type it, or give it as the first line of standard input."
    return ConfigError((Problem(code, "init", text, then),))


@dataclass(frozen=True, slots=True)
class _File:
    """A file to write.

    Attributes:
        path: Where.
        text: What; never shown, as it may be the password.
        mode: Its mode, from its first byte on.
        folder_mode: Its folder's mode, where that has to be made.
        owner: Whose it becomes, with a folder that is made for it; else ours.
    """

    path: Path
    text: str = field(repr=False)
    mode: int
    folder_mode: int
    owner: Owner | None = None


def _save(answers: Answers, target: Path) -> None:
    """Write configuration and password, once both are known to be sound.

    Raises:
        ConfigError: An answer does not fit, or a file cannot be written.
    """
    text = starter(answers)
    validate(tomllib.loads(text), target)
    load_realms(target.parent)
    _refuse_existing(answers.password_file)
    password = _password() + "\n"
    # Who owns the store is who reads the password in the end.
    owner = owner_of(answers.store) if os.geteuid() == 0 else None
    _write_all(
        _File(target, text, 0o644, 0o755),
        _File(answers.password_file, password, 0o600, 0o700, owner),
    )


def _write_all(*files: _File) -> None:
    """Write all files or none.

    Raises:
        ConfigError: One cannot be written.
    """
    written: list[Path] = []
    for file in files:
        try:
            _make_folder(file)
            _write(file)
        except OSError as error:
            for path in written:
                path.unlink(missing_ok=True)
            problem = Problem(
                "cannot-write",
                str(file.path),
                f"It cannot be written: {error.strerror or type(error).__name__}.",
                "Name a folder with --output that you may write to.",
            )
            raise ConfigError((problem,)) from None
        written.append(file.path)


def _make_folder(file: _File) -> None:
    folder = file.path.parent
    if folder.is_dir():
        return
    folder.mkdir(parents=True)
    folder.chmod(file.folder_mode)  # whatever the umask
    if file.owner is not None:
        os.chown(folder, file.owner.uid, file.owner.gid)


def _write(file: _File) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    handle = os.open(file.path, flags, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            os.fchmod(handle, file.mode)  # whatever the umask
            if file.owner is not None:
                os.fchown(handle, file.owner.uid, file.owner.gid)
            stream.write(file.text)
    except BaseException:
        file.path.unlink()
        raise


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
    if not os.path.lexists(path):
        return
    problem = Problem(
        "exists",
        str(path),
        "There is such a file already; it was left as it is.",
        "Change it by hand, or name another folder with --output.",
    )
    raise ConfigError((problem,))
