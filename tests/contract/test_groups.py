"""Groups and contacts of real servers, and who belongs to whom."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from dirbridge.connectors.base import Connector
from dirbridge.connectors.open_directory import open_directory
from dirbridge.directory import sid
from dirbridge.directory.membership import Membership, resolve
from dirbridge.mapping.profile import Profile, load_profile
from dirbridge.mapping.rules import Context, map_entry
from dirbridge.model.account import AccountValues
from dirbridge.model.entry import Entry, EntryKind, Finished, ReadKind
from dirbridge.model.mapping import Mapped
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.secret import Secret
from testbed import cast, ldif
from testbed.bed import Bed
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.directories import OD_MAIL, ad_connector, od_connector, od_settings

SERVED = frozenset({DomainName("example.com"), DomainName("example.org")})
CONTEXT = Context(domain=DomainName("example.com"), served=SERVED)


@dataclass(frozen=True)
class Everything:
    """What one read gave, mapped."""

    accounts: dict[str, AccountValues]
    groups: dict[str, AccountValues]
    contacts: dict[str, AccountValues]
    entries: tuple[Entry, ...]

    def membership(self) -> Membership:
        return resolve(
            (*self.groups.values(), *self.accounts.values(), *self.contacts.values())
        )

    def names(self, ids: Iterable[DirectoryId]) -> set[str]:
        known = {a.directory_id: name for name, a in self.accounts.items()}
        known |= {g.directory_id: name for name, g in self.groups.items()}
        known |= {c.directory_id: name for name, c in self.contacts.items()}
        return {known[one] for one in ids}


def read(connector: Connector, profile: Profile) -> Everything:
    found = Everything({}, {}, {}, tuple(_entries(connector)))
    for entry in found.entries:
        result = map_entry(profile, entry, CONTEXT)
        assert isinstance(result, Mapped), result
        values = result.values
        match values.kind:
            case EntryKind.ACCOUNT:
                found.accounts[values.login_names[0]] = values
            case EntryKind.GROUP:
                found.groups[str(values.name)] = values
            case EntryKind.CONTACT:
                found.contacts[str(values.display_name)] = values
    return found


def _entries(connector: Connector) -> Iterator[Entry]:
    for item in connector.read():
        if isinstance(item, Entry):
            yield item


@pytest.fixture(scope="module")
def ad(bed: Bed, dc1: Dc1) -> Everything:
    return read(ad_connector(bed), load_profile("active-directory"))


@pytest.fixture(scope="module")
def od(bed: Bed, od1: Od1) -> Everything:
    return read(od_connector(bed), load_profile("open-directory"))


class TestActiveDirectory:
    def test_groups_are_recipients(self, ad: Everything) -> None:
        assert {group.name for group in cast.AD_GROUP_LIST} <= set(ad.groups)
        sales = ad.groups["Sales"]
        assert sales.primary_address == "sales@example.com"
        assert ad.groups["Domain Users"].number == "513"
        assert ad.groups["Users"].number == "545"

    def test_contacts_are_recipients_and_no_accounts(self, ad: Everything) -> None:
        karl = ad.contacts[cast.AD_CONTACT]
        assert karl.forward == "karl@partner.example.net"
        assert cast.AD_CONTACT not in ad.accounts

    def test_nobody_else_became_an_account(self, ad: Everything) -> None:
        everybody = {person.sam for person in (*cast.AD_PEOPLE, *cast.CROWD)}
        # The account with the keytab is an ordinary one.
        assert set(ad.accounts) - {"svc-mail"} == everybody

    def test_members_nested_in_loops_and_in_crowds(self, ad: Everything) -> None:
        whole = ad.membership()
        members = {
            name: ad.names(whole.members(group.directory_id))
            for name, group in ad.groups.items()
        }
        assert members["Sales"] == {"anna", "o'brien", "rename.me"}
        assert members["Everyone Mail"] == members["Sales"] | {"bob", "jürgen"}
        assert members["Loop A"] == members["Loop B"] == {"bob", "emoji"}
        assert members["Crowd"] == {person.sam for person in cast.CROWD}
        assert members["Empty"] == set()
        # In no member attribute, for all of them.
        assert members["Domain Users"] >= set(ad.accounts)

    @pytest.mark.parametrize("name", ["anna", "bob", "emoji", "jürgen", "locked"])
    def test_the_groups_are_those_of_the_servers_own_tokens(
        self, ad: Everything, dc1: Dc1, name: str
    ) -> None:
        account = ad.accounts[name]
        numbers = _token_rids(dc1, account.dn)
        groups = ad.membership().groups(account.directory_id)
        mine = {
            group.number for group in ad.groups.values() if group.directory_id in groups
        }
        # Among the tokens is one that is no group, the person's own.
        assert mine == numbers & {group.number for group in ad.groups.values()}
        assert "513" in mine

    def test_the_filter_of_the_settings_is_for_accounts(
        self, bed: Bed, dc1: Dc1
    ) -> None:
        connector = ad_connector(bed, filter="(department=Sales)")
        found = read(connector, load_profile("active-directory"))
        assert set(found.accounts) == {"anna"}
        assert "Sales" in found.groups

    def test_a_base_narrows_everything(self, bed: Bed, dc1: Dc1) -> None:
        found = read(
            ad_connector(bed, base=cast.AD_GROUPS), load_profile("active-directory")
        )
        assert found.accounts == {}
        assert set(found.groups) == {group.name for group in cast.AD_GROUP_LIST}

    def test_a_group_that_changes_comes_as_a_group(
        self, bed: Bed, changeable_ad: Dc1
    ) -> None:
        connector = ad_connector(bed, backup_server=())
        *_, end = connector.read()
        assert isinstance(end, Finished)
        empty, staff = f"CN=Empty,{cast.AD_GROUPS}", cast.AD_STAFF
        changeable_ad.modify(ldif.modify(empty, [("member", cast.ad("bob").dn)]))
        target = ("mail", "new@partner.example.net")
        pairs = [("changetype", "add"), ("objectClass", "contact"), target]
        changeable_ad.modify(ldif.add(f"CN=New Contact,{staff}", pairs))

        *items, last = connector.read(end.cursor)

        assert isinstance(last, Finished)
        kinds = {item.dn: item.kind for item in items if isinstance(item, Entry)}
        assert kinds[empty] is EntryKind.GROUP
        assert kinds[f"CN=New Contact,{staff}"] is EntryKind.CONTACT
        if last.kind is ReadKind.DELTA:
            assert len(kinds) < 10
        found = next(e for e in items if isinstance(e, Entry) and e.dn == empty)
        assert found.values("member") == (cast.ad("bob").dn.encode(),)

    def test_service_accounts_of_windows_are_left_out_and_it_says_why(
        self, bed: Bed, changeable_ad: Dc1
    ) -> None:
        kinds = {
            "gmsa1$": ("msDS-GroupManagedServiceAccount", "managed-service-account"),
            "smsa1$": ("msDS-ManagedServiceAccount", "managed-service-account"),
            "laptop$": ("computer", "machine-account"),
            "HealthMailbox17": ("user", "exchange-system-mailbox"),
        }
        for name, (kind, _) in kinds.items():
            pairs = [("changetype", "add"), ("objectClass", kind)]
            pairs.append(("sAMAccountName", name))
            if kind == "msDS-GroupManagedServiceAccount":
                pairs.append(("msDS-ManagedPasswordInterval", "30"))
            plain = name.rstrip("$")
            changeable_ad.modify(ldif.add(f"CN={plain},{cast.AD_SERVICES}", pairs))
        connector = ad_connector(bed, backup_server=(), base=cast.AD_SERVICES)
        names = {n for e in _entries(connector) for n in e.values("sAMAccountName")}
        assert not names & {name.encode() for name in kinds}
        for name, (_, exclusion) in kinds.items():
            (found,) = connector.lookup(name)
            excluded = {one.name: one.why for one in found.excluded_by}
            assert (
                excluded[exclusion].endswith("person")
                or "computer" in (excluded[exclusion])
            )


class TestOpenDirectory:
    def test_the_groups_of_the_cast(self, od: Everything) -> None:
        assert set(od.groups) == {group.name for group in cast.OD_GROUP_LIST}
        for group in cast.OD_GROUP_LIST:
            assert od.groups[group.name].display_name == group.realname
            assert od.groups[group.name].number == str(group.gid_number)
            assert od.groups[group.name].primary_address == group.mail

    def test_accounts_are_those_of_cn_users(self, od: Everything) -> None:
        assert {a.dn for a in od.accounts.values()} <= {
            person.dn for person in cast.OD_PEOPLE
        }
        assert od.contacts == {}

    def test_guids_and_short_names_are_united(self, od: Everything) -> None:
        whole = od.membership()
        by_name = {group.name: group for group in cast.OD_GROUP_LIST}

        def expected(name: str, seen: frozenset[str]) -> set[str]:
            group = by_name[name]
            inner = set(group.nested) - seen
            names = {*group.uids, *group.guid_members}
            for other in inner:
                names |= expected(other, seen | inner | {name})
            primary = {
                p.uid for p in cast.OD_PEOPLE if p.gid_number == group.gid_number
            }
            return (names | primary) & set(od.accounts)

        for name, group in od.groups.items():
            members = od.names(whole.members(group.directory_id))
            assert members == expected(name, frozenset({name})), name


class TestPlainLdap:
    def test_groups_contacts_and_accounts(self, bed: Bed, od1: Od1) -> None:
        """The same server, read as what many "Open Directories" are today."""
        profile = load_profile("openldap")
        secret = Secret(bed.password("diradmin", "od"))
        settings = od_settings(bed, type="ldap", suffix=cast.OD_BASE)
        plain = read(
            open_directory(OD_MAIL, settings, profile, lambda: secret), profile
        )
        karl = plain.contacts["Karl Contact"]
        assert (karl.dn, karl.forward) == (
            f"cn=Karl Contact,cn=people,{cast.OD_BASE}", "karl@partner.example.net"
        )  # fmt: skip
        assert set(plain.accounts) == {person.uid for person in cast.OD_PEOPLE}
        loop_b = plain.groups["loop-b"]
        members = plain.membership().members(loop_b.directory_id)
        assert plain.names(members) == {"fiona"}


def _token_rids(dc: Dc1, dn: str) -> set[str]:
    """What the server itself says somebody is in, as RIDs; base scope only."""
    text = dc._ldap(
        "ldapsearch",
        "-LLL",
        "-o",
        "ldif-wrap=no",
        "-b",
        dn,
        "-s",
        "base",
        "tokenGroups",
    )
    pairs = (line.partition(":: ") for line in text.splitlines())
    values = (value for name, _, value in pairs if name == "tokenGroups")
    return {str(sid.rid(sid.decode(base64.b64decode(value)))) for value in values}
