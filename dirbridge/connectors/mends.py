"""Findings for failures of a directory server.

`model.sentences` has the sentences of all common failures; here are those that
only `check` and the connectors know.
"""

from __future__ import annotations

from dirbridge.errors import DirectoryError
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.sentences import problems_of

_OTHER_PLAIN = 'Write bind = "simple" with a password.'
_MENDS = {
    "no-route": "Mend the network or the firewall between this machine and the server.",
    "protocol": "Write the port of the LDAP service in `server`; this is another one.",
    "tls": (
        'See that the port is for this kind of TLS: 636 for security = "ldaps", '
        '389 for "starttls".'
    ),
    "ca-file": "Put the certificates of your authorities (PEM) into `ca_file`.",
    "no-starttls": 'Write security = "ldaps", or set the server up for StartTLS.',
    "sealed-not-built": 'Write security = "ldaps" or "starttls".',
    "cleartext-password": (
        'Write security = "ldaps", or allow_cleartext_passwords = true if you must.'
    ),
    "bind-kerberos": _OTHER_PLAIN,
    "bind-external": _OTHER_PLAIN,
    "no-password": "Put the service account's password into the file that is named.",
    "no-rootdse": "Let the service account read the server's rootDSE.",
    "search-failed": "See the server's own log; then run `dirbridge check` again.",
    "require-group": "Leave `require_group` out; write a `filter` instead.",
    "duplicate-id": "Give one of the two entries another id in the directory.",
}

_STEPS = {"connect": "connect", "bind": "bind", "read": "base"}


def finding_of(error: DirectoryError, where: str) -> Finding:
    """Return the finding for a server's failure, with its mend."""
    problem = problems_of(error)[0]
    return Finding(
        where=where,
        what=_step(error),
        outcome=Outcome.FAILED,
        text=problem.text,
        next=_MENDS.get(error.code, problem.next),
        code=error.code,
    )


def _step(error: DirectoryError) -> str:
    if error.code == "dns":
        return "name"
    if error.code.startswith("certificate"):
        return "certificate"
    return _STEPS.get(error.operation, "connect")
