"""No password of a login stands anywhere, however much the bridge is made to say.

The program and its libraries log all they can: the root logger lets everything pass,
ldap3 tells each message, SQLAlchemy each statement with its values, libkrb5 each step.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.bed import Bed
from testbed.kdc import Kdc
from testbed.password_server import of_bed
from testbed.process import wait_until
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.system.bridge import AD, OD, Done, Serve, Site
from tests.system.every_method import LOCAL, Person, with_every_method
from tests.system.sasl import ask
from tests.system.test_secrets import everything_written, found_in

TALKATIVE = """
import logging, os, sys
import argon2
from ldap3.utils import log as ldap3

logging.basicConfig(level=1, stream=sys.stderr, format="%(name)s %(message)s")
ldap3.set_library_log_activation_level(logging.DEBUG)
ldap3.set_library_log_detail_level(ldap3.EXTENDED)
logging.getLogger("sqlalchemy").setLevel(1)
ours = logging.getLogger("dirbridge")
ours.setLevel(1)
ours.setLevel = lambda _level: None

if "BROKEN_ARGON2" in os.environ:
    def verify(self, digest, password):
        raise RuntimeError(f"a library's bug tells {password!r} of {digest!r}")

    argon2.PasswordHasher.verify = verify

from dirbridge.cli import main

main.run()
"""
LOUDEST = ("ldap3", "sqlalchemy.engine.Engine", "dirbridge.login")


@pytest.fixture
def talkative(site: Site, bed: Bed, dc1: Dc1, od1: Od1, kdc: Kdc) -> Site:
    """A site whose program tells all that it can be made to tell."""
    script = site.folder / "talkative.py"
    script.write_text(TALKATIVE)
    return replace(
        site,
        program=(sys.executable, str(script)),
        env={"KRB5_TRACE": str(site.folder / "krb5.trace")},
    )


def wrong_ones(people: tuple[Person, ...]) -> Iterator[tuple[str, str]]:
    """Logins that fail, each with a password that is nowhere else."""
    for person in people:
        yield person.name, f"wrong {secrets.token_urlsafe(9)} ümläut"
    for name in (f"nobody@{AD}", f"locked@{AD}", f"disabled@{AD}", f"dora@{OD}", ""):
        yield name, secrets.token_urlsafe(12)
    yield f"bob@{AD}", f"{secrets.token_urlsafe(9)}\0tail"


def commands(site: Site, people: tuple[Person, ...]) -> Iterator[Done]:
    """What tells most of logins, after some have been made."""
    person = people[0]
    yield site.login(person.name, person.password)
    yield site.login(person.name, f"wrong {person.password}")
    yield site.run("explain", person.name, "--from-ip", "198.51.100.7")
    yield site.run("accounts", "export", person.name)
    yield site.run("status", json=False)


def test_the_most_talkative_bridge_tells_no_password(talkative: Site, bed: Bed) -> None:
    site = talkative
    quiet = replace(site, program=Site.program, env={})
    people = with_every_method(quiet, bed)
    wrong = list(wrong_ones(people))
    with of_bed(bed.directory), site.serving("--no-sync") as serve:
        for person in people:
            assert ask(site.saslauthd, person.name, person.password) == "OK", person
        for name, password in wrong:
            assert ask(site.saslauthd, name, password) == "NO", name
        said = list(commands(site, people))
        for server in (bed.dc1, bed.dc2):
            server.stop()
        assert ask(site.saslauthd, *credentials(people[0])) == "closed"
        wait_until(lambda: len(serve.logins) > len(people) + len(wrong), "no line")
        assert Path(f"{site.database}-wal").stat().st_size > 0
        written = [*everything_written(site, said, serve.log), *memory_of(serve)]
    written += everything_written(site, broken(site, people), serve.log)
    assert_talkative(site, serve)
    passwords = {one.password for one in people} | {each for _, each in wrong}
    passwords |= {bed.password("svc-dirbridge"), bed.password("diradmin", "od")}
    phone = next(one.password for one in people if one.method == "app-password")
    passwords.add(phone.replace("-", ""))
    assert found_in(written, passwords) == []


def credentials(person: Person) -> tuple[str, str]:
    return person.name, person.password


def broken(site: Site, people: tuple[Person, ...]) -> list[Done]:
    """A library raises what it should not, with the password in its text."""
    local = next(one for one in people if one.name == LOCAL)
    faulty = replace(site, env={**site.env, "BROKEN_ARGON2": "1"})
    done = faulty.login(local.name, local.password)
    assert done.codes == ["internal"], done.out
    with faulty.serving("--no-sync") as serve:
        assert ask(site.saslauthd, local.name, local.password) == "closed"
        log = serve.log
    assert "RuntimeError" in log
    return [done, Done(0, log, "")]


def memory_of(serve: Serve) -> Iterator[bytes]:
    """What others may read of a process."""
    for name in ("cmdline", "environ", "comm"):
        yield Path(f"/proc/{serve.process.pid}/{name}").read_bytes()


def assert_talkative(site: Site, serve: Serve) -> None:
    """The libraries did talk, or the search would prove nothing."""
    log = serve.log
    assert [name for name in LOUDEST if name not in log] == []
    assert "Sending" in (site.folder / "krb5.trace").read_text()
