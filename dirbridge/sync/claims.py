"""Who may have which name and address: clashes are found here, never by chance.

Theory. A *claim* is a name or an address that an account is to have after the
run. A claim can be had by one account only. For each claim that several raise:

1. whoever has it in the store, and still claims it or was not read, keeps it;
2. whoever else claims it loses it, and is reported;
3. where nobody has it yet, all who claim it lose it, and all are reported.

An address that is lost is left out and the account stands without it. A login
name or UPN that is lost withholds the whole account: a new one is not created,
a stored one stays as it is. A withheld account keeps what it had, which can
take a claim from another, so the search runs until nothing more is withheld.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dirbridge.model.account import Account, AccountState, AccountValues
from dirbridge.model.names import DirectoryId, fold

Claim = tuple[str, str]
"""Kind (`login`, `upn`, `address`) and the folded name."""


@dataclass(frozen=True, slots=True)
class Clash:
    """A claim that an account lost.

    Attributes:
        claim: What it wanted.
        holder: Who has it, for people; or who else wanted it.
        code: `name-taken`, `name-claimed-twice`, `local-account`, `recreated`
            or `reserved`.
    """

    claim: Claim
    holder: str
    code: str


@dataclass(frozen=True, slots=True)
class Holder:
    """An account that has a claim and was not read in this run.

    Attributes:
        name: `mailbox@domain`.
        code: What a clash with it is called, see `Clash`.
    """

    name: str
    code: str


def name_claims(values: AccountValues) -> frozenset[Claim]:
    """Return the claims by which people log in: login names and UPN."""
    claims = {("login", fold(name)) for name in values.login_names}
    if values.upn:
        claims.add(("upn", fold(values.upn)))
    return frozenset(claims)


def address_claims(values: AccountValues) -> frozenset[Claim]:
    """Return the claims on addresses."""
    addresses = (values.primary_address, *values.aliases)
    return frozenset(("address", fold(text)) for text in addresses if text)


def held_claims(account: Account) -> frozenset[Claim]:
    """Return all claims that a stored account has, kept addresses too."""
    kept = {("address", fold(kept.address)) for kept in account.kept}
    if account.state is AccountState.REMOVED:
        return address_claims(account.values) | kept
    return name_claims(account.values) | address_claims(account.values) | kept


def settle(
    wanted: Mapping[DirectoryId, frozenset[Claim]],
    had: Mapping[DirectoryId, frozenset[Claim]],
    held: Mapping[Claim, Holder],
    names: Mapping[DirectoryId, str],
) -> dict[DirectoryId, tuple[Clash, ...]]:
    """Find who loses which claim.

    Args:
        wanted: What each account that was read wants.
        had: What the same accounts have in the store.
        held: What accounts have that were not read.
        names: Names of the accounts for people.

    Returns:
        The clashes of every account that loses something.
    """
    claimants: dict[Claim, list[DirectoryId]] = defaultdict(list)
    for who, claims in wanted.items():
        for claim in claims:
            claimants[claim].append(who)
    clashes: dict[DirectoryId, list[Clash]] = defaultdict(list)
    for claim, several in claimants.items():
        for who, clash in _losers(claim, several, had, held.get(claim), names):
            clashes[who].append(clash)
    return {who: tuple(sorted(found, key=_order)) for who, found in clashes.items()}


def _losers(
    claim: Claim,
    claimants: list[DirectoryId],
    had: Mapping[DirectoryId, frozenset[Claim]],
    holder: Holder | None,
    names: Mapping[DirectoryId, str],
) -> Iterable[tuple[DirectoryId, Clash]]:
    owners = [who for who in claimants if claim in had.get(who, frozenset())]
    if holder is not None:
        # Somebody who was not read has it; who shares it since before keeps it.
        losers = [who for who in claimants if who not in owners]
        return [(who, Clash(claim, holder.name, holder.code)) for who in losers]
    if len(claimants) == 1:
        return []
    if len(owners) == 1:
        clash = Clash(claim, names[owners[0]], "name-taken")
        return [(who, clash) for who in claimants if who not in owners]
    return [
        (who, Clash(claim, _others(who, claimants, names), "name-claimed-twice"))
        for who in claimants
        if who not in owners
    ]


def _others(
    who: DirectoryId, claimants: list[DirectoryId], names: Mapping[DirectoryId, str]
) -> str:
    return ", ".join(sorted(names[other] for other in claimants if other != who))


def _order(clash: Clash) -> tuple[str, str]:
    return clash.claim
