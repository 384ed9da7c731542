"""Whose entries suddenly show less than before: too little, or no addresses.

Theory. An entry that cannot be mapped is there, so its account stays as it is. One such
entry is somebody's mistake in the directory. Many at once are a service account that
lost its rights, or a mapping that asks for what nobody has: then accounts would stand
still without anybody noticing, and who is disabled there could go on here. So those
count for the limits, once: a run that passes forgets their digests, and only accounts
with a digest count.

Addresses can be hidden as well, and their entries are mapped all the same: then mail
for many would bounce, and newcomers could get what was theirs. Who loses all aliases,
or falls from an address of their own to none or to what the mapping fills in, counts
with them. One who passes has lost them, so that counts once, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from dirbridge.model.account import LIVE, Account, AccountValues
from dirbridge.model.names import fold
from dirbridge.store.base import StoreView
from dirbridge.sync.claims import address_claim, given_addresses
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


def is_bared(old: AccountValues, new: AccountValues) -> bool:
    """Whether an entry shows no alias any more, or no address of its own.

    Args:
        old: As it was mapped before.
        new: As it is mapped now.
    """
    left = given_addresses(new)
    aliases = {address_claim(one) for one in old.aliases}
    if aliases and not new.aliases and aliases.isdisjoint(left):
        return True
    primary = old.primary_address
    if primary is None or address_claim(primary) in left:
        return False
    if new.primary_address is None:
        return True
    return _is_filled_in(new) and not _is_filled_in(old)


def _is_filled_in(values: AccountValues) -> bool:
    """Whether the primary address is that of the login name, as mappings fill it in."""
    if values.primary_address is None or not values.login_names:
        return False
    local, _, _ = fold(values.primary_address).rpartition("@")
    login, _, _ = fold(values.login_names[0]).partition("@")
    return local == login
