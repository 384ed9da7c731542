"""XML property lists that Open Directory keeps in attributes.

They come from a directory that anybody in it may have written to, so size and depth
are limited, DTD entities are refused by plistlib, and unknown keys are passed over.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from xml.parsers.expat import ExpatError

from dirbridge.directory import address
from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.model.names import Address

MAX_SIZE = 256 * 1024
MAX_DEPTH = 32
"""How deep dictionaries and arrays may nest; Apple's own go to six."""

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_MEGABYTE = 2**20
_TRUE, _FALSE = frozenset({"yes", "true", "1"}), frozenset({"no", "false", "0"})

Plist = Mapping[str, object]
"""A dictionary of a property list; keys that are no text are left out."""


class MailState(StrEnum):
    """kMailAccountState."""

    OFF = "off"
    ENABLED = "enabled"
    FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class MailAttribute:
    """apple-user-mailattribute (facts: open-directory 2.4).

    Attributes:
        state: Whether mail is on; None where the key is absent.
        forward: kAutoForwardValue, only where the state is `forward`.
        quota: kUserDiskQuota in bytes; None where absent or 0 (no limit).
        host: kMailAccountLocation, the mail server's name.
        version: kAttributeVersion as written: `Apple Mail 1.0` and the like.
        imap: Whether IMAP is allowed; None where nothing is said.
        pop: Whether POP3 is allowed; None where nothing is said.
        apop: Whether POP3 must be by APOP; None where nothing is said.
        alternate_store: kAltMailStoreLoc, another place for the mailbox.
    """

    state: MailState | None
    forward: Address | None = None
    quota: int | None = None
    host: str | None = None
    version: str | None = None
    imap: bool | None = None
    pop: bool | None = None
    apop: bool | None = None
    alternate_store: str | None = None


def decode(raw: bytes | str) -> Plist:
    """Read a property list whose top is a dictionary.

    Leading blanks and a missing XML declaration are mended first, as provisioning
    scripts write both (facts: open-directory 2.4).

    Raises:
        Undecodable: It is too large, nested too deep, or no such list.
    """
    if len(raw) > MAX_SIZE:
        raise Undecodable(f"is a property list of more than {MAX_SIZE} octets")
    text = as_text(raw).strip().lstrip("\ufeff").lstrip()
    if not text.startswith("<?xml"):
        text = _DECLARATION + text
    try:
        value = plistlib.loads(text.encode(), fmt=plistlib.FMT_XML)
    except _PARSER_ERRORS:
        raise Undecodable("is not a property list") from None
    if not isinstance(value, dict):
        raise Undecodable("is not a property list with a dictionary on top")
    _check_depth(value)
    return {key: each for key, each in value.items() if isinstance(key, str)}


# plistlib lets its parts' errors through; this is all that fuzzing has shown.
_PARSER_ERRORS = (
    plistlib.InvalidFileException,
    ExpatError,
    ValueError,
    OverflowError,
    TypeError,
    AttributeError,
    LookupError,
    RecursionError,
)


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [below for each in level for below in _within(each)]
        if not level:
            return
    raise Undecodable(f"is a property list nested deeper than {MAX_DEPTH} levels")


def _within(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def text_of(plist: Plist, key: str) -> str | None:
    """Return a text without blanks around it, None where there is none."""
    value = plist.get(key)
    return value.strip() or None if isinstance(value, str) else None


def flag_of(plist: Plist, key: str) -> bool | None:
    """Return a truth value, also one that stands there as a number or a text."""
    value = plist.get(key)
    if isinstance(value, bool) or value is None:
        return value
    word = str(value).strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def dict_of(plist: Plist, key: str) -> Plist:
    """Return a dictionary, an empty one where there is none."""
    return as_dict(plist.get(key))


def as_dict(value: object) -> Plist:
    """Return a value as a dictionary, an empty one where it is none."""
    if not isinstance(value, dict):
        return {}
    return {name: each for name, each in value.items() if isinstance(name, str)}


def list_of(plist: Plist, key: str) -> tuple[object, ...]:
    """Return an array; one value for itself counts as an array of one."""
    value = plist.get(key)
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)


def texts_of(plist: Plist, key: str) -> tuple[str, ...]:
    """Return the texts of an array, or a text for itself, without blanks."""
    found = (each.strip() for each in list_of(plist, key) if isinstance(each, str))
    return tuple(each for each in found if each)


def decode_mail_attribute(raw: bytes | str) -> MailAttribute:
    """Read apple-user-mailattribute; an absent attribute is not "disabled".

    Values compare without case, and a word that is not known for IMAP, POP3 or APOP
    says nothing.

    Raises:
        Undecodable: It is no property list, or a key holds what it must not.
    """
    plist = decode(raw)
    state = _mail_state(plist.get("kMailAccountState"))
    forward = None
    if state is MailState.FORWARD:
        forward = address.decode(text_of(plist, "kAutoForwardValue") or "")
    return MailAttribute(
        state,
        forward,
        _quota(plist),
        text_of(plist, "kMailAccountLocation"),
        version=text_of(plist, "kAttributeVersion"),
        imap=_word(plist, "kIMAPLoginState"),
        pop=_word(plist, "kPOP3LoginState"),
        apop=_word(plist, "kAPOPRequired"),
        alternate_store=text_of(plist, "kAltMailStoreLoc"),
    )


_WORDS = {
    "kIMAPLoginState": {"imapallowed": True, "imapdeny": False},
    "kPOP3LoginState": {"pop3allowed": True, "pop3deny": False},
    "kAPOPRequired": {"apoprequired": True, "apopnotrequired": False},
}


def _word(plist: Plist, key: str) -> bool | None:
    return _WORDS[key].get((text_of(plist, key) or "").lower())


def _mail_state(value: object) -> MailState | None:
    if value is None:
        return None
    try:
        return MailState(str(value).strip().lower())
    except ValueError:
        raise Undecodable("has an unknown kMailAccountState") from None


def _quota(plist: Plist) -> int | None:
    text = str(plist.get("kUserDiskQuota", "")).strip()
    if text and not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise Undecodable("has a kUserDiskQuota that is no number of megabytes")
    return int(text) * _MEGABYTE if text and int(text) else None
