"""Two Samba AD DCs for CORP.EXAMPLE.COM. Facts: testbed 2."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from functools import partial
from pathlib import Path

from testbed import cast, ldif
from testbed.cast import AdPerson, Condition
from testbed.ldap_server import LdapServer
from testbed.process import BedError, run, wait_for_port, wait_until
from testbed.server import write_krb5_conf

SERVICES = ("smtp/mail.example.com", "imap/mail.example.com")
SERVICE_ACCOUNT = "svc-mail"
PSO = "strict-lockout"
TEN_YEARS_IN_MINUTES = "5256000"

# `/8` on the interface: without it Samba finds no network interface and opens
# no port. Every path is private, so that two DCs fit on one host.
_SMB_CONF = """\
[global]
netbios name = {name}
workgroup = CORP
realm = CORP.EXAMPLE.COM
server role = active directory domain controller
interfaces = {address}/8
bind interfaces only = yes
server services = rpc, ldap, cldap, kdc, drepl, kcc, dns
private dir = {folder}/private
state directory = {folder}/state
cache directory = {folder}/cache
lock directory = {folder}/lock
pid directory = {folder}/pid
ncalrpc dir = {folder}/ncalrpc
winbindd socket directory = {folder}/winbindd
ntp signd socket directory = {folder}/ntp-signd
binddns dir = {folder}/bind-dns
log file = {folder}/log/samba.log
log level = 1 auth_audit:3
xattr_tdb:file = {folder}/state/xattr.tdb
idmap_ldb:use rfc2307 = yes
dreplsrv:periodic_interval = 5
tls enabled = yes
tls certfile = {ca}/{certificate}.pem
tls keyfile = {ca}/{certificate}.key
tls cafile = {ca}/ca.pem
ldap server require strong auth = {strong_auth}

[sysvol]
path = {folder}/state/sysvol
read only = no

[netlogon]
path = {folder}/state/sysvol/corp.example.com/scripts
read only = no
"""
_FOLDERS = (
    *("private", "state/sysvol", "cache", "lock", "pid", "ncalrpc", "winbindd"),
    *("ntp-signd", "bind-dns", "log"),
)


class DomainController(LdapServer):
    """One of the two DCs."""

    base = cast.AD_BASE
    admin = f"Administrator@{cast.AD_DOMAIN}"
    admin_key = "ad:Administrator"
    strong_auth: str

    @property
    def conf(self) -> Path:
        """Its smb.conf, for samba-tool."""
        return self.folder / "smb.conf"

    @property
    def sam(self) -> Path:
        """The directory's database, for the ldb tools while it is stopped."""
        return self.folder / "private" / "sam.ldb"

    def write_conf(self) -> None:
        """Write smb.conf: the paths in it are those of this copy."""
        for name in _FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        text = _SMB_CONF.format(
            name=self.name,
            address=self.address,
            folder=self.folder,
            ca=self.directory / "ca",
            certificate=self.certificate,
            strong_auth=self.strong_auth,
        )
        self.conf.write_text(text)

    def tool(self, *arguments: str | Path) -> str:
        """Run samba-tool with this server's configuration."""
        command = ["samba-tool", *arguments, "--configfile", self.conf]
        return run(command, env=self.environment(), secret=True)

    def create(self, person: AdPerson, password: str) -> None:
        """Add a person in the given condition."""
        self.modify(person_ldif(person, password))

    def rename(self, person: AdPerson, **changes: str) -> AdPerson:
        """Change names, mail and place at once; gives the changed person.

        Args:
            person: As they are now.
            changes: Of `sam`, `cn`, `ou`, `upn`, `mail`, `display`.
        """
        after = replace(person, **changes)
        records = ldif.move(person.dn, after.dn.removesuffix(f",{after.ou}"), after.ou)
        names = {
            "sAMAccountName": after.sam,
            "userPrincipalName": after.upn,
            "mail": after.mail,
            "displayName": after.display,
        }
        present = [(name, value) for name, value in names.items() if value]
        self.modify(records + ldif.modify(after.dn, present))
        return after

    def set_password(self, dn: str, password: str) -> None:
        """Give an account another password."""
        self.modify(ldif.modify(dn, [("unicodePwd", _quoted(password))]))

    def unlock(self, person: AdPerson) -> None:
        """Undo a lock-out."""
        self.modify(ldif.modify(person.dn, [("lockoutTime", "0")]))

    def environment(self) -> dict[str, str]:
        """The variables for Samba's own tools."""
        krb5_conf = write_krb5_conf(self.directory)
        return {"KRB5_CONFIG": str(krb5_conf), "SMB_CONF_PATH": str(self.conf)}

    def _launch(self) -> None:
        self.write_conf()
        daemon = self._daemon(self.name)
        daemon.start(
            [
                *("samba", "-i", "-M", "prefork", "--configfile", self.conf),
                "--option=prefork children=1",
            ],
            env=self.environment(),
        )
        for port in (636, 389, 88, 135, 3268):
            wait_for_port(self.address, port, daemon)


