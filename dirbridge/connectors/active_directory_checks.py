"""What `check` compares with an Active Directory: clock, realm, names, suffixes.

The forest's names stand on crossRef objects in CN=Partitions, which everybody may
read (measured on Samba 4.17).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dirbridge.config.settings import LoginSettings
from dirbridge.directory import dn, generalized_time
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory.errors import Undecodable
from dirbridge.ldap.client import RootDse, read_root
from dirbridge.ldap.session import Query, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DomainName

CLOCK_WARNING = timedelta(minutes=2)
CLOCK_LIMIT = timedelta(minutes=5)
"""Kerberos refuses above five minutes (clockskew in krb5.conf(5))."""

_ATTRIBUTES = ("nETBIOSName", "dnsRoot", "nCName", "uPNSuffixes")
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class ForestDomain:
    """One domain of a forest.

    Attributes:
        nt_domain: Its NetBIOS name.
        dns_name: Its DNS name, in lower case.
        base: Its naming context.
    """

    nt_domain: str
    dns_name: str
    base: str


@dataclass(frozen=True, slots=True)
class Partitions:
    """What CN=Partitions says.

    Attributes:
        domains: The domains of the forest.
        suffixes: UPN suffixes that an admin added, in lower case. The domains' own
            DNS names are suffixes beside them.
    """

    domains: tuple[ForestDomain, ...] = ()
    suffixes: tuple[str, ...] = ()

    def domain(self, base: str) -> ForestDomain | None:
        """Return the domain with a naming context."""
        with suppress(Undecodable):
            wanted = dn.comparable(base)
            return next((d for d in self.domains if _same_dn(d.base, wanted)), None)
        return None

    def is_suffix(self, name: str) -> bool:
        """Whether a user principal name may end in `@name`."""
        own = (one.dns_name for one in self.domains)
        return name.lower() in {*own, *self.suffixes}


def partitions_of(entries: Iterable[Mapping[str, Sequence[bytes]]]) -> Partitions:
    """Read the entries of CN=Partitions; those of no domain are passed over."""
    domains: list[ForestDomain] = []
    suffixes: dict[str, None] = {}
    for entry in entries:
        nt, dns, base = (_texts(entry, name) for name in _ATTRIBUTES[:3])
        if nt and dns and base:
            domains.append(ForestDomain(nt[0], dns[0].lower(), base[0]))
        suffixes |= {one.lower(): None for one in _texts(entry, "uPNSuffixes")}
    return Partitions(tuple(domains), tuple(suffixes))


def compare(
    domain: DomainName,
    login: LoginSettings,
    session: Session,
    root: RootDse,
    deadline: Deadline,
) -> list[Finding]:
    """Compare the settings with what a domain controller says.

    Args:
        domain: The mail domain.
        login: Its login table, with the NT domain that logins really use.
        session: A bound session.
        root: The server's rootDSE.
        deadline: When to be done.
    """
    server, base = root.server, root.one("defaultNamingContext")
    forest = _read(session, root, deadline)
    own = forest.domain(base)
    nt_domain = own.nt_domain if own else ""
    dns_name = dn.dns_name(base)
    return [
        clock_finding(server, root.one("currentTime"), datetime.now(UTC)),
        _same(server, "realm", "kerberos_realm", login.kerberos_realm, dns_name),
        _same(server, "nt-domain", "nt_domain", login.nt_domain, nt_domain),
        names_finding(server, domain, dns_name, forest),
        logins_finding(server, domain, dns_name, nt_domain, forest),
    ]


def clock_finding(server: str, current_time: str, here: datetime) -> Finding:
    """Compare the server's clock with ours.

    Args:
        server: The server.
        current_time: Its rootDSE's currentTime.
        here: Our time.
    """
    try:
        offset = generalized_time.decode(current_time) - here
    except Undecodable:
        text = "The server does not tell its time."
        mend = "See that both clocks follow the same time server."
        return Finding(server, "clock", Outcome.UNKNOWN, text, mend, "clock")
    seconds = round(offset.total_seconds())
    text = f"The server's clock is {seconds:+d} s from ours."
    if abs(offset) <= CLOCK_WARNING:
        return Finding(server, "clock", Outcome.OK, text)
    outcome = Outcome.FAILED if abs(offset) > CLOCK_LIMIT else Outcome.WARNING
    mend = "Let both machines follow the same time server; Kerberos allows 300 s."
    return Finding(server, "clock", outcome, text, mend, "clock")


def names_finding(
    server: str, domain: DomainName, dns_name: str, forest: Partitions
) -> Finding:
    """Say how mail domain and directory are named, and what else the forest has."""
    if domain == dns_name:
        text = f"Active Directory's own name is the mail domain, {dns_name}."
    else:
        text = (
            f"Active Directory's own name is {dns_name}, the mail domain is {domain}."
        )
    others = [one for one in forest.domains if one.dns_name != dns_name]
    if others:
        named = ", ".join(f"{o.dns_name} ({o.nt_domain})" for o in others[:_MOST_NAMED])
        more = f" and {len(others) - _MOST_NAMED} more" * (len(others) > _MOST_NAMED)
        text += f" The forest has {named}{more} as well; people there are not read."
    return Finding(server, "names", Outcome.OK, text)


def logins_finding(
    server: str, domain: DomainName, dns_name: str, nt_domain: str, forest: Partitions
) -> Finding:
    r"""Say which names people may type.

    `name@` Active Directory's own name always works, whatever the UPN is; `DOMAIN\name`
    too, but no DNS name before the backslash (measured on Samba 4.17).
    """
    forms = ["name", f"name@{domain}"]
    forms += [f"name@{dns_name}"] if dns_name != domain else []
    forms += [f"{nt_domain}\\name"] if nt_domain else []
    text = f"People may log in here as {', '.join(forms)}."
    if not forest.is_suffix(domain):
        text += (
            f" {domain} is no UPN suffix of the forest, so Windows itself takes "
            f"name@{dns_name} only; here both work."
        )
    return Finding(server, "logins", Outcome.OK, text)


def nt_domain_at(session: Session, deadline: Deadline) -> str:
    """Return the NT domain's name as a domain controller says it, "" where it does not.

    Raises:
        DirectoryError: It cannot be asked.
    """
    root = read_root(session, deadline)
    own = _read(session, root, deadline).domain(root.one("defaultNamingContext"))
    return own.nt_domain if own else ""


def _read(session: Session, root: RootDse, deadline: Deadline) -> Partitions:
    """Read CN=Partitions; nothing where it may not be read."""
    configuration = root.one("configurationNamingContext")
    if not configuration:
        return Partitions()
    query = Query(
        base=dn.child("CN", "Partitions", configuration),
        filter=ldap_filter.any_of(
            ldap_filter.present("nETBIOSName"), ldap_filter.present("uPNSuffixes")
        ),
        attributes=_ATTRIBUTES,
    )
    answer = session.search(query, deadline)
    return partitions_of(entry.attributes for entry in answer.entries)


def _same(server: str, what: str, key: str, ours: str | None, theirs: str) -> Finding:
    """Compare one name; both realm and NT domain are used in capitals."""
    theirs = theirs.upper()
    if not theirs:
        text = f"The server does not tell its {what}."
        mend = "Let the service account read CN=Partitions of the configuration."
        return Finding(server, what, Outcome.UNKNOWN, text, mend, what)
    if ours is None or ours.upper() == theirs:
        return Finding(server, what, Outcome.OK, f"The {what} is {theirs}.")
    text = f"The settings say {ours}, the directory says {theirs}."
    mend = f'Write {key} = "{theirs}".'
    return Finding(server, what, Outcome.FAILED, text, mend, f"{what}-mismatch")


def _same_dn(text: str, comparable: str) -> bool:
    with suppress(Undecodable):
        return dn.comparable(text) == comparable
    return False


def _texts(entry: Mapping[str, Sequence[bytes]], name: str) -> list[str]:
    values = entry.get(name.lower(), ())
    return [text for raw in values if (text := raw.decode("utf-8", "replace").strip())]
