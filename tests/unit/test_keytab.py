"""Keytabs: read without trust, and the commands that make them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.authenticators.keytab import Key, keytab_lines, read_keytab
from dirbridge.config.settings import DirectoryType

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
    lambda text: "/" not in text
)
keys = st.builds(
    Key,
    st.lists(names, min_size=1, max_size=3).map("/".join),
    names,
    st.integers(1, 2**32 - 1),
    st.sampled_from(["aes256", "aes128", "rc4"]),
)
KINDS = {"aes128": 17, "aes256": 18, "rc4": 23}


def text(value: str) -> bytes:
    return struct.pack(">H", len(value.encode())) + value.encode()


def record(key: Key, tail: bytes = b"") -> bytes:
    parts = key.service.split("/")
    body = (
        struct.pack(">H", len(parts))
        + text(key.realm)
        + b"".join(text(part) for part in parts)
        + struct.pack(">IIBHH", 1, 0, key.version & 0xFF, KINDS[key.enctype], 16)
        + bytes(16)
        + struct.pack(">I", key.version)
        + tail
    )
    return struct.pack(">i", len(body)) + body


@given(found=st.lists(keys, max_size=4), flags=st.sampled_from([b"", bytes(4)]))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, found: list[Key], flags: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.keytab"
    hole = struct.pack(">i", -7) + bytes(7)
    path.write_bytes(b"\x05\x02" + hole + b"".join(record(k, flags) for k in found))
    assert read_keytab(path) == tuple(found)


@given(st.binary(max_size=80))
def test_garbage_is_a_value_error_or_a_keytab(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.keytab"
    for octets in (data, b"\x05\x02" + data):
        path.write_bytes(octets)
        try:
            read_keytab(path)
        except ValueError:
            continue


def test_the_commands_name_service_realm_and_file() -> None:
    service, realm, path = "smtp/mail.company.com", "CORP", Path("/etc/x.keytab")
    for kind, tool in (
        (DirectoryType.ACTIVE_DIRECTORY, "ktpass"),
        (DirectoryType.OPEN_DIRECTORY_KERBEROS, "kadmin"),
    ):
        lines = keytab_lines(kind, service, realm, path)
        assert lines[0].startswith(tool)
        assert all(service in line and path.name in line for line in lines)
