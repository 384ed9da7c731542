"""Whether the names in `protected` are anybody's: a typo would protect nobody."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DomainName
from dirbridge.store.base import StoreView
from dirbridge.sync.by_hand import named
from dirbridge.sync.policy import Policy


def idle_names(
    view: StoreView, domain: DomainName, protected: Collection[str]
) -> Iterator[Finding]:
    """Warn of each name in `protected` that no account has.

    Args:
        view: The store at one moment; one that nothing was written to tells nothing.
        domain: The mail domain.
        protected: The names, folded.
    """
    if view.version == 0:
        return
    for name in sorted(protected):
        policy = Policy(domain, protected=frozenset({name}))
        if not any(map(policy.protects, named(view, domain, (name,)))):
            yield Finding(
                f'domains."{domain}": protected',
                "protected",
                Outcome.WARNING,
                f'No account has the name "{name}", so it protects nobody.',
                "Mend the name or take it out; `dirbridge accounts list` shows all.",
                "protects-nobody",
            )
