"""Open Directory's schema and records, as slapd takes them.

Own words after the published OIDs and payloads. Facts: open-directory 1-3.
"""

from __future__ import annotations

import hashlib
import plistlib
import uuid

from testbed import ldif
from testbed.cast import (
    OD_BASE,
    OD_GROUPS,
    OD_HOST,
    OD_REALM,
    OD_USERS,
    Condition,
    OdGroup,
    OdPerson,
    od_guid,
)

MASTER_ADDRESS = "127.0.0.20"
REPLICA_ADDRESS = "127.0.0.21"
REPLICA_HOST = "od2.example.com"
KDC = "kdc.od.example.com"

_ARC = "1.3.6.1.4.1.63.1000.1.1"
_TEXT, _IA5 = "1.3.6.1.4.1.1466.115.121.1.15", "1.3.6.1.4.1.1466.115.121.1.26"
_RULES = {
    "X": ("caseExactMatch", "caseExactSubstringsMatch", _TEXT),
    "I": ("caseIgnoreMatch", "caseIgnoreSubstringsMatch", _TEXT),
    "XI": ("caseExactIA5Match", "caseExactIA5SubstringsMatch", _IA5),
}
# name, OID (`A` is Apple's arc), equality as in _RULES, 1 or * values
_ATTRIBUTES = (
    ("apple-user-homeurl", "A.1.1.6", "XI", "1"),
    ("apple-user-class", "A.1.1.7", "XI", "1"),
    ("apple-user-mailattribute", "A.1.1.9", "X", "1"),
    ("apple-mcxflags", "A.1.1.10", "X", "1"),
    ("apple-user-passwordpolicy", "A.1.1.18", "X", "1"),
    ("apple-keyword", "A.1.1.19", "X", "*"),
    ("apple-generateduid", "A.1.1.20", "X", "1"),
    ("apple-imhandle", "A.1.1.21", "X", "*"),
    ("apple-phonecontacts", "A.1.1.25", "XI", "*"),
    ("apple-emailcontacts", "A.1.1.26", "XI", "*"),
    ("apple-company", "A.1.1.29", "I", "*"),
    ("apple-nickname", "A.1.1.30", "X", "*"),
    ("apple-user-passwordpolicy-effective", "A.1.1.37", "X", "1"),
    ("apple-accountpolicy", "A.1.1.40", "X", "1"),
    ("apple-authenticationAllowed", "A.1.1.42", "X", "1"),
    ("apple-realname", "A.1.10.2", "I", "*"),
    ("apple-password-server-location", "A.1.12.1", "XI", "1"),
    ("apple-config-realname", "A.1.12.3", "XI", "1"),
    ("apple-password-server-list", "A.1.12.4", "X", "1"),
    ("apple-ldap-replica", "A.1.12.5", "X", "*"),
    ("apple-ldap-writable-replica", "A.1.12.6", "X", "*"),
    ("apple-kdc-authkey", "A.1.12.7", "X", "*"),
    ("apple-kdc-configdata", "A.1.12.8", "X", "1"),
    ("apple-group-homeurl", "A.1.14.1", "XI", "1"),
    ("apple-group-realname", "A.1.14.5", "I", "1"),
    ("apple-group-nestedgroup", "A.1.14.6", "X", "*"),
    ("apple-group-memberguid", "A.1.14.7", "X", "*"),
    ("apple-contactguid", "A.1.14.9", "X", "1"),
    ("apple-ownerguid", "A.1.14.10", "X", "1"),
    ("apple-xmlplist", "A.1.17.1", "X", "1"),
    ("apple-enabled-auth-mech", "1.3.6.1.1.1.1.104", "I", "*"),
    ("authAuthority", "A.2.16.2", "X", "*"),
    ("altSecurityIdentities", "1.2.840.113556.1.4.867", "X", "*"),
)
_OBJECT_CLASSES = (
    ("1.2.840.113556.1.3.23", "container", "STRUCTURAL MUST cn"),
    (
        "A.2.1",
        "apple-user",
        "AUXILIARY MAY ( apple-user-homeurl $ apple-user-class $"
        " apple-user-mailattribute $ apple-mcxflags $ apple-user-passwordpolicy $"
        " apple-keyword $ apple-generateduid $ apple-imhandle $ apple-company $"
        " apple-nickname $ authAuthority $ altSecurityIdentities )",
    ),
    (
        "A.2.14",
        "apple-group",
        "AUXILIARY MAY ( apple-group-homeurl $ apple-group-realname $"
        " apple-group-nestedgroup $ apple-group-memberguid $ apple-generateduid $"
        " apple-contactguid $ apple-ownerguid $ mail )",
    ),
    (
        "A.2.10",
        "apple-computer",
        "STRUCTURAL MUST cn MAY ( apple-realname $ apple-generateduid $ description $"
        " authAuthority $ uidNumber $ gidNumber )",
    ),
    (
        "A.2.12",
        "apple-configuration",
        "STRUCTURAL MAY ( cn $ apple-config-realname $ apple-password-server-location $"
        " apple-password-server-list $ apple-ldap-replica $"
        " apple-ldap-writable-replica $ apple-kdc-authkey $ apple-kdc-configdata $"
        " apple-xmlplist $ apple-enabled-auth-mech $ apple-accountpolicy )",
    ),
    ("A.2.16", "authAuthorityObject", "AUXILIARY MAY authAuthority"),
)
_CONTAINERS = (
    *("users", "groups", "computers", "computer_groups", "computer_lists", "people"),
    *("config", "mounts", "augments", "resources", "places", "policies"),
)


