"""The transforms of `sources = [{ attribute, transforms }]`: a name, a pure function.

Each takes one value and gives one, or None where the value is not of its kind and
is passed over without a word (an `sip:` address among the mail addresses). A value
that is broken raises `Undecodable`, and is dropped with a note.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from dirbridge.directory import (
    account_control,
    address,
    auth_authority,
    dn,
    exchange,
    filetime,
    generalized_time,
    plain_ldap_state,
    plists,
    proxy_addresses,
    sid,
)
from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.mapping.fields import Kind
from dirbridge.model.names import Address, fold, split_address

Value = bytes | str | int | datetime

LONGEST_TEXT = 4096
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")
_MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Site:
    """Where a value stands.

    Attributes:
        dn: The entry's DN.
        attribute: The attribute.
    """

    dn: str
    attribute: str

    @property
    def rdn(self) -> str | None:
        """The attribute's value in the entry's RDN, or None where it has none."""
        try:
            return dn.rdn_value(self.dn, self.attribute)
        except Undecodable:
            return None


NOWHERE = Site("", "")
"""The site for transforms that do not look around."""


@dataclass(frozen=True, slots=True)
class Transform:
    """One transform.

    Attributes:
        apply: Takes a value and its site; its docstring is for admins.
        takes: What it takes; octets are decoded as `text` first where it takes text.
        gives: What it gives.
        keep_first: Whether only the first value goes on.
        looks_around: Whether it looks at the site.
    """

    apply: Callable[..., Value | None]
    takes: Kind
    gives: Kind
    keep_first: bool = False
    looks_around: bool = False

    @property
    def meaning(self) -> str:
        """What it does, one sentence for admins."""
        return (self.apply.__doc__ or "").strip().splitlines()[0]


def text(value: bytes, _: Site) -> str | None:
    """Read the value as UTF-8 text and trim blanks; applied by itself where needed."""
    try:
        read = value.decode().strip()
    except UnicodeDecodeError:
        read = as_text(value)  # raises, and says where
    if len(read) <= LONGEST_TEXT and read.isprintable():  # nearly always
        return read or None
    if len(read) > LONGEST_TEXT:
        raise Undecodable(f"is longer than {LONGEST_TEXT} characters")
    if _CONTROL.search(read):
        raise Undecodable("holds a control character")
    return read or None


def trim(value: str, _: Site) -> str | None:
    """Trim blanks at both ends and make inner runs of blanks one."""
    return " ".join(value.split()) or None


def lower(value: str, _: Site) -> str:
    """Make the text lower case."""
    return value.lower()


def mail_address(value: str, _: Site) -> Address:
    """Read the text as a mail address; its domain becomes lower case."""
    return address.decode(value)


def smtp_primary(value: str, _: Site) -> str | None:
    """Take a proxyAddresses value with the prefix `SMTP:`, the primary address."""
    return value[5:] or None if value.startswith("SMTP:") else None


def smtp_alias(value: str, _: Site) -> str | None:
    """Take a proxyAddresses value with the prefix `smtp:`, an alias; others are not."""
    is_alias = value[:5].lower() == "smtp:" and not value.startswith("SMTP:")
    return value[5:] or None if is_alias else None


def target_address(value: str, _: Site) -> Address | None:
    """Read targetAddress, with or without `SMTP:` before it; what is no mail is not."""
    return proxy_addresses.decode_target(value)


def from_sid(value: bytes, _: Site) -> str:
    """Take the last part of an objectSid, by which it is named as primary group."""
    return str(sid.rid(sid.decode(value)))


def from_boolean(value: bytes, _: Site) -> bool:
    """Read TRUE or FALSE."""
    return exchange.decode_flag(value)


def upn_local(value: str, _: Site) -> str | None:
    """Take what stands before the @ of a user principal name."""
    parts = split_address(value)
    return parts[0] if parts else None


def first(value: Value, _: Site) -> Value:
    """Keep only the first of several values."""
    return value


def rdn(value: str, site: Site) -> str | None:
    """Keep only the value that stands in the entry's own name (its RDN)."""
    own = site.rdn
    same = own is not None and (value == own or fold(value) == fold(own))
    return value if same else None


def from_filetime(value: bytes, _: Site) -> datetime | None:
    """Read a FILETIME such as accountExpires; `never` yields nothing."""
    return filetime.decode(value)


def from_generalized_time(value: bytes, _: Site) -> datetime:
    """Read a time such as `20240229120000Z`."""
    return generalized_time.decode(value)


def from_account_control(value: bytes, _: Site) -> str | None:
    """Yield a reason where userAccountControl has the bit for a disabled account."""
    return _disabled_by_control(value)


@lru_cache(maxsize=1024)  # a directory has few different ones
def _disabled_by_control(value: bytes) -> str | None:
    disabled = account_control.decode(value) & account_control.AccountControl.DISABLED
    return "The account is disabled in the directory." if disabled else None


@lru_cache(maxsize=256)  # three fields come from one value
def _mail_attribute(value: bytes) -> plists.MailAttribute:
    return plists.decode_mail_attribute(value)


def mail_attribute_forward(value: bytes, _: Site) -> Address | None:
    """Take the forward address of apple-user-mailattribute."""
    return _mail_attribute(value).forward


def mail_attribute_quota(value: bytes, _: Site) -> int | None:
    """Take the quota of apple-user-mailattribute, in bytes."""
    return _mail_attribute(value).quota


