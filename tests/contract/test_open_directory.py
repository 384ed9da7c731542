"""What is special about Open Directory: its records, its states, its groups."""

from __future__ import annotations

import plistlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dirbridge.authenticators.ldap_bind import ldap_bind
from dirbridge.config.settings import LoginSettings
from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.connectors.open_directory import open_directory
from dirbridge.connectors.open_directory_records import ConfigRecords, read_records
from dirbridge.directory import open_directory_state as state
from dirbridge.directory.account_state import barriers
from dirbridge.directory.membership import resolve
from dirbridge.explain.service import _state_step
from dirbridge.ldap.client import read_root
from dirbridge.ldap.session import Query, RawEntry, Session
from dirbridge.mapping.profile import load_profile
from dirbridge.mapping.rules import Context, map_entry
from dirbridge.model.account import AccountValues
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry, EntryKind, Finished
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.login import Accepted, Reason, Rejected, Verdict
from dirbridge.model.mapping import Mapped
from dirbridge.model.names import DirectoryId, DomainName, RealmName
from dirbridge.model.secret import Secret
from testbed import apple, cast, ldif
from testbed.bed import Bed
from testbed.slapd import Od1, public_key
from tests.directories import OD_MAIL, account, od_connector, od_settings, second_slapd

CONFIG = f"cn=config,{cast.OD_BASE}"
POLICY = "apple-user-passwordpolicy-effective"
PORT = 1638


def search(connector: LdapDirectory, query: Query) -> tuple[RawEntry, ...]:
    def work(session: Session, deadline: Deadline) -> tuple[RawEntry, ...]:
        return session.search(query, deadline).entries

    return connector._client.run(work)


def records(connector: LdapDirectory) -> ConfigRecords:
    def work(session: Session, deadline: Deadline) -> ConfigRecords:
        return read_records(session, read_root(session, deadline), deadline)

    return connector._client.run(work)


def findings(connector: LdapDirectory) -> dict[str, Finding]:
    return {each.what: each for each in connector.check()}


def replace(od: Od1, record: str, *pairs: tuple[str, str | bytes]) -> None:
    od.modify(ldif.modify(f"{record},{CONFIG}", pairs))


class TestRecords:
    def test_all_of_them_are_read(self, bed: Bed, od1: Od1) -> None:
        found = records(od_connector(bed))
        assert found.recognised
        assert found.broken == ()
        assert found.policy.no_cleartext
        assert found.replicas == (cast.OD_HOST, apple.REPLICA_HOST)
        assert found.realm == cast.OD_REALM
        assert found.kerberos is not None
        assert found.kerberos.default_realm == cast.OD_REALM
        assert found.mechanisms == ("CRAM-MD5", "DIGEST-MD5", "GSSAPI")
        servers = found.password_servers[0]
        assert servers.belongs_to(public_key(bed.directory))
        assert [one.dns for one in servers.servers] == [
            cast.OD_HOST,
            apple.REPLICA_HOST,
        ]

    def test_password_data_are_never_searched(self, bed: Bed, od1: Od1) -> None:
        before = len(od1.log.read_text())
        od_connector(bed).check()
        assert "authdata" not in od1.log.read_text()[before:]

    def test_check_tells_what_it_is(self, bed: Bed, od1: Od1) -> None:
        found = findings(od_connector(bed))
        assert "Open Directory" in found["kind"].text
        assert cast.OD_REALM in found["realm"].text
        assert apple.REPLICA_HOST in found["replicas"].text
        assert {each.outcome for each in found.values()} == {Outcome.OK}

    def test_clear_text_is_refused_where_the_directory_forbids_it(
        self, bed: Bed, od1: Od1
    ) -> None:
        clear = od_connector(bed, security="none", allow_cleartext_passwords=True)
        found = findings(clear)["policy"]
        assert (found.outcome, found.code) == (Outcome.FAILED, "cleartext-forbidden")

    def test_a_look_alike_is_told(self, bed: Bed, changeable_od: Od1) -> None:
        replace(changeable_od, "ou=macosxodconfig", ("description", "by hand"))
        found = findings(od_connector(bed))["kind"]
        assert found.outcome is Outcome.WARNING
        assert 'type = "ldap"' in found.next

    def test_a_broken_record_is_named_and_the_rest_goes_on(
        self, bed: Bed, changeable_od: Od1
    ) -> None:
        replace(changeable_od, "cn=macosxodpolicy", ("apple-xmlplist", "<dict>"))
        found = findings(od_connector(bed))
        assert found["records"].code == "record-broken"
        assert "macosxodpolicy" in found["records"].text
        assert found["realm"].outcome is Outcome.OK

    def test_the_realm_is_looked_for_in_its_order(
        self, bed: Bed, changeable_od: Od1
    ) -> None:
        """The KDC's record, then what Macs are told, then the people's principals."""
        od, connector = changeable_od, od_connector(bed)
        replace(od, "cn=KerberosKDC", ("apple-config-realname", "KDC.COM"))
        told = findings(connector)["realm"]
        assert (told.outcome, told.code) == (Outcome.FAILED, "realm-mismatch")
        assert 'kerberos_realm = "KDC.COM"' in told.next
        replace(od, "cn=KerberosKDC", ("apple-config-realname", "LKDC:SHA1.AB"))
        client = {"edu.mit.kerberos": {"libdefaults": {"default_realm": "MAC.COM"}}}
        raw = plistlib.dumps(client)
        replace(od, "cn=KerberosClient", ("apple-xmlplist", raw))
        assert "MAC.COM" in findings(connector)["realm"].text
        od.delete(f"cn=KerberosClient,{CONFIG}")
        assert cast.OD_REALM in findings(connector)["realm"].text

    def test_password_servers(self, bed: Bed, changeable_od: Od1) -> None:
        connector = od_connector(bed, type="open-directory-password-server")
        found = findings(connector)["password-server"]
        assert found.outcome is Outcome.OK
        assert apple.REPLICA_HOST in found.text
        replace(changeable_od, "cn=dirserv", ("apple-enabled-auth-mech", "APOP"))
        assert findings(connector)["password-server"].code == "no-mechanism"
        for entry in search(
            connector, Query(base=CONFIG, filter="(cn=passwordserver*)")
        ):
            changeable_od.delete(entry.dn)
        assert findings(connector)["password-server"].code == "no-password-server"


