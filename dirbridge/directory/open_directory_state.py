"""Why an Open Directory would refuse an account: what its servers compute.

The tag DisabledUser is only one sign; who is disabled with Apple's own tools has it
not. The server tells more of one account than it could tell of many, so these values
are asked for one entry at a time (odusers.c of Apple's slapd).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from dirbridge.directory import auth_authority, plists
from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.model.entry import Entry
from dirbridge.model.login import Reason

POLICY = "apple-user-passwordpolicy-effective"
ALLOWED = "apple-authenticationAllowed"
SYNTHETIC = (POLICY, ALLOWED, "apple-user-passwordpolicy")
"""Values that the server makes up when asked: each as the first attribute of a search
of its own, at the entry itself (odusers.c of Apple's slapd)."""

DISABLED_GROUP = "com.apple.access_disabled"
"""The group of those whom the policy disables, since 10.9; also the name under which
a member's entry holds the group's DN, see `connectors.open_directory`."""

_REASONS = {
    1: Reason.DISABLED,
    2: Reason.EXPIRED,
    3: Reason.DISABLED,
    4: Reason.LOCKED,
    5: Reason.MUST_CHANGE,
}
"""effectiveDisableReason (Apple's slapd)."""

_REFUSALS = {
    5301: Reason.DISABLED,
    5302: Reason.EXPIRED,
    5303: Reason.DISABLED,
    5304: Reason.LOCKED,
    5305: Reason.LOCKED,
    5400: Reason.PASSWORD_EXPIRED,
    5401: Reason.MUST_CHANGE,
}
"""apple-authenticationAllowed: the numbers of Apple's OpenDirectory framework
(kODErrorCredentialsAccountDisabled and its kin)."""

_CODE = re.compile(r"-?\d{1,10}\Z", re.ASCII)
_ALLOWED_CODE = 1


def decode_policy(raw: bytes | str) -> tuple[Reason, ...]:
    """Read apple-user-passwordpolicy(-effective): why it lets nobody in.

    Raises:
        Undecodable: It is no property list.
    """
    plist = plists.decode(raw)
    if plists.flag_of(plist, "isDisabled"):
        return (_REASONS.get(_number(plist), Reason.DISABLED),)
    if plists.flag_of(plist, "newPasswordRequired"):
        return (Reason.MUST_CHANGE,)
    # A reason counts by itself only where the server says nothing else.
    told = plists.flag_of(plist, "isDisabled") is not None
    reason = None if told else _REASONS.get(_number(plist))
    return () if reason is None else (reason,)


def decode_allowed(raw: bytes | str) -> int:
    """Read apple-authenticationAllowed: 1, or the number of an error.

    Raises:
        Undecodable: It is no number.
    """
    text = as_text(raw).strip()
    if not _CODE.match(text):
        raise Undecodable("is not a number")
    return int(text)


def reasons(entry: Entry) -> tuple[Reason, ...]:
    """Return what an entry's values say, each reason once."""
    return tuple(dict.fromkeys(reason for _, reason in signs(entry)))


def signs(entry: Entry) -> tuple[tuple[str, Reason], ...]:
    """Return every sign that the directory lets this account not in.

    Values that cannot be read say nothing.

    Args:
        entry: The entry, read alone with its state.

    Returns:
        The attribute, or the group's name, with what it means.
    """
    return tuple(each for look in _SIGNS for each in look(entry))


def _disabled_user(entry: Entry) -> Iterator[tuple[str, Reason]]:
    if auth_authority.is_disabled(entry.values("authAuthority")):
        yield "authAuthority", Reason.DISABLED


def _policy(entry: Entry) -> Iterator[tuple[str, Reason]]:
    # The effective one is merged with the directory's own policy: it has the say.
    name = POLICY if entry.values(POLICY) else "apple-user-passwordpolicy"
    for value in entry.values(name)[:1]:
        try:
            yield from ((name, reason) for reason in decode_policy(value))
        except Undecodable:
            return


def _not_allowed(entry: Entry) -> Iterator[tuple[str, Reason]]:
    for value in entry.values(ALLOWED)[:1]:
        try:
            code = decode_allowed(value)
        except Undecodable:
            return
        if code in _REFUSALS:
            yield ALLOWED, _REFUSALS[code]
        elif code != _ALLOWED_CODE and not any(_policy(entry)):
            # The policy may know why; of itself the number says only that.
            yield ALLOWED, Reason.DISABLED


def _group(entry: Entry) -> Iterator[tuple[str, Reason]]:
    if entry.values(DISABLED_GROUP) and not any(_policy(entry)):
        yield DISABLED_GROUP, Reason.DISABLED


_SIGNS: tuple[Callable[[Entry], Iterator[tuple[str, Reason]]], ...] = (
    _disabled_user,
    _policy,
    _not_allowed,
    _group,
)


def _number(plist: plists.Plist) -> int:
    value = plist.get("effectiveDisableReason")
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if re.fullmatch(r"\d{1,3}", text, re.ASCII) else 0
