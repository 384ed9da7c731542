"""Who is meant by a login name (product: Names); every step can be explained.

Theory. A name is read in one of four ways, by its form alone: an address, an
NT name, or a bare name that belongs to the domain bound to an IP address of the
connection, else to the primary domain. Each way gives candidates (domain, kinds
of names to compare); the candidates' accounts are looked up in the order login
name, UPN, primary address, alias, and the first kind with a hit decides. Two
accounts at once are ambiguous, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from dirbridge.model.account import Account
from dirbridge.model.login import IPAddress, Reason
from dirbridge.model.names import DomainName, fold, split_address
from dirbridge.store.base import NameKind, StoreReader


class Way(StrEnum):
    """How a name was read."""

    ADDRESS = "address"
    UPN = "upn"
    NT_DOMAIN = "nt-domain"
    BOUND_IP = "bound-ip"
    PRIMARY_DOMAIN = "primary-domain"


@dataclass(frozen=True, slots=True)
class MailDomain:
    """What name resolution knows of one mail domain.

    Attributes:
        name: The domain.
        primary: Whether bare names belong to it.
        aliases: Further domains with the same mailboxes.
        directory_domains: The directories' own DNS names.
        nt_domain: The NT domain's name, or None.
        nt_names: Gives the NT domains' names where the directories may have to be
            asked for them; called only for a name with a backslash.
        bound_ip: Addresses whose connections need no domain in the name.
        match_local: Whether the address connected to is compared with them.
        match_remote: Whether the client's address is compared with them.
    """

    name: DomainName
    primary: bool = False
    aliases: tuple[DomainName, ...] = ()
    directory_domains: tuple[DomainName, ...] = ()
    nt_domain: str | None = None
    nt_names: Callable[[], tuple[str, ...]] | None = field(default=None, compare=False)
    bound_ip: tuple[IPAddress, ...] = ()
    match_local: bool = True
    match_remote: bool = True

    @property
    def suffixes(self) -> frozenset[str]:
        """All names that may stand behind the `@` of this domain's people."""
        return frozenset({self.name, *self.aliases, *self.directory_domains})

    def has_nt_domain(self, folded: str) -> bool:
        """Whether an NT domain of this name is its own; the name is folded."""
        named = (self.nt_domain,) if self.nt_names is None else self.nt_names()
        return any(name and fold(name) == folded for name in named)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a name was found to mean.

    Attributes:
        way: How the name was read.
        rule: The rule in one sentence, for explain.
        domains: The mail domains that were looked into.
        kind: The kind of name that hit, None without a hit.
        accounts: The accounts that it means: exactly one, or no login.
        local: What was compared: the bare name, or what stands before the `@`.
        suffix: What stands behind the `@`, "" for a bare name.
    """

    way: Way
    rule: str
    domains: tuple[DomainName, ...]
    kind: NameKind | None = None
    accounts: tuple[Account, ...] = ()
    local: str = ""
    suffix: str = ""

    def names_in(self, domain: DomainName) -> tuple[str, ...]:
        """Return what was compared with a domain's names; whole where it has an `@`."""
        if not self.suffix:
            return (self.local,)
        typed = f"{self.local}@{self.suffix}"
        if self.way is Way.UPN:
            return (typed,)
        # The mailboxes of an alias domain are those of its domain.
        return tuple(dict.fromkeys((f"{self.local}@{domain}", typed)))

    @property
    def account(self) -> Account | None:
        """The account, where exactly one is meant."""
        return self.accounts[0] if len(self.accounts) == 1 else None

    @property
    def reason(self) -> Reason | None:
        """Why no account is meant, or None."""
        if len(self.accounts) == 1:
            return None
        return Reason.AMBIGUOUS if self.accounts else Reason.UNKNOWN


