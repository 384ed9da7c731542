"""How single values are written."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from dirbridge.config import types
from dirbridge.config.settings import DirectorySettings, DirectoryType
from dirbridge.config.types import HostPort, parse_domain, parse_duration, parse_size

GOOD = [
    (types.Duration, "90s", timedelta(seconds=90)),
    (types.Duration, "7 d", timedelta(days=7)),
    (types.Duration, timedelta(1), timedelta(1)),
    (types.Size, "2G", 2 * 2**30),
    (types.Size, "500mb", 500 * 2**20),
    (types.Size, 1000, 1000),
    (types.RealmText, "corp.company.com", "CORP.COMPANY.COM"),
    (types.NtDomain, "corp", "CORP"),
    (types.Mode, "0660", 0o660),
    (types.Mode, "600", 0o600),
    (types.Pin, "SHA256:" + "AB:" * 31 + "AB", "sha256:" + "ab" * 32),
    (types.DnsSuffix, ".Corp.Company.com", ".corp.company.com"),
    (types.ServicePrincipal, "smtp/mail.company.com", "smtp/mail.company.com"),
    (types.StoreUrl, "sqlite:////x.db", "sqlite:////x.db"),
    (types.LocalPath, "/x", Path("/x")),
    (HostPort, "dc1", HostPort("dc1")),
    (HostPort, "dc_1.company.com.", HostPort("dc_1.company.com.")),
    (HostPort, "10.0.0.1:636", HostPort("10.0.0.1", 636)),
    (HostPort, "[2001:db8::1]:636", HostPort("2001:db8::1", 636)),
    (HostPort, "2001:db8::1", HostPort("2001:db8::1")),
    (HostPort, HostPort("x", 1), HostPort("x", 1)),
]


@pytest.mark.parametrize(("kind", "written", "value"), GOOD)
def test_good(kind: object, written: object, value: object) -> None:
    assert TypeAdapter(kind).validate_python(written) == value


BAD = [
    (types.Duration, "5"),
    (types.Duration, "9999999d"),
    (types.Duration, True),
    (types.Duration, 1.5),
    (types.Size, "2.5G"),
    (types.Size, "9" * 5000),
    (types.DomainText, ""),
    (types.DomainText, "a..b"),
    (types.DomainText, "-a.com"),
    (types.DomainText, "x." * 127 + "com"),
    (types.DomainText, "\u2024"),
    (types.DomainText, ["a"]),
    (types.RealmText, "a b"),
    (types.RealmText, ""),
    (types.RealmText, "X }\nY"),
    (types.NtDomain, "corp.company.com"),
    (types.Mode, "rw-"),
    (types.Mode, 660),
    (types.Pin, "sha256:ab"),
    (types.DnText, ""),
    (types.DnText, "x"),
    (types.FilterText, "a=b"),
    (types.ServicePrincipal, "smtp"),
    (types.HomeTemplate, "/m/{mailbox}/{user}"),
    (types.HomeTemplate, "m/{mailbox}"),
    (types.HomeTemplate, "/m/{mailbox"),
    (types.StoreUrl, "postgresql+psycopg://[x"),
    (types.StoreUrl, "sqlite://"),
    (types.LocalPath, ""),
    (types.LocalPath, 7),
    (types.LocalPath, "a\0"),
    (types.DnsSuffix, ".."),
    (HostPort, "[dc1]:1"),
    (HostPort, "[1:2]:1"),
    (HostPort, "dc1:0"),
    (HostPort, "dc 1"),
    (HostPort, "mail..company.com"),
    (HostPort, ".company.com:25"),
    (HostPort, "a" * 64 + ".com"),
    (HostPort, "."),
    (HostPort, ""),
    (HostPort, 389),
    (HostPort, {"host": "x"}),
]


@pytest.mark.parametrize(("kind", "written"), BAD)
def test_bad_says_what_and_how(kind: object, written: object) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(written)
    (detail,) = caught.value.errors()
    wrong, _, mend = str(detail["ctx"]["error"]).partition("; ")
    assert wrong
    assert mend


def test_how_a_server_is_shown() -> None:
    assert str(HostPort("2001:db8::1", 636)) == "[2001:db8::1]:636"
    assert str(HostPort("dc1")) == "dc1"


def test_how_a_reference_is_shown() -> None:
    shown = [
        str(types.SecretReference.model_validate(each))
        for each in ({"file": "/x"}, {"env": "X"}, {"credential": "x"})
    ]
    assert shown == [
        "the file /x",
        "the environment variable X",
        "the systemd credential x",
    ]


def test_parsers_stand_alone() -> None:
    assert parse_duration("5m") == timedelta(minutes=5)
    assert parse_size("1K") == 1024
    assert parse_domain("Company.COM.") == "company.com"


def test_settings_can_be_made_in_code() -> None:
    made = DirectorySettings(
        type=DirectoryType.ACTIVE_DIRECTORY,
        server=HostPort("dc1"),
        username="u",
        connect_timeout=timedelta(seconds=1),
    )
    assert made.servers == (HostPort("dc1"),)
    assert made.connect_timeout == timedelta(seconds=1)
