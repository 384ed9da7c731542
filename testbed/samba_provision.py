"""Provisioning the two DCs and filling them with the cast. Facts: testbed 2."""

from __future__ import annotations

import re
from pathlib import Path

from testbed import cast, ldif
from testbed.cast import AdPerson
from testbed.process import BedError, run
from testbed.samba import PROBE, Dc1, Dc2, person_ldif, quoted, wait_replicated

SERVICES = ("smtp/mail.example.com", "imap/mail.example.com")
SERVICE_ACCOUNT = "svc-mail"
PSO = "strict-lockout"
TEN_YEARS_IN_MINUTES = "5256000"


def build(directory: Path) -> None:
    """Provision both DCs with the whole cast into an empty bed directory."""
    dc1, dc2 = Dc1(directory), Dc2(directory)
    try:
        _provision(dc1)
        _populate(dc1)
        _export_keytab(dc1)
        dc1.start()
        _join(dc1, dc2)
        _lock(dc1, cast.ad("locked"))
        wait_replicated(dc1, dc2)
    finally:
        dc2.stop()
        dc1.stop()


def _provision(dc1: Dc1) -> None:
    dc1.write_conf()
    dc1.tool(
        *("domain", "provision", "--realm=CORP.EXAMPLE.COM", "--domain=CORP"),
        *("--host-name=dc1", f"--host-ip={dc1.address}", "--server-role=dc"),
        *("--dns-backend=SAMBA_INTERNAL", "--use-rfc2307"),
        f"--adminpass={dc1.password('ad:Administrator')}",
    )
    # Without the dnsupdate service nobody else adds ldap/dc1.corp.example.com.
    run(["samba_spnupdate", "-s", dc1.conf], env=dc1.environment())


def _populate(dc1: Dc1) -> None:
    """Fill the stopped DC: a long write in a running one blocks every bind."""
    dc1.tool(
        *("domain", "passwordsettings", "set", "--complexity=off"),
        *("--history-length=0", "--min-pwd-length=1", "--min-pwd-age=0"),
        # Long, because a bed may come from a cache that is weeks old.
        *("--max-pwd-age=900", "--account-lockout-threshold=10"),
        *("--account-lockout-duration=1", "--reset-account-lockout-after=1"),
    )
    _ldb(dc1, "ldbadd", _containers() + _people(dc1) + _others(dc1))
    _ldb(dc1, "ldbmodify", _memberships())
    _age_password(dc1, cast.ad("pwexpired"))
    _allow_replication(dc1, cast.ad("svc-repl"))
    _strict_lockout(dc1)


def _containers() -> str:
    names = (
        *(cast.AD_STAFF, cast.AD_SALES, cast.AD_RESEARCH, cast.AD_EDGE),
        *(cast.AD_CROWD, cast.AD_SERVICES, cast.AD_GROUPS),
    )
    return "".join(
        ldif.add(dn, [("objectClass", "organizationalUnit")]) for dn in names
    )


def _people(dc1: Dc1) -> str:
    records = [
        person_ldif(person, dc1.password(f"ad:{person.sam}"))
        for person in cast.AD_PEOPLE
    ]
    records += [person_ldif(person, None) for person in cast.CROWD]
    # ldbadd knows no changetype.
    return "".join(records).replace("changetype: add\n", "")


def _others(dc1: Dc1) -> str:
    service = [
        ("objectClass", "user"),
        ("sAMAccountName", SERVICE_ACCOUNT),
        ("userAccountControl", "66048"),
        # AES only: else the exported keytab holds nothing but arcfour keys.
        ("msDS-SupportedEncryptionTypes", "24"),
        *(("servicePrincipalName", name) for name in SERVICES),
        ("unicodePwd", quoted(dc1.password(f"ad:{SERVICE_ACCOUNT}"))),
    ]
    computer = [
        ("objectClass", "computer"),
        ("sAMAccountName", cast.AD_COMPUTER),
        ("userAccountControl", "4096"),
    ]
    contact = [
        ("objectClass", "contact"),
        ("displayName", cast.AD_CONTACT),
        ("mail", "karl@partner.example.net"),
    ]
    groups = "".join(_group(group) for group in cast.AD_GROUP_LIST)
    return (
        ldif.add(f"CN={SERVICE_ACCOUNT},{cast.AD_SERVICES}", service)
        + ldif.add(f"CN=PC1,CN=Computers,{cast.AD_BASE}", computer)
        + ldif.add(f"CN={cast.AD_CONTACT},{cast.AD_STAFF}", contact)
        + ldif.add(PROBE, [("objectClass", "container")])
        + groups
    )