def mail_attribute_state(value: bytes, _: Site) -> str | None:
    """Yield a reason where apple-user-mailattribute switches mail off."""
    off = _mail_attribute(value).state is plists.MailState.OFF
    return "Mail is switched off for this user in Open Directory." if off else None


@lru_cache(maxsize=64)  # two fields come from one value
def _auth_authority(value: bytes) -> auth_authority.AuthAuthority:
    return auth_authority.decode(value)


def auth_authority_principal(value: bytes, site: Site) -> str | None:
    """Take the Kerberos principal of authAuthority; a Mac's local realm is refused."""
    decoded = _auth_authority(value)
    if decoded.kind != auth_authority.KERBEROS:
        return None
    data = auth_authority.decode_kerberos(decoded)
    name = data.principal or Site(site.dn, "uid").rdn
    if not name:
        return None
    return name if "@" in name else f"{name}@{data.realm}"


def auth_authority_state(value: bytes, _: Site) -> str | None:
    """Yield a reason where authAuthority has the tag `DisabledUser`."""
    if auth_authority.says_disabled(value):
        return "The account is disabled in Open Directory (DisabledUser)."
    _auth_authority(value)
    return None


def from_account_lock(value: str, _: Site) -> str | None:
    """Yield a reason where nsAccountLock of a 389 Directory Server is true."""
    locked = plain_ldap_state.is_locked(value)
    return (
        "The account is disabled in the directory (nsAccountLock)." if locked else None
    )


def quota_mb(value: str, _: Site) -> int | None:
    """Read a number of megabytes as bytes; 0 is no limit."""
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise Undecodable("is not a number of megabytes")
    return int(value) * _MEGABYTE or None


TRANSFORMS: Mapping[str, Transform] = {
    "text": Transform(text, Kind.OCTETS, Kind.TEXT),
    "trim": Transform(trim, Kind.TEXT, Kind.TEXT),
    "lower": Transform(lower, Kind.TEXT, Kind.TEXT),
    "first": Transform(first, Kind.TEXT, Kind.TEXT, keep_first=True),
    "rdn": Transform(rdn, Kind.TEXT, Kind.TEXT, looks_around=True),
    "upn-local": Transform(upn_local, Kind.TEXT, Kind.TEXT),
    "address": Transform(mail_address, Kind.TEXT, Kind.ADDRESS),
    "smtp-primary": Transform(smtp_primary, Kind.TEXT, Kind.TEXT),
    "smtp-alias": Transform(smtp_alias, Kind.TEXT, Kind.TEXT),
    "target-address": Transform(target_address, Kind.TEXT, Kind.ADDRESS),
    "rid": Transform(from_sid, Kind.OCTETS, Kind.TEXT),
    "boolean": Transform(from_boolean, Kind.OCTETS, Kind.FLAG),
    "filetime": Transform(from_filetime, Kind.OCTETS, Kind.TIME),
    "generalized-time": Transform(from_generalized_time, Kind.OCTETS, Kind.TIME),
    "account-control": Transform(from_account_control, Kind.OCTETS, Kind.REASON),
    "mail-attribute-forward": Transform(
        mail_attribute_forward, Kind.OCTETS, Kind.ADDRESS
    ),
    "mail-attribute-quota": Transform(mail_attribute_quota, Kind.OCTETS, Kind.NUMBER),
    "mail-attribute-state": Transform(mail_attribute_state, Kind.OCTETS, Kind.REASON),
    "auth-authority-principal": Transform(
        auth_authority_principal, Kind.OCTETS, Kind.TEXT, looks_around=True
    ),
    "auth-authority-state": Transform(auth_authority_state, Kind.OCTETS, Kind.REASON),
    "ns-account-lock": Transform(from_account_lock, Kind.TEXT, Kind.REASON),
    "quota-mb": Transform(quota_mb, Kind.TEXT, Kind.NUMBER),
}
"""Every transform by the name that profiles use."""


# What is put in by itself between two kinds; an address is a text as it stands.
_IMPLIED: Mapping[tuple[Kind, Kind], tuple[str, ...]] = {
    (Kind.OCTETS, Kind.TEXT): ("text",),
    (Kind.OCTETS, Kind.ADDRESS): ("text", "address"),
    (Kind.TEXT, Kind.ADDRESS): ("address",),
    (Kind.ADDRESS, Kind.TEXT): (),
}


def chain(names: tuple[str, ...], wanted: Kind) -> tuple[Transform, ...]:
    """Return the transforms of a source, with `text` before and `address` after.

    Those two are put in by themselves where what stands there needs them, so that
    `["smtp-primary", "address"]` and an empty list for a name both work.

    Args:
        names: The names as written; all are known.
        wanted: What the field holds.

    Raises:
        ValueError: A transform does not take what the one before it gives, or the
            last one does not give what the field holds.
    """
    steps: list[Transform] = []
    kind = Kind.OCTETS
    for name in names:
        step = TRANSFORMS[name]
        wrong = f'"{name}" takes a {step.takes}, not a {kind}'
        steps += [*_between(kind, step.takes, wrong), step]
        kind = step.gives
    wrong = f"the field holds a {wanted}, and the transforms give a {kind}"
    return (*steps, *_between(kind, wanted, wrong))


def _between(kind: Kind, wanted: Kind, wrong: str) -> Iterator[Transform]:
    if kind is not wanted and (kind, wanted) not in _IMPLIED:
        raise ValueError(wrong)
    for name in _IMPLIED.get((kind, wanted), ()):
        yield TRANSFORMS[name]
