"""The stage: servers, configuration, and a running bridge in one folder."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demo import command
from demo.command import Answer
from testbed import cast
from testbed.bed import Bed
from testbed.process import BedError, Daemon, wait_until

SERVERS = ("dc1", "dc2", "od1", "od2", "kdc")
AD, OD = cast.AD_MAIL_DOMAIN, cast.OD_MAIL_DOMAIN
BOUND_IP = {AD: "127.0.1.10", OD: "127.0.1.20"}

ORCHARD = """\
[domains."{od}".directory]
type = "open-directory-kerberos"
server = "od.example.com"
backup_server = "od2.example.com"
ca_file = "{ca}"
username = "uid=diradmin,cn=users,dc=od,dc=example,dc=com"
password = {{ file = "{folder}/secrets/{od}" }}

[domains."{od}".login]
methods = ["kerberos"]
kerberos_realm = "od.example.com"
cache = "0s"
"""
"""How the Open Directory of the bed is reached and asked; it ends a configuration."""

CONFIGURATION = """\
# Written by the demo. Every key: docs/configuration.md.

[store]
url = "sqlite:///{folder}/dirbridge.db"

[serve]
run_dir = "{folder}/run"

# The saslauthd protocol does not carry the address that the client came to, so
# each address of the mail server asks on a socket of its own.
[[hooks]]
type = "saslauthd"
socket = "{folder}/sockets/{ad}"
local_ip = "{ad_ip}"

[[hooks]]
type = "saslauthd"
socket = "{folder}/sockets/{od}"
local_ip = "{od_ip}"

[[hooks]]
type = "dovecot-auth"
socket = "{folder}/sockets/dovecot-auth"

[domains."{ad}"]
primary = true
description = "Head office, on Active Directory"
bound_ip = "{ad_ip}"

[domains."{ad}".directory]
type = "active-directory"
server = "dc1.corp.example.com"
backup_server = "dc2.corp.example.com"
ca_file = "{ca}"
username = "svc-dirbridge@corp.example.com"
password = {{ file = "{folder}/secrets/{ad}" }}
directory_domain = "corp.example.com"

[domains."{ad}".login]
methods = ["kerberos", "ldap-bind"]
kerberos_realm = "corp.example.com"
# Each login shall ask a server, so that it can be seen which one answers.
cache = "0s"

[domains."{od}"]
description = "The orchard, on Open Directory"
bound_ip = "{od_ip}"

