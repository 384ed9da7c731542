"""How single values are written in the configuration, and what they become."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from dirbridge.model.login import IPAddress
from dirbridge.model.names import DomainName, RealmName

T = TypeVar("T")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")


def parse_duration(value: object) -> timedelta:
    """Read `30d`, `24h`, `5m` or `9s`.

    Raises:
        ValueError: It is none of these; the text says how to write it.
    """
    match = re.fullmatch(r"(\d+)\s*([smhd])", str(value).strip())
    if match is None:
        raise ValueError('is not a duration; write it like "30s", "5m", "24h" or "7d"')
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def parse_size(value: object) -> int:
    """Read `2G`, `500M` or a number of bytes; the letters are powers of 1024.

    Raises:
        ValueError: It is none of these; the text says how to write it.
    """
    match = re.fullmatch(r"(\d+)\s*([KMGT]?)B?", str(value).strip().upper())
    if match is None:
        raise ValueError('is not a size; write it like "2G" or "500M"')
    return int(match[1]) * _BYTES[match[2]]


def parse_domain(value: object) -> DomainName:
    """Read a mail domain's name: letters, digits, dots, hyphens; IDNs as ASCII.

    Raises:
        ValueError: The text says what is wrong and how to write it.
    """
    name = str(value).strip().rstrip(".").lower()
    if not name.isascii():
        ascii_form = name.encode("idna").decode("ascii")
        raise ValueError(f'is not ASCII; write its ASCII form "{ascii_form}"')
    if not name or not all(_LABEL.match(label) for label in name.split(".")):
        raise ValueError("is not a domain name; use letters, digits, dots and hyphens")
    return DomainName(name)


def parse_realm(value: object) -> RealmName:
    """Read a Kerberos realm and make it upper case.

    Raises:
        ValueError: It is empty, holds blanks, or is a Mac's local realm.
    """
    name = str(value).strip().upper()
    if not name or re.search(r"[\s/@]", name):
        raise ValueError('is not a Kerberos realm; write it like "CORP.COMPANY.COM"')
    if name.startswith(("LKDC:", "WELLKNOWN:")):
        raise ValueError("is a Mac's local realm; write the directory's own realm")
    return RealmName(name)


class HostPort(BaseModel):
    """A server: DNS name or address, with a port where it is not the standard one.

    Attributes:
        host: DNS name or address, IPv6 without brackets.
        port: Port, or None for the standard one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    port: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        match = re.fullmatch(
            r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]/]+))(?::(?P<port>\d+))?",
            value.strip(),
        )
        if match is None and value.count(":") > 1:
            return {"host": str(ip_address(value.strip()))}
        if match is None or int(match["port"] or 1) not in range(1, 65536):
            raise ValueError(
                'is not a server; write it like "dc1.company.com" or '
                '"dc1.company.com:12345", an IPv6 address in brackets'
            )
        port = int(match["port"]) if match["port"] else None
        return {"host": match["v6"] or match["host"], "port": port}

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


class SecretReference(BaseModel):
    """Where a secret stands: exactly one of a file, a variable, a credential.

    Attributes:
        file: Path of a file; its first line is the secret.
        env: Name of an environment variable.
        credential: Name of a systemd credential.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path | None = None
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


def _many(value: object) -> object:
    """Take one value for a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def _checked(parse: Callable[[object], Any]) -> BeforeValidator:
    def validate(value: object) -> Any:
        return value if not isinstance(value, str | int) else parse(value)

    return BeforeValidator(validate)


def _ip(value: object) -> IPAddress:
    try:
        return ip_address(str(value).strip())
    except ValueError:
        raise ValueError('is not an IP address; write it like "192.0.2.10"') from None


def _mode(value: object) -> int:
    text = str(value)
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError('is not a file mode; write it like "0660"')
    return int(text, 8)


def _pin(value: object) -> str:
    text = str(value).replace(":", "").lower().replace("sha256", "sha256:", 1)
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise ValueError(
            'is not a certificate pin; write "sha256:" and the 64 hex digits of '
            "the certificate's SHA-256 fingerprint"
        )
    return text


Duration = Annotated[timedelta, _checked(parse_duration)]
Size = Annotated[int, _checked(parse_size)]
DomainText = Annotated[DomainName, _checked(parse_domain)]
RealmText = Annotated[RealmName, _checked(parse_realm)]
IP = Annotated[IPAddress, _checked(_ip)]
Mode = Annotated[int, _checked(_mode)]
Pin = Annotated[str, _checked(_pin)]
OneOrMany = Annotated[tuple[T, ...], BeforeValidator(_many)]
