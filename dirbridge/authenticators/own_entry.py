"""Whether a bind that was accepted is the account's own person.

A name is no identity: since the last sync it may have gone to somebody else, and
Active Directory takes `name@domain` for a user principal name first, which an older
one lets another person have. So the entry is read on the same connection, as the
person who has just logged in, and compared with the account's stable id.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from dirbridge.directory import auth_authority, guid, open_directory_state
from dirbridge.directory.errors import Undecodable
from dirbridge.ldap.session import BUSY, NO_SUCH_OBJECT, SUCCESS, UNAVAILABLE
from dirbridge.ldap.transport import Endpoint, Transport
from dirbridge.model import entry as model
from dirbridge.model.account import Account
from dirbridge.model.login import Cause, Reason
from dirbridge.protocols.ldap_messages import Entry, Reading

SILENT = 60.0
"""Seconds for which an account is not asked for a policy that it did not have."""

ROOM = 50_000
"""How many accounts without one are remembered."""


class Doubt(NamedTuple):
    """Why a bind that was accepted lets nobody in."""

    verdict: Reason | Cause
    detail: str


Wanted = tuple[str, tuple[str, ...]]
"""The DN of an entry, and the attributes to read of it."""


@dataclass(frozen=True, slots=True)
class Identify:
    """What is read on the bound connection, and what it says.

    Attributes:
        wanted: Gives the entries to read for an account, from this server.
        judge: Gives the doubt that follows from them; None: it is the account's
            person. Raises `Unreachable` where the server is away.
    """

    wanted: Callable[[Transport, Account], tuple[Wanted, ...]]
    judge: Callable[[Transport, Account, tuple[Reading, ...]], Doubt | None]

    def __call__(self, transport: Transport, account: Account) -> Doubt | None:
        """Read, and judge.

        Raises:
            Unreachable: No answer came.
        """
        readings = transport.read_entries(*self.wanted(transport, account))
        return self.judge(transport, account, readings)


_AWAY = {BUSY: "busy", UNAVAILABLE: "unavailable"}
_POLICY = (open_directory_state.POLICY, open_directory_state.ALLOWED)
_OWN = (*guid.ID_ATTRIBUTES, "authAuthority")
_ANOTHER = Doubt(Reason.UNKNOWN, "the name belongs to another entry by now")


def _sid_and_groups(_transport: Transport, account: Account) -> tuple[Wanted, ...]:
    base = f"<GUID={account.values.directory_id}>"
    # Both at once: each wait for an answer costs as much as the bind.
    return (base, ("objectGUID", "objectSid")), ("", ("tokenGroups",))


def _judge_sid(
    transport: Transport, account: Account, readings: tuple[Reading, ...]
) -> Doubt | None:
    own, bound = readings
    entry = _judged(transport, own)
    if isinstance(entry, Doubt):
        return entry
    if not _has_id(entry, account) or not entry.get("objectsid"):
        return _unreadable("objectGUID and objectSid")
    groups = _judged(transport, bound)
    if isinstance(groups, Doubt) or not groups.get("tokengroups"):
        return _unreadable("tokenGroups of the rootDSE")
    return None if entry["objectsid"][0] in groups["tokengroups"] else _ANOTHER


identify_active_directory = Identify(_sid_and_groups, _judge_sid)
"""Compares the SID of the entry that has our id with that of the connection.

The rootDSE's `tokenGroups` are the SIDs of whoever is bound, the person's own among
them (MS-ADTS 3.1.1.3.2); Samba does not know whoAmI.
"""


def _own_entry(_transport: Transport, account: Account) -> tuple[Wanted, ...]:
    return ((account.values.dn, _OWN),)


def _judge_id(
    transport: Transport, account: Account, readings: tuple[Reading, ...]
) -> Doubt | None:
    return _identified(_judged(transport, readings[0]), account)


identify_by_dn = Identify(_own_entry, _judge_id)
"""Compares the id of the entry that has just bound; looks for `DisabledUser`.

