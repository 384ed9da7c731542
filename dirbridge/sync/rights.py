"""Whose entries suddenly show too little to be mapped.

Theory. An entry that cannot be mapped is there, so its account stays as it is. One such
entry is somebody's mistake in the directory. Many at once are a service account that
lost its rights, or a mapping that asks for what nobody has: then accounts would stand
still without anybody noticing, and who is disabled there could go on here. So those
count for the limits, once: a run that passes forgets their digests, and only accounts
with a digest count.
"""

from __future__ import annotations

from collections.abc import Iterator

from dirbridge.model.account import LIVE, Account
from dirbridge.store.base import StoreView
from dirbridge.sync.policy import Policy
from dirbridge.sync.read import Read
from dirbridge.sync.spool import portions


def darkened(policy: Policy, view: StoreView, read: Read) -> Iterator[Account]:
    """Yield live accounts that were mapped before, and cannot be any more.

    Args:
        policy: The domain's settings.
        view: What the store has.
        read: What was read.
    """
    for some in portions(read.unmapped):
        found = view.by_id(policy.domain, policy.source, [one.id for one in some])
        yield from (a for a in found.values() if a.state in LIVE and a.digest)