@dataclass(frozen=True, slots=True)
class Resolver:
    """Find out who is meant.

    Attributes:
        domains: All mail domains.
        store: Where accounts are looked up.
    """

    domains: tuple[MailDomain, ...]
    store: StoreReader

    def resolve(
        self,
        name: str,
        local_ip: IPAddress | None = None,
        remote_ip: IPAddress | None = None,
    ) -> Resolution:
        """Resolve a login name.

        Args:
            name: What was typed; blanks around it do not count.
            local_ip: The address that the client connected to, where known.
            remote_ip: The client's address, where known.

        Raises:
            StoreError: The accounts cannot be looked up.
        """
        typed = name.strip()
        if "\\" in typed:
            return self._nt_name(*typed.split("\\", 1))
        address = split_address(typed)
        if address is not None:
            return self._address(*address)
        domain, way, rule = self._domain_of_bare_name(local_ip, remote_ip)
        hits = _first(self._bare_lookups((domain,), typed))
        return _resolution(way, rule, (domain,), hits, typed)

    def _address(self, local: str, suffix: str) -> Resolution:
        wanted = ascii_domain(suffix)
        domains = tuple(d for d in self.domains if wanted in d.suffixes)
        if not domains:
            # A UPN's suffix is whatever the directory's admin wrote.
            everybody, wanted = self.domains, fold(suffix).rstrip(".")
            upn = _first(self._lookups(everybody, NameKind.UPN, f"{local}@{wanted}"))
            rule = f'"{wanted}" is no domain served here; it was read as a UPN suffix.'
            return _resolution(Way.UPN, rule, everybody, upn, local, wanted)
        hits = _first(self._address_lookups(domains, local, wanted))
        names = ", ".join(domain.name for domain in domains)
        rule = f'"{wanted}" is a name of the domain {names}.'
        return _resolution(Way.ADDRESS, rule, domains, hits, local, wanted)

    def _nt_name(self, nt_domain: str, user: str) -> Resolution:
        wanted = fold(nt_domain)
        domains = tuple(d for d in self.domains if d.has_nt_domain(wanted))
        hits = _first(self._lookups(domains, NameKind.LOGIN, user))
        rule = f'"{nt_domain}" before the backslash names the NT domain.'
        return _resolution(Way.NT_DOMAIN, rule, domains, hits, user)

    def _domain_of_bare_name(
        self, local_ip: IPAddress | None, remote_ip: IPAddress | None
    ) -> tuple[MailDomain, Way, str]:
        local, remote = unwrap(local_ip), unwrap(remote_ip)
        for domain in self.domains:
            if domain.match_local and local in domain.bound_ip:
                rule = f"{local}, which the connection came to, is bound to it."
                return domain, Way.BOUND_IP, rule
        for domain in self.domains:
            if domain.match_remote and remote in domain.bound_ip:
                rule = f"{remote}, where the connection came from, is bound to it."
                return domain, Way.BOUND_IP, rule
        primary = next(domain for domain in self.domains if domain.primary)
        return primary, Way.PRIMARY_DOMAIN, "A bare name belongs to the primary domain."

    def _bare_lookups(
        self, domains: tuple[MailDomain, ...], user: str
    ) -> Iterator[Hits]:
        """Compare a bare name with login names, then with addresses."""
        return self._address_lookups(domains, user, domains[0].name)

    def _address_lookups(
        self, domains: tuple[MailDomain, ...], local: str, suffix: str
    ) -> Iterator[Hits]:
        yield from self._lookups(domains, NameKind.LOGIN, local)
        yield from self._lookups(domains, NameKind.UPN, f"{local}@{suffix}")
        for kind in (NameKind.PRIMARY, NameKind.ALIAS):
            found: dict[int, Account] = {}
            for domain in domains:
                # The mailboxes of an alias domain are those of its domain.
                for name in {suffix, domain.name}:
                    hits = self.store.named(domain.name, kind, f"{local}@{name}")
                    found |= {account.number: account for account in hits}
            yield kind, tuple(found.values())

    def _lookups(
        self, domains: Iterable[MailDomain], kind: NameKind, name: str
    ) -> Iterator[Hits]:
        hits = [
            a for domain in domains for a in self.store.named(domain.name, kind, name)
        ]
        yield kind, tuple(hits)


Hits = tuple[NameKind, tuple[Account, ...]]


def ascii_domain(typed: str) -> str:
    """Return a domain as the configuration and the directory's addresses have it.

    What has no ASCII form (IDNA, RFC 3490) stays as it is, and so matches nothing.

    Args:
        typed: What stands behind the `@`.
    """
    name = fold(typed).rstrip(".")
    try:
        return name if name.isascii() else fold(name.encode("idna").decode("ascii"))
    except UnicodeError:
        return name


def unwrap(address: IPAddress | None) -> IPAddress | None:
    """Return the IPv4 address inside an IPv4-mapped IPv6 one (RFC 4291 2.5.5.2)."""
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def _first(lookups: Iterable[Hits]) -> Hits | None:
    """Return the first kind of name with a hit; the later ones are not asked."""
    return next((hits for hits in lookups if hits[1]), None)


def _resolution(
    way: Way,
    rule: str,
    domains: tuple[MailDomain, ...],
    hits: Hits | None,
    local: str,
    suffix: str = "",
) -> Resolution:
    names = tuple(domain.name for domain in domains)
    kind, accounts = hits if hits is not None else (None, ())
    return Resolution(way, rule, names, kind, accounts, local, suffix)
