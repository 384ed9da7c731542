"""How single values are written in the configuration, and what they become."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    PlainValidator,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from dirbridge.directory import dn
from dirbridge.directory import filter as ldap_filter
from dirbridge.directory.errors import Undecodable
from dirbridge.model.login import IPAddress, IPNetwork
from dirbridge.model.names import DomainName, RealmName, fold

T = TypeVar("T")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
_LONGEST_DOMAIN = 253
_LONGEST_LABEL = 63
_HOME_WORDS = {"domain", "mailbox"}


def parse_duration(value: str | int) -> timedelta:
    """Read `30d`, `24h`, `5m` or `9s`.

    Raises:
        ValueError: It is none of these; the text says how to write it.
    """
    match = re.fullmatch(r"(\d{1,6})\s*([smhd])", str(value).strip(), re.ASCII)
    if match is None:
        raise ValueError('is not a duration; write it like "30s", "5m", "24h" or "7d"')
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def _duration_or_none(value: str | int) -> timedelta:
    """Read a duration for which 0 needs no unit: it is for never."""
    return timedelta() if str(value).strip() == "0" else parse_duration(value)


def _patience(value: str | int) -> timedelta:
    """Read how long to wait; without any time nobody could ever answer."""
    waits = parse_duration(value)
    if not waits:
        raise ValueError('leaves no time for an answer; write it like "3s"')
    return waits


def parse_size(value: str | int) -> int:
    """Read `2G`, `500M` or a number of bytes; the letters are powers of 1024.

    Raises:
        ValueError: It is none of these; the text says how to write it.
    """
    text = str(value).strip().upper()
    match = re.fullmatch(r"(\d{1,15})\s*([KMGT]?)B?", text, re.ASCII)
    if match is None:
        raise ValueError('is not a size; write it like "2G" or "500M"')
    return int(match[1]) * _BYTES[match[2]]


def parse_domain(value: str | int) -> DomainName:
    """Read a mail domain's name: letters, digits, dots, hyphens; IDNs as ASCII.

    Raises:
        ValueError: The text says what is wrong and how to write it.
    """
    name = str(value).strip().rstrip(".").lower()
    if not name.isascii():
        raise ValueError(f"is not ASCII; {_ascii_form(name)}")
    labels = name.split(".")
    if len(name) > _LONGEST_DOMAIN or not all(_LABEL.match(each) for each in labels):
        raise ValueError("is not a domain name; use letters, digits, dots and hyphens")
    return DomainName(name)


def _ascii_form(name: str) -> str:
    try:
        return f'write its ASCII form "{name.encode("idna").decode("ascii")}"'
    except UnicodeError:
        return "use letters, digits, dots and hyphens"


def parse_realm(value: str | int) -> RealmName:
    """Read a Kerberos realm and make it upper case.

    Raises:
        ValueError: It is empty, holds blanks, or is a Mac's local realm.
    """
    name = str(value).strip().upper()
    if name.startswith(("LKDC:", "WELLKNOWN:")):
        raise ValueError("is a Mac's local realm; write the directory's own realm")
    if not re.fullmatch(r"[A-Z0-9][A-Z0-9._-]*", name):
        raise ValueError('is not a Kerberos realm; write it like "CORP.COMPANY.COM"')
    return RealmName(name)


def has_sound_labels(host: str) -> bool:
    """Return whether no part of a host's name is empty or too long (RFC 1035, 2.3.4).

    Nothing can connect to another one: the resolver's codec refuses it.
    """
    labels = host.removesuffix(".").split(".")
    return all(0 < len(label) <= _LONGEST_LABEL for label in labels)


_SERVER = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>\d{1,5}))?",
    re.ASCII,
)
_PORTS = range(1, 65536)


@dataclass(frozen=True, slots=True)
class HostPort:
    """A server: DNS name or address, with a port where it is not the standard one.

    Attributes:
        host: DNS name or address, IPv6 without brackets.
        port: Port, or None for the standard one.
    """

    host: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> HostPort:
        """Read `dc1.company.com`, `dc1.company.com:12345` or `[2001:db8::1]:636`.

        Raises:
            ValueError: It is none of these; the text says how to write it.
        """
        given = text.strip()
        if given.count(":") > 1 and not given.startswith("["):
            given = f"[{given}]"
        match = _SERVER.fullmatch(given)
        if match is None or int(match["port"] or 1) not in _PORTS:
            raise ValueError(_NO_SERVER)
        if match["v6"]:
            _ipv6(match["v6"])
        elif not has_sound_labels(match["host"]):
            raise ValueError(_NO_SERVER)
        port = int(match["port"]) if match["port"] else None
        return cls(match["v6"] or match["host"], port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls._validated)

    @classmethod
    def _validated(cls, value: object) -> HostPort:
        match value:
            case HostPort():
                return value
            case str():
                return cls.parse(value)
        raise ValueError(_NO_SERVER)


_NO_SERVER = (
    'is not a server; write it like "dc1.company.com" or "dc1.company.com:12345", '
    "an IPv6 address with a port in brackets"
)


def _ipv6(text: str) -> None:
    try:
        IPv6Address(text)
    except ValueError:
        raise ValueError(_NO_SERVER) from None


def _local_path(value: str | int | Path, info: ValidationInfo) -> Path:
    """Read a path; a relative one counts from the configuration file's folder."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError('is not a path; write it like "/etc/dirbridge/ca.pem"')
    beside = (info.context or {}).get("beside")
    return Path(beside) / value if beside else Path(value)


