"""The settings of a domain that decide a plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dirbridge.model.account import Account, Origin
from dirbridge.model.entry import EntryKind
from dirbridge.model.names import DomainName, fold


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of a domain that decide a plan.

    Attributes:
        domain: The mail domain.
        source: Name of the directory within the domain.
        user_limit: Most accounts that may be active or disabled, or None.
        quarantine: How long a vanished account stays deactivated.
        keep_old_address: How long an old primary address stays an alias.
        protected: Accounts that no sync touches, each by `mailbox@domain`, an
            address or a login name, folded.
        require_group: DN of the group whose members alone get a mailbox, or None.
        addresses: The domains whose addresses are this domain's own: itself and its
            aliases.
    """

    domain: DomainName
    source: str = "directory"
    user_limit: int | None = None
    quarantine: timedelta = timedelta(days=30)
    keep_old_address: timedelta = timedelta(days=365)
    protected: frozenset[str] = frozenset()
    require_group: str | None = None
    addresses: frozenset[DomainName] = frozenset()

    def owns(self, account: Account) -> bool:
        """Whether the account is mapped from this very directory."""
        return (
            account.origin is Origin.MAPPED
            and account.domain == self.domain
            and account.source == self.source
        )

    def protects(self, account: Account) -> bool:
        """Whether no sync may touch the account."""
        if not self.protected:
            return False
        values = account.values
        names = (*values.login_names, *values.aliases, values.primary_address)
        # What a group is called for people may be its short name: that is no address.
        own = (account.canonical,) if account.kind is EntryKind.ACCOUNT else ()
        mine = {fold(name) for name in (*own, *names) if name}
        return not mine.isdisjoint(self.protected)
