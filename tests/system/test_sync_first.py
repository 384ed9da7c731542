"""The first sync of a real Active Directory and a real Open Directory."""

from __future__ import annotations

import pytest

from testbed import cast
from testbed.bed import Bed
from testbed.cast import AdPerson, Condition, MailState, OdPerson
from testbed.postgresql import Postgresql
from testbed.samba import Dc1
from testbed.samba_provision import SERVICE_ACCOUNT
from tests.system.bridge import AD, OD, Site
from tests.system.conftest import FirstSync

SHARED = {"info@example.com", "team@example.org"}
OD_EXCLUDED = {"diradmin", "_jabber", "vpn_0a1b2c3d4e5f"}
OD_ACCOUNTS = tuple(p for p in cast.OD_PEOPLE if p.uid not in OD_EXCLUDED)
OD_DISABLED = {"dora", "oscar"}


@pytest.fixture(scope="module")
def accounts(first_sync: FirstSync) -> dict[str, dict]:
    site = first_sync.site
    everybody = site.accounts(AD) | site.accounts(OD)
    return {(one["domain"], one["login_names"][0]): one for one in everybody.values()}


@pytest.mark.parametrize("person", cast.AD_PEOPLE, ids=lambda person: person.sam)
def test_each_person_of_ad_is_there(
    accounts: dict[str, dict], person: AdPerson
) -> None:
    account = accounts[AD, person.sam]
    ours = person.mail and person.mail.endswith(f"@{AD}")
    address = person.mail if ours else f"{person.sam}@{AD}"
    if address in SHARED:
        address = None
    elif " " in address:
        address = account.get("primary_address")

    assert account.get("upn") == person.upn
    assert account["display_name"] == (person.display or person.cn)
    assert account.get("given_name", "") == person.given
    assert account.get("surname", "") == person.surname
    assert account.get("primary_address") == address
    assert account["dn"] == person.dn
    disabled = person.condition is Condition.DISABLED
    assert account["state"] == ("disabled" if disabled else "active")
    assert account["origin"] == "mapped"
    for attribute, value in person.extra:
        assert value in account.values(), attribute


@pytest.mark.parametrize("person", OD_ACCOUNTS, ids=lambda person: person.uid)
def test_each_person_of_od_is_there(
    accounts: dict[str, dict], person: OdPerson
) -> None:
    account = accounts[OD, person.uid]
    address = person.mails[0] if person.mails else f"{person.uid}@{OD}"

    assert account["login_names"][0] == person.uid
    assert set(account["login_names"]) == set(person.uids)
    assert account["directory_id"] == person.guid
    assert account["principal"] == person.principal
    assert account["display_name"] == person.cn
    assert account.get("primary_address") == (None if address in SHARED else address)
    assert account.get("aliases", []) == list(person.mails[1:])
    assert account["dn"] == person.dn
    disabled = person.uid in OD_DISABLED
    assert account["state"] == ("disabled" if disabled else "active")
    if person.mail_state is not None:
        assert account["quota"] == 500 * 1024**2
    if person.mail_state is MailState.FORWARD:
        assert account["forward"] == person.forward


def test_nobody_else_is_there(accounts: dict[str, dict]) -> None:
    """No computer, contact, system account, service user or VPN agent."""
    expected = {(AD, person.sam) for person in cast.AD_PEOPLE}
    expected |= {(OD, person.uid) for person in OD_ACCOUNTS}
    expected |= {(AD, SERVICE_ACCOUNT)}  # an ordinary user as well
    assert set(accounts) == expected


def test_mailbox_names_are_safe_and_made_of_the_login_name(
    accounts: dict[str, dict],
) -> None:
    mailboxes = {key: account["mailbox"] for key, account in accounts.items()}
    assert mailboxes[AD, "zoe vdb"] == "zoe.vdb"
    assert mailboxes[AD, "o'brien"] == "o'brien"
    assert mailboxes[AD, "jürgen"] == "jürgen"
    assert mailboxes[AD, "anna"] == mailboxes[OD, "anna"] == "anna"


def test_anna_has_her_aliases_and_nothing_that_is_no_mail(
    accounts: dict[str, dict],
) -> None:
    assert accounts[AD, "anna"]["aliases"] == ["a.mueller@example.com"]


def test_groups_name_whom_the_directory_says(site: Site) -> None:
    listed = site.run("accounts", "list", AD, "--all").data["accounts"]
    groups = {one["name"]: one for one in listed if one["kind"] == "group"}
    assert set(groups) >= {group.name for group in cast.AD_GROUP_LIST}
    assert len(groups["Sales EMEA"]["members"]) == 2
    assert any(cast.ad("anna").dn in one for one in groups["Sales EMEA"]["members"])