LocalPath = Annotated[Path, PlainValidator(_local_path)]
"""A path; a relative one counts from the folder of the configuration file."""


class SecretReference(BaseModel):
    """Where a secret stands: exactly one of a file, a variable, a credential.

    Attributes:
        file: Path of a file; its first line is the secret.
        env: Name of an environment variable.
        credential: Name of a systemd credential.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: LocalPath | None = None
    env: str | None = None
    credential: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_references(cls, value: object) -> object:
        if isinstance(value, str):
            # The text itself may be the secret, so it is not repeated.
            raise ValueError(  # noqa: TRY004 - pydantic collects ValueErrors
                "stands in clear text; put it in a file that only dirbridge may "
                'read and write { file = "/etc/dirbridge/secrets/NAME" }'
            )
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretReference:
        if [self.file, self.env, self.credential].count(None) != 2:  # noqa: PLR2004
            raise ValueError('needs exactly one of "file", "env" and "credential"')
        return self

    def __str__(self) -> str:
        if self.file is not None:
            return f"the file {self.file}"
        if self.env is not None:
            return f"the environment variable {self.env}"
        return f"the systemd credential {self.credential}"


def _many(value: object) -> object:
    """Take one value for a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def _checked(parse: Callable[[str | int], T], *made: type[object]) -> PlainValidator:
    """Validate by a parser of ours, which takes what was written in TOML.

    Values of the types `made` come from code and are taken as they are.
    """

    def validate(value: object) -> object:
        if isinstance(value, made):
            return value
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError("must be text; write it in quotation marks")  # noqa: TRY004
        return parse(value)

    return PlainValidator(validate)


def _ip(value: str | int) -> IPAddress:
    """Read an address; an IPv4 address in IPv6 clothes is unwrapped."""
    try:
        address = ip_address(str(value).strip())
    except ValueError:
        raise ValueError('is not an IP address; write it like "192.0.2.10"') from None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _network(value: str | int) -> IPNetwork:
    """Read a network, or one address; no bit may stand behind the prefix."""
    try:
        return ip_network(str(value).strip())
    except ValueError:
        text = 'is not a network; write it like "192.0.2.0/24", or one address'
        raise ValueError(text) from None


def _mode(value: str | int) -> int:
    # An unquoted 0o660 comes as 432, which would read as another octal mode.
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3}", value):
        raise ValueError('is not a file mode; write it like "0660", quoted')
    return int(value, 8)


def _pin(value: str | int) -> str:
    text = str(value).replace(":", "").lower().replace("sha256", "sha256:", 1)
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise ValueError(
            'is not a certificate pin; write "sha256:" and the 64 hex digits of '
            "the certificate's SHA-256 fingerprint"
        )
    return text


def _dn(value: str | int) -> str:
    text = str(value).strip()
    try:
        if not dn.parse(text):
            raise ValueError('is empty; write it like "dc=company,dc=com"')
    except Undecodable as error:
        mend = 'write it like "OU=Staff,DC=company,DC=com", RFC 4514'
        raise ValueError(f"is not a DN, it {error}; {mend}") from None
    return text


def _filter(value: str | int) -> str:
    text = str(value).strip()
    try:
        ldap_filter.check(text)
    except Undecodable as error:
        wrong = str(error).partition("; ")[0]
        mend = 'write it like "(department=Sales)", RFC 4515'
        raise ValueError(f"is not a filter, it {wrong}; {mend}") from None
    return text


