"""A real Postfix in a folder of its own, and a client that logs in through it.

Only what AUTH needs is started: smtpd on the given addresses, and the services
that smtpd talks to. Mail that it accepted would stay in its queue.
"""

from __future__ import annotations

import base64
import smtplib
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.process import BedError, Daemon, run, wait_for_port

MAIN = """\
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/maillog
maillog_file_prefixes = {directory}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.com
mydestination =
mynetworks =
alias_maps =
alias_database =
inet_interfaces = all
inet_protocols = all
default_transport = discard:
smtputf8_enable = no
# The tests refuse many logins on purpose.
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = {sasl_type}
smtpd_sasl_path = {sasl_path}
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions = permit_sasl_authenticated, reject
{settings}
"""

# Columns: service, type, private, unprivileged, chroot, wake-up, limit, command.
MASTER = """\
{listeners}
postlog unix-dgram n - n - 1 postlogd
rewrite unix - - n - - trivial-rewrite
cleanup unix n - n - 0 cleanup
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
discard unix - - n - - discard
"""


class Postfix:
    """A Postfix that asks somebody else about logins.

    Attributes:
        directory: Its folder; `queue` in it is the queue directory, in whose
            folder `private` the socket may stand.
        listen: The addresses it listens on, as `host:port`.
    """

    def __init__(
        self,
        directory: Path,
        listen: Sequence[str],
        sasl_path: str | Path,
        *,
        sasl_type: str = "dovecot",
        settings: Mapping[str, str] | None = None,
        processes: int = 20,
    ) -> None:
        """Describe it; nothing is written yet.

        Args:
            directory: A folder of its own. Those above it get the right to be
                passed through, since smtpd does not run as root.
            listen: Addresses as `host:port`, or `[v6]:port`.
            sasl_path: `smtpd_sasl_path`: a socket, best an absolute path.
            sasl_type: `dovecot` or `cyrus`.
            settings: Further lines of main.cf.
            processes: Most smtpd processes for each address.
        """
        self.directory = directory
        self.listen = tuple(listen)
        self._main = MAIN.format(
            directory=directory,
            sasl_type=sasl_type,
            sasl_path=sasl_path,
            settings="".join(f"{k} = {v}\n" for k, v in (settings or {}).items()),
        )
        self._processes = processes
        self._daemon = Daemon("postfix", directory / "master.out")

    @property
    def queue(self) -> Path:
        """The queue directory."""
        return self.directory / "queue"

    def prepare(self) -> None:
        """Write its files; the folder for the socket is there afterwards."""
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "config"
        for folder in (self.queue, config):
            folder.mkdir(exist_ok=True)
        data = self.directory / "data"
        if not data.exists():
            data.mkdir()
            run(["chown", "postfix", data])
        (config / "main.cf").write_text(self._main)
        listeners = "\n".join(
            f"{address} inet n - n - {self._processes} smtpd" for address in self.listen
        )
        (config / "master.cf").write_text(MASTER.format(listeners=listeners))
        for folder in (self.directory, *self.directory.parents):
            mode = folder.stat().st_mode
            if mode & 0o011 != 0o011:
                folder.chmod(mode | 0o011)
        # Makes the queue's folders, with their owners.
        run(["postfix", "-c", config, "check"])

    def start(self) -> None:
        """Start it and wait until every address greets.

        Raises:
            BedError: It did not start; the text holds its log.
        """
        self.prepare()
        self._daemon.start(
            ["/usr/lib/postfix/sbin/master", "-d", "-c", self.directory / "config"]
        )
        try:
            for address in self.listen:
                host, port = split(address)
                wait_for_port(host, port, self._daemon, timeout=20)
        except BedError as error:
            self.stop()
            raise BedError(f"{error}\n{self.log_text()[-2000:]}") from error

    def stop(self) -> None:
        """Stop it and every process of it."""
        self._daemon.stop()

    def log_text(self) -> str:
        """Everything it has logged so far."""
        log = self.directory / "maillog"
        return log.read_text(errors="replace") if log.exists() else ""


def smtp_login(
    address: str,
    user: str,
    password: str,
    *,
    mechanism: str = "PLAIN",
    source: str = "",
    timeout: float = 30,
) -> tuple[int, str]:
    """Log in once and say what the server replied.

    Args:
        address: `host:port` of the server.
        user: What the person types.
        password: What the person types.
        mechanism: `PLAIN` or `LOGIN`.
        source: Address to come from.
        timeout: Seconds for each answer.

    Returns:
        Reply code and text of the AUTH command.
    """
    host, port = split(address)
    with smtplib.SMTP(
        host,
        port,
        local_hostname="client.example.com",
        timeout=timeout,
        source_address=(source, 0) if source else None,
    ) as client:
        code, text = client.ehlo()
        if not client.has_extn("auth"):
            return code, f"no AUTH offered: {text.decode(errors='replace')}"
        return login(client, user, password, mechanism=mechanism)


def login(
    client: smtplib.SMTP, user: str, password: str, *, mechanism: str = "PLAIN"
) -> tuple[int, str]:
    """Log in on an open connection, without smtplib's limit to ASCII."""
    steps = {
        "PLAIN": [f"\0{user}\0{password}"],
        "LOGIN": [user, password],
    }[mechanism]
    code, text = client.docmd(f"AUTH {mechanism}")
    for step in steps:
        if code != 334:
            break
        code, text = client.docmd(encoded(step.encode()))
    return code, text.decode(errors="replace")


def encoded(data: bytes) -> str:
    """Base64 as one line."""
    return base64.b64encode(data).decode("ascii")


def split(address: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as a pair."""
    host, colon, port = address.rpartition(":")
    if not colon:
        raise BedError(f'"{address}" is no address: write it as host:port.')
    return host.strip("[]"), int(port)
