"""MIT KDC and kadmind for OD.EXAMPLE.COM. Facts: testbed 3."""

from __future__ import annotations

from pathlib import Path

from testbed import cast
from testbed.cast import Condition
from testbed.process import run, wait_for_port
from testbed.server import Server, write_krb5_conf

SERVICES = ("smtp/mail.example.com", "imap/mail.example.com")

_KDC_CONF = """\
[kdcdefaults]
kdc_listen = {address}:8888
kdc_tcp_listen = {address}:8888

[realms]
OD.EXAMPLE.COM = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/kadm5.acl
    admin_keytab = {folder}/kadm5.keytab
    kadmind_listen = {address}:8749
    kpasswd_listen = {address}:8464
    iprop_listen = {address}:8750
    supported_enctypes = aes256-cts:normal aes128-cts:normal
    default_principal_flags = +preauth
}}

[logging]
kdc = FILE:{folder}/log/krb5kdc.log
admin_server = FILE:{folder}/log/kadmind.log
"""
_FLAGS = {
    Condition.KDC_DISABLED: ("-allow_tix",),
    Condition.KDC_EXPIRED: ("-expire", "2020-01-01"),
    Condition.KDC_MUST_CHANGE: ("+needchange",),
}


class Kdc(Server):
    """The KDC of the Open Directory people."""

    name = "kdc"
    host = "kdc.od.example.com"
    address = "127.0.0.30"
    port = 8888

    def write_conf(self) -> None:
        """Write kdc.conf: the paths in it are those of this copy."""
        (self.folder / "log").mkdir(parents=True, exist_ok=True)
        text = _KDC_CONF.format(address=self.address, folder=self.folder)
        (self.folder / "kdc.conf").write_text(text)
        (self.folder / "kadm5.acl").write_text("")

    def admin(self, *command: str) -> str:
        """Run one kadmin.local command; it may run beside the server."""
        self.write_conf()
        argv = ["kadmin.local", "-r", cast.OD_REALM, *command]
        return run(argv, env=self.environment(), secret=True)

    def add_principal(self, name: str, password: str, *flags: str) -> None:
        """Add a principal, with flags as kadmin has them (`-allow_tix`...)."""
        self.admin("addprinc", *flags, "-pw", password, name)

    def rename_principal(self, old: str, new: str) -> None:
        """Rename one; the password stays."""
        self.admin("renprinc", old, new)

    def delete_principal(self, name: str) -> None:
        """Delete one."""
        self.admin("delprinc", "-force", name)

    def set_password(self, name: str, password: str) -> None:
        """Give a principal another password."""
        self.admin("cpw", "-pw", password, name)

    def set_flags(self, name: str, *flags: str) -> None:
        """Change flags, such as `-allow_tix` or `+needchange`."""
        self.admin("modprinc", *flags, name)

    def environment(self) -> dict[str, str]:
        """The variables for the KDC's own tools."""
        return {
            "KRB5_CONFIG": str(write_krb5_conf(self.directory)),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
        }

    def _launch(self) -> None:
        self.write_conf()
        kdc = self._daemon("krb5kdc")
        kdc.start(["krb5kdc", "-n", "-r", cast.OD_REALM], env=self.environment())
        kadmind = self._daemon("kadmind")
        kadmind.start(
            ["kadmind", "-nofork", "-r", cast.OD_REALM], env=self.environment()
        )
        wait_for_port(self.address, self.port, kdc)
        wait_for_port(self.address, 8749, kadmind)


def build(directory: Path) -> None:
    """Make the realm with all people, in an empty bed directory."""
    kdc = Kdc(directory)
    kdc.write_conf()
    run(
        [
            *("kdb5_util", "create", "-s", "-r", cast.OD_REALM),
            *("-P", kdc.password("od:kdc-master")),
        ],
        env=kdc.environment(),
        secret=True,
    )
    for person in cast.OD_PEOPLE:
        flags = _FLAGS.get(person.condition, ())
        kdc.add_principal(person.uid, kdc.password(f"od:{person.uid}"), *flags)
    keytab = kdc.folder / "od.keytab"
    for name in SERVICES:
        kdc.admin("addprinc", "-randkey", name)
        kdc.admin("ktadd", "-k", str(keytab), name)
    keytab.chmod(0o600)