"""
CONFIGURATION += ORCHARD

REALM = """\
name = "{realm}"
{kdcs}domain_realm = [".{domain}", "{domain}"]
keytab = {{ file = "{keytab}" }}
service = "smtp/mail.example.com"
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What `testsaslauthd` was told.

    Attributes:
        answer: `ok`, `refused`, or `no answer` where the connection was closed.
        seconds: How long it took.
    """

    answer: str
    seconds: float


class Stage:
    """Everything that a step needs.

    Attributes:
        folder: Holds everything.
        bed: The servers.
        config: The configuration file.
        serve: `dirbridge serve`, started by a step.
        seen: What one step leaves for later ones.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bed = Bed(folder / "bed")
        self.config = folder / "dirbridge.toml"
        self.serve = Daemon("dirbridge serve", folder / "serve.log")
        self.seen: dict[str, Answer] = {}

    def write_configuration(self) -> None:
        """Write dirbridge.toml, realms/ and secrets/."""
        for name in ("secrets", "sockets", "run", "realms"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        self._secret(AD, self.bed.password("svc-dirbridge", "ad"))
        self._secret(OD, self.bed.password("diradmin", "od"))
        self.config.write_text(
            CONFIGURATION.format(
                folder=self.folder,
                ca=self.bed.ca_file,
                ad=AD,
                od=OD,
                ad_ip=BOUND_IP[AD],
                od_ip=BOUND_IP[OD],
            )
        )
        self._realm("corp", cast.AD_REALM)
        self._realm("od", cast.OD_REALM, "kdc.od.example.com:8888")

    def write_other_configuration(self, name: str, **directory: str) -> Path:
        """Write a configuration beside ours that reaches DC 1 in another way.

        Args:
            name: The file's name.
            directory: Other keys of Active Directory's table, `server` among them.
        """
        ours = f'server = "{self.bed.dc1.host}"'
        keys = "\n".join(f'{key} = "{value}"' for key, value in directory.items())
        path = self.folder / name
        path.write_text(self.config.read_text().replace(f"\n{ours}\n", f"\n{keys}\n"))
        return path

    def dirbridge(
        self, *arguments: str, stdin: str = "", config: Path | None = None
    ) -> Answer:
        """Run one command with the demo's configuration, or with another one."""
        env = {**self.environment, "DIRBRIDGE_CONFIG": str(config or self.config)}
        return command.run(*arguments, env=env, stdin=stdin)

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the commands."""
        return {**os.environ, "DIRBRIDGE_CONFIG": str(self.config)}

    def password(self, account: str) -> str:
        """The password of `sAMAccountName@example.com` or `uid@example.org`."""
        user, _, domain = account.rpartition("@")
        return self.bed.password(user, "ad" if domain == AD else "od")

    def start_serve(self) -> None:
        """Start `dirbridge serve` and wait until every hook answers.

        Raises:
            BedError: It ended at its start, or is not ready in time.
        """
        self.serve.start([command.PROGRAM, "serve", "--json"], env=self.environment)

        def ready() -> bool:
            if not self.serve.running:
                raise BedError(f"serve ended at its start: {self.serve.last_words()}")
            return '"ready"' in self.serve.last_words()

        wait_until(ready, "`dirbridge serve` is not ready", timeout=30)

    def saslauthd(self, domain: str, name: str, password: str) -> Asked:
        """Log in through the socket of a domain's address with `testsaslauthd`."""
        return self.saslauthd_at(self.folder / "sockets" / domain, name, password)

    def saslauthd_at(self, socket: Path, name: str, password: str) -> Asked:
        """Log in likewise through any socket."""
        argv = [
            *("testsaslauthd", "-u", name, "-p", password, "-s", "smtp"),
            *("-f", str(socket)),
        ]
        started = time.monotonic()
        path = f"{os.environ.get('PATH', '')}:/usr/sbin"
        done = subprocess.run(
            argv,
            env={**os.environ, "PATH": path},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
            check=False,
        )
        seconds = time.monotonic() - started
        return Asked(_saslauthd_answer(done.stdout), seconds)

    def logged_saslauthd(
        self, domain: str, name: str, password: str
    ) -> tuple[Asked, dict[str, str]]:
        """Log in likewise, and wait for the line that `serve` logs of it."""
        before = len(self.log_lines())
        asked = self.saslauthd(domain, name, password)
        wait_until(
            lambda: len(self.log_lines()) > before, "`serve` logs no line", timeout=10
        )
        return asked, self.log_lines()[before]

    def log_lines(self) -> list[dict[str, str]]:
        """The `login` lines that `serve` has logged so far, as fields."""
        text = self.serve.log.read_text(errors="replace")
        return [
            dict(word.partition("=")[::2] for word in line.split()[1:])
            for line in text.splitlines()
            if line.startswith("login ")
        ]

    def answered_by(self, user: str) -> Counter[str]:
        """How many of a user's passwords each DC has verified, by its own log."""
        counts: Counter[str] = Counter()
        for dc in (self.bed.dc1, self.bed.dc2):
            lines = dc.log.read_text(errors="replace").splitlines()
            counts[dc.name] = sum(
                f"\\[{user}@{cast.AD_REALM}]" in line and "NT_STATUS_OK" in line
                for line in lines
            )
        return counts

    def close(self) -> None:
        """Stop the bridge and every server."""
        self.serve.stop()
        self.bed.stop()

    def _secret(self, name: str, text: str) -> None:
        path = self.folder / "secrets" / name
        path.touch(mode=0o600)
        path.write_text(text)

    def _realm(self, name: str, realm: str, kdc: str = "") -> None:
        text = REALM.format(
            realm=realm,
            kdcs=f'kdcs = ["{kdc}"]\n' if kdc else "",
            domain=realm.lower(),
            keytab=self.bed.keytab(name),
        )
        (self.folder / "realms" / f"{name}.toml").write_text(text)


def _saslauthd_answer(text: str) -> str:
    """Read what testsaslauthd prints: `0: OK "..."`, `0: NO "..."`, else a fault."""
    if text.startswith("0: OK"):
        return "ok"
    return "refused" if text.startswith("0: NO") else "no answer"