class TestStates:
    """What the server computes; slapd cannot, so a test writes what Apple's says."""

    @pytest.fixture
    def od(self, changeable_od: Od1) -> Od1:
        return changeable_od

    def find(self, connector: LdapDirectory, uid: str = "carla") -> Entry:
        found = connector.find(DirectoryId(cast.od(uid).guid))
        assert found is not None
        return found

    def reasons(self, connector: LdapDirectory) -> tuple[Reason, ...]:
        return barriers(self.find(connector), datetime.now(UTC))

    def write(self, od: Od1, *pairs: tuple[str, str | bytes]) -> None:
        od.modify(ldif.modify(cast.od("carla").dn, pairs))

    def test_nothing_stops_a_mail_only_user(self, bed: Bed, od1: Od1) -> None:
        assert od1.has("(&(uid=carla)(loginShell=/usr/bin/false))")
        assert self.reasons(od_connector(bed)) == ()

    def test_the_policy_in_force(self, bed: Bed, od: Od1) -> None:
        connector = od_connector(bed)
        values = {"isDisabled": 1, "effectiveDisableReason": 4}
        self.write(od, (POLICY, plistlib.dumps(values)))
        assert self.reasons(connector) == (Reason.LOCKED,)
        step = _state_step(self.find(connector))
        assert step.outcome is Outcome.FAILED
        assert (POLICY, f"says: {Reason.LOCKED}") in step.facts
        self.write(od, (POLICY, plistlib.dumps({"newPasswordRequired": True})))
        assert self.reasons(connector) == (Reason.MUST_CHANGE,)

    def test_authentication_is_not_allowed(self, bed: Bed, od: Od1) -> None:
        self.write(od, ("apple-authenticationAllowed", "5301"))
        assert self.reasons(od_connector(bed)) == (Reason.DISABLED,)

    @pytest.mark.parametrize("attribute", ["memberUid", "apple-group-memberguid"])
    def test_the_group_of_the_disabled(self, bed: Bed, od: Od1, attribute: str) -> None:
        carla = cast.od("carla")
        member = carla.uid if attribute == "memberUid" else carla.guid
        group = [
            *(("objectClass", name) for name in ("posixGroup", "extensibleObject")),
            ("cn", state.DISABLED_GROUP),
            ("gidNumber", "300"),
            (attribute, member),
        ]
        od.modify(ldif.add(f"cn={state.DISABLED_GROUP},{cast.OD_GROUPS}", group))
        connector = od_connector(bed)
        assert self.reasons(connector) == (Reason.DISABLED,)
        assert barriers(self.find(connector, "anna"), datetime.now(UTC)) == ()

    def test_each_is_asked_alone_of_one_entry_and_never_in_bulk(
        self, bed: Bed, od1: Od1
    ) -> None:
        connector = od_connector(bed)
        before = len(od1.log.read_text())
        assert isinstance(list(connector.read())[-1], Finished)
        connector.lookup("carla")
        read = od1.log.read_text()[before:]
        self.find(connector)
        asked = [
            line.partition("SRCH attr=")[2]
            for line in od1.log.read_text()[before + len(read) :].splitlines()
            if "SRCH attr=" in line
        ]
        for attribute in state.SYNTHETIC:
            assert attribute not in read
            assert asked.count(attribute) == 1
            assert not any(attribute in each.split()[1:] for each in asked)


