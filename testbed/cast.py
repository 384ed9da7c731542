"""The fixed cast: everybody who lives in the two directories of the bed.

Pure data. Servers are filled from it, and tests loop over it. Passwords are
not here: they are made anew for each provision (`Bed.password`).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum

AD_DOMAIN = "corp.example.com"
AD_REALM = "CORP.EXAMPLE.COM"
AD_NT_DOMAIN = "CORP"
AD_BASE = "DC=corp,DC=example,DC=com"
AD_MAIL_DOMAIN = "example.com"
AD_STAFF = f"OU=Staff,{AD_BASE}"
AD_SALES = f"OU=Sales,{AD_STAFF}"
AD_RESEARCH = f"OU=Research,{AD_STAFF}"
AD_EDGE = f"OU=Edge,{AD_BASE}"
AD_CROWD = f"OU=Crowd,{AD_BASE}"
AD_SERVICES = f"OU=Services,{AD_BASE}"
AD_GROUPS = f"OU=Groups,{AD_BASE}"

OD_HOST = "od.example.com"
OD_REALM = "OD.EXAMPLE.COM"
OD_BASE = "dc=od,dc=example,dc=com"
OD_MAIL_DOMAIN = "example.org"
OD_USERS = f"cn=users,{OD_BASE}"
OD_GROUPS = f"cn=groups,{OD_BASE}"

CROWD_SIZE = 2000


class Condition(StrEnum):
    """What is special about an account's state."""

    NORMAL = "normal"
    DISABLED = "disabled"  # AD: userAccountControl bit 2
    LOCKED = "locked"  # AD: five wrong tries; OD: ppolicy lock
    EXPIRED = "expired"  # the account, not its password
    MUST_CHANGE = "must_change"
    PASSWORD_EXPIRED = "password_expired"
    LOGON_HOURS = "logon_hours"  # no hour is allowed
    WORKSTATION = "workstation"  # only from one named PC
    NO_PASSWORD = "no_password"  # there is no password that opens it
    DISABLED_USER = "disabled_user"  # OD: authAuthority `;DisabledUser;`
    KDC_DISABLED = "kdc_disabled"  # OD: invisible in LDAP
    KDC_EXPIRED = "kdc_expired"  # OD: invisible in LDAP
    KDC_MUST_CHANGE = "kdc_must_change"  # OD: invisible in LDAP