class Dc1(DomainController):
    """The first DC, with Samba's strict default."""

    name = "dc1"
    host = "dc1.corp.example.com"
    address = "127.0.0.10"
    strong_auth = "yes"


class Dc2(DomainController):
    """The second DC, which lets SASL binds pass over TLS."""

    name = "dc2"
    host = "dc2.corp.example.com"
    address = "127.0.0.11"
    strong_auth = "allow_sasl_over_tls"


def person_ldif(person: AdPerson, password: str | None) -> str:
    """The record that makes this person, all but the lock and an old password."""
    names = {
        "givenName": person.given,
        "sn": person.surname,
        "displayName": person.display,
        "userPrincipalName": person.upn,
        "mail": person.mail,
    }
    disabled = person.condition is Condition.DISABLED
    pairs: list[tuple[str, str | bytes]] = [
        ("changetype", "add"),
        ("objectClass", "user"),
        ("sAMAccountName", person.sam),
        ("userAccountControl", "514" if disabled else "512"),
        *((name, value) for name, value in names.items() if value),
        *(("proxyAddresses", value) for value in person.proxies),
        *person.extra,
        *_CONDITION_ATTRIBUTES.get(person.condition, ()),
    ]
    if password is not None:
        pairs.append(("unicodePwd", _quoted(password)))
    return ldif.add(person.dn, pairs)


_CONDITION_ATTRIBUTES: dict[Condition, tuple[tuple[str, str | bytes], ...]] = {
    Condition.EXPIRED: (("accountExpires", "132000000000000000"),),  # in 2019
    Condition.MUST_CHANGE: (("pwdLastSet", "0"),),
    Condition.LOGON_HOURS: (("logonHours", bytes(21)),),
    Condition.WORKSTATION: (("userWorkstations", "RECEPTION"),),
}


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


def wait_replicated(one: DomainController, other: DomainController) -> None:
    """Wait until each DC has what was written to the other before this call."""
    for source, target in ((one, other), (other, one)):
        token = secrets.token_hex(8)
        source.modify(ldif.modify(_PROBE, [("description", token)]))
        wait_until(
            partial(target.has, f"(&(cn=replication-probe)(description={token}))"),
            f"{target.name} does not see a change of {source.name}",
        )


_PROBE = f"CN=replication-probe,{cast.AD_SERVICES}"


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
        ("unicodePwd", _quoted(dc1.password(f"ad:{SERVICE_ACCOUNT}"))),
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
        + ldif.add(_PROBE, [("objectClass", "container")])
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
    run([tool, "-H", dc1.sam, *options], stdin=records, env=dc1.environment())


def _quoted(password: str) -> bytes:
    return f'"{password}"'.encode("utf-16-le")


def _value(text: str, attribute: str) -> str:
    found = re.search(rf"^{attribute}: (.*)$", text, re.MULTILINE)
    if found is None:
        raise BedError(f"No {attribute} in this answer:\n{text}")
    return found[1]
