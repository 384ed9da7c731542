"""Which lock-out policy of Active Directory holds for an account."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from dirbridge.directory import lockout
from dirbridge.directory.errors import Undecodable, as_text
from dirbridge.directory.lockout import Lockout
from dirbridge.ldap.client import ANY, read_root
from dirbridge.ldap.session import Query, Session
from dirbridge.model.deadline import Deadline
from dirbridge.model.names import DirectoryId

_OWN = "msDS-ResultantPSO"
_OF_OBJECT = ("msDS-LockoutThreshold", "msDS-LockoutObservationWindow")
_OF_DOMAIN = ("lockoutThreshold", "lockOutObservationWindow")


def lockout_at(
    directory_id: DirectoryId,
) -> Callable[[Session, Deadline], Lockout | None]:
    """Return what reads the policy of one account, None where it may not be read.

    An account's own password settings object counts before the domain. Ordinary
    accounts may read neither which one it is nor what it says unless an admin lets
    them; then the domain's is taken.

    Args:
        directory_id: The account's objectGUID.
    """

    def read(session: Session, deadline: Deadline) -> Lockout | None:
        (own,) = _values(session, f"<GUID={directory_id}>", (_OWN,), deadline)
        if own:
            with suppress(Undecodable):
                found = _policy(session, as_text(own), _OF_OBJECT, deadline)
                if found is not None:
                    return found
        head = read_root(session, deadline).one("defaultNamingContext")
        return _policy(session, head, _OF_DOMAIN, deadline)

    return read


def _policy(
    session: Session, place: str, names: tuple[str, str], deadline: Deadline
) -> Lockout | None:
    threshold, window = _values(session, place, names, deadline)
    if not (threshold and window):
        return None
    with suppress(Undecodable):
        return lockout.decode(threshold, window)
    return None


def _values(
    session: Session, place: str, names: tuple[str, ...], deadline: Deadline
) -> tuple[bytes, ...]:
    """Read one value each of one entry, b"" where there is none."""
    query = Query(base=place, filter=ANY, scope="BASE", attributes=names)
    found = session.search(query, deadline).entries
    if not found:
        return (b"",) * len(names)
    held = {name.lower(): values for name, values in found[0].attributes.items()}
    return tuple(next(iter(held.get(n.lower(), ())), b"") for n in names)
