"""`dirbridge realms`: the Kerberos realms that the domains use."""

from __future__ import annotations

import click

from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE
from dirbridge.config.krb5_conf import render


@click.group()
def realms() -> None:
    """Look at the Kerberos realms that the domains use."""


@realms.command("list")
@shared
def list_(call: Call) -> int:
    """List the realms that a domain names."""
    rows = [
        {
            "realm": realm.name,
            "kdcs": list(realm.kdcs),
            "service": realm.service,
            "keytab": realm.keytab is not None,
        }
        for realm in call.app().realms
    ]
    call.out.table(
        "Kerberos realms",
        ("realm", "KDCs", "service", "keytab"),
        [
            (
                row["realm"],
                row["kdcs"],
                row["service"],
                "yes" if row["keytab"] else "no",
            )
            for row in rows
        ],
    )
    call.out.finish({"realms": rows})
    return DONE


@realms.command("krb5-conf")
@shared
def krb5_conf(call: Call) -> int:
    """Print the private krb5.conf that dirbridge writes for its realms."""
    text = render(call.app().realms)
    if not call.out.json:
        click.echo(text, nl=False)
    call.out.finish({"krb5_conf": text})
    return DONE
