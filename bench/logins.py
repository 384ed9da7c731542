"""Rows about logins."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.bridge import DIRBRIDGE, bridge
from bench.row import BenchError, Pair
from testbed import scale
from testbed.cast import OD_USERS
from testbed.process import Daemon, environment, run, wait_until
from testbed.scale import Scale

ACCOUNTS = 1000
CLIENTS = 4
SETTLED = 1.0
"""Seconds until the clients beside are certainly at work."""

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
SASLAUTHD = 'saslauthd -a ldap -n 5 {} -m "$1" -O "$2" && exec sleep infinity'
CACHE = f"-c -s 4096 -t {24 * 3600}"
"""4 MB: all accounts fit into it."""

NO_CACHE = {"login": 'cache = "0s"'}
LONG_CACHE = {"login": 'cache = "1h"'}
PASSES = 3
"""Passes over all accounts before it counts: the first one finds nothing warm."""

LOCAL = "local-admin"
WITHOUT_END = 1_000_000
HASHERS = 4


@contextmanager
def by_bind(logins: int, folder: Path) -> Iterator[Pair]:
    """Logins through the saslauthd socket, each one verified by a bind."""
    with _both(folder, NO_CACHE, "") as (mine, other):
        yield Pair(
            # A cache would make fewer binds than logins; ours makes exactly one.
            lambda: mine.run(logins, most=logins),
            lambda: other.run(logins),
        )


@contextmanager
def cached(logins: int, folder: Path) -> Iterator[Pair]:
    """Logins of people who logged in a moment ago."""
    with _both(folder, LONG_CACHE, CACHE) as (mine, other):
        yield Pair(
            lambda: mine.run(logins, least=0, most=0),
            # Two accounts may share a place in its cache.
            lambda: other.run(logins, least=0),
        )


@contextmanager
def slowest(logins: int, folder: Path) -> Iterator[Pair]:
    """The 99th percentile of cached logins, beside Argon2 checks and alone."""
    load = _compile(folder)
    with bridge(folder, ACCOUNTS, lines=LONG_CACHE) as ours:
        password = ours.server.password(scale.PASSWORD_KEY)
        add = [DIRBRIDGE, "accounts", "add", LOCAL]
        run(add, env=ours.environment, stdin=f"{password}\n")
        with ours.serving("--no-sync"):
            mine = Load(load, ours.socket, ours.server)
            mine.run(ACCOUNTS)

            def beside() -> float:
                with _hashing(mine, password):
                    return mine.timed(logins, 0, 0).slowest

            yield Pair(beside, lambda: mine.timed(logins, 0, 0).slowest)


@contextmanager
def _both(
    folder: Path, lines: Mapping[str, str], options: str
) -> Iterator[tuple[Load, Load]]:
    """Give the load for a bridge and for saslauthd, both warm."""
    load = _compile(folder)
    with (
        bridge(folder, ACCOUNTS, lines=lines) as ours,
        ours.serving("--no-sync"),
        _saslauthd(folder, ours.server, options) as theirs,
    ):
        both = tuple(Load(load, at, ours.server) for at in (ours.socket, theirs))
        for one in both:
            one.run(PASSES * ACCOUNTS, least=0)
        yield both[0], both[1]


@contextmanager
def _hashing(load: Load, password: str) -> Iterator[None]:
    """Let clients log in to a local account all the time, each by an Argon2 check."""
    argv = [load.program, load.socket, str(HASHERS), str(WITHOUT_END)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True) as clients:
        assert clients.stdin is not None
        clients.stdin.write(f"{LOCAL}\t{password}\n")
        clients.stdin.close()
        try:
            time.sleep(SETTLED)
            yield
            if clients.poll() is not None:
                raise BenchError("the clients of the local account have ended")
        finally:
            clients.kill()


@dataclass(frozen=True, slots=True)
class Times:
    """How long some logins took.

    Attributes:
        rate: Logins for each second.
        slowest: The 99th percentile, in microseconds.
    """

    rate: float
    slowest: float


@dataclass(frozen=True, slots=True)
class Load:
    """Clients that log in, each account in turn.

    They are written in C: clients in Python would be slower than what they measure.
    """

    program: Path
    socket: Path
    server: Scale

    def run(
        self, logins: int, *, least: int | None = None, most: int | None = None
    ) -> float:
        """Log in so often; gives logins for each second.

        Args:
            logins: How often.
            least: How many binds the server has to see for it, as many as logins
                where it is left out.
            most: How many it may see; None for any number.

        Raises:
            BenchError: A login failed, or the binds do not fit.
        """
        return self.timed(logins, logins if least is None else least, most).rate

    def timed(self, logins: int, least: int, most: int | None) -> Times:
        """Log in as `run` does."""
        before = self.server.binds()
        text = run(
            [self.program, self.socket, str(CLIENTS), str(logins)],
            stdin=self._names(),
        )
        seconds, ok, no, silent, _, slowest = map(float, text.split())
        seen = self.server.binds() - before - 1  # the second count is a bind as well
        if (ok, no, silent) != (logins, 0, 0):
            raise BenchError(f"{self.socket}: {ok:.0f} OK, {no:.0f} NO, {silent:.0f} -")
        if seen < least or (most is not None and seen > most):
            raise BenchError(f"{self.socket}: {seen} binds for {logins} logins")
        return Times(logins / seconds, slowest)

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
def _saslauthd(folder: Path, server: Scale, options: str) -> Iterator[Path]:
    """Run the real saslauthd with more options; gives its socket."""
    place = folder / "saslauthd"
    place.mkdir()
    conf = place / "saslauthd.conf"
    text = SASLAUTHD_CONF.format(host=server.host, ca=server.ca_file, base=OD_USERS)
    conf.write_text(text)
    daemon = Daemon("saslauthd", place / "log")
    own = ("unshare", "--pid", "--fork", "--kill-child")
    socket = place / "mux"
    try:
        script = SASLAUTHD.format(options)
        daemon.start([*own, "sh", "-c", script, "sh", place, conf])
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