slapd does not look at authAuthority itself.
"""


def _identified(entry: Entry | Doubt, account: Account) -> Doubt | None:
    if isinstance(entry, Doubt):
        # It has just bound, so it is there: slapd hides what may not be read.
        gone = entry.verdict is Reason.UNKNOWN
        return _unreadable("the own entry") if gone else entry
    if not any(entry.get(name.lower()) for name in guid.ID_ATTRIBUTES):
        return _unreadable(" or ".join(guid.ID_ATTRIBUTES))
    if not _has_id(entry, account):
        return _ANOTHER
    if auth_authority.is_disabled(entry.get("authauthority", ())):
        return Doubt(Reason.DISABLED, "authAuthority has DisabledUser")
    return None


class _WithPolicy:
    """Reads the own entry, and what the server makes up of its policy beside it.

    These cost as much as all else of a login, and most servers have nothing to say. So
    where one said nothing of an account, it is not asked of that one again for a while.
    A server that makes policies up does so for everybody who has a password there; that
    another one of the list is older, or away from its passwords, says nothing of it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._silent_until: dict[tuple[Endpoint, str], float] = {}

    def wanted(self, transport: Transport, account: Account) -> tuple[Wanted, ...]:
        """Return what to read; see `Identify`."""
        dn, of = account.values.dn, _place_of(transport, account)
        own = (dn, _OWN)
        if self._clock() < self._silent_until.get(of, 0.0):
            return (own,)
        return own, *((dn, (name,)) for name in _POLICY)

    def judge(
        self, transport: Transport, account: Account, readings: tuple[Reading, ...]
    ) -> Doubt | None:
        """Compare the id, then look at the policy; see `Identify`."""
        own, *policies = readings
        doubt = _identified(_judged(transport, own), account)
        if doubt is not None or not policies:
            return doubt
        told = [_judged(transport, policy) for policy in policies]
        if not any(told):
            self._note_silence(_place_of(transport, account))
        for values in told:
            if isinstance(values, Doubt) or not values:
                continue
            identity = account.values
            entry = model.Entry(identity.directory_id, identity.dn, values)
            for sign, reason in open_directory_state.signs(entry):
                return Doubt(reason, f"{sign} of the own entry says so")
        return None

    def _note_silence(self, of: tuple[Endpoint, str]) -> None:
        if len(self._silent_until) >= ROOM:
            self._silent_until.clear()
        self._silent_until[of] = self._clock() + SILENT


def _place_of(transport: Transport, account: Account) -> tuple[Endpoint, str]:
    """Return who said nothing, and of whom."""
    return transport.endpoint, account.values.directory_id


def open_directory_identity(clock: Callable[[], float] = time.monotonic) -> Identify:
    """Return what compares the id as `identify_by_dn`, and asks for the policy.

    Who is disabled by the policy has no DisabledUser, and not every release's slapd
    looks at the policy at a bind. The server makes these values up for one entry, each
    as the only one that is asked for; who may not read them, or an older server, says
    nothing (odusers.c of Apple's slapd).

    Args:
        clock: Seconds.
    """
    with_policy = _WithPolicy(clock)
    return Identify(with_policy.wanted, with_policy.judge)


def _judged(transport: Transport, reading: Reading) -> Entry | Doubt:
    """Return what was read, or what follows from that it was not."""
    code = reading.result.code
    if code in _AWAY:
        raise transport.error("read", _AWAY[code], reading.result.text)
    if code == SUCCESS and reading.entry is not None:
        return reading.entry
    if code in (SUCCESS, NO_SUCH_OBJECT):
        return Doubt(Reason.UNKNOWN, "the directory has no such entry any more")
    said = f"result {code} {reading.result.text}".strip()
    return Doubt(Cause.OWN_ENTRY, f"the own entry cannot be read: {said}")


def _has_id(entry: Entry, account: Account) -> bool:
    for name in guid.ID_ATTRIBUTES:
        for raw in entry.get(name.lower(), ()):
            try:
                if guid.decode_id(name, raw) == account.values.directory_id:
                    return True
            except Undecodable:
                continue
    return False


def _unreadable(what: str) -> Doubt:
    return Doubt(Cause.OWN_ENTRY, f"the person may not read {what}")
