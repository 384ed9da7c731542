"""A slapd without Apple's schema: a plain OpenLDAP, and what 389 servers add to it.

It serves beside the bed's own, with the certificate and address of the Open
Directory master, on a port of its own.
"""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

from testbed import ldif
from testbed.process import Daemon, run, wait_for_port
from testbed.slapd import Od1, ssha

BASE = "dc=plain,dc=example,dc=org"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
REDHAT = f"ou=redhat,{BASE}"
BRIDGE = f"cn=bridge,{BASE}"
PASSWORD = "the bridge's own"
PORT = 1637

_CONF = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
attributetype ( 2.16.840.1.113730.3.1.542 NAME 'nsUniqueId'
  EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 2.16.840.1.113730.3.1.610 NAME 'nsAccountLock'
  EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
TLSCACertificateFile {ca}/ca.pem
TLSCertificateFile {ca}/od1.pem
TLSCertificateKeyFile {ca}/od1.key

database mdb
suffix "{base}"
directory {folder}/data
maxsize 16777216
index objectClass,uid,mail,entryUUID eq
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="{redhat}" attrs=entryUUID by * none
access to * by dn.exact="{bridge}" read by anonymous auth by * none
overlay ppolicy
"""


class PlainSlapd:
    """Runs until stopped, in a folder of its own."""

    def __init__(self, master: Od1, folder: Path) -> None:
        self._master = master
        self._folder = folder
        self._daemon = Daemon("plain", folder / "plain.log")
        self.server = f"{master.host}:{PORT}"

    def start(self) -> None:
        """Fill it and start it."""
        (self._folder / "data").mkdir(parents=True)
        conf = self._folder / "slapd.conf"
        conf.write_text(
            _CONF.format(
                folder=self._folder,
                ca=self._master.directory / "ca",
                base=BASE,
                redhat=REDHAT,
                bridge=BRIDGE,
            )
        )
        source = self._folder / "load.ldif"
        source.write_text("".join(_records()))
        run(["slapadd", "-q", "-f", conf, "-b", BASE, "-l", source])
        address = self._master.address
        url = f"ldaps://{address}:{PORT}"
        self._daemon.start(["slapd", "-d", "0", "-f", conf, "-h", url])
        wait_for_port(address, PORT, self._daemon)

    def stop(self) -> None:
        """End it."""
        self._daemon.stop()


def person(
    uid: str, where: str = PEOPLE, *more: tuple[str, str], classes: str = ""
) -> str:
    """A person's record."""
    names = ("top", "person", "organizationalPerson", "inetOrgPerson")
    pairs = [("objectClass", name) for name in (*names, *classes.split())]
    own = [("uid", uid), ("cn", uid.title()), ("sn", uid.title()), *more]
    # slapadd wants all values of an attribute together.
    return ldif.add(f"uid={uid},{where}", [*pairs, *sorted(own, key=itemgetter(0))])


def _records() -> list[str]:
    top = [("objectClass", "dcObject"), ("objectClass", "organization")]
    posix = (("uidNumber", "2001"), ("gidNumber", "3001"), ("homeDirectory", "/home"))
    locked = ("pwdAccountLockedTime", "000001010000Z")
    bridge = [
        ("objectClass", "organizationalRole"),
        ("objectClass", "simpleSecurityObject"),
        ("cn", "bridge"),
        ("userPassword", ssha(PASSWORD)),
    ]
    return [
        ldif.add(BASE, [*top, ("dc", "plain"), ("o", "Plain")]),
        ldif.add(BRIDGE, bridge),
        *(_unit(name) for name in ("people", "groups", "redhat")),
        person(
            "anna",
            PEOPLE,
            ("uid", "a.berg"),
            ("mail", "anna@example.org"),
            ("mail", "a.berg@example.org"),
            *posix,
            classes="posixAccount",
        ),
        person("bob", PEOPLE, ("mail", "bob@example.org")),
        person("locked", PEOPLE, locked),
        _group("team", "groupOfNames", ("member", f"uid=anna,{PEOPLE}")),
        _group("unix", "posixGroup", ("gidNumber", "3001"), ("memberUid", "bob")),
        *(
            person(
                uid,
                REDHAT,
                ("nsUniqueId", f"727143b5-d1994a97-82b7fb7e-{number:08x}"),
                ("nsAccountLock", lock),
                classes="extensibleObject",
            )
            for number, (uid, lock) in enumerate([("rita", "FALSE"), ("rolf", "TRUE")])
        ),
    ]


def _unit(name: str) -> str:
    pairs = [("objectClass", "organizationalUnit"), ("ou", name)]
    return ldif.add(f"ou={name},{BASE}", pairs)


def _group(name: str, kind: str, *more: tuple[str, str]) -> str:
    pairs = [("objectClass", "top"), ("objectClass", kind), ("cn", name), *more]
    return ldif.add(f"cn={name},{GROUPS}", pairs)