class Answer(StrEnum):
    """What a *server* says to a password check (not what dirbridge makes of it)."""

    ACCEPTED = "accepted"
    WRONG_PASSWORD = "wrong_password"
    UNKNOWN = "unknown"
    DISABLED = "disabled"
    LOCKED = "locked"
    EXPIRED = "expired"
    MUST_CHANGE = "must_change"
    PASSWORD_EXPIRED = "password_expired"
    LOGON_HOURS = "logon_hours"
    WORKSTATION = "workstation"
    REVOKED = "revoked"  # Kerberos 18: disabled, expired, locked or hours
    KEY_EXPIRED = "key_expired"  # Kerberos 23: must change or password expired


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The four answers an account gets; see facts: ad-semantics 6, testbed 2, 3."""

    ldap: Answer
    kerberos: Answer
    ldap_wrong: Answer = Answer.WRONG_PASSWORD
    kerberos_wrong: Answer = Answer.WRONG_PASSWORD


# `data XXX` in the text of LDAP result 49 of Active Directory.
AD_LDAP_DATA = {
    Answer.WRONG_PASSWORD: 0x52E,
    Answer.UNKNOWN: 0x52E,  # Samba; Windows may say 0x525
    Answer.LOGON_HOURS: 0x530,
    Answer.WORKSTATION: 0x531,
    Answer.PASSWORD_EXPIRED: 0x532,
    Answer.DISABLED: 0x533,
    Answer.EXPIRED: 0x701,
    Answer.MUST_CHANGE: 0x773,
    Answer.LOCKED: 0x775,
}

# RFC 4120 error codes; the gssapi minor code is 0x96c73a00 + this.
KERBEROS_CODE = {
    Answer.EXPIRED: 1,
    Answer.UNKNOWN: 6,
    Answer.REVOKED: 18,
    Answer.KEY_EXPIRED: 23,
    Answer.WRONG_PASSWORD: 24,
}

AD_VERDICTS = {
    Condition.NORMAL: Verdicts(Answer.ACCEPTED, Answer.ACCEPTED),
    Condition.DISABLED: Verdicts(Answer.DISABLED, Answer.REVOKED),
    Condition.LOCKED: Verdicts(
        Answer.LOCKED, Answer.REVOKED, Answer.LOCKED, Answer.REVOKED
    ),
    Condition.EXPIRED: Verdicts(Answer.EXPIRED, Answer.REVOKED),
    Condition.MUST_CHANGE: Verdicts(Answer.MUST_CHANGE, Answer.KEY_EXPIRED),
    Condition.PASSWORD_EXPIRED: Verdicts(Answer.PASSWORD_EXPIRED, Answer.KEY_EXPIRED),
    Condition.LOGON_HOURS: Verdicts(Answer.LOGON_HOURS, Answer.REVOKED),
    Condition.WORKSTATION: Verdicts(Answer.WORKSTATION, Answer.ACCEPTED),
}

# The bed's slapd compares userPassword and knows nothing of the KDC's policy or
# of authAuthority: DISABLED_USER *binds*. A bridge must refuse it by the record.
# MIT answers the refusals before it looks at the password.
OD_VERDICTS = {
    Condition.NORMAL: Verdicts(Answer.ACCEPTED, Answer.ACCEPTED),
    Condition.DISABLED_USER: Verdicts(Answer.ACCEPTED, Answer.ACCEPTED),
    Condition.LOCKED: Verdicts(Answer.WRONG_PASSWORD, Answer.ACCEPTED),
    Condition.KDC_DISABLED: Verdicts(
        Answer.ACCEPTED, Answer.REVOKED, kerberos_wrong=Answer.REVOKED
    ),
    Condition.KDC_EXPIRED: Verdicts(
        Answer.ACCEPTED, Answer.EXPIRED, kerberos_wrong=Answer.EXPIRED
    ),
    Condition.KDC_MUST_CHANGE: Verdicts(
        Answer.ACCEPTED, Answer.KEY_EXPIRED, kerberos_wrong=Answer.KEY_EXPIRED
    ),
}


class MailState(StrEnum):
    """`kMailAccountState` of apple-user-mailattribute."""

    ENABLED = "Enabled"
    FORWARD = "Forward"
    OFF = "Off"


def _escaped(rdn_value: str) -> str:
    escaped = "".join(f"\\{c}" if c in ',+"\\<>;=' else c for c in rdn_value)
    return f"\\{escaped}" if escaped.startswith("#") else escaped


@dataclass(frozen=True, slots=True)
class AdPerson:
    """One user of CORP.EXAMPLE.COM.

    Attributes:
        sam: sAMAccountName; `Bed.password(sam)` is the AD password.
        cn: The unescaped value of the RDN.
        ou: The DN of the container.
        upn: userPrincipalName, or None where the attribute is absent.
        mail: The mail attribute, or None.
        proxies: proxyAddresses as stored, with prefixes.
        extra: More attributes, as pairs.
    """

    sam: str
    cn: str
    ou: str = AD_STAFF
    given: str = ""
    surname: str = ""
    display: str = ""
    upn: str | None = None
    mail: str | None = None
    proxies: tuple[str, ...] = ()
    condition: Condition = Condition.NORMAL
    extra: tuple[tuple[str, str], ...] = ()
    note: str = ""

    @property
    def dn(self) -> str:
        """The distinguished name, escaped after RFC 4514."""
        return f"CN={_escaped(self.cn)},{self.ou}"

    @property
    def principal(self) -> str:
        """The Kerberos principal."""
        return f"{self.sam}@{AD_REALM}"

    @property
    def verdicts(self) -> Verdicts:
        """What Samba answers to this account's password checks."""
        return AD_VERDICTS[self.condition]

    @property
    def has_password(self) -> bool:
        """Whether `Bed.password` knows a password."""
        return self.condition is not Condition.NO_PASSWORD


@dataclass(frozen=True, slots=True)
class OdPerson:
    """One user of the Open Directory master.

    Attributes:
        uids: Short names; the first stands in the DN and is the Kerberos
            principal; `Bed.password(uid, "od")` is the password.
        mail_state: None where apple-user-mailattribute is absent.
    """

    uids: tuple[str, ...]
    cn: str
    uid_number: int
    given: str = ""
    surname: str = "99"
    mails: tuple[str, ...] = ()
    mail_state: MailState | None = None
    forward: str = ""
    condition: Condition = Condition.NORMAL
    gid_number: int = 20
    note: str = ""

    @property
    def uid(self) -> str:
        """The primary short name."""
        return self.uids[0]

    @property
    def dn(self) -> str:
        """The distinguished name, escaped after RFC 4514."""
        return f"uid={_escaped(self.uid)},{OD_USERS}"

    @property
    def principal(self) -> str:
        """The Kerberos principal."""
        return f"{self.uid}@{OD_REALM}"

    @property
    def guid(self) -> str:
        """apple-generateduid: upper case, the same in every provision."""
        return od_guid(f"user:{self.uid}")

    @property
    def verdicts(self) -> Verdicts:
        """What slapd and the KDC answer to this account's password checks."""
        return OD_VERDICTS[self.condition]


