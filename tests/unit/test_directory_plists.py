"""Property lists of Open Directory."""

from __future__ import annotations

import contextlib
import plistlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import plists
from dirbridge.directory.errors import Undecodable
from dirbridge.directory.plists import MailState

BARE = (
    "<dict><key>kAttributeVersion</key><string>Apple Mail 1.0</string>"
    "<key>kMailAccountState</key><string>{state}</string>"
    "<key>kAutoForwardValue</key><string>{forward}</string>"
    "<key>kUserDiskQuota</key><string>{quota}</string>"
    "<key>kMailAccountLocation</key><string>mail1.company.com</string></dict>"
)
DECLARED = '<?xml version="1.0" encoding="UTF-8"?>'


def mail(state: str = "Enabled", forward: str = "", quota: str = "0") -> bytes:
    return (DECLARED + BARE.format(state=state, forward=forward, quota=quota)).encode()


def test_whole_plist() -> None:
    raw = plistlib.dumps({"kMailAccountState": "Enabled", "kUserDiskQuota": "500"})
    read = plists.decode_mail_attribute(raw)
    assert read.state is MailState.ENABLED
    assert read.quota == 500 * 2**20


@pytest.mark.parametrize("head", ["", DECLARED, "\n  " + DECLARED, "\ufeff"])
def test_bare_dictionaries_of_scripts(head: str) -> None:
    text = head + BARE.format(state="off", forward="", quota="")
    assert plists.decode_mail_attribute(text.encode()).state is MailState.OFF


def test_forward() -> None:
    read = plists.decode_mail_attribute(mail("Forward", "anna@EXAMPLE.net"))
    assert read.forward == "anna@example.net"
    assert read.host == "mail1.company.com"
    assert plists.decode_mail_attribute(mail("Enabled", "a@b.c")).forward is None


def test_no_quota() -> None:
    assert plists.decode_mail_attribute(mail(quota="0")).quota is None
    assert plists.decode_mail_attribute(mail(quota="")).quota is None


def test_no_state_is_no_word() -> None:
    assert plists.decode_mail_attribute(plistlib.dumps({})).state is None


@pytest.mark.parametrize(
    "raw",
    [b"", b"x", b"\xff\xfe", b"bplist00", mail("Sometimes"), mail("Forward", "nobody"),
     mail(quota="2G"), mail(quota="-1"), plistlib.dumps([1]), plistlib.dumps("x"),
     b"<dict>", b"<dict>" * 3000, b" " * (plists.MAX_SIZE + 1),
     b'<!DOCTYPE p [<!ENTITY a "b">]><plist><dict><key>&a;</key></dict></plist>',
     b"<dict><key>a</key><integer>x</integer></dict>",
     b"<dict><key>a</key><date>x</date></dict>"],
)  # fmt: skip
def test_no_mail_attribute(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        plists.decode_mail_attribute(raw)


def test_kerberos_client() -> None:
    raw = plistlib.dumps(
        {
            "edu.mit.kerberos": {
                "libdefaults": {"default_realm": "MAIL1.COMPANY.COM"},
                "realms": {
                    "MAIL1.COMPANY.COM": {
                        "KDC_List": ["mail1.company.com.", "10.0.0.5"]
                    },
                    "LKDC:SHA1.AB": {"KDC_List": ["x"]},
                },
                "domain_realm": {
                    ".company.com": "MAIL1.COMPANY.COM",
                    ".local": "LKDC:SHA1.AB",
                },
            },
            "generationID": 7,
        }
    )
    client = plists.decode_kerberos_client(raw)
    assert client.default_realm == "MAIL1.COMPANY.COM"
    assert client.kdcs == {"MAIL1.COMPANY.COM": ("mail1.company.com", "10.0.0.5")}
    assert client.domain_realm == {".company.com": "MAIL1.COMPANY.COM"}


def test_kerberos_client_with_nothing_in_it() -> None:
    client = plists.decode_kerberos_client(plistlib.dumps({"edu.mit.kerberos": 3}))
    assert (client.default_realm, client.kdcs, client.domain_realm) == (None, {}, {})


_TAGS = st.sampled_from(
    ["<dict>", "</dict>", "<key>", "</key>", "<string>", "</string>", "<integer>",
     "</integer>", "<date>", "</date>", "<data>", "</data>", "<array>", "</array>",
     "<real>", "</real>", "<true/>", "<plist>", "</plist>", "kMailAccountState", "1",
     "=", "Off", "edu.mit.kerberos", "<x/>"]
)  # fmt: skip


@given(
    st.binary(max_size=80) | st.lists(_TAGS, max_size=20).map("".join).map(str.encode)
)
def test_garbage_gives_only_undecodable(raw: bytes) -> None:
    for decode in (plists.decode_mail_attribute, plists.decode_kerberos_client):
        with contextlib.suppress(Undecodable):
            decode(raw)
