"""What must hold between the tables of `dirbridge.toml`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, combinations

from dirbridge.config.broken import Broken
from dirbridge.config.connection_rules import connections
from dirbridge.config.login_rules import logins
from dirbridge.config.problems import Location
from dirbridge.config.settings import (
    DirectorySettings,
    DomainSettings,
    HookSettings,
    MailboxSettings,
    Security,
    Settings,
    Table,
    Take,
)
from dirbridge.config.types import parse_domain
from dirbridge.directory import dn
from dirbridge.model.names import DomainName

_STANDARD_PORTS = (389, 636)
"""LDAP and LDAPS: both are the same directory."""


def broken(settings: Settings, raw: Mapping[str, object]) -> Iterator[Broken]:
    """Yield every rule that does not hold.

    Args:
        settings: The settings, sound as single keys.
        raw: The tables as written.
    """
    yield from _same_domain_twice(raw)
    yield from chain.from_iterable(rule(settings) for rule in _RULES)


def _same_domain_twice(raw: Mapping[str, object]) -> Iterator[Broken]:
    """Two spellings of one domain would silently become one."""
    tables = raw.get("domains")
    seen: dict[DomainName, str] = {}
    for name in tables if isinstance(tables, dict) else ():
        try:
            domain = parse_domain(name)
        except ValueError:
            continue
        if domain in seen:
            text = f'"{name}" and "{seen[domain]}" are the same domain.'
            yield Broken("domain-twice", ("domains", name), text, "Join both tables.")
        seen[domain] = name


def _primary(settings: Settings) -> Iterator[Broken]:
    domains = settings.domains
    if not domains:
        text = "There is no domain."
        mend = 'Add a table [domains."company.com"] with your mail domain.'
        yield Broken("missing-key", ("domains",), text, mend, (("domains",),))
        return
    marked = [name for name, domain in domains.items() if domain.primary]
    for name in marked[1:]:
        yield Broken(
            "two-primary-domains",
            ("domains", name, "primary"),
            f"Two domains are primary: {marked[0]} and {name}.",
            "Keep primary = true in one of them only.",
        )
    if not marked and len(domains) > 1:
        yield Broken(
            "no-primary-domain",
            ("domains",),
            "No domain is primary.",
            f'Write primary = true in one of them, such as "{next(iter(domains))}".',
            tuple(("domains", name, "primary") for name in domains),
        )


def _aliases(settings: Settings) -> Iterator[Broken]:
    owners: dict[DomainName, DomainName] = {name: name for name in settings.domains}
    for name, domain in settings.domains.items():
        for number, alias in enumerate(domain.aliases):
            owner = owners.get(alias)
            if owner is not None:
                what = "is a domain itself" if owner == alias else f"is {owner}'s too"
                yield Broken(
                    "alias-twice",
                    ("domains", name, "aliases", number),
                    f'The alias "{alias}" {what}.',
                    "Keep each name in one place.",
                )
            owners.setdefault(alias, name)


def _bound_addresses(settings: Settings) -> Iterator[Broken]:
    owners: dict[object, DomainName] = {}
    for name, domain in settings.domains.items():
        keys: Location = ("domains", name, "bound_ip")
        for version in (4, 6):
            if sum(each.version == version for each in domain.bound_ip) > 1:
                text = f"{name} is bound to more than one IPv{version} address."
                mend = "Keep one IPv4 and one IPv6 address at most."
                yield Broken("bound-ip-count", keys, text, mend)
        for address in domain.bound_ip:
            owner = owners.setdefault(address, name)
            if owner != name:
                text = f"{address} is bound to {owner} as well."
                mend = "Bind each address to one domain only."
                yield Broken("bound-ip-twice", keys, text, mend)


def _hooks(settings: Settings) -> Iterator[Broken]:
    seen: dict[str, int] = {}
    for number, hook in enumerate(settings.hooks):
        yield from _hook(hook, ("hooks", number))
        address = str(hook.socket or hook.listen or "")
        first = seen.setdefault(address, number)
        if address and first != number:
            key = "socket" if hook.socket else "listen"
            text = f"{address} is hook #{first + 1}'s as well."
            mend = "Give each hook a socket of its own."
            yield Broken("socket-twice", ("hooks", number, key), text, mend)


def _hook(hook: HookSettings, keys: Location) -> Iterator[Broken]:
    if (hook.socket is None) == (hook.listen is None):
        yield Broken(
            "hook-address",
            keys,
            "The hook has no address to listen on."
            if hook.socket is None
            else "The hook has both a socket and a listen address.",
            'Write either socket = "/path" or listen = "127.0.0.1:PORT".',
            ((*keys, "socket"), (*keys, "listen")),
        )
    if hook.listen is not None and hook.listen.port is None:
        yield Broken(
            "wrong-value",
            (*keys, "listen"),
            f'listen = "{hook.listen}" has no port.',
            'Write it like "127.0.0.1:1234".',
        )


def _directories(settings: Settings) -> Iterator[Broken]:
    for keys, directory in _all_directories(settings):
        clear = directory.security is Security.NONE
        if clear and not directory.allow_cleartext_passwords:
            yield Broken(
                "cleartext",
                (*keys, "security"),
                'security = "none" sends passwords over the network in clear text.',
                'Write security = "ldaps", or admit it with '
                "allow_cleartext_passwords = true.",
                ((*keys, "allow_cleartext_passwords"),),
            )
        if directory.server is None and directory.discover is None:
            yield Broken(
                "missing-key",
                (*keys, "server"),
                'The key "server" is missing.',
                'Write the server\'s name, or discover = "dns" to find it by DNS.',
                ((*keys, "server"), (*keys, "discover")),
            )


def _directory_names(settings: Settings) -> Iterator[Broken]:
    """Accounts belong to a directory by its name, so two may not share one."""
    for name, domain in settings.domains.items():
        seen: set[str] = set()
        keys: list[Location] = [
            ("domains", name, "directory", number, "name")
            for number in range(len(domain.directory))
        ]
        for key, directory in zip(keys, domain.directory, strict=True):
            if directory.name in seen:
                text = f'Two directories of {name} are named "{directory.name}".'
                mend = (
                    'Give this one a name of its own, such as name = "branch"; the '
                    'first one that there was is called "directory".'
                )
                yield Broken("directory-name-twice", key, text, mend, tuple(keys))
            seen.add(directory.name)


def _same_directory_twice(settings: Settings) -> Iterator[Broken]:
    """Two readers of the same entries would make two accounts of every person."""
    pairs = combinations(_all_directories(settings), 2)
    for (keys, one), (other_keys, other) in pairs:
        if not _read_the_same(one, other):
            continue
        first, second = keys[1], other_keys[1]
        mend = 'Write another "base" or "filter" in one of them'
        if first == second:
            text = f"Two directories of {first} read the same entries."
            mend += ", or take one of them out."
        else:
            text = f"{first} and {second} read the same entries of one directory."
            mend += f', or make {second} an alias: aliases = ["{second}"] in {first}.'
        yield Broken("directory-twice", other_keys, text, mend, (keys, other_keys))


def _read_the_same(one: DirectorySettings, other: DirectorySettings) -> bool:
    return (
        one.type is other.type
        and one.take is Take.ALL
        and other.take is Take.ALL
        and one.filter == other.filter
        and _same_dn(one.base, other.base)
        and _same_tree(one, other)
    )


def _same_tree(one: DirectorySettings, other: DirectorySettings) -> bool:
    """Tell by what is written; where that says nothing, by the servers' names."""
    if one.suffix and other.suffix:
        return _same_dn(one.suffix, other.suffix)
    if one.directory_domain and other.directory_domain:
        return one.directory_domain == other.directory_domain
    return not _addresses(one).isdisjoint(_addresses(other))


