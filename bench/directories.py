"""Rows about logins at the test bed's servers: Kerberos, and when they freeze."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.bridge import DIRBRIDGE
from bench.row import BenchError, Pair
from dirbridge.ldap.kept import FRESH_SECONDS
from testbed import cast, namespace
from testbed.bed import Bed
from testbed.server import Server, write_krb5_conf

CLIENTS = 4
WARM = 8

KERBEROS = f"""\
[store]
url = "sqlite:///{{folder}}/dirbridge.db"

[serve]
run_dir = "{{folder}}/run"

[domains."{cast.OD_MAIL_DOMAIN}"]
primary = true

[domains."{cast.OD_MAIL_DOMAIN}".directory]
type = "open-directory-kerberos"
server = "od.example.com"
ca_file = "{{ca}}"
username = "uid=diradmin,{cast.OD_USERS}"
password = {{{{ file = "{{folder}}/secret" }}}}

[domains."{cast.OD_MAIL_DOMAIN}".login]
methods = ["kerberos"]
kerberos_realm = "{cast.OD_REALM}"
cache = "0s"
"""

REALM = f"""\
name = "{cast.OD_REALM}"
kdcs = ["kdc.od.example.com:8888"]
keytab = {{{{ file = "{{folder}}/keytab" }}}}
service = "smtp/mail.example.com"
"""

ACTIVE_DIRECTORY = f"""\
[store]
url = "sqlite:///{{folder}}/dirbridge.db"

[serve]
run_dir = "{{folder}}/run"

[domains."{cast.AD_MAIL_DOMAIN}"]
primary = true

[domains."{cast.AD_MAIL_DOMAIN}".directory]
type = "active-directory"
server = "dc1.corp.example.com"
backup_server = "dc2.corp.example.com"
ca_file = "{{ca}}"
username = "svc-dirbridge@{cast.AD_DOMAIN}"
password = {{{{ file = "{{folder}}/secret" }}}}
directory_domain = "{cast.AD_DOMAIN}"

[domains."{cast.AD_MAIL_DOMAIN}".login]
methods = ["ldap-bind"]
cache = "0s"
"""


@dataclass(frozen=True, slots=True)
class Child:
    """A process that logs in on command; see `bench.login_child`."""

    process: subprocess.Popen[str]
    name: str
    password: str

    def log_in(self, logins: int, threads: int = 1) -> dict[str, Any]:
        """Log in so often."""
        wanted = {
            "name": self.name,
            "password": self.password,
            "logins": logins,
            "threads": threads,
        }
        print(json.dumps(wanted), file=self.process.stdin, flush=True)
        return self.told()

    def rate(self, logins: int) -> float:
        """Log in so often from all clients; gives logins for each second."""
        done = self.log_in(logins, CLIENTS)
        if done["verdicts"] != {"Accepted": logins}:
            raise BenchError(f"{logins} logins ended with {done['verdicts']}")
        return logins / float(done["seconds"])

    def told(self) -> dict[str, Any]:
        """Take the next line."""
        text = next(iter(self.process.stdout or ()), "")
        if not text:
            raise BenchError("the process that logs in has ended; see above")
        found: dict[str, Any] = json.loads(text)
        return found


@contextmanager
def by_kerberos(logins: int, folder: Path) -> Iterator[Pair]:
    """Logins by Kerberos with a keytab, against libkrb5 alone at the same KDC."""
    namespace.enter()
    with Bed(folder / "bed") as bed:
        bed.start("od1", "kdc")
        shutil.copy(bed.keytab("od"), folder / "keytab")
        (folder / "realms").mkdir()
        (folder / "realms" / "od.toml").write_text(REALM.format(folder=folder))
        _configure(bed, folder, KERBEROS, bed.password("diradmin", "od"))
        person, krb5_conf = cast.od("anna"), write_krb5_conf(bed.directory)
        password = bed.password(person)
        principal = f"{person.uid}@{cast.OD_REALM}"
        bare = {"KRB5_CONFIG": str(krb5_conf)}
        with (
            _child(str(folder / "dirbridge.toml"), person.uid, password) as ours,
            _child("bare", principal, password, bare) as theirs,
        ):
            for one in (ours, theirs):
                one.rate(WARM)
            yield Pair(lambda: ours.rate(logins), lambda: theirs.rate(logins))


@contextmanager
def frozen_with_backup(_: int, folder: Path) -> Iterator[Pair]:
    """The first login after the first of two domain controllers froze."""
    with _domain_controllers(folder) as (bed, child):
        yield Pair(lambda: _after(bed, child, (bed.dc1,), "Accepted"))


@contextmanager
def frozen_without(_: int, folder: Path) -> Iterator[Pair]:
    """The first login after both domain controllers froze."""
    with _domain_controllers(folder) as (bed, child):
        both = (bed.dc1, bed.dc2)
        yield Pair(lambda: _after(bed, child, both, "Unavailable"))


MakeChild = Callable[[], Any]


@contextmanager
def _domain_controllers(folder: Path) -> Iterator[tuple[Bed, MakeChild]]:
    namespace.enter()
    with Bed(folder / "bed") as bed:
        bed.start("dc1", "dc2")
        _configure(bed, folder, ACTIVE_DIRECTORY, bed.password("svc-dirbridge"))
        person = cast.ad("anna")
        password = bed.password(person)
        config = str(folder / "dirbridge.toml")
        yield bed, lambda: _child(config, person.sam, password)


def _after(bed: Bed, make: MakeChild, frozen: tuple[Server, ...], wanted: str) -> float:
    """Return the seconds of a login after servers froze that answered before."""
    with make() as child:
        child.rate(CLIENTS)
        # What was kept has rested for a while, as it usually has.
        time.sleep(FRESH_SECONDS + 0.1)
        for server in frozen:
            server.freeze()
        try:
            done = child.log_in(1)
        finally:
            bed.heal()
    if done["verdicts"] != {wanted: 1}:
        raise BenchError(f"the login ended with {done}, not with {wanted}")
    return float(done["seconds"])


def _configure(bed: Bed, folder: Path, text: str, secret: str) -> None:
    """Write the configuration, and bring the accounts into its store."""
    path = folder / "secret"
    path.touch(mode=0o600)
    path.write_text(secret)
    config = folder / "dirbridge.toml"
    config.write_text(text.format(folder=folder, ca=bed.ca_file))
    argv = [DIRBRIDGE, "sync", "--config", config, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    # 1: there are conflicts in the cast.
    if done.returncode not in (0, 1):
        raise BenchError(f"the sync ended with {done.returncode}: {done.stderr}")


@contextmanager
def _child(
    config: str, name: str, password: str, more: dict[str, str] | None = None
) -> Iterator[Child]:
    argv = [sys.executable, "-m", "bench.login_child", config]
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(more or {})},
    ) as process:
        child = Child(process, name, password)
        child.told()
        try:
            yield child
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.kill()
