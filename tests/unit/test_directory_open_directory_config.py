"""The smaller config records of an Open Directory."""

from __future__ import annotations

import contextlib
import plistlib

import pytest
from hypothesis import given

from dirbridge.directory import open_directory_config as config
from dirbridge.directory.errors import Undecodable
from dirbridge.directory.open_directory_config import SecurityPolicy
from tests.garbage import mutated


def test_policy() -> None:
    level = {"No ClearText Authentications": True, "Packet Signing": 1, "New": True}
    raw = {"Directory Binding": True, "Configured Security Level": level}
    assert config.decode_policy(plistlib.dumps(raw)) == SecurityPolicy(
        directory_binding=True, no_cleartext=True, packet_signing=True
    )


@pytest.mark.parametrize("raw", [{}, {"Configured Security Level": 3}])
def test_what_is_not_said_is_not_asked(raw: dict[str, object]) -> None:
    assert config.decode_policy(plistlib.dumps(raw)) == SecurityPolicy()


@pytest.mark.parametrize(
    ("raw", "is_one"),
    [
        (plistlib.dumps({"Record Type Map": [{"a": 1}]}), True),
        (plistlib.dumps({"Record Type Map": {"Users": 1}}), True),
        (plistlib.dumps({"Record Type Map": []}), False),
        (plistlib.dumps({"Attribute Type Map": [1]}), False),
        (b"a look-alike by hand", False),
        (b"", False),
    ],
)
def test_marker(raw: bytes, is_one: bool) -> None:
    assert config.is_client_mapping(raw) is is_one


def test_replicas() -> None:
    values = [b"ldap://Od1.company.com", b"ldaps://od2.company.com:636/dc=x", b"",
              b"ldap://od1.company.com.", b"http://x", b"ldap://[2001:db8::1]/",
              b"\xff", b"ldap://[", b"od3.company.com"]  # fmt: skip
    assert config.decode_replicas(values) == (
        "od1.company.com",
        "od2.company.com",
        "2001:db8::1",
    )


def test_mechanisms() -> None:
    values = [b"cram-md5", b" DIGEST-MD5", b"CRAM-MD5", b"\xff", b""]
    assert config.decode_mechanisms(values) == ("CRAM-MD5", "DIGEST-MD5")


_POLICY = plistlib.dumps({"Configured Security Level": {"Packet Signing": True}})


@given(mutated(_POLICY, b"ldap://[::1]:389/dc=x", b"CRAM-MD5"))
def test_garbage_gives_only_undecodable(raw: bytes) -> None:
    with contextlib.suppress(Undecodable):
        config.decode_policy(raw)
    config.is_client_mapping(raw)
    config.decode_replicas([raw])
    config.decode_mechanisms([raw])