def _addresses(directory: DirectorySettings) -> set[tuple[str, int | None]]:
    return {
        (each.host.lower(), None if each.port in _STANDARD_PORTS else each.port)
        for each in directory.servers
    }


def _same_dn(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    return dn.comparable(one) == dn.comparable(other)


_SOONEST = timedelta(days=1)


def _retention(settings: Settings) -> Iterator[Broken]:
    """A slip of the unit, such as minutes for months, would forget everything."""
    for key in ("attempts", "changes"):
        if getattr(settings.retention, key) < _SOONEST:
            text = f'"{key}" is less than a day.'
            mend = 'Write a day at least, such as "30d".'
            yield Broken("wrong-value", ("retention", key), text, mend)


def _notices(settings: Settings) -> Iterator[Broken]:
    notices = settings.notices
    if notices.webhook_token is not None and notices.webhook is None:
        text = "There is a token, and no webhook to show it to."
        mend = 'Write webhook = "https://...", or take webhook_token out.'
        keys: Location = ("notices", "webhook_token")
        yield Broken("missing-key", keys, text, mend, (("notices", "webhook"),))
    if notices.mail_from is not None and not notices.mail_to:
        text = "There is a sender, and nobody to send to."
        mend = 'Write mail_to = "postmaster@company.com", or take mail_from out.'
        keys = ("notices", "mail_from")
        yield Broken("missing-key", keys, text, mend, (("notices", "mail_to"),))


@dataclass(frozen=True, slots=True)
class _Later:
    """A key whose work comes with a later release.

    Attributes:
        key: The key.
        instead: What to do now, one sentence.
        values: The values that are refused; all but the default where empty.
    """

    key: str
    instead: str
    values: frozenset[str] = frozenset()


_LATER: Mapping[type[Table], tuple[_Later, ...]] = {
    MailboxSettings: (
        _Later("home", "Take it out; the mail server says where mailboxes lie."),
        _Later("uid", "Take it out; the mail server says who owns the mail."),
        _Later("gid", "Take it out; the mail server says who owns the mail."),
        _Later("quota", "Take it out, and set quotas in the mail server."),
    ),
    DomainSettings: (
        _Later("deliver_disabled", "Take it out; disabled accounts get their mail."),
    ),
}


def _not_yet(settings: Settings) -> Iterator[Broken]:
    """Refuse what the manual names and this release cannot do."""
    for keys, table in _all_tables(settings):
        for later in _LATER.get(type(table), ()):
            value = getattr(table, later.key)
            default = type(table).model_fields[later.key].default
            refused = value in later.values if later.values else value != default
            if refused:
                shown = f'{later.key} = "{value}"' if later.values else f"{later.key}"
                text = f"{shown} is not in this release yet."
                yield Broken("not-yet", (*keys, later.key), text, later.instead)


def _all_directories(
    settings: Settings,
) -> Iterator[tuple[Location, DirectorySettings]]:
    for name, domain in settings.domains.items():
        for number, directory in enumerate(domain.directory):
            yield ("domains", name, "directory", number), directory


def _all_tables(settings: Settings) -> Iterator[tuple[Location, Table]]:
    """Yield the tables that may hold keys of a later release."""
    for name, domain in settings.domains.items():
        yield ("domains", name), domain
        yield ("domains", name, "login"), domain.login
        yield ("domains", name, "mailbox"), domain.mailbox
        yield ("domains", name, "sync"), domain.sync
    yield from _all_directories(settings)


_RULES: tuple[Callable[[Settings], Iterator[Broken]], ...] = (
    _primary,
    _aliases,
    _bound_addresses,
    _hooks,
    _directories,
    connections,
    logins,
    _directory_names,
    _same_directory_twice,
    _retention,
    _notices,
    _not_yet,
)
