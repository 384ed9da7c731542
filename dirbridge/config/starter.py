"""Write a first, commented configuration from the answers to a few questions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dirbridge.config.settings import DirectoryType


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What an admin said on the first day.

    Attributes:
        domain: The mail domain.
        type: The kind of directory.
        servers: The directory's servers, the primary first.
        username: The service account, `user@domain` or a DN.
        password_file: Where its password stands.
        directory_domain: Active Directory's own name, where it differs.
        ca_file: The CA of the servers' certificates, else the system's.
        store: The url of the local user database.
        socket: The socket on which Postfix asks.
    """

    domain: str
    type: DirectoryType
    servers: tuple[str, ...]
    username: str
    password_file: Path
    directory_domain: str | None = None
    ca_file: Path | None = None
    store: str
    socket: Path


def starter(answers: Answers) -> str:
    """Return the text of `dirbridge.toml`.

    Args:
        answers: What the admin said.
    """
    backup = answers.servers[1:]
    lines = (
        "# dirbridge configuration, written by `dirbridge init`.",
        "# Every key stands in docs/configuration.md; `dirbridge check` tries them.",
        "",
        "[store]",
        "# The local user database: SQLite needs nothing else, fleets use PostgreSQL.",
        f"url = {_text(answers.store)}",
        "",
        "[[hooks]]",
        "# Postfix asks here; `dirbridge connect postfix` prints its half.",
        'type = "dovecot-auth"',
        f"socket = {_text(str(answers.socket))}",
        *_postfix_owner(answers.socket),
        "",
        f"[domains.{_text(answers.domain)}]",
        "primary = true                  # bare names belong to this domain",
        '# bound_ip = ["192.0.2.10"]     # or to the domain bound to the address',
        "",
        f"[domains.{_text(answers.domain)}.directory]",
        f"type = {_text(answers.type)}",
        f"server = {_text(answers.servers[0])}",
        f"backup_server = {json.dumps(list(backup))}"
        if backup
        else '# backup_server = "dc2.company.com"',
        '# discover = "dns"              # also, or only, the servers that DNS names',
        'security = "ldaps"              # certificate and host name are verified',
        '# security = "sealed"           # domain controllers without a certificate',
        f"ca_file = {_text(str(answers.ca_file))}"
        if answers.ca_file
        else '# ca_file = "/etc/dirbridge/ca.pem"   # else the system\'s CAs',
        '# certificate_pin = "sha256:..."   # or one certificate; `check` shows it',
        "# tls_legacy = true             # for servers that know only TLS 1.0",
        f"username = {_text(answers.username)}",
        f"password = {{ file = {_text(str(answers.password_file))} }}",
        '# bind = "kerberos"             # in place of the password, with a keytab:',
        '# keytab = { file = "/etc/dirbridge/secrets/bridge.keytab" }',
        '# bind = "external"             # or with our certificate, no username:',
        '# cert_file = "/etc/dirbridge/bridge.pem"',
        '# key_file = "/etc/dirbridge/secrets/bridge.key"',
        f"directory_domain = {_text(answers.directory_domain)}"
        if answers.directory_domain
        else '# directory_domain = "corp.company.com"   # the directory\'s own name',
        "",
        f"[domains.{_text(answers.domain)}.login]",
        '# methods = ["kerberos", "ldap-bind"]   # left out: Kerberos with a keytab,',
        "#                                       # else a bind to the directory",
        "# `check` compares the realm with this file's:",
        '# kerberos_file = "/etc/dirbridge/edu.mit.Kerberos"',
        "",
        f"[domains.{_text(answers.domain)}.sync]",
        'interval = "5m"',
        "# push = true                   # also when the directory tells of changes",
        "",
        f"[domains.{_text(answers.domain)}.limits]",
        "# What one run may take away before a person must approve.",
        "share = 0.1",
        "absolute = 50",
    )
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """Write a TOML basic string; JSON's escapes are a part of TOML's."""
    return json.dumps(value, ensure_ascii=False)


def _postfix_owner(socket: Path) -> tuple[str, ...]:
    if "postfix" not in socket.parts:
        return ()
    return ('owner = "postfix"', 'group = "postfix"', 'mode = "0660"')
