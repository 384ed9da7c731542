"""Which groups somebody is in, and whether that gives a mailbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from dirbridge.connectors.base import Connector
from dirbridge.directory.membership import Membership, resolve
from dirbridge.model.account import LIVE, Account, AccountValues
from dirbridge.model.entry import Entry, EntryKind
from dirbridge.model.finding import Outcome, Step
from dirbridge.model.mapping import Mapped, MappingResult
from dirbridge.model.names import DirectoryId
from dirbridge.store.base import StoreView
from dirbridge.sync.access import is_named, why_outside
from dirbridge.sync.policy import Policy

MOST_SHOWN = 30
"""How many groups are named; nobody reads more."""

MOST_ASKED = 20
"""How many groups are read anew to say whether somebody is in one."""

_RULE = "Nested groups and the primary group count."


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of one directory, and one person.

    Attributes:
        groups: The groups by id, as they are stored or were read anew.
        person: Whom it is about.
        membership: Who is in which; only the person and groups are looked for.
    """

    groups: Mapping[DirectoryId, AccountValues]
    person: AccountValues
    membership: Membership

    @classmethod
    def of(
        cls, groups: Mapping[DirectoryId, AccountValues], person: AccountValues
    ) -> Groups:
        """Find out what the person is in."""
        return cls(groups, person, resolve((*groups.values(), person)))

    def required(self, policy: Policy) -> AccountValues | None:
        """Return the group that decides who gets a mailbox, where it is known."""
        name = policy.require_group or ""
        return next((one for one in self.groups.values() if is_named(one, name)), None)

    def contain(self, group: AccountValues) -> bool:
        """Whether the person is in a group, or in one within it."""
        mine = self.membership.groups(self.person.directory_id)
        return group.directory_id in mine

    def anew(
        self,
        group: AccountValues,
        connector: Connector,
        mapping: Callable[[Entry], MappingResult],
    ) -> Groups:
        """Read a group and those within it once more, as a sync would find them now.

        Raises:
            DirectoryError: The directory cannot be asked.
        """
        inner = sorted(self.membership.groups_in(group.directory_id))
        fresh = dict(self.groups)
        for one in (group.directory_id, *inner)[:MOST_ASKED]:
            entry = connector.find(one)
            result = (
                None if entry is None else mapping(replace(entry, kind=EntryKind.GROUP))
            )
            if isinstance(result, Mapped):
                fresh[one] = result.values
        return Groups.of(fresh, self.person)


def stored_groups(
    view: StoreView, policy: Policy
) -> Mapping[DirectoryId, AccountValues]:
    """Return the groups of a directory as they are stored."""
    ids = [
        one.id
        for one in view.remembered(policy.domain, policy.source)
        if one.kind is EntryKind.GROUP and one.state in LIVE
    ]
    found = view.by_id(policy.domain, policy.source, ids)
    return {who: account.values for who, account in found.items()}


def group_steps(groups: Groups) -> Iterator[Step]:
    """Say which groups the person is in, where the directory has any."""
    if not groups.groups:
        return
    mine = groups.membership.groups(groups.person.directory_id)
    facts = tuple(
        sorted((groups.groups[one].name or "group", _way(groups, one)) for one in mine)
    )
    count = (
        f"{len(mine)} groups" if len(mine) > 1 else "one group" if mine else "no group"
    )
    found = f"As of the last sync it is in {count}."
    yield Step("groups", found, _RULE, Outcome.OK, facts=facts[:MOST_SHOWN])


def _way(groups: Groups, group: DirectoryId) -> str:
    """Say how the person came into a group."""
    who, where = groups.person.directory_id, groups.groups[group]
    if who not in groups.membership.direct.get(group, frozenset()):
        return f"by a group within it: {where.dn}"
    number = groups.person.primary_group
    is_primary = number is not None and number == where.number
    return f"as its primary group: {where.dn}" if is_primary else where.dn


def access_step(
    groups: Groups, group: AccountValues | None, policy: Policy, account: Account | None
) -> Step:
    """Say whether the required group gives the person a mailbox.

    Args:
        groups: The groups as they are now.
        group: The required one; None where nobody knows it.
        policy: The domain's settings; it requires a group.
        account: The person's account, if there is one.
    """
    name = policy.require_group or ""
    if group is None:
        text = (
            f"The group {name}, which decides who gets a mailbox, is not known. Mend "
            "`require_group`, or run `dirbridge sync --full` where the group is new."
        )
        return Step("access", text, _RULE, Outcome.FAILED, "mail admin")
    live = account is not None and account.state in LIVE
    if groups.contain(group):
        then = "" if live else " Run `dirbridge sync`."
        text = f"It is in the group {name}, which decides who gets a mailbox.{then}"
        outcome = Outcome.OK if live else Outcome.WARNING
        return Step("access", text, _RULE, outcome, "" if live else "mail admin")
    then = "The next sync takes it out. " if live else ""
    text = f"{why_outside(name)} {then}Have it added to the group, or to one within it."
    outcome = Outcome.WARNING if live else Outcome.FAILED
    return Step("access", text, _RULE, outcome, "directory admin")
