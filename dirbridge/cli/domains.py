"""`dirbridge domains`: the mail domains and what they are set to."""

from __future__ import annotations

import click

from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, Json
from dirbridge.config.settings import DomainSettings, Security


@click.group()
def domains() -> None:
    """Show the mail domains."""


@domains.command("list")
@shared
def list_(call: Call) -> int:
    """List all mail domains."""
    settings = call.app().settings
    rows = [_json(name, domain) for name, domain in settings.domains.items()]
    call.out.table(
        "Mail domains",
        ("domain", "primary", "aliases", "directory", "servers", "bound to", "note"),
        [
            (
                row["domain"],
                "yes" if row["primary"] else "",
                row["aliases"],
                row["directories"],
                row["servers"],
                row["bound_ip"],
                row["note"],
            )
            for row in rows
        ],
    )
    call.out.finish({"domains": rows})
    return DONE


def _json(name: str, domain: DomainSettings) -> Json:
    return {
        "domain": name,
        "primary": domain.primary,
        "description": domain.description,
        "aliases": list(domain.aliases),
        "directories": [str(one.type) for one in domain.directory],
        "servers": [str(server) for one in domain.directory for server in one.servers],
        "bound_ip": [str(address) for address in domain.bound_ip],
        "note": note(domain),
    }


def note(domain: DomainSettings) -> str:
    """Return what every view of the domain must say: clear text, old TLS, offline."""
    notes = []
    if any(one.security is Security.NONE for one in domain.directory):
        notes.append("passwords cross the network in clear text")
    if any(one.tls_legacy for one in domain.directory):
        notes.append("old TLS is admitted (tls_legacy)")
    if domain.login.offline_logins is not None:
        notes.append("logins are accepted in an outage (offline_logins)")
    return "; ".join(notes)