def _group(group: cast.AdGroup) -> str:
    pairs = [("objectClass", "group"), ("sAMAccountName", group.name)]
    mail = [("mail", group.mail)] if group.mail else []
    return ldif.add(group.dn, [*pairs, *mail])


def _memberships() -> str:
    groups = {group.name: group.dn for group in cast.AD_GROUP_LIST}
    suffix = ldif.modify(
        f"CN=Partitions,CN=Configuration,{cast.AD_BASE}",
        [("uPNSuffixes", cast.AD_MAIL_DOMAIN)],
    )
    return suffix + "".join(
        ldif.modify(
            group.dn,
            [
                ("member", groups.get(name) or cast.ad(name).dn)
                for name in group.members
            ],
            how="add",
        )
        for group in cast.AD_GROUP_LIST
        if group.members
    )


def _age_password(dc1: Dc1, person: AdPerson) -> None:
    records = ldif.modify(person.dn, [("pwdLastSet", "126500000000000000")])  # 2001
    # The control lets the database take what only the system may write.
    _ldb(
        dc1,
        "ldbmodify",
        records,
        "--controls=local_oid:1.3.6.1.4.1.7165.4.3.20:0",
    )


def _allow_replication(dc1: Dc1, person: AdPerson) -> None:
    found = run(
        ["ldbsearch", "-H", dc1.sam, f"(sAMAccountName={person.sam})", "objectSid"],
        env=dc1.environment(),
    )
    sid = _value(found, "objectSid")
    get_changes = "1131f6aa-9c07-11d1-f79f-00c04fc2dcd2"
    dc1.tool(
        *("dsacl", "set", f"--objectdn={cast.AD_BASE}", "-H", dc1.sam),
        f"--sddl=(OA;;CR;{get_changes};;{sid})",
    )


def _strict_lockout(dc1: Dc1) -> None:
    pso = ("domain", "passwordsettings", "pso")
    dc1.tool(
        *(*pso, "create", PSO, "10", "-H", dc1.sam),
        *("--complexity=off", "--history-length=0", "--min-pwd-length=1"),
        *("--min-pwd-age=0", "--max-pwd-age=900", "--account-lockout-threshold=5"),
        f"--account-lockout-duration={TEN_YEARS_IN_MINUTES}",
        f"--reset-account-lockout-after={TEN_YEARS_IN_MINUTES}",
    )
    dc1.tool(*pso, "apply", PSO, "Strict Lockout", "-H", dc1.sam)


def _export_keytab(dc1: Dc1) -> None:
    keytab = dc1.folder / "corp.keytab"
    for name in SERVICES:
        dc1.tool("domain", "exportkeytab", keytab, f"--principal={name}")
    keytab.chmod(0o600)


def _join(dc1: Dc1, dc2: Dc2) -> None:
    dc2.write_conf()
    dc2.tool(
        *("domain", "join", cast.AD_DOMAIN, "DC", "--realm=CORP.EXAMPLE.COM"),
        *(f"--server={dc1.host}", "--dns-backend=SAMBA_INTERNAL"),
        f"-UAdministrator%{dc1.password('ad:Administrator')}",
    )
    dc2.start()
    # Samba's own updates skip loopback addresses; without these records dc1
    # cannot find dc2 and does not pull from it.
    run(
        [
            *("samba_dnsupdate", "--use-samba-tool", "--all-names", "-s", dc2.conf),
            *(f"--current-ip={dc2.address}", f"--rpc-server-ip={dc1.address}"),
        ],
        env=dc2.environment(),
    )
    run(["samba_spnupdate", "-s", dc2.conf], env=dc2.environment())


def _lock(dc1: Dc1, person: AdPerson) -> None:
    for _ in range(5):
        try:
            run(
                [
                    *("ldapwhoami", "-x", "-H", f"ldaps://{dc1.host}"),
                    *("-D", f"CORP\\{person.sam}", "-w", "wrong"),
                ],
                env={"LDAPTLS_CACERT": str(dc1.ca_file)},
            )
        except BedError as refused:
            if "AcceptSecurityContext" not in str(refused):
                raise


def _ldb(dc1: Dc1, tool: str, records: str, *options: str) -> None:
    run(
        [tool, "--nosync", "-H", dc1.sam, *options],
        stdin=records,
        env=dc1.environment(),
    )


def _value(text: str, attribute: str) -> str:
    found = re.search(rf"^{attribute}: (.*)$", text, re.MULTILINE)
    if found is None:
        raise BedError(f"No {attribute} in this answer:\n{text}")
    return found[1]