def test_the_dry_run_shows_the_same_plan_and_writes_nothing(
    first_sync: FirstSync,
) -> None:
    dry, done = first_sync.dry, first_sync.done
    assert dry.code == done.code == 1
    for name in (AD, OD):
        assert dry.changes(name).keys() == done.changes(name).keys()
    assert [run["written"] for run in dry.data["runs"]] == [False, False]
    assert [run["run"] for run in dry.data["runs"]] == [None, None]
    assert [run["written"] for run in done.data["runs"]] == [True, True]


def test_two_people_with_one_address_are_reported(first_sync: FirstSync) -> None:
    conflicts = first_sync.done.changes(AD, "conflict")
    assert set(conflicts) == {"info.one@example.com", "info.two@example.com"}
    for change in conflicts.values():
        assert change["after"]["conflict"] == "name-claimed-twice"
        assert change["after"]["address"] == "info@example.com"
    said = {problem["where"]: problem["text"] for problem in first_sync.done.problems}
    assert "info.two@example.com" in said["info.one@example.com"]
    assert "info.one@example.com" in said["info.two@example.com"]


def test_addresses_of_other_domains_are_dropped_and_listed(
    first_sync: FirstSync,
) -> None:
    notes = {
        note["entry"]: note["note"]
        for run in first_sync.done.data["runs"]
        for note in run["notes"]
    }
    assert "fred@partner.example.net" in notes[cast.ad("foreign").dn]
    told = {problem["where"] for problem in first_sync.done.problems}
    assert "foreign@example.com" not in told  # an address abroad is no problem


def test_a_second_sync_changes_nothing_and_is_content(site: Site) -> None:
    before = site.accounts(AD) | site.accounts(OD)

    done = site.sync()

    assert done.code == 0, done.out
    assert done.result["ok"]
    for run in done.data["runs"]:
        assert not [c for c in run["changes"] if c["op"] != "conflict"]
        assert not run["new"]
    assert site.accounts(AD) | site.accounts(OD) == before


def test_dry_run_leaves_no_trace_in_the_store(site: Site, bed: Bed) -> None:
    before = site.dump()
    assert site.sync("--dry-run").code == 0
    assert site.dump() == before


def test_a_dry_run_in_words_names_what_would_be(bed: Bed, od_site: Site) -> None:
    done = od_site.run("sync", "--dry-run", json=False)
    assert done.code == 1
    assert f"create\tcarla@{OD}\tcarla@{OD}" in done.out
    assert f"{OD}: would change: 23 create" in done.out
    assert "team@example.org" in done.err
    assert "next:" in done.err


def test_one_domain_alone_is_synced_when_named(site: Site) -> None:
    done = site.sync(OD)
    assert [run["domain"] for run in done.data["runs"]] == [OD]


def test_a_domain_that_is_not_served_is_a_usage_error(site: Site) -> None:
    done = site.sync("example.net")
    assert done.code == 2
    problem = done.problem("unknown-domain")
    assert OD in problem["next"]


def test_the_crowd_of_two_thousand_is_read_whole(ad_site: Site) -> None:
    """More than one page: the crowd and the cast."""
    del ad_site.directory(AD)["filter"]
    done = ad_site.sync()
    (run,) = done.data["runs"]
    people = len(cast.CROWD) + len(cast.AD_PEOPLE) + 1
    assert run["read"] > people  # with groups and contacts
    progress = [line for line in done.lines if line.get("event") == "progress"]
    assert {line["phase"] for line in progress} == {"read", "plan", "apply"}
    assert len(ad_site.accounts(AD)) == people


def test_postgresql_holds_the_same_accounts(
    site: Site, bed: Bed, postgresql: Postgresql
) -> None:
    expected = site.accounts(AD) | site.accounts(OD)
    database = "system_first"
    site.on_postgresql(postgresql.create_database(database))

    first, second = site.sync(), site.sync()
    found = site.accounts(AD) | site.accounts(OD)
    postgresql.drop_database(database)

    assert (first.code, second.code) == (1, 0), first.out + second.out
    assert _timeless(found) == _timeless(expected)


def _timeless(accounts: dict[str, dict]) -> dict[str, dict]:
    return {k: {**account, "since": None} for k, account in accounts.items()}


def test_the_backup_is_read_when_the_first_server_is_down(
    site: Site, bed: Bed, dc1: Dc1, dc2: Dc1
) -> None:
    dc1.stop()
    done = site.sync(AD)
    assert done.code == 0, done.out
    assert done.data["runs"][0]["server"].startswith("dc2.corp.example.com")
