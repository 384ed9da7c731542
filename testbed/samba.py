"""Two Samba AD DCs for CORP.EXAMPLE.COM. Facts: testbed 2."""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import partial
from pathlib import Path

from testbed import cast, ldif
from testbed.cast import AdPerson, Condition
from testbed.ldap_server import LdapServer
from testbed.process import run, wait_for_port, wait_until
from testbed.server import write_krb5_conf

# `/8` on the interface: without it Samba finds no network interface and opens
# no port. Every path is private, so that two DCs fit on one host. They tell each
# other of changes at once; asking every 2 s as well took a quarter of a core. Who
# replicates from whom is plain with two: the checker that is built in knows it, and
# the one in Python takes a second of a core at each start.
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
dreplsrv:periodic_startup_interval = 1
dreplsrv:periodic_interval = 30
dreplsrv:notify_startup_interval = 1
dreplsrv:notify_interval = 1
kccsrv:samba_kcc = no
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
        self.modify(ldif.modify(dn, [("unicodePwd", quoted(password))]))

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
        pairs.append(("unicodePwd", quoted(password)))
    return ldif.add(person.dn, pairs)


_CONDITION_ATTRIBUTES: dict[Condition, tuple[tuple[str, str | bytes], ...]] = {
    Condition.EXPIRED: (("accountExpires", "132000000000000000"),),  # in 2019
    Condition.MUST_CHANGE: (("pwdLastSet", "0"),),
    Condition.LOGON_HOURS: (("logonHours", bytes(21)),),
    Condition.WORKSTATION: (("userWorkstations", "RECEPTION"),),
}


def wait_replicated(one: DomainController, other: DomainController) -> None:
    """Wait until each DC has what was written to the other before this call."""
    for source, target in ((one, other), (other, one)):
        token = secrets.token_hex(8)
        source.modify(ldif.modify(PROBE, [("description", token)]))
        wait_until(
            partial(target.has, f"(&(cn=replication-probe)(description={token}))"),
            f"{target.name} does not see a change of {source.name}",
        )


PROBE = f"CN=replication-probe,{cast.AD_SERVICES}"


def quoted(password: str) -> bytes:
    """A password as the attribute unicodePwd wants it."""
    return f'"{password}"'.encode("utf-16-le")
