"""The method `password-server`: slapd with Apple's schema, and the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from dirbridge.authenticators.live import live_look
from dirbridge.authenticators.password_server import (
    PasswordServerLogin,
    password_server,
)
from dirbridge.config.settings import LoginSettings
from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.connectors.open_directory_records import password_servers_at
from dirbridge.model.finding import Outcome
from dirbridge.model.login import Accepted, Rejected, Unavailable
from testbed import apple, cast
from testbed.bed import Bed
from testbed.cast import Answer, Condition
from testbed.password_server import PORT, PasswordServer, of_bed
from testbed.slapd import Od1
from tests.contract.test_authenticator import AtOpenDirectory, Case, Person
from tests.directories import OD_MAIL, account, od_connector, od_settings

MASTER, REPLICA = f"{apple.MASTER_ADDRESS}:{PORT}", f"{apple.REPLICA_ADDRESS}:{PORT}"

ANSWERS = {
    Condition.DISABLED_USER: (Answer.DISABLED, Answer.DISABLED),
    Condition.KDC_DISABLED: (Answer.DISABLED, Answer.WRONG_PASSWORD),
    Condition.KDC_EXPIRED: (Answer.EXPIRED, Answer.WRONG_PASSWORD),
    Condition.KDC_MUST_CHANGE: (Answer.MUST_CHANGE, Answer.WRONG_PASSWORD),
}


@pytest.fixture(scope="module")
def master(bed: Bed) -> Iterator[PasswordServer]:
    with of_bed(bed.directory) as server:
        yield server


@pytest.fixture
def replica(bed: Bed) -> Iterator[PasswordServer]:
    with of_bed(bed.directory, apple.REPLICA_ADDRESS) as server:
        yield server


def method(bed: Bed, connector: LdapDirectory) -> PasswordServerLogin:
    return password_server(
        OD_MAIL,
        od_settings(bed),
        LoginSettings(),
        live_look(connector),
        partial(connector.ask, password_servers_at),
        connector.failover,
    )


def people(bed: Bed) -> dict[str, Person]:
    right_wrong = Answer.ACCEPTED, Answer.WRONG_PASSWORD
    return {
        person.uid: Person(
            account(person),
            bed.password(person),
            *ANSWERS.get(person.condition, right_wrong),
        )
        for person in cast.OD_PEOPLE
    }


@pytest.fixture(scope="module")
def case(bed: Bed, od1: Od1, master: PasswordServer) -> Iterator[Case]:
    connector = od_connector(bed)
    gone = od_connector(bed, server="od.example.com:9")
    yield Case(method(bed, connector), method(bed, gone), people(bed))
    connector.close()


class TestPasswordServer(AtOpenDirectory):
    def test_check_is_content(self, case: Case, replica: PasswordServer) -> None:
        found = case.authenticator.check()
        assert [each.where for each in found] == [MASTER, REPLICA]
        assert {each.outcome for each in found} == {Outcome.OK}

    def test_the_servers_come_from_the_directory(
        self, case: Case, master: PasswordServer
    ) -> None:
        verdict = case.ask("anna", case.people["anna"].password)
        assert isinstance(verdict, Accepted)
        assert verdict.server == MASTER
        assert verdict.method == "password-server"

    def test_a_wrong_password_is_counted_once(
        self, case: Case, master: PasswordServer, replica: PasswordServer
    ) -> None:
        slot = apple.slot("carla")
        before = master.wrong.get(slot, 0)
        assert isinstance(case.ask("carla", "surely wrong"), Rejected)
        assert master.wrong[slot] == before + 1
        assert replica.connections == 0

    def test_the_slot_is_read_at_each_login(
        self, bed: Bed, case: Case, changeable_od: Od1
    ) -> None:
        """A key or slot that is changed in the directory holds at once."""
        carla = cast.od("carla")
        value = apple.authorities(cast.od("anna"), _key(bed))[0]
        changeable_od.modify(
            f"dn: {carla.dn}\nchangetype: modify\nreplace: authAuthority\n"
            f"authAuthority: {value}\n\n"
        )
        assert isinstance(case.ask("carla", case.people["carla"].password), Rejected)
        assert isinstance(case.ask("carla", case.people["anna"].password), Accepted)
        changeable_od.modify(
            f"dn: {carla.dn}\nchangetype: modify\nreplace: authAuthority\n"
            f"authAuthority: {value.replace(',1024 65537 ', ',1024 65537 1')}\n\n"
        )
        verdict = case.ask("carla", case.people["anna"].password)
        assert isinstance(verdict, Unavailable)


def _key(bed: Bed) -> str:
    return (bed.directory / "ca" / "passwordserver.pub").read_text()
