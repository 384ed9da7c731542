"""Rows about logins."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.bridge import bridge
from bench.row import BenchError, Pair
from testbed import scale
from testbed.cast import OD_USERS
from testbed.process import Daemon, environment, run, wait_until
from testbed.scale import Scale

ACCOUNTS = 1000
CLIENTS = 4
WARM_UP = 200

SASLAUTHD_CONF = """\
ldap_servers: ldaps://{host}
ldap_tls_cacert_file: {ca}
ldap_tls_check_peer: yes
ldap_search_base: {base}
ldap_filter: (uid=%u)
ldap_auth_method: bind
"""
# saslauthd detaches itself, or writes a log of every step: so it is the child of a
# process-id namespace that ends with its first process.
SASLAUTHD = 'saslauthd -a ldap -n 5 -m "$1" -O "$2" && exec sleep infinity'


@contextmanager
def saslauthd_ldap(logins: int, folder: Path) -> Iterator[Pair]:
    """Logins through the saslauthd socket, each one verified by a bind."""
    load = _compile(folder)
    with (
        bridge(folder, ACCOUNTS) as ours,
        ours.serving("--no-sync"),
        _saslauthd(folder, ours.server) as theirs,
    ):
        mine = Load(load, ours.socket, ours.server)
        other = Load(load, theirs, ours.server)
        for one in (mine, other):
            one.run(WARM_UP)
        yield Pair(
            # A cache would make fewer binds than logins; ours makes exactly one.
            lambda: mine.run(logins, binds=logins),
            lambda: other.run(logins),
        )


@dataclass(frozen=True, slots=True)
class Load:
    """Clients that log in, each account in turn.

    They are written in C: clients in Python would be slower than what they measure.
    """

    program: Path
    socket: Path
    server: Scale

    def run(self, logins: int, *, binds: int | None = None) -> float:
        """Log in so often; gives logins for each second.

        Args:
            logins: How often.
            binds: How many binds the server has to see for it; at least as many
                as logins where it is left out.

        Raises:
            BenchError: A login failed, or the binds do not fit.
        """
        before = self.server.binds()
        text = run(
            [self.program, self.socket, str(CLIENTS), str(logins)],
            stdin=self._names(),
        )
        seconds, ok, no, silent, _, _ = map(float, text.split())
        seen = self.server.binds() - before - 1  # the second count is a bind as well
        if (ok, no, silent) != (logins, 0, 0):
            raise BenchError(f"{self.socket}: {ok:.0f} OK, {no:.0f} NO, {silent:.0f} -")
        if seen < logins or (binds is not None and seen != binds):
            raise BenchError(f"{self.socket}: {seen} binds for {logins} logins")
        return logins / seconds

    def _names(self) -> str:
        password = self.server.password(scale.PASSWORD_KEY)
        names = (scale.person(number).uid for number in range(1, ACCOUNTS + 1))
        return "".join(f"{name}\t{password}\n" for name in names)


def _compile(folder: Path) -> Path:
    program = folder / "load"
    source = Path(__file__).with_name("load.c")
    run(["gcc", "-O2", "-pthread", "-o", program, source])
    return program


@contextmanager
def _saslauthd(folder: Path, server: Scale) -> Iterator[Path]:
    """Run the real saslauthd; gives its socket."""
    place = folder / "saslauthd"
    place.mkdir()
    conf = place / "saslauthd.conf"
    text = SASLAUTHD_CONF.format(host=server.host, ca=server.ca_file, base=OD_USERS)
    conf.write_text(text)
    daemon = Daemon("saslauthd", place / "log")
    own = ("unshare", "--pid", "--fork", "--kill-child")
    socket = place / "mux"
    try:
        daemon.start([*own, "sh", "-c", SASLAUTHD, "sh", place, conf])
        wait_until(lambda: _answers(socket), f"saslauthd: {daemon.last_words()}")
        yield socket
    finally:
        daemon.stop()


def _answers(socket: Path) -> bool:
    """Whether somebody refuses a name that nobody has."""
    argv = ["testsaslauthd", "-f", str(socket), "-u", "nobody", "-p", "nothing"]
    done = subprocess.run(
        argv, env=environment(), capture_output=True, text=True, check=False
    )
    return done.stdout.startswith("0: NO")