class TestLogin:
    """After a bind that was accepted, the policy has a word too."""

    def login(self, bed: Bed) -> Verdict:
        bind = ldap_bind(OD_MAIL, od_settings(bed))
        password = Secret(bed.password("carla", "od"))
        verdict = bind.authenticate(
            account(cast.od("carla")), password, Deadline.after(30)
        )
        bind.close()
        return verdict

    def test_without_a_policy_the_bind_decides(self, bed: Bed, od1: Od1) -> None:
        assert isinstance(self.login(bed), Accepted)

    @pytest.mark.parametrize(
        ("attribute", "value", "reason"),
        [
            (POLICY, plistlib.dumps({"isDisabled": True}), Reason.DISABLED),
            (POLICY, plistlib.dumps({"isDisabled": False}), None),
            ("apple-authenticationAllowed", b"5304", Reason.LOCKED),
            ("apple-authenticationAllowed", b"1", None),
        ],
    )
    def test_the_policy_may_refuse(
        self,
        bed: Bed,
        changeable_od: Od1,
        attribute: str,
        value: bytes,
        reason: Reason | None,
    ) -> None:
        changeable_od.modify(ldif.modify(cast.od("carla").dn, [(attribute, value)]))
        verdict = self.login(bed)
        assert (verdict.reason if isinstance(verdict, Rejected) else None) is reason


class TestGroups:
    def test_members_by_guid_and_by_short_name_are_one(
        self, bed: Bed, od1: Od1
    ) -> None:
        connector, profile = od_connector(bed), load_profile("open-directory")
        context = Context(OD_MAIL, frozenset({OD_MAIL}), OD_MAIL)
        query = Query(
            base=cast.OD_GROUPS,
            filter="(objectClass=apple-group)",
            attributes=profile.attributes,
        )
        mapped = [
            map_entry(profile, _group_entry(raw), context)
            for raw in search(connector, query)
        ]
        groups = [each.values for each in mapped if isinstance(each, Mapped)]
        assert len(groups) == len(mapped)
        people = [
            AccountValues(
                directory_id=DirectoryId(one.guid),
                dn=one.dn,
                login_names=one.uids,
                primary_group=str(one.gid_number),
            )
            for one in cast.OD_PEOPLE
        ]
        membership = resolve((*groups, *people))
        ids = {group.name: group.directory_id for group in groups}

        def members(name: str) -> set[str]:
            guids = membership.members(ids[name])
            return {one.uid for one in cast.OD_PEOPLE if one.guid in guids}

        assert members("pickers") == {"anna", "carla"}
        assert members("orchard") == {"maximilian", "anna", "carla"}
        assert members("drifted") == {"carla", "siobhan"}
        assert members("loop-a") == members("loop-b") == {"fiona"}
        assert {one.uid for one in cast.OD_PEOPLE if one.gid_number == 20} <= members(
            "staff"
        )


def _group_entry(raw: RawEntry) -> Entry:
    guid = raw.attributes["apple-generateduid"][0].decode()
    return Entry(DirectoryId(guid), raw.dn, raw.attributes, EntryKind.GROUP)


class TestHidden:
    """A second slapd over a copy of the data, with other rights."""

    @pytest.fixture
    def variant(self, od1: Od1, tmp_path: Path) -> Iterator[Callable[[str], str]]:
        everything = "access to * by * read"
        assert everything in od1.conf.read_text()
        with second_slapd(od1, tmp_path, PORT) as start:
            yield lambda rule: start(
                lambda conf: conf.replace(everything, f"{rule}\n{everything}", 1)
            )

    def test_authorities_that_nobody_shows(
        self, bed: Bed, variant: Callable[[str], str]
    ) -> None:
        server = variant("access to attrs=authAuthority by * none")
        found = findings(od_connector(bed, server=server, suffix=cast.OD_BASE))
        told = found["rights"]
        assert (told.outcome, told.code) == (Outcome.WARNING, "authority-hidden")
        assert told.next

    def test_ids_that_nobody_shows(
        self, bed: Bed, variant: Callable[[str], str]
    ) -> None:
        server = variant("access to attrs=apple-generateduid,entryUUID by * none")
        connector = od_connector(bed, server=server, suffix=cast.OD_BASE)
        told = findings(connector)["rights"]
        assert (told.outcome, told.code) == (Outcome.FAILED, "id-hidden")
        finished = list(connector.read())[-1]
        assert isinstance(finished, Finished)
        assert not finished.complete


def test_a_realm_made_of_the_servers_name_is_compared_too(bed: Bed, od1: Od1) -> None:
    connector = open_directory(
        DomainName(OD_MAIL),
        od_settings(bed, server=apple.MASTER_ADDRESS, suffix="dc=od,dc=example,dc=com"),
        load_profile("open-directory"),
        lambda: Secret(bed.password("diradmin", "od")),
        login=LoginSettings(kerberos_realm=RealmName("OTHER.COM")),
    )
    assert findings(connector)["realm"].code == "realm-mismatch"
