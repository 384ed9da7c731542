"""A KDC that is not the directory's: the same realm's name, other keys.

Whoever runs it decides which passwords are right. It also gives out tickets for the
services of the realm, sealed with keys of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from testbed.process import run, wait_for_port
from testbed.server import KRB5_NO_DNS, Server

_CONF = """\
[kdcdefaults]
kdc_listen = {address}:{port}
kdc_tcp_listen = {address}:{port}

[realms]
{realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    supported_enctypes = aes256-cts:normal aes128-cts:normal
}}

[logging]
kdc = FILE:{folder}/log/krb5kdc.log
"""
_KRB5_CONF = """\
[libdefaults]
default_realm = {realm}
{no_dns}
[realms]
{realm} = {{
    kdc = {address}:{port}
}}

[domain_realm]
.{domain} = {realm}
{domain} = {realm}
"""
_MASTER = "of the spoofed realm"  # protects keys that nobody trusts


class SpoofedKdc(Server):
    """A second KDC for a realm that has one already."""

    address = "127.0.0.31"
    port = 8888

    def __init__(self, directory: Path, realm: str) -> None:
        """Take the bed's directory and the name to pretend to."""
        self.name = f"spoofed-{realm.lower()}"
        self.host = self.address
        self.realm = realm
        super().__init__(directory)

    @property
    def krb5_conf(self) -> Path:
        """For clients that are led to it."""
        return self.folder / "krb5.conf"

    def build(self, people: dict[str, str], services: Iterable[str]) -> None:
        """Make the realm.

        Args:
            people: The passwords that it shall take.
            services: Whose tickets it shall give out.
        """
        (self.folder / "log").mkdir(parents=True)
        values = {
            "address": self.address,
            "port": self.port,
            "folder": self.folder,
            "realm": self.realm,
            "domain": self.realm.lower(),
        }
        (self.folder / "kdc.conf").write_text(_CONF.format(**values))
        self.krb5_conf.write_text(_KRB5_CONF.format(**values, no_dns=KRB5_NO_DNS))
        self._run("kdb5_util", "create", "-s", "-P", _MASTER)
        for name, password in people.items():
            self._run("kadmin.local", "addprinc", "-pw", password, name)
        for name in services:
            self._run("kadmin.local", "addprinc", "-randkey", name)

    def write_keytab(self, path: Path, service: str) -> None:
        """Append the key that it has for a service to a keytab."""
        self._run("kadmin.local", "ktadd", "-norandkey", "-k", str(path), service)

    def _run(self, tool: str, *command: str) -> None:
        argv = [tool, "-r", self.realm, *command]
        run(argv, env=self._environment(), secret=True)

    def _environment(self) -> dict[str, str]:
        return {
            "KRB5_CONFIG": str(self.krb5_conf),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
        }

    def _launch(self) -> None:
        kdc = self._daemon("krb5kdc")
        kdc.start(["krb5kdc", "-n", "-r", self.realm], env=self._environment())
        wait_for_port(self.address, self.port, kdc)
