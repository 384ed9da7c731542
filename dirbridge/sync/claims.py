"""Who may have which name and address: clashes are found here, never by chance.

Theory. A *claim* is a name or an address that an account is to have after the
run. A claim can be had by one account only. For each claim that several raise:

1. whoever has it in the store, and still claims it or was not read, keeps it;
2. whoever else claims it loses it, and is reported;
3. where nobody has it yet, all who claim it lose it, and all are reported.

An address that is lost is left out and the account stands without it. Whoever
loses a login name or UPN does not change names: a new account is not created, a
stored one keeps those that it had. That puts its old names back into play, and
others may lose them in turn; claims are only ever added, so the order in which
they are looked at does not matter.

The address that every hook answers, `mailbox@domain`, is a claim of its account
as long as the mailbox stands: nobody else may get mail by it. An old address that
is only kept for a time after a rename gives way to whoever the directory gives it,
as long as its account is there and nobody protects it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dirbridge.model.account import Account, AccountState, AccountValues, Origin
from dirbridge.model.entry import EntryKind
from dirbridge.model.names import DirectoryId, fold

RESERVED = timedelta(days=180)
"""How long a removed account's addresses stay reserved (product: States)."""

Claim = tuple[str, str]
"""Kind (`login`, `upn`, `address`) and the folded name."""

Claims = Mapping[DirectoryId, frozenset[Claim]]
Clashes = Mapping[DirectoryId, tuple["Clash", ...]]


@dataclass(frozen=True, slots=True)
class Clash:
    """A claim that an account lost.

    Attributes:
        claim: What it wanted.
        holder: Who has it, for people; or who else wanted it.
        code: `name-taken`, `name-claimed-twice`, `local-account`, `recreated`,
            `kept-apart` or `reserved`.
    """

    claim: Claim
    holder: str
    code: str


@dataclass(frozen=True, slots=True)
class Holder:
    """An account that has a claim and does not ask in this run.

    Attributes:
        name: `mailbox@domain`.
        code: What a clash with it is called, see `Clash`.
    """

    name: str
    code: str


def address_claim(address: str) -> Claim:
    """Return the claim on one address."""
    return ("address", fold(address))


def name_claims(values: AccountValues) -> frozenset[Claim]:
    """Return the claims by which people log in: login names and UPN."""
    claims = {("login", fold(name)) for name in values.login_names}
    if values.upn:
        claims.add(("upn", fold(values.upn)))
    return frozenset(claims)


def given_addresses(values: AccountValues) -> set[Claim]:
    """Return the claims on addresses that the directory gives."""
    claims = {address_claim(text) for text in values.aliases}
    if values.primary_address:
        claims.add(address_claim(values.primary_address))
    return claims


def address_claims(account: Account) -> frozenset[Claim]:
    """Return the claims on addresses that the directory gives, and the mailbox's."""
    claims = given_addresses(account.values)
    if account.mailbox:
        claims.add(address_claim(account.canonical))
    return frozenset(claims)


def held_names(account: Account) -> frozenset[Claim]:
    """Return the names that a stored account has; a removed one has none."""
    if account.state is AccountState.REMOVED:
        return frozenset()
    return name_claims(account.values)


def held_addresses(
    account: Account, now: datetime, *, kept: bool = True
) -> frozenset[Claim]:
    """Return the addresses that a stored account has.

    Args:
        account: The account.
        now: The time of the plan (UTC).
        kept: Whether those count that are only kept for a time.
    """
    if has_lapsed(account, now):
        return frozenset()
    claims = address_claims(account)
    return claims | kept_claims(account, now) if kept else claims


def has_lapsed(account: Account, now: datetime) -> bool:
    """Whether an account was removed so long ago that others may have its addresses.

    Args:
        account: The account as stored.
        now: The time of the plan (UTC).
    """
    removed = account.state is AccountState.REMOVED
    return removed and account.state_since + RESERVED < now


def kept_claims(account: Account, now: datetime) -> frozenset[Claim]:
    """Return the addresses that are only kept, as long as their time is not over."""
    return frozenset(address_claim(k.address) for k in account.kept if k.until > now)