def _directory_name(value: str | int) -> str:
    """Read a directory's name; upper and lower case are the same name."""
    text = str(value).strip().lower()
    if not re.fullmatch(r"[a-z0-9.-]{1,64}", text):
        raise ValueError(
            "is not a directory's name; use 1 to 64 letters, digits, dots and hyphens"
        )
    return text


def _account_name(value: str | int) -> str:
    """Read a name by which an account is told from others, folded."""
    text = fold(str(value))
    if not text:
        raise ValueError("is empty; name it by mailbox@domain, address or login name")
    return text


def _service(value: str | int) -> str:
    text = str(value).strip()
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*/[A-Za-z0-9.-]+", text):
        raise ValueError(
            'is not a service principal; write it like "smtp/mail.company.com"'
        )
    return text


def _dns_suffix(value: str | int) -> str:
    """Read a DNS name, with a dot in front where all names below it are meant."""
    text = str(value).strip().lower()
    try:
        parse_domain(text.removeprefix("."))
    except ValueError:
        raise ValueError(
            'is not a DNS name; write it like ".corp.company.com"'
        ) from None
    return text


def _nt_domain(value: str | int) -> str:
    text = str(value).strip().upper()
    if not re.fullmatch(r"[^\s\\/:*?\"<>|.]{1,15}", text):
        raise ValueError('is not an NT domain; write its short name, like "CORP"')
    return text


def _home(value: str | int) -> str:
    text = str(value)
    words = set(re.findall(r"\{([^{}]*)\}", text))
    plain = re.sub(r"\{[^{}]*\}", "", text)
    sound = text.startswith("/") and not re.search(r"[{}\0]", plain)
    if not sound or "mailbox" not in words or not words <= _HOME_WORDS:
        raise ValueError(
            "is not a mailbox folder for everybody; write it like "
            '"/var/vmail/{domain}/{mailbox}"'
        )
    return text


def _store_url(value: str | int) -> str:
    """Check a store url; neither it nor a password in it is ever repeated."""
    text = str(value).strip()
    try:
        parts = urlsplit(text)
        secret = parts.password or "password" in parse_qs(parts.query)
    except ValueError:
        raise ValueError("is not a url; " + _STORE_URLS) from None
    if secret:
        raise ValueError(
            "holds a password; take it out and write "
            'password = { file = "/etc/dirbridge/secrets/store" } below it'
        )
    if parts.scheme not in {"sqlite", "postgresql+psycopg"}:
        raise ValueError("is of a kind that is not known; " + _STORE_URLS)
    if parts.scheme == "sqlite" and not text.startswith("sqlite:////"):
        raise ValueError("has no absolute path; " + _STORE_URLS)
    return text


_STORE_URLS = (
    'write "sqlite:////var/lib/dirbridge/dirbridge.db" (four slashes) or '
    '"postgresql+psycopg://dirbridge@host/dirbridge"'
)

Duration = Annotated[timedelta, _checked(parse_duration, timedelta)]
DurationOrNone = Annotated[timedelta, _checked(_duration_or_none, timedelta)]
Patience = Annotated[timedelta, _checked(_patience, timedelta)]
Size = Annotated[int, _checked(parse_size)]
DomainText = Annotated[DomainName, _checked(parse_domain)]
RealmText = Annotated[RealmName, _checked(parse_realm)]
IP = Annotated[IPAddress, _checked(_ip, IPv4Address, IPv6Address)]
Network = Annotated[IPNetwork, _checked(_network, IPv4Network, IPv6Network)]
Mode = Annotated[int, _checked(_mode)]
Pin = Annotated[str, _checked(_pin)]
DnText = Annotated[str, _checked(_dn)]
FilterText = Annotated[str, _checked(_filter)]
DirectoryName = Annotated[str, _checked(_directory_name)]
AccountName = Annotated[str, _checked(_account_name)]
ServicePrincipal = Annotated[str, _checked(_service)]
DnsSuffix = Annotated[str, _checked(_dns_suffix)]
NtDomain = Annotated[str, _checked(_nt_domain)]
HomeTemplate = Annotated[str, _checked(_home)]
StoreUrl = Annotated[str, _checked(_store_url)]
OneOrMany = Annotated[tuple[T, ...], BeforeValidator(_many)]
