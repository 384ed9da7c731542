"""The contract of all connectors: memory, a real Samba DC, a real slapd."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dirbridge.config.settings import LoginSettings
from dirbridge.connectors.base import Connector
from dirbridge.connectors.memory import Deltas, MemoryConnector
from dirbridge.connectors.open_directory import open_directory
from dirbridge.errors import BindRefused, Unreachable, Unsupported
from dirbridge.ldap.ranges import with_whole_ranges
from dirbridge.ldap.session import Answer, Query, Session
from dirbridge.mapping.profile import load_profile
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import (
    Cursor,
    Entry,
    EntryKind,
    Exclusion,
    Finished,
    ReadKind,
)
from dirbridge.model.finding import Outcome
from dirbridge.model.names import DirectoryId, DomainName, RealmName
from dirbridge.model.secret import Secret
from testbed import cast
from testbed.bed import Bed
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.directories import ad_connector, od_connector, od_settings, second_slapd

NOBODY = DirectoryId("00000000-0000-4000-8000-000000000000")


@dataclass
class Case:
    connector: Connector
    broken: Connector
    name_attribute: str
    people: set[str]
    left_out: set[str]
    attributes: set[str]


def entries(connector: Connector) -> list[Entry]:
    """The accounts; for groups and contacts there is test_groups."""
    items = (item for item in connector.read() if isinstance(item, Entry))
    return [item for item in items if item.kind is EntryKind.ACCOUNT]


class ConnectorContract:
    def test_ends_with_exactly_one_finished(self, case: Case) -> None:
        items = list(case.connector.read())
        assert [type(item) for item in items].count(Finished) == 1
        last = items[-1]
        assert isinstance(last, Finished)
        assert (last.complete, last.kind, last.why) == (True, ReadKind.FULL, "")
        assert last.server
        assert last.base

    def test_reads_everybody_once_and_nobody_else(self, case: Case) -> None:
        found = entries(case.connector)
        names = [entry.values(case.name_attribute)[0].decode() for entry in found]
        assert case.people <= set(names)
        assert not case.left_out & set(names)
        assert len({entry.id for entry in found}) == len(found)

    def test_gives_raw_values_of_the_wanted_attributes_only(self, case: Case) -> None:
        for entry in entries(case.connector):
            assert set(entry.attributes) <= case.attributes
            for name, values in entry.attributes.items():
                assert name == name.lower()
                assert all(isinstance(value, bytes) for value in values)

    def test_reads_the_same_again_also_with_a_cursor(self, case: Case) -> None:
        first = list(case.connector.read())
        again = list(case.connector.read(Cursor("usn", b"17")))
        assert {e.id for e in first if isinstance(e, Entry)} == {
            e.id for e in again if isinstance(e, Entry)
        }
        assert again[-1].kind is ReadKind.FULL

    def test_the_end_of_a_read_leads_to_an_empty_delta(self, case: Case) -> None:
        *_, last = case.connector.read()
        assert isinstance(last, Finished)
        assert last.cursor is not None
        (end,) = case.connector.read(last.cursor)
        assert isinstance(end, Finished)
        assert (end.kind, end.complete, end.why) == (ReadKind.DELTA, True, "")
        assert (end.server, end.base) == (last.server, last.base)

    def test_a_sweep_gives_the_ids_of_a_read(self, case: Case) -> None:
        *ids, last = case.connector.sweep()
        assert isinstance(last, Finished)
        assert (last.complete, last.kind, last.cursor) == (True, ReadKind.FULL, None)
        read = [e.id for e in case.connector.read() if isinstance(e, Entry)]
        assert sorted(map(str, ids)) == sorted(read)

    def test_a_read_may_be_left_in_the_middle(self, case: Case) -> None:
        reading = case.connector.read()
        assert isinstance(next(reading), Entry)
        reading.close()  # type: ignore[attr-defined]
        assert entries(case.connector)

    def test_finds_an_entry_by_its_id(self, case: Case) -> None:
        for entry in entries(case.connector)[:3]:
            found = case.connector.find(entry.id)
            assert found is not None
            assert (found.id, found.dn) == (entry.id, entry.dn)

    def test_nobody_is_none(self, case: Case) -> None:
        assert case.connector.find(NOBODY) is None
        assert case.connector.find(DirectoryId("local:17")) is None

    def test_looks_up_what_people_type(self, case: Case) -> None:
        found = case.connector.lookup("anna")
        assert len(found) == 1
        assert found[0].in_scope
        assert not found[0].excluded_by
        assert case.connector.lookup(" anna ")[0].entry.id == found[0].entry.id
        assert case.connector.lookup("nobody*") == ()
        assert case.connector.lookup("*)(uid=*") == ()

    def test_looks_up_who_is_left_out_and_says_why(self, case: Case) -> None:
        name = next(iter(case.left_out))
        found = case.connector.lookup(name)
        assert found[0].excluded_by or not found[0].in_scope

    def test_check_is_content(self, case: Case) -> None:
        findings = case.connector.check()
        assert {finding.outcome for finding in findings} == {Outcome.OK}
        assert all(finding.where and finding.text for finding in findings)

    def test_serves_several_threads(self, case: Case) -> None:
        ids = [entry.id for entry in entries(case.connector)[:5]]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(case.connector.find, ids * 6))
        assert [entry and entry.id for entry in found] == ids * 6

    def test_not_knowing_is_an_exception(self, case: Case) -> None:
        for ask in (
            lambda: list(case.broken.read()),
            lambda: case.broken.find(NOBODY),
            lambda: case.broken.lookup("anna"),
        ):
            with pytest.raises(Unreachable) as caught:
                ask()
            assert caught.value.code == "refused"
            assert caught.value.server

    def test_check_tells_a_failure_with_its_mend(self, case: Case) -> None:
        failed = [f for f in case.broken.check() if f.outcome is Outcome.FAILED]
        assert failed
        assert all(finding.next and finding.code for finding in failed)


class TestMemory(ConnectorContract):
    @pytest.fixture
    def case(self) -> Case:
        broken = MemoryConnector()
        broken.unreachable = True
        connector = MemoryConnector(
            [entry(f"{n}", n) for n in ("anna", "bob", "root")],
            deltas=Deltas.DIRSYNC,
        )
        connector.exclusions[DirectoryId("root")] = Exclusion("root", "(uid=root)", "x")
        return Case(connector, broken, "uid", {"anna", "bob"}, {"root"}, {"uid"})

    def test_breaks_off_when_told(self) -> None:
        connector = MemoryConnector([entry("1", "anna"), entry("2", "bob")])
        connector.incomplete_after = 1
        first, last = connector.read()
        assert isinstance(first, Entry)
        assert isinstance(last, Finished)
        assert not last.complete
        assert last.why


def entry(number: str, name: str) -> Entry:
    dn = f"uid={name},cn=users,dc=example,dc=com"
    return Entry(DirectoryId(number), dn, {"uid": (name.encode(),)})


def wanted(profile: str) -> set[str]:
    return {name.lower() for name in load_profile(profile).attributes}


class TestActiveDirectory(ConnectorContract):
    @pytest.fixture
    def case(self, bed: Bed, dc1: Dc1) -> Case:
        return Case(
            connector=ad_connector(bed, backup_server=()),
            broken=ad_connector(bed, server="127.0.0.10:9", backup_server=()),
            name_attribute="sAMAccountName",
            people={"anna", "o'brien", "jürgen", "zoe vdb", "disabled", "crowd2000"},
            left_out={cast.AD_COMPUTER},
            attributes=wanted("active-directory"),
        )

    def test_reads_more_than_one_page(self, case: Case) -> None:
        assert len(entries(case.connector)) > 2000

    def test_find_asks_for_the_state(self, case: Case) -> None:
        (found,) = case.connector.lookup("locked")
        locked = case.connector.find(found.entry.id)
        assert locked is not None
        assert int(locked.values("msDS-User-Account-Control-Computed")[0]) & 0x10
        (found,) = case.connector.lookup("hours")
        hours = case.connector.find(found.entry.id)
        assert hours is not None
        assert hours.values("logonHours") == (bytes(21),)

    def test_reads_whatever_the_case_of_base_and_name(self, bed: Bed, dc1: Dc1) -> None:
        base = "ou=STAFF, dc=Corp,dc=example,dc=COM"
        found = entries(ad_connector(bed, base=base))
        assert "anna" in {e.values("sAMAccountName")[0].decode() for e in found}
        assert len(found) < 100

    def test_ands_the_settings_filter(self, bed: Bed, dc1: Dc1) -> None:
        (anna,) = entries(ad_connector(bed, filter="(department=Sales)"))
        assert anna.values("sAMAccountName") == (b"anna",)

    def test_a_required_group_narrows_no_read(self, bed: Bed, dc1: Dc1) -> None:
        """No filter tells who is in it: a primary group names nobody."""
        group = f"CN=Sales,{cast.AD_GROUPS}"
        found = entries(ad_connector(bed, require_group=group))
        assert len(found) == len(entries(ad_connector(bed)))

    def test_a_sliced_attribute_is_made_whole(self, bed: Bed, dc1: Dc1) -> None:
        client = ad_connector(bed)._client
        group = Query(
            base=cast.AD_GROUPS,
            filter="(cn=Crowd)",
            attributes=("cn", "member;range=0-499"),
        )

        def work(session: Session, deadline: Deadline) -> Answer:
            sliced = session.search(group, deadline)
            assert "member;range=0-499" in sliced.entries[0].attributes
            return with_whole_ranges(session, sliced, deadline)

        (entry,) = client.run(work).entries
        assert set(entry.attributes) == {"cn", "member"}
        assert len(set(entry.attributes["member"])) == cast.CROWD_SIZE

    def test_starttls_works_too(self, bed: Bed, dc1: Dc1) -> None:
        connector = ad_connector(bed, security="starttls", backup_server=())
        assert connector.find(NOBODY) is None

    def test_cleartext_is_refused_on_both_sides(self, bed: Bed, dc1: Dc1) -> None:
        with pytest.raises(Unsupported) as caught:
            ad_connector(bed, security="none").find(NOBODY)
        assert caught.value.code == "cleartext-password"
        with pytest.raises(Unsupported) as caught:
            ad_connector(bed, security="none", allow_cleartext_passwords=True).find(
                NOBODY
            )
        assert caught.value.code == "strong-auth"

    def test_another_domain_is_named_with_both_bases(self, bed: Bed, dc1: Dc1) -> None:
        connector = ad_connector(
            bed, directory_domain="ad.example.net", backup_server=()
        )
        with pytest.raises(Unsupported) as caught:
            list(connector.read())
        assert caught.value.code == "base-mismatch"
        assert "dc=ad,dc=example,dc=net" in caught.value.detail
        assert cast.AD_BASE in caught.value.detail
        assert connector.check()[-1].code == "base-mismatch"

    def test_a_base_that_is_not_there(self, bed: Bed, dc1: Dc1) -> None:
        connector = ad_connector(bed, base=f"OU=Nowhere,{cast.AD_BASE}")
        with pytest.raises(Unsupported) as caught:
            list(connector.read())
        assert caught.value.code == "base-missing"
        finding = next(f for f in connector.check() if f.outcome is Outcome.FAILED)
        assert (finding.what, finding.code) == ("base", "base-missing")
        assert finding.next

    def test_an_empty_base_is_said_not_judged(self, bed: Bed, dc1: Dc1) -> None:
        connector = ad_connector(
            bed, base=f"CN=System,{cast.AD_BASE}", backup_server=()
        )
        (finished,) = connector.read()
        assert isinstance(finished, Finished)
        assert finished.complete
        codes = {f.code for f in connector.check() if f.outcome is Outcome.FAILED}
        assert codes == {"base-empty"}

    def test_a_wrong_realm_and_nt_domain_are_told(self, bed: Bed, dc1: Dc1) -> None:
        login = LoginSettings(kerberos_realm=RealmName("EXAMPLE.COM"), nt_domain="LAB")
        connector = ad_connector(bed, login=login, backup_server=())
        codes = {f.code for f in connector.check() if f.outcome is Outcome.FAILED}
        assert codes == {"realm-mismatch", "nt-domain-mismatch"}

    def test_a_refused_account_is_held_off(self, bed: Bed, dc1: Dc1) -> None:
        connector = ad_connector(bed, password="not the password")
        before = bad_password_count(dc1)
        for _ in range(4):
            with pytest.raises(BindRefused) as caught:
                connector.find(NOBODY)
            assert caught.value.code == "credentials"
            assert "not the password" not in repr(caught.value)
        assert bad_password_count(dc1) - before == 1


def bad_password_count(dc1: Dc1) -> int:
    text = dc1.search("(sAMAccountName=svc-dirbridge)", "badPwdCount")
    counts = [line for line in text.splitlines() if line.startswith("badPwdCount")]
    return int(counts[0].split()[1]) if counts else 0


class TestOpenDirectory(ConnectorContract):
    @pytest.fixture
    def case(self, bed: Bed, od1: Od1) -> Case:
        return Case(
            connector=od_connector(bed),
            broken=od_connector(bed, server="od.example.com:9"),
            name_attribute="uid",
            people={"anna", "siobhan", "maximilian", "dora"},
            left_out={"_jabber"},
            attributes=wanted("open-directory") | {"entryuuid", "entrycsn"},
        )

    def test_ids_are_written_as_the_directory_writes_them(self, case: Case) -> None:
        ids = {entry.id for entry in entries(case.connector)}
        assert cast.od("anna").guid in ids

    def test_finds_by_an_alias(self, case: Case) -> None:
        (found,) = case.connector.lookup("m.berg")
        assert found.entry.id == cast.od("maximilian").guid

    def test_follows_a_rename(self, bed: Bed, changeable_od: Od1) -> None:
        connector = od_connector(bed)
        person = cast.od("rename.me")
        changeable_od.rename(person, "renamed")
        found = connector.find(DirectoryId(person.guid))
        assert found is not None
        assert found.dn.startswith("uid=renamed,")

    def test_the_suffix_may_be_written(self, bed: Bed, od1: Od1) -> None:
        connector = od_connector(bed, server="127.0.0.20", suffix=cast.OD_BASE)
        assert entries(connector)

    def test_an_address_takes_the_servers_suffix(self, bed: Bed, od1: Od1) -> None:
        assert entries(od_connector(bed, server="127.0.0.20"))

    def test_another_suffix_is_named_with_both(self, bed: Bed, od1: Od1) -> None:
        with pytest.raises(Unsupported) as caught:
            list(od_connector(bed, suffix="dc=other,dc=org").read())
        assert caught.value.code == "base-mismatch"
        assert "dc=other,dc=org" in caught.value.detail
        assert cast.OD_BASE in caught.value.detail

    def test_plain_ldap_reads_the_same_people(self, bed: Bed, od1: Od1) -> None:
        assert entries(od_connector(bed, type="ldap", base=cast.OD_USERS))

    def test_an_exclusion_that_hides_everybody_is_named(
        self, bed: Bed, od1: Od1
    ) -> None:
        """NOT of an attribute that the server does not know is nobody."""
        profile = load_profile("open-directory")
        unknown = Exclusion("scanner", "(noSuchAttribute=yes)", "a scanner")
        connector = open_directory(
            DomainName(cast.OD_MAIL_DOMAIN),
            od_settings(bed),
            replace(profile, exclude=(*profile.exclude, unknown)),
            lambda: Secret(bed.password("diradmin", "od")),
            login=LoginSettings(kerberos_realm=RealmName(cast.OD_REALM)),
        )
        assert entries(connector) == []
        failed = {f.code: f for f in connector.check() if f.outcome is Outcome.FAILED}
        assert set(failed) == {"base-empty", "exclusion-hides-all"}
        assert '"scanner"' in failed["exclusion-hides-all"].text
        assert failed["exclusion-hides-all"].next

    def test_an_entry_without_its_id_falls_back(
        self, bed: Bed, changeable_od: Od1
    ) -> None:
        dn = cast.od("carla").dn
        changeable_od.modify(
            f"dn: {dn}\nchangetype: modify\ndelete: apple-generateduid\n\n"
        )
        connector = od_connector(bed)
        (carla,) = [e for e in entries(connector) if e.dn == dn]
        found = connector.find(carla.id)
        assert found is not None
        assert found.dn == dn

    def test_two_entries_with_one_id_make_it_incomplete(
        self, bed: Bed, changeable_od: Od1
    ) -> None:
        dn, guid = cast.od("carla").dn, cast.od("anna").guid
        changeable_od.modify(
            f"dn: {dn}\nchangetype: modify\nreplace: apple-generateduid\n"
            f"apple-generateduid: {guid}\n\n"
        )
        connector = od_connector(bed)
        *found, last = connector.read()
        assert isinstance(last, Finished)
        assert not last.complete
        assert guid in last.why
        assert len({item.id for item in found if isinstance(item, Entry)}) == len(found)
        with pytest.raises(Unsupported) as caught:
            connector.find(DirectoryId(guid))
        assert caught.value.code == "duplicate-id"

    def test_a_size_limit_is_incomplete(
        self, bed: Bed, od1: Od1, tmp_path: Path
    ) -> None:
        with second_slapd(od1, tmp_path, 1636) as start:
            server = start(lambda conf: re.sub("sizelimit .*", "sizelimit 4", conf))
            *found, last = od_connector(bed, server=server).read()
        assert len(found) == 4
        assert isinstance(last, Finished)
        assert not last.complete
        assert last.why.startswith("result 4")


def test_findings_name_every_server(bed: Bed, od1: Od1) -> None:
    connector = od_connector(bed, backup_server="od.example.com:9")
    servers = {finding.where for finding in connector.check()}
    assert servers == {"od.example.com:636", "od.example.com:9"}