def stored_claims(account: Account, *, here: bool) -> frozenset[Claim]:
    """Return all that an account has or had: whoever claims none of it is free of it.

    Args:
        account: The account as stored.
        here: Whether its names count: those are a domain's own.
    """
    names = name_claims(account.values) if here else frozenset()
    kept = (address_claim(one.address) for one in account.kept)
    return frozenset((*names, *address_claims(account), *kept))


def settle_names(
    wanted: Claims,
    had: Claims,
    held: Mapping[Claim, Holder],
    people: Mapping[DirectoryId, str],
) -> Clashes:
    """Find who loses a login name or UPN, and who does because of them.

    Args:
        wanted: What each account that asks wants.
        had: What the same accounts have in the store.
        held: What accounts have that do not ask.
        people: Names of the accounts for people.

    Returns:
        The clashes of every account that loses something.
    """
    claimants = _claimants(wanted)
    losers: set[DirectoryId] = set()
    waiting = deque(claimants)
    while waiting:
        claim = waiting.popleft()
        for who in _losers(claim, claimants[claim], had, held):
            if who in losers:
                continue
            losers.add(who)
            for old in had.get(who, frozenset()) - wanted[who]:
                claimants[old].append(who)
                waiting.append(old)
    return _clashes(claimants, had, held, people)


def settle_addresses(
    wanted: Claims,
    had: Claims,
    held: Mapping[Claim, Holder],
    people: Mapping[DirectoryId, str],
) -> Clashes:
    """Find who loses an address; see `settle_names` for the arguments."""
    return _clashes(_claimants(wanted), had, held, people)


def _claimants(wanted: Claims) -> defaultdict[Claim, list[DirectoryId]]:
    claimants: defaultdict[Claim, list[DirectoryId]] = defaultdict(list)
    for who, claims in wanted.items():
        for claim in claims:
            claimants[claim].append(who)
    return claimants


def _losers(
    claim: Claim,
    claimants: list[DirectoryId],
    had: Claims,
    held: Mapping[Claim, Holder],
) -> list[DirectoryId]:
    if len(claimants) == 1 and claim not in held:
        return []
    return [who for who in claimants if claim not in had.get(who, frozenset())]


def _clashes(
    claimants: Mapping[Claim, list[DirectoryId]],
    had: Claims,
    held: Mapping[Claim, Holder],
    people: Mapping[DirectoryId, str],
) -> Clashes:
    found: defaultdict[DirectoryId, list[Clash]] = defaultdict(list)
    for claim, several in claimants.items():
        losers = _losers(claim, several, had, held)
        owners = [who for who in several if who not in losers]
        for who in losers:
            rivals = owners or [one for one in several if one != who]
            code = "name-taken" if owners else "name-claimed-twice"
            holder = held.get(claim) or Holder(_list(rivals, people), code)
            found[who].append(Clash(claim, holder.name, holder.code))
    return {who: tuple(sorted(lost, key=_order)) for who, lost in found.items()}


def _list(accounts: Iterable[DirectoryId], people: Mapping[DirectoryId, str]) -> str:
    return ", ".join(sorted({people[who] for who in accounts}))


def _order(clash: Clash) -> Claim:
    return clash.claim


def holders(
    accounts: Iterable[tuple[Account, frozenset[Claim]]],
) -> dict[Claim, Holder]:
    """Return what accounts hold that do not ask.

    Args:
        accounts: Each with the claims that it holds.
    """
    return {
        claim: Holder(_called(account), _code(account))
        for account, claims in accounts
        for claim in claims
    }


def _called(account: Account) -> str:
    """Return a name by which commands find the account, or the group or contact."""
    values = account.values
    if account.kind is EntryKind.ACCOUNT or values.primary_address:
        return account.canonical
    return next(iter(values.aliases), account.canonical)


def _code(account: Account) -> str:
    codes = {AccountState.REMOVED: "reserved", AccountState.DEACTIVATED: "recreated"}
    if account.origin is Origin.LOCAL:
        return "local-account"
    person = account.kind is EntryKind.ACCOUNT
    gone = account.state is AccountState.DEACTIVATED
    if person and gone and not account.values.login_names:
        # A person said that the newcomer is somebody else: only the mailbox is left.
        return "kept-apart"
    return codes.get(account.state, "name-taken")