@dataclass(frozen=True, slots=True)
class AdGroup:
    """One group of CORP.EXAMPLE.COM; members are names of people or groups."""

    name: str
    members: tuple[str, ...] = ()
    mail: str | None = None

    @property
    def dn(self) -> str:
        """The distinguished name."""
        return f"CN={_escaped(self.name)},{AD_GROUPS}"


@dataclass(frozen=True, slots=True)
class OdGroup:
    """One Open Directory group.

    Attributes:
        uids: memberUid, short names.
        guid_members: apple-group-memberguid, given as short names here.
        nested: apple-group-nestedgroup, given as group names here.
    """

    name: str
    gid_number: int
    realname: str
    uids: tuple[str, ...] = ()
    guid_members: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    mail: str | None = None

    @property
    def dn(self) -> str:
        """The distinguished name."""
        return f"cn={_escaped(self.name)},{OD_GROUPS}"

    @property
    def guid(self) -> str:
        """apple-generateduid."""
        return od_guid(f"group:{self.name}")


def od_guid(what: str) -> str:
    """A fixed upper-case UUID for a thing of the Open Directory cast."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{what}.{OD_HOST}")).upper()


def _staff(sam: str, given: str, surname: str, ou: str = AD_STAFF) -> AdPerson:
    return AdPerson(
        sam=sam,
        cn=f"{given} {surname}",
        ou=ou,
        given=given,
        surname=surname,
        display=f"{given} {surname}",
        upn=f"{sam}@{AD_MAIL_DOMAIN}",
        mail=f"{sam}@{AD_MAIL_DOMAIN}",
    )


def _edge(sam: str, condition: Condition, note: str = "") -> AdPerson:
    return AdPerson(
        sam=sam,
        cn=f"Edge {sam}",
        ou=AD_EDGE,
        given="Edge",
        surname=sam,
        display=f"Edge {sam}",
        upn=f"{sam}@{AD_MAIL_DOMAIN}",
        mail=f"{sam}@{AD_MAIL_DOMAIN}",
        condition=condition,
        note=note,
    )


AD_PEOPLE: tuple[AdPerson, ...] = (
    AdPerson(
        sam="anna",
        cn="Anna Müller",
        ou=AD_SALES,
        given="Anna",
        surname="Müller",
        display="Anna Müller",
        upn="anna@example.com",
        mail="anna@example.com",
        proxies=(
            "SMTP:anna@example.com",
            "smtp:a.mueller@example.com",
            "sip:anna@example.com",
            "X500:/o=Example/ou=First Administrative Group/cn=Recipients/cn=anna",
        ),
        extra=(
            ("title", "Head of Sales"),
            ("department", "Sales"),
            ("telephoneNumber", "+49 30 123456"),
        ),
    ),
    _staff("bob", "Bob", "Builder", AD_RESEARCH),
    _staff("o'brien", "Sean", "O'Brien", AD_SALES),
    AdPerson(
        sam="jürgen",
        cn="Groß, Jürgen",
        ou=AD_RESEARCH,
        given="Jürgen",
        surname="Groß",
        display="Groß, Jürgen",
        upn="jürgen@example.com",
        mail="j.gross@example.com",
        note="The DN has an escaped comma, the login names have an umlaut.",
    ),
    AdPerson(
        sam="zoe vdb",
        cn='Zoë "Zed" van der Berg',
        given="Zoë",
        surname="van der Berg",
        display='Zoë "Zed" van der Berg',
        upn="zoe.vdb@example.com",
        mail="zoe@example.com",
        note="A blank in the sAMAccountName, quotation marks in the DN.",
    ),
    AdPerson(
        sam="emoji",
        cn="Mia Sunshine",
        given="Mia",
        surname="Sunshine",
        display="Mia ☀️ Sunshine 🦊",
        upn="emoji@example.com",
        mail="mia@example.com",
    ),
    AdPerson(
        sam="info.one",
        cn="Ines First",
        given="Ines",
        surname="First",
        display="Ines First",
        upn="info.one@example.com",
        mail="info@example.com",
        note="Shares her address with info.two.",
    ),
    AdPerson(
        sam="info.two",
        cn="Ivan Second",
        given="Ivan",
        surname="Second",
        display="Ivan Second",
        upn="info.two@example.com",
        mail="info@example.com",
        note="Shares his address with info.one.",
    ),
    AdPerson(
        sam="nomail",
        cn="Norma Without",
        given="Norma",
        surname="Without",
        display="Norma Without",
        note="Neither mail nor UPN.",
    ),
    AdPerson(
        sam="foreign",
        cn="Fred Foreign",
        given="Fred",
        surname="Foreign",
        display="Fred Foreign",
        upn="foreign@example.com",
        mail="fred@partner.example.net",
        note="His address is in a domain that is not ours.",
    ),
    _staff("rename.me", "Rena", "Me", AD_SALES),
    _staff("recreate.me", "Rick", "Reborn"),
    _staff("delete.me", "Dele", "Gone"),
    AdPerson(
        sam="office",
        cn="Office",
        display="Office",
        upn="office@example.com",
        mail="office@example.com",
        proxies=("SMTP:office@example.com",),
        condition=Condition.DISABLED,
        note="A shared mailbox: a disabled user in AD.",
    ),
    _edge("disabled", Condition.DISABLED),
    _edge("locked", Condition.LOCKED),
    _edge("lockme", Condition.NORMAL, "Five wrong tries lock it for years."),
    _edge("expired", Condition.EXPIRED),
    _edge("mustchange", Condition.MUST_CHANGE),
    _edge("pwexpired", Condition.PASSWORD_EXPIRED),
    _edge("hours", Condition.LOGON_HOURS),
    _edge("workstation", Condition.WORKSTATION),
    AdPerson(
        sam="svc-dirbridge",
        cn="svc-dirbridge",
        ou=AD_SERVICES,
        upn="svc-dirbridge@corp.example.com",
        note="An ordinary account, as an admin would make it for the bridge.",
    ),
    AdPerson(
        sam="svc-repl",
        cn="svc-repl",
        ou=AD_SERVICES,
        upn="svc-repl@corp.example.com",
        note="May replicate directory changes (DirSync).",
    ),
)

AD_COMPUTER = "PC1$"
AD_CONTACT = "Karl Contact"  # karl@partner.example.net, in OU=Staff

CROWD: tuple[AdPerson, ...] = tuple(
    AdPerson(
        sam=f"crowd{n:04}",
        cn=f"Crowd {n:04}",
        ou=AD_CROWD,
        given="Crowd",
        surname=f"{n:04}",
        display=f"Crowd {n:04}",
        upn=f"crowd{n:04}@{AD_MAIL_DOMAIN}",
        mail=f"crowd{n:04}@{AD_MAIL_DOMAIN}",
        condition=Condition.NO_PASSWORD,
    )
    for n in range(1, CROWD_SIZE + 1)
)

AD_GROUP_LIST: tuple[AdGroup, ...] = (
    AdGroup("Sales EMEA", ("anna", "o'brien")),
    AdGroup("Sales", ("Sales EMEA", "rename.me"), "sales@example.com"),
    AdGroup("Everyone Mail", ("Sales", "bob", "jürgen"), "everyone@example.com"),
    AdGroup("Loop A", ("Loop B", "bob")),
    AdGroup("Loop B", ("Loop A", "emoji")),
    AdGroup("Crowd", tuple(person.sam for person in CROWD), "crowd@example.com"),
    AdGroup("Empty"),
    AdGroup("Strict Lockout", ("locked", "lockme")),
)

OD_PEOPLE: tuple[OdPerson, ...] = (
    OdPerson(
        uids=("anna",),
        cn="Anna Orchard",
        uid_number=1025,
        given="Anna",
        surname="Orchard",
        mails=("anna@example.org",),
        mail_state=MailState.ENABLED,
        note="Not the anna of Active Directory.",
    ),
    OdPerson(
        uids=("carla",),
        cn="Carla Cherry",
        uid_number=1026,
        given="Carla",
        surname="Cherry",
        mails=("carla@example.org", "c.cherry@example.org"),
        mail_state=MailState.ENABLED,
    ),
    OdPerson(
        uids=("siobhan",),
        cn="Siobhán O'Neill-Größe 🍏",
        uid_number=1027,
        given="Siobhán",
        surname="O'Neill-Größe",
        mails=("siobhan@example.org",),
    ),
    OdPerson(
        uids=("maximilian", "max", "m.berg"),
        cn="Maximilian Berg",
        uid_number=1028,
        given="Maximilian",
        surname="Berg",
        mails=("maximilian@example.org",),
        note="Aliases as further values of uid; the principal is the first.",
    ),
    OdPerson(
        uids=("fiona",),
        cn="Fiona Forward",
        uid_number=1029,
        given="Fiona",
        surname="Forward",
        mails=("fiona@example.org",),
        mail_state=MailState.FORWARD,
        forward="fiona@partner.example.net",
    ),
    OdPerson(
        uids=("oscar",),
        cn="Oscar Off",
        uid_number=1030,
        given="Oscar",
        surname="Off",
        mails=("oscar@example.org",),
        mail_state=MailState.OFF,
    ),
    OdPerson(
        uids=("dora",),
        cn="Dora Disabled",
        uid_number=1031,
        mails=("dora@example.org",),
        condition=Condition.DISABLED_USER,
        note="authAuthority says DisabledUser; slapd itself would let her bind.",
    ),
    OdPerson(
        uids=("kdcdisabled",),
        cn="Kdc Disabled",
        uid_number=1032,
        mails=("kdcdisabled@example.org",),
        condition=Condition.KDC_DISABLED,
    ),
    OdPerson(
        uids=("kdcexpired",),
        cn="Kdc Expired",
        uid_number=1033,
        mails=("kdcexpired@example.org",),
        condition=Condition.KDC_EXPIRED,
    ),
    OdPerson(
        uids=("mustchange",),
        cn="Must Change",
        uid_number=1034,
        mails=("mustchange@example.org",),
        condition=Condition.KDC_MUST_CHANGE,
    ),
    OdPerson(
        uids=("locked",),
        cn="Locked Out",
        uid_number=1035,
        mails=("locked@example.org",),
        condition=Condition.LOCKED,
    ),
    OdPerson(
        uids=("team.one",),
        cn="Tina First",
        uid_number=1036,
        given="Tina",
        surname="First",
        mails=("team@example.org",),
    ),
    OdPerson(
        uids=("team.two",),
        cn="Tom Second",
        uid_number=1037,
        given="Tom",
        surname="Second",
        mails=("team@example.org",),
    ),
    OdPerson(
        uids=("nomail",),
        cn="Nora Nomail",
        uid_number=1038,
        given="Nora",
        surname="Nomail",
    ),
    OdPerson(
        uids=("rename.me",),
        cn="Rena Orchard",
        uid_number=1039,
        given="Rena",
        surname="Orchard",
        mails=("rename.me@example.org",),
    ),
    OdPerson(
        uids=("delete.me",),
        cn="Dele Orchard",
        uid_number=1040,
        mails=("delete.me@example.org",),
    ),
    OdPerson(
        uids=("diradmin",),
        cn="Directory Administrator",
        uid_number=1000,
        gid_number=80,
        note="The service account.",
    ),
    OdPerson(
        uids=("_jabber",),
        cn="Jabber Service",
        uid_number=84,
        note="A service user: uidNumber below 500.",
    ),
    OdPerson(
        uids=("vpn_0a1b2c3d4e5f",),
        cn="VPN MPPE Key Access User",
        uid_number=1041,
        note="A VPN key agent, not a person.",
    ),
)

OD_GROUP_LIST: tuple[OdGroup, ...] = (
    OdGroup("staff", 20, "Staff"),
    OdGroup("admin", 80, "Administrators", ("diradmin",), ("diradmin",)),
    OdGroup("pickers", 1050, "Apple Pickers", ("anna", "carla"), ("anna", "carla")),
    OdGroup(
        "orchard",
        1051,
        "The Orchard 🍎",
        uids=("maximilian",),
        guid_members=("maximilian",),
        nested=("pickers",),
        mail="orchard@example.org",
    ),
    OdGroup("loop-a", 1052, "Loop A", nested=("loop-b",)),
    OdGroup("loop-b", 1053, "Loop B", ("fiona",), ("fiona",), nested=("loop-a",)),
    OdGroup(
        "drifted",
        1054,
        "Drifted",
        uids=("carla", "nobody-here"),
        guid_members=("siobhan",),
    ),
)


_AD = {person.sam: person for person in (*AD_PEOPLE, *CROWD)}
_OD = {person.uid: person for person in OD_PEOPLE}


def ad(sam: str) -> AdPerson:
    """The AD person with this sAMAccountName."""
    return _AD[sam]


def od(uid: str) -> OdPerson:
    """The Open Directory person with this primary short name."""
    return _OD[uid]
