"""slapd as an Open Directory master and its replica. Facts: testbed 5."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from testbed import apple, cast, ldif
from testbed.cast import OD_BASE, OdPerson
from testbed.ldap_server import LdapServer
from testbed.process import run, wait_for_port, wait_until

ROOT_KEY = "od:root"

_SLAPD_CONF = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
include {folder}/apple.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload syncprov
moduleload ppolicy
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
TLSCACertificateFile {ca}/ca.pem
TLSCertificateFile {ca}/{certificate}.pem
TLSCertificateKeyFile {ca}/{certificate}.key
sizelimit size.soft=500 size.hard=500 size.pr=1000 size.prtotal=unlimited
loglevel stats

database mdb
suffix "{base}"
directory {folder}/data
maxsize {maxsize}
rootdn "{root}"
rootpw {password}
index objectClass,uid,cn,mail,uidNumber,gidNumber,memberUid eq
index apple-generateduid,apple-group-memberguid,apple-group-nestedgroup eq
index entryUUID,entryCSN,modifyTimestamp eq
access to attrs=userPassword by anonymous auth by * none
access to * by * read
overlay ppolicy
ppolicy_default "cn=default,cn=policies,{base}"
{replication}

# The place of a real one's password data: nobody may look inside.
database mdb
suffix "cn=authdata"
directory {folder}/authdata
maxsize 16777216
access to * by * none
"""
_MASTER = """\
overlay syncprov
syncprov-checkpoint 100 10
syncprov-sessionlog 10000
"""
_REPLICA = """\
syncrepl rid=001 provider=ldaps://od.example.com type=refreshAndPersist
  retry="1 +" searchbase="{base}" bindmethod=simple binddn="{root}"
  credentials={password} tls_cacert={ca}/ca.pem tls_reqcert=demand
  network-timeout=3 keepalive=5:2:2
updateref ldap://od.example.com
overlay syncprov
"""


class Slapd(LdapServer):
    """One slapd with the suffix of the Open Directory."""

    base = OD_BASE
    admin = f"cn=root,{OD_BASE}"
    admin_key = ROOT_KEY
    replication = _MASTER
    maxsize = 256 * 1024 * 1024
    debug = "stats"

    @property
    def conf(self) -> Path:
        """Its slapd.conf."""
        return self.folder / "slapd.conf"

    def write_conf(self) -> None:
        """Write slapd.conf: the paths in it are those of this copy."""
        for name in ("data", "authdata", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "apple.schema").write_text(apple.schema())
        values = {
            "base": self.base,
            "root": self.admin,
            "password": self.password(ROOT_KEY),
            "ca": self.directory / "ca",
        }
        text = _SLAPD_CONF.format(
            **values,
            folder=self.folder,
            certificate=self.certificate,
            maxsize=self.maxsize,
            replication=self.replication.format(**values),
        )
        self.conf.touch(mode=0o600)
        self.conf.write_text(text)

    def load(self, records: Iterable[str]) -> None:
        """Fill the stopped server with slapadd."""
        self.write_conf()
        source = self.folder / "load.ldif"
        with source.open("w") as file:
            file.writelines(records)
        run(["slapadd", "-q", "-w", "-f", self.conf, "-b", self.base, "-l", source])
        source.unlink()

    def create(self, person: OdPerson, password: str) -> None:
        """Add a person; the KDC has its own verbs for principals."""
        key = public_key(self.directory)
        self.modify(apple.person_ldif(person, ssha(password), key))

    def rename(self, person: OdPerson, uid: str, **changes: Any) -> OdPerson:
        """Give a person another short name, as Apple's slapd does it.

        The principal within authAuthority changes with the name.
        """
        after = replace(person, uids=(uid, *person.uids[1:]), **changes)
        records = ldif.move(person.dn, f"uid={uid}", cast.OD_USERS)
        changed = apple.renamed_ldif(after, public_key(self.directory))
        self.modify(records + changed)
        return after

    def set_password(self, dn: str, password: str) -> None:
        """Give an account another password for simple binds."""
        self.modify(ldif.modify(dn, [("userPassword", ssha(password))]))

    def context_csn(self) -> str:
        """The change number up to which this server knows everything."""
        text = self._ldap(
            *("ldapsearch", "-LLL", "-b", self.base, "-s", "base"),
            *("(objectClass=*)", "contextCSN"),
        )
        return "\n".join(line for line in text.splitlines() if "contextCSN" in line)

    def _launch(self) -> None:
        self.write_conf()
        daemon = self._daemon(self.name)
        urls = f"ldap://{self.address}:389 ldaps://{self.address}:636"
        daemon.start(["slapd", "-d", self.debug, "-f", self.conf, "-h", urls])
        for port in (389, 636):
            wait_for_port(self.address, port, daemon)


class Od1(Slapd):
    """The master."""

    name = "od1"
    host = cast.OD_HOST
    address = apple.MASTER_ADDRESS


class Od2(Slapd):
    """The replica: writes get a referral to the master."""

    name = "od2"
    host = apple.REPLICA_HOST
    address = apple.REPLICA_ADDRESS
    replication = _REPLICA


def build(directory: Path) -> None:
    """Fill both servers with the whole cast, in an empty bed directory."""
    od1, od2 = Od1(directory), Od2(directory)
    key = public_key(directory)
    people = [
        apple.person_ldif(person, ssha(od1.password(f"od:{person.uid}")), key)
        for person in cast.OD_PEOPLE
    ]
    groups = [apple.group_ldif(group) for group in cast.OD_GROUP_LIST]
    od1.load([tree(), *people, *groups, apple.others_ldif(key), apple.config_ldif(key)])
    shutil.copytree(od1.folder, od2.folder)


def tree() -> str:
    """The containers and the password policy."""
    policy = [
        ("objectClass", "container"),
        ("objectClass", "pwdPolicy"),
        ("cn", "default"),
        ("pwdAttribute", "userPassword"),
        ("pwdLockout", "TRUE"),
        ("pwdMaxFailure", "10"),
        ("pwdFailureCountInterval", "60"),
        ("pwdLockoutDuration", "60"),
    ]
    return apple.tree_ldif() + ldif.add(f"cn=default,cn=policies,{OD_BASE}", policy)


def wait_replicated(master: Od1, replica: Od2) -> None:
    """Wait until the replica has all that the master knows now."""
    wait_until(
        lambda: replica.context_csn() == master.context_csn(),
        "od2 has not all changes of od1",
    )


def public_key(directory: Path) -> str:
    """The PasswordServer's public-key text."""
    return (directory / "ca" / "passwordserver.pub").read_text()


def ssha(password: str) -> str:
    """A salted SHA-1, which every slapd verifies without a module."""
    salt = os.urandom(8)
    digest = hashlib.sha1(password.encode() + salt).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode()
