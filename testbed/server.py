"""What all servers of the bed have in common."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path

from testbed import namespace
from testbed.process import BedError, Daemon


class Server:
    """One server of the bed; its data are in `<bed>/<name>`.

    Attributes:
        name: The short name in the bed, such as `dc1`.
        host: The DNS name that its certificate holds.
        address: The IPv4 address.
        port: The main port.
    """

    name: str
    host: str
    address: str
    port: int

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.folder = directory / self.name
        self.certificate = self.name
        self.frozen = False
        self.is_cut_off = False
        self.was_started = False
        self._daemons: list[Daemon] = []

    @property
    def running(self) -> bool:
        """Whether it was started and lives, be it frozen or cut off."""
        return bool(self._daemons) and all(one.running for one in self._daemons)

    @property
    def well(self) -> bool:
        """Whether it runs and can be reached."""
        return self.running and not self.frozen and not self.is_cut_off

    @property
    def pids(self) -> list[int]:
        """The ids of its sessions' first processes."""
        return [daemon.pid for daemon in self._daemons if daemon.running]

    def start(self) -> None:
        """Start it and wait until it answers; a running one is left alone."""
        if self.running:
            return
        self.stop()
        self.was_started = True
        try:
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it: connections are refused from now on."""
        self.frozen = False
        while self._daemons:
            self._daemons.pop().stop()

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: the kernel still accepts connections, nobody answers."""
        for daemon in self._daemons:
            daemon.signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Undo `freeze`."""
        for daemon in self._daemons:
            daemon.signal(signal.SIGCONT)
        self.frozen = False

    def cut_off(self) -> None:
        """Packets to it are lost, on old and new connections."""
        namespace.lose_packets(self.address)
        self.is_cut_off = True

    def restore(self) -> None:
        """Undo `cut_off`."""
        if self.is_cut_off:
            namespace.deliver_packets(self.address)
        self.is_cut_off = False

    def heal(self) -> None:
        """Make it well again, whatever a test did to it."""
        self.restore()
        # Asking the kernel for all processes takes long, and comes after each test.
        if self.frozen:
            with contextlib.suppress(BedError):
                self.thaw()
        if self.certificate != self.name:
            self.use_certificate(self.name)
        self.start()

    def use_certificate(self, name: str) -> None:
        """Serve with another certificate of `testbed.ca`, after a restart."""
        self.certificate = name
        if self.running:
            self.restart()

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.folder / "log" / f"{self.name}.log"

    @property
    def ca_file(self) -> Path:
        """The authority's certificate, for clients."""
        return self.directory / "ca" / "ca.pem"

    def password(self, key: str) -> str:
        """A password by its key in the bed's file, such as `ad:anna`."""
        return read_passwords(self.directory)[key]

    def _daemon(self, name: str, *, end: signal.Signals = signal.SIGTERM) -> Daemon:
        daemon = Daemon(name, self.folder / "log" / f"{name}.log", end=end)
        self._daemons.append(daemon)
        return daemon

    def _launch(self) -> None:
        raise NotImplementedError


def read_passwords(directory: Path) -> dict[str, str]:
    """All passwords of a bed, by key."""
    passwords: dict[str, str] = json.loads((directory / "passwords.json").read_text())
    return passwords


def write_krb5_conf(directory: Path) -> Path:
    """The krb5.conf for clients of both realms; written where it is missing."""
    path = directory / "krb5.conf"
    if not path.exists():
        path.write_text(KRB5_CONF)
    return path


KRB5_NO_DNS = """\
rdns = false
dns_canonicalize_hostname = false
dns_lookup_kdc = false
dns_lookup_realm = false
udp_preference_limit = 1
"""
"""What keeps a Kerberos client to what its krb5.conf says."""

KRB5_CONF = f"""\
[libdefaults]
default_realm = CORP.EXAMPLE.COM
{KRB5_NO_DNS}"""
KRB5_CONF += """
[realms]
CORP.EXAMPLE.COM = {
    kdc = dc1.corp.example.com
    kdc = dc2.corp.example.com
}
OD.EXAMPLE.COM = {
    kdc = kdc.od.example.com:8888
    admin_server = kdc.od.example.com:8749
}

[domain_realm]
.corp.example.com = CORP.EXAMPLE.COM
corp.example.com = CORP.EXAMPLE.COM
.od.example.com = OD.EXAMPLE.COM
od.example.com = OD.EXAMPLE.COM
"""
