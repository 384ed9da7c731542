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
from tests.garbage import mutated, pieces

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


def test_all_of_a_mail_attribute() -> None:
    raw = plistlib.dumps(
        {
            "kAttributeVersion": "AppleMail 1.0",
            "kMailAccountState": "ENABLED",
            "kIMAPLoginState": "imapallowed",
            "kPOP3LoginState": "POP3Deny",
            "kAPOPRequired": "APOPNotRequired",
            "kAltMailStoreLoc": "/Volumes/Mail",
            "kNotificationState": "NotificationOff",
            "kUnheardOf": [1, {"a": True}],
        }
    )
    read = plists.decode_mail_attribute(raw)
    assert (read.state, read.version) == (MailState.ENABLED, "AppleMail 1.0")
    assert (read.imap, read.pop, read.apop) == (True, False, False)
    assert read.alternate_store == "/Volumes/Mail"


def test_words_that_are_not_known_say_nothing() -> None:
    raw = plistlib.dumps({"kIMAPLoginState": "Perhaps", "kPOP3LoginState": 7})
    read = plists.decode_mail_attribute(raw)
    assert (read.imap, read.pop, read.apop) == (None, None, None)


def test_depth_is_limited() -> None:
    def nested(levels: int) -> bytes:
        inner = "<dict><key>a</key>" * levels
        return f"{inner}<true/>{'</dict>' * levels}".encode()

    assert plists.decode(nested(plists.MAX_DEPTH - 1))
    for levels in (plists.MAX_DEPTH + 1, 9000):
        with pytest.raises(Undecodable):
            plists.decode(nested(levels))


@pytest.mark.parametrize(
    ("value", "flag"),
    [(True, True), (False, False), (1, True), (0, False), ("YES", True),
     (" no ", False), ("maybe", None), (2, None), ([], None), (None, None)],
)  # fmt: skip
def test_flags(value: object, flag: bool | None) -> None:
    assert plists.flag_of({"a": value}, "a") is flag


_TAGS = (
    *("<dict>", "</dict>", "<key>", "</key>", "<string>", "</string>", "<integer>"),
    *("</integer>", "<date>", "</date>", "<data>", "</data>", "<array>", "</array>"),
    *("<real>", "</real>", "<true/>", "<plist>", "</plist>", "kMailAccountState"),
    *("1", "=", "Off", "kUserDiskQuota", "<x/>", "&"),
)


@given(pieces(_TAGS) | mutated(mail("Forward", "a@b.c", "7"), mail(quota="x")))
def test_garbage_gives_only_undecodable(raw: bytes) -> None:
    with contextlib.suppress(Undecodable):
        plists.decode_mail_attribute(raw)


@given(
    st.sampled_from([str(state) for state in MailState] + ["Sometimes", ""]),
    st.text("ab@.<&> \u00fc", max_size=8),
    st.integers(-1, 10**10) | st.text("0129G-", max_size=5),
)
def test_any_values_are_read_or_refused(
    state: str, forward: str, quota: int | str
) -> None:
    values = {"kMailAccountState": state, "kAutoForwardValue": forward}
    raw = plistlib.dumps(values | {"kUserDiskQuota": quota})
    with contextlib.suppress(Undecodable):
        read = plists.decode_mail_attribute(raw)
        assert (read.forward is not None) == (read.state is MailState.FORWARD)
        assert read.quota is None or read.quota > 0
