"""A plain OpenLDAP without Apple's schema, and what 389 servers do otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dirbridge.config.settings import DirectorySettings
from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.connectors.open_directory import open_directory
from dirbridge.directory.account_state import barriers
from dirbridge.mapping.profile import Profile, load_profile
from dirbridge.mapping.rules import Context, map_entry
from dirbridge.model.account import AccountState
from dirbridge.model.entry import Entry, EntryKind, Finished
from dirbridge.model.finding import Outcome
from dirbridge.model.login import Reason
from dirbridge.model.mapping import Mapped
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.model.secret import Secret
from testbed import plain_slapd
from testbed.bed import Bed
from testbed.plain_slapd import PlainSlapd
from testbed.slapd import Od1

MAIL = DomainName("example.org")


@pytest.fixture(scope="module")
def plain(
    bed: Bed, od1: Od1, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PlainSlapd]:
    server = PlainSlapd(od1, Path(tmp_path_factory.mktemp("plain")))
    server.start()
    yield server
    server.stop()


def connector(
    bed: Bed, plain: PlainSlapd, profile: str | Profile = "openldap", **changes: Any
) -> LdapDirectory:
    values = {
        "type": "ldap",
        "server": plain.server,
        "ca_file": bed.ca_file,
        "username": plain_slapd.BRIDGE,
        "base": plain_slapd.PEOPLE,
    }
    settings = DirectorySettings(**(values | changes))
    secret = Secret(plain_slapd.PASSWORD)
    chosen = load_profile(profile) if isinstance(profile, str) else profile
    return open_directory(MAIL, settings, chosen, lambda: secret)


def accounts(directory: LdapDirectory) -> dict[str, Entry]:
    *found, last = directory.read()
    assert isinstance(last, Finished)
    assert (last.complete, last.why) == (True, "")
    people = (e for e in found if isinstance(e, Entry) and e.kind is EntryKind.ACCOUNT)
    return {entry.dn.split(",")[0].removeprefix("uid="): entry for entry in people}


def mapped(entry: Entry, profile: str = "openldap") -> Mapped:
    context = Context(MAIL, frozenset({MAIL}), MAIL)
    result = map_entry(load_profile(profile), entry, context)
    assert isinstance(result, Mapped)
    return result


def test_everybody_is_read_and_mapped(bed: Bed, plain: PlainSlapd) -> None:
    found = accounts(connector(bed, plain))
    assert {"anna", "bob", "locked"} <= set(found)
    values = mapped(found["anna"]).values
    assert values.login_names == ("anna", "a.berg")
    assert values.primary_address == "anna@example.org"
    assert values.aliases == ("a.berg@example.org",)
    assert mapped(found["locked"]).values.primary_address == "locked@example.org"


def test_the_suffix_is_the_servers(bed: Bed, plain: PlainSlapd) -> None:
    found = accounts(connector(bed, plain, base=None, filter="(uid=anna)"))
    assert set(found) == {"anna"}


def test_a_contact_filter_makes_no_accounts(bed: Bed, plain: PlainSlapd) -> None:
    """Who has a login name and is outside of base_filter is nobody."""
    profile = replace(
        load_profile("openldap"),
        base_filter="(&(objectClass=inetOrgPerson)(uid=an*))",
        contact_filter="(objectClass=inetOrgPerson)",
    )
    assert set(accounts(connector(bed, plain, profile))) == {"anna"}


def test_find_and_lookup(bed: Bed, plain: PlainSlapd) -> None:
    directory = connector(bed, plain)
    for name in ("anna", "a.berg", "bob@example.org"):
        (found,) = directory.lookup(name)
        assert found.in_scope
        entry = directory.find(found.entry.id)
        assert entry is not None
        assert entry.dn == found.entry.dn
    for nobody in ("local:17", "727143b5-d1994a97-82b7fb7e-ffffffff"):
        assert directory.find(DirectoryId(nobody)) is None


def test_a_lock_of_the_password_policy_is_seen_live(
    bed: Bed, plain: PlainSlapd
) -> None:
    directory = connector(bed, plain)
    (found,) = directory.lookup("locked")
    entry = directory.find(found.entry.id)
    assert entry is not None
    assert barriers(entry, datetime.now(UTC)) == (Reason.LOCKED,)
    assert mapped(entry).values.state is AccountState.ACTIVE


@pytest.mark.parametrize("profile", ["openldap", "389-ds"])
def test_check_is_content(bed: Bed, plain: PlainSlapd, profile: str) -> None:
    base = plain_slapd.PEOPLE if profile == "openldap" else plain_slapd.REDHAT
    findings = connector(bed, plain, profile, base=base).check()
    # The ids of some entries are hidden here, so it tells no changes.
    warned = {each.what for each in findings if each.outcome is not Outcome.OK}
    assert warned == {"changes"}


@pytest.mark.parametrize("profile", ["openldap", "389-ds"])
def test_entries_go_by_nsuniqueid_where_that_is_all_they_have(
    bed: Bed, plain: PlainSlapd, profile: str
) -> None:
    directory = connector(bed, plain, profile, base=plain_slapd.REDHAT)
    found = accounts(directory)
    assert {entry.id for entry in found.values()} == {
        "727143b5-d1994a97-82b7fb7e-00000000",
        "727143b5-d1994a97-82b7fb7e-00000001",
    }
    for entry in found.values():
        again = directory.find(entry.id)
        assert again is not None
        assert again.dn == entry.dn


def test_nsaccountlock_disables(bed: Bed, plain: PlainSlapd) -> None:
    directory = connector(bed, plain, "389-ds", base=plain_slapd.REDHAT)
    found = accounts(directory)
    states = {uid: mapped(e, "389-ds").values.state for uid, e in found.items()}
    assert states == {"rita": AccountState.ACTIVE, "rolf": AccountState.DISABLED}
    rolf = directory.find(found["rolf"].id)
    assert rolf is not None
    assert barriers(rolf, datetime.now(UTC)) == (Reason.DISABLED,)
