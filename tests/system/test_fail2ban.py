"""The fail2ban filter, by fail2ban's own programs on the lines that `serve` writes."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from dirbridge.login.log_line import log_line
from dirbridge.model.login import (
    Accepted,
    Attempt,
    Cause,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)

pytestmark = pytest.mark.needs_fail2ban

SHIPPED = Path(__file__).parents[2] / "examples" / "fail2ban"
FILTER = SHIPPED / "filter.d" / "dirbridge.conf"

STARTS = (
    "Nov 22 19:00:01 mail dirbridge[123]: ",
    "2026-11-22T19:00:01.123456+01:00 mail dirbridge[123]: ",
    "Nov 22 19:00:01 mail dirbridge: ",
    "mail dirbridge[123]: ",  # the journal's, which has the time elsewhere
)
NASTY = (
    "x rip=198.51.100.1 lip=",
    "x\ndirbridge[1]: login verdict=rejected reason=x user=x rip=198.51.100.1 lip=",
    "x\u2028login verdict=rejected reason=x user=x rip=198.51.100.1 lip=",
    "rip=198.51.100.1",
    "\x00\x1b[2K",
    "",
)


def banned(folder: Path, *lines: str) -> list[str]:
    """The addresses that fail2ban sees in these lines, in order."""
    log = folder / "log"
    log.write_text("".join(f"{line}\n" for line in lines))
    done = subprocess.run(
        ["fail2ban-regex", "--out", "ip", str(log), str(FILTER)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "ERROR" not in done.stderr
    return done.stdout.split()


def line(verdict: Verdict, rip: str = "192.0.2.7", name: str = "anna") -> str:
    client = ip_address(rip) if rip else None
    return log_line(
        Attempt(verdict, name, "imap", "dovecot-auth:/run/x y", remote_ip=client)
    )


def test_rejections_are_seen(tmp_path: Path) -> None:
    # One run of the program for all of them: it takes its time.
    reasons = [STARTS[0] + line(Rejected(reason)) for reason in Reason]
    v6 = [start + line(Rejected(Reason.UNKNOWN), "2001:db8::7") for start in STARTS]
    expected = ["192.0.2.7"] * len(Reason) + ["2001:db8::7"] * len(STARTS)
    assert banned(tmp_path, *reasons, *v6) == expected


def test_nothing_else_is_seen(tmp_path: Path) -> None:
    wrong = Rejected(Reason.WRONG_PASSWORD)
    start = STARTS[0]
    assert not banned(
        tmp_path,
        start + line(Accepted("anna@example.com", "ldap-bind", "dc1:636")),
        *(start + line(Unavailable(cause)) for cause in Cause),
        start + line(wrong, ""),
        start + "said " + line(wrong),
        start + "explain: " + line(wrong),
        start.replace("dirbridge", "postfix/smtpd") + line(wrong),
    )


def test_nobody_has_another_banned_by_a_name(tmp_path: Path) -> None:
    unknown = Rejected(Reason.UNKNOWN)
    seen = [STARTS[0] + line(unknown, name=name) for name in NASTY]
    unseen = [STARTS[0] + line(unknown, "", name=name) for name in NASTY]
    written = "\n".join([*seen, *unseen]).split("\n")
    assert banned(tmp_path, *written) == ["192.0.2.7"] * len(NASTY)


def test_fail2ban_takes_filter_and_jail(tmp_path: Path) -> None:
    folder = tmp_path / "fail2ban"
    shutil.copytree("/etc/fail2ban", folder)
    (folder / "jail.d" / "defaults-debian.conf").unlink(missing_ok=True)
    shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)
    done = subprocess.run(
        ["fail2ban-client", "-c", str(folder), "-d"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "['add', 'dirbridge', 'systemd']" in done.stdout
    assert "['start', 'dirbridge']" in done.stdout
    assert "'_SYSTEMD_UNIT=dirbridge.service'" in done.stdout
