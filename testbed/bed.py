"""The bed: all servers in one directory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Self

from testbed import namespace, provision, samba, slapd
from testbed.cast import AdPerson, OdPerson
from testbed.kdc import Kdc
from testbed.postgresql import Postgresql
from testbed.process import BedError
from testbed.samba import Dc1, Dc2
from testbed.server import Server, read_passwords, write_krb5_conf
from testbed.slapd import Od1, Od2

# server: the part of the cache that it comes from
_PARTS = {
    "dc1": "ad",
    "dc2": "ad",
    "od1": "od",
    "od2": "od",
    "kdc": "kdc",
    "postgresql": "postgresql",
}
# What one starts without its partner would be of little use.
_ALSO = {"dc2": ("dc1",), "od2": ("od1",)}

SERVERS = tuple(_PARTS)


class Bed:
    """Real servers in one directory, reached inside `testbed.namespace` only.

    Attributes:
        directory: Holds everything; short, and passable for everybody (711)
            where PostgreSQL shall run.
        dc1: The first domain controller.
        dc2: The second.
        od1: The Open Directory master.
        od2: Its replica.
        kdc: The KDC of OD.EXAMPLE.COM.
        postgresql: The database server.
    """

    def __init__(self, directory: Path) -> None:
        """Prepare a bed; nothing is started.

        Raises:
            BedError: openssl is missing.
        """
        self.directory = Path(directory).resolve()
        if not (self.directory / "passwords.json").exists():
            provision.copy(provision.BASE, self.directory)
        self.krb5_conf = write_krb5_conf(self.directory)
        self.dc1 = Dc1(self.directory)
        self.dc2 = Dc2(self.directory)
        self.od1 = Od1(self.directory)
        self.od2 = Od2(self.directory)
        self.kdc = Kdc(self.directory)
        self.postgresql = Postgresql(self.directory)
        everyone: tuple[Server, ...] = (
            *(self.dc1, self.dc2, self.od1, self.od2),
            *(self.kdc, self.postgresql),
        )
        self.servers = {server.name: server for server in everyone}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self, *names: str) -> None:
        """Start these servers (all without names) and what they go with.

        Raises:
            BedError: A package is missing or a server does not come up.
        """
        if not namespace.inside():
            raise BedError("Call testbed.namespace.enter() before a server starts.")
        wanted = set(names or SERVERS)
        wanted |= {also for name in wanted for also in _ALSO.get(name, ())}
        try:
            for name in SERVERS:
                if name in wanted:
                    self._start(name)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every server; what is cut off is restored."""
        for server in self.servers.values():
            server.restore()
            server.stop()

    def heal(self) -> None:
        """Make every server that was started once well again."""
        for server in self.servers.values():
            if server.was_started:
                server.heal()

    def reset(self, *names: str) -> None:
        """Put servers back to what was provisioned; running ones start again.

        Both of a pair go back, for they replicate.
        """
        parts = {_PARTS[name] for name in names or SERVERS}
        affected = [name for name in SERVERS if _PARTS[name] in parts]
        running = [name for name in affected if self.servers[name].running]
        for name in affected:
            self.servers[name].stop()
            shutil.rmtree(self.servers[name].folder, ignore_errors=True)
        for name in running:
            self._start(name)

    def password(self, who: str | AdPerson | OdPerson, where: str = "") -> str:
        """The password of a person.

        Args:
            who: A person, or a short name.
            where: `ad` or `od`; without it a name is looked for in AD first.
        """
        passwords = read_passwords(self.directory)
        if isinstance(who, AdPerson):
            return passwords[f"ad:{who.sam}"]
        if isinstance(who, OdPerson):
            return passwords[f"od:{who.uid}"]
        keys = [f"{part}:{who}" for part in ((where,) if where else ("ad", "od"))]
        found = [passwords[key] for key in keys if key in passwords]
        if not found:
            raise BedError(f"The bed has no password for {who!r}: see testbed/cast.py.")
        return found[0]

    def keytab(self, realm: str) -> Path:
        """The keytab of smtp/ and imap/mail.example.com.

        Args:
            realm: `corp` or `od`.
        """
        part = {"corp": "dc1", "od": "kdc"}[realm]
        self._copy(part)
        return self.servers[part].folder / f"{realm}.keytab"

    @property
    def ca_file(self) -> Path:
        """The authority that signed every server's certificate."""
        return self.directory / "ca" / "ca.pem"

    def certificate(self, name: str) -> tuple[Path, Path]:
        """A certificate and its key, by a name of `testbed.ca`."""
        folder = self.directory / "ca"
        return folder / f"{name}.pem", folder / f"{name}.key"

    def wait_replicated(self) -> None:
        """Wait until the running pairs of servers agree."""
        if self.dc1.well and self.dc2.well:
            samba.wait_replicated(self.dc1, self.dc2)
        if self.od1.well and self.od2.well:
            slapd.wait_replicated(self.od1, self.od2)

    def _start(self, name: str) -> None:
        self._copy(name)
        self.servers[name].start()

    def _copy(self, name: str) -> None:
        if not self.servers[name].folder.exists():
            provision.copy(_PARTS[name], self.directory)
