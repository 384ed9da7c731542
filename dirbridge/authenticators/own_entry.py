"""Whether a bind that was accepted is the account's own person.

A name is no identity: since the last sync it may have gone to somebody else, and
Active Directory takes `name@domain` for a user principal name first, which an older
one lets another person have. So the entry is read on the same connection, as the
person who has just logged in, and compared with the account's stable id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from dirbridge.directory import auth_authority, guid, open_directory_state
from dirbridge.directory.errors import Undecodable
from dirbridge.ldap.session import BUSY, NO_SUCH_OBJECT, SUCCESS, UNAVAILABLE
from dirbridge.ldap.transport import Transport
from dirbridge.model import entry as model
from dirbridge.model.account import Account
from dirbridge.model.login import Cause, Reason
from dirbridge.protocols.ldap_messages import Entry, Reading


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
        wanted: Gives the entries to read for an account.
        judge: Gives the doubt that follows from them; None: it is the account's
            person. Raises `Unreachable` where the server is away.
    """

    wanted: Callable[[Account], tuple[Wanted, ...]]
    judge: Callable[[Transport, Account, tuple[Reading, ...]], Doubt | None]

    def __call__(self, transport: Transport, account: Account) -> Doubt | None:
        """Read, and judge.

        Raises:
            Unreachable: No answer came.
        """
        readings = transport.read_entries(*self.wanted(account))
        return self.judge(transport, account, readings)


_AWAY = {BUSY: "busy", UNAVAILABLE: "unavailable"}
_POLICY = (open_directory_state.POLICY, open_directory_state.ALLOWED)
_OWN = (*guid.ID_ATTRIBUTES, "authAuthority")
_ANOTHER = Doubt(Reason.UNKNOWN, "the name belongs to another entry by now")


def _sid_and_groups(account: Account) -> tuple[Wanted, ...]:
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


def _own_entry(account: Account) -> tuple[Wanted, ...]:
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


def _own_entry_and_policy(account: Account) -> tuple[Wanted, ...]:
    dn = account.values.dn
    return (dn, _OWN), *((dn, (name,)) for name in _POLICY)


def _judge_policy(
    transport: Transport, account: Account, readings: tuple[Reading, ...]
) -> Doubt | None:
    own, *policies = readings
    doubt = _identified(_judged(transport, own), account)
    for policy in policies if doubt is None else ():
        values = _judged(transport, policy)
        if isinstance(values, Doubt) or not values:
            continue
        identity = account.values
        entry = model.Entry(identity.directory_id, identity.dn, values)
        for sign, reason in open_directory_state.signs(entry):
            return Doubt(reason, f"{sign} of the own entry says so")
    return doubt


identify_open_directory = Identify(_own_entry_and_policy, _judge_policy)
"""Compares the id as `identify_by_dn`, then asks what the server's policy says.

Who is disabled by the policy has no DisabledUser, and not every release's slapd looks
at the policy at a bind. The server makes these values up for one entry, each as the
only one that is asked for; who may not read them, or an older server, says nothing
(odusers.c of Apple's slapd).
"""


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