def schema() -> str:
    """The minimal schema, in slapd.conf's words."""
    attributes = "\n".join(_attribute_type(*row) for row in _ATTRIBUTES)
    classes = "\n".join(
        f"objectclass ( {oid.replace('A.', _ARC + '.')} NAME '{name}' SUP top {rest} )"
        for oid, name, rest in _OBJECT_CLASSES
    )
    return f"{attributes}\n{classes}\n"


def _attribute_type(name: str, oid: str, rule: str, values: str) -> str:
    equality, substrings, syntax = _RULES[rule]
    single = " SINGLE-VALUE" if values == "1" else ""
    return (
        f"attributetype ( {oid.replace('A.', _ARC + '.')} NAME '{name}'"
        f" EQUALITY {equality} SUBSTR {substrings} SYNTAX {syntax}{single} )"
    )


def slot(uid: str) -> str:
    """The PasswordServer slot of a person, as 10.7 and later write it."""
    return f"0x{uuid.uuid5(uuid.NAMESPACE_DNS, f'slot:{uid}.{OD_HOST}').hex}"


def authorities(person: OdPerson, key: str) -> tuple[str, ...]:
    """The values of authAuthority."""
    server = f";ApplePasswordServer;{slot(person.uid)},{key}:{MASTER_ADDRESS}"
    kerberos = f";Kerberosv5;;{person.principal};{OD_REALM};"
    if person.condition is Condition.DISABLED_USER:
        return (f";DisabledUser;<{server}>", kerberos)
    return (server, kerberos)


def person_ldif(person: OdPerson, password: str, key: str) -> str:
    """The record of a person.

    Args:
        person: Who.
        password: As userPassword shall hold it (clear, or `{SSHA}...`).
        key: The PasswordServer's public-key text.
    """
    pairs = [
        *(("objectClass", name) for name in _USER_CLASSES),
        *(("uid", uid) for uid in person.uids),
        ("cn", person.cn),
        ("sn", person.surname),
        *((("givenName", person.given),) if person.given else ()),
        ("uidNumber", str(person.uid_number)),
        ("gidNumber", str(person.gid_number)),
        ("homeDirectory", f"/Users/{person.uid}"),
        ("loginShell", "/usr/bin/false"),
        ("apple-generateduid", person.guid),
        *(("mail", mail) for mail in person.mails),
        *(("authAuthority", value) for value in authorities(person, key)),
        ("altSecurityIdentities", f"Kerberos:{person.principal}"),
        ("userPassword", password),
    ]
    if person.mail_state is not None:
        pairs.append(("apple-user-mailattribute", _mail_attribute(person)))
    if person.condition is Condition.LOCKED:
        pairs.append(("pwdAccountLockedTime", "000001010000Z"))
    return ldif.add(person.dn, pairs)


def renamed_ldif(person: OdPerson, key: str) -> str:
    """What changes in a record that was moved to this person's name."""
    pairs = [
        ("cn", person.cn),
        ("sn", person.surname),
        ("altSecurityIdentities", f"Kerberos:{person.principal}"),
        *(("authAuthority", value) for value in authorities(person, key)),
        *(("mail", mail) for mail in person.mails),
    ]
    return ldif.modify(person.dn, pairs)


_USER_CLASSES = (
    *("top", "person", "organizationalPerson", "inetOrgPerson", "posixAccount"),
    *("shadowAccount", "apple-user", "extensibleObject"),
)


def _mail_attribute(person: OdPerson) -> str:
    return _plist(
        {
            "kAttributeVersion": "Apple Mail 1.0",
            "kMailAccountState": str(person.mail_state),
            "kAutoForwardValue": person.forward,
            "kIMAPLoginState": "IMAPAllowed",
            "kPOP3LoginState": "POP3Deny",
            "kMailAccountLocation": "mail.example.org",
            "kUserDiskQuota": "500",
        }
    )


def group_ldif(group: OdGroup) -> str:
    """The record of a group."""
    pairs = [
        *(("objectClass", name) for name in _GROUP_CLASSES),
        ("cn", group.name),
        ("gidNumber", str(group.gid_number)),
        ("apple-group-realname", group.realname),
        ("apple-generateduid", group.guid),
        *(("memberUid", uid) for uid in group.uids),
        *(
            ("apple-group-memberguid", od_guid(f"user:{uid}"))
            for uid in group.guid_members
        ),
        *(
            ("apple-group-nestedgroup", od_guid(f"group:{name}"))
            for name in group.nested
        ),
        *((("mail", group.mail),) if group.mail else ()),
    ]
    return ldif.add(group.dn, pairs)


_GROUP_CLASSES = ("top", "posixGroup", "apple-group", "extensibleObject")


