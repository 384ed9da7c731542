"""The searches by which servers tell that something changed.

Neither is asked for values: whoever hears of a change reads in the usual way.
"""

from __future__ import annotations

from dirbridge.errors import Unsupported
from dirbridge.ldap.client import ANY
from dirbridge.ldap.session import Query, Session
from dirbridge.model.deadline import Deadline
from dirbridge.protocols.ldap_controls import (
    NOTIFICATION,
    SHOW_DELETED_OID,
    Control,
    SyncMode,
    sync_request,
)


def change_notification(_session: Session, suffix: str, _deadline: Deadline) -> Query:
    """Return Active Directory's change notification (MS-ADTS 3.1.1.3.4.1.9).

    It takes no other filter, and a subtree at the root of a naming context only.
    Deletions are told to those who may read the deleted objects, and with the second
    control only; it is not critical, as the first one works without it.

    Args:
        suffix: The domain's naming context.
    """
    controls = (NOTIFICATION, Control(SHOW_DELETED_OID))
    return Query(base=suffix, filter=ANY, controls=controls)


def content_sync(session: Session, suffix: str, deadline: Deadline) -> Query:
    """Return a content synchronisation that stays open (RFC 4533 section 3.4).

    It goes on from the server's present state, so nothing is sent at its beginning.

    Args:
        session: Where it will be asked; the state is this server's.
        suffix: The database's naming context.
        deadline: When its state must have been read.

    Raises:
        Unreachable: It does not answer.
        Unsupported: It tells no state: it has no slapo-syncprov, or hides it.
    """
    state = Query(base=suffix, filter=ANY, scope="BASE", attributes=("contextCSN",))
    answer = session.search(state, deadline)
    numbers = [
        number
        for entry in answer.entries
        for number in entry.attributes.get("contextcsn", ())
    ]
    if not numbers:
        raise Unsupported(
            domain=session.transport.domain,
            server=session.server,
            operation="watch",
            code="no-push",
            detail=f"no contextCSN at {suffix}",
        )
    # Several masters have a number each (contextCSN of slapo-syncprov).
    cookie = b"rid=000,csn=" + b";".join(sorted(numbers))
    control = sync_request(SyncMode.REFRESH_AND_PERSIST, cookie)
    return Query(base=suffix, filter=ANY, controls=(control,))