def tree_ldif() -> str:
    """The suffix and its containers."""
    suffix = [("objectClass", "dcObject"), ("objectClass", "organization")]
    top = ldif.add(OD_BASE, [*suffix, ("dc", "od"), ("o", "Orchard")])
    return top + "".join(
        ldif.add(f"cn={name},{OD_BASE}", [("objectClass", "container"), ("cn", name)])
        for name in _CONTAINERS
    )


def others_ldif(key: str) -> str:
    """A computer and a contact: neither is an account."""
    computer = [
        ("objectClass", "apple-computer"),
        ("cn", "mac1.example.org$"),
        ("uidNumber", "1100"),
        ("apple-generateduid", od_guid("computer:mac1")),
        (
            "authAuthority",
            f";ApplePasswordServer;{slot('mac1$')},{key}:{MASTER_ADDRESS}",
        ),
    ]
    contact = [
        ("objectClass", "inetOrgPerson"),
        ("cn", "Karl Contact"),
        ("sn", "Contact"),
        ("mail", "karl@partner.example.net"),
    ]
    return ldif.add(
        f"cn=mac1.example.org$,cn=computers,{OD_BASE}", computer
    ) + ldif.add(f"cn=Karl Contact,cn=people,{OD_BASE}", contact)


def config_ldif(key: str) -> str:
    """The records below cn=config, which clients discover."""
    identity = hashlib.md5(key.encode()).hexdigest().upper()
    servers = _password_servers(identity)
    location = [
        ("apple-password-server-location", MASTER_ADDRESS),
        ("apple-password-server-list", servers),
    ]
    records: dict[str, list[tuple[str, str]]] = {
        "macosxodpolicy": [("apple-xmlplist", _plist(_POLICY))],
        "ldapreplicas": [
            ("apple-ldap-replica", f"ldap://{OD_HOST}"),
            ("apple-ldap-replica", f"ldap://{REPLICA_HOST}"),
            ("apple-ldap-writable-replica", f"ldap://{OD_HOST}"),
        ],
        f"passwordserver_{identity}": location,
        "passwordserver": location,
        "KerberosClient": [("apple-xmlplist", _plist(_KERBEROS_CLIENT))],
        "KerberosKDC": [
            ("apple-config-realname", OD_REALM),
            ("apple-kdc-configdata", f"[realms]\n{OD_REALM} = {{\n}}\n"),
        ],
        "dirserv": [
            ("apple-enabled-auth-mech", "CRAM-MD5"),
            ("apple-enabled-auth-mech", "DIGEST-MD5"),
            ("apple-enabled-auth-mech", "GSSAPI"),
        ],
    }
    marker = [
        ("objectClass", "organizationalUnit"),
        ("ou", "macosxodconfig"),
        ("description", _plist(_CLIENT_MAPPING)),
    ]
    return ldif.add(f"ou=macosxodconfig,cn=config,{OD_BASE}", marker) + "".join(
        ldif.add(
            f"cn={name},cn=config,{OD_BASE}",
            [("objectClass", "apple-configuration"), ("cn", name), *pairs],
        )
        for name, pairs in records.items()
    )


def _password_servers(identity: str) -> str:
    return _plist(
        {
            "ID": identity,
            "Status": "AllowReplication",
            "Parent": {"IP": MASTER_ADDRESS, "DNS": OD_HOST},
            "Replicas": [
                {
                    "IP": REPLICA_ADDRESS,
                    "DNS": REPLICA_HOST,
                    "ReplicaName": "Replica1",
                    "ReplicaPolicy": "SyncDefault",
                    "ReplicaStatus": "Active",
                }
            ],
        }
    )


_POLICY = {
    "Directory Binding": True,
    "Configured Security Level": {
        "Binding Required": False,
        "No ClearText Authentications": True,
        "Man In The Middle": False,
        "Packet Signing": False,
        "Packet Encryption": False,
    },
}
_KERBEROS_CLIENT = {
    "generationID": 1234567890,
    "edu.mit.kerberos": {
        "libdefaults": {"default_realm": OD_REALM},
        "domain_realm": {
            ".od.example.com": OD_REALM,
            "od.example.com": OD_REALM,
            ".local": OD_REALM,
        },
        "realms": {
            OD_REALM: {"KDC_List": [f"{KDC}:8888"], "KADM_List": [f"{KDC}:8749"]}
        },
    },
}
_CLIENT_MAPPING = {
    "Template Version": "10.6",
    "Map Search Base": OD_BASE,
    "Record Type Map": [
        {
            "Standard Name": "dsRecTypeStandard:Users",
            "Native Map": [{"Search Base": OD_USERS, "Group Object Classes": "AND"}],
        },
        {
            "Standard Name": "dsRecTypeStandard:Groups",
            "Native Map": [{"Search Base": OD_GROUPS, "Group Object Classes": "AND"}],
        },
    ],
    "Attribute Type Map": [
        {"Standard Name": "dsAttrTypeStandard:RecordName", "Native Map": ["uid", "cn"]}
    ],
}


def _plist(value: object) -> str:
    return plistlib.dumps(value).decode()
