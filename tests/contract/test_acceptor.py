"""Tickets of a real KDC, opened with keytabs of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from dirbridge.authenticators.acceptor import Acceptor, tickets_finding
from dirbridge.config.settings import DirectoryType
from dirbridge.model import finding
from dirbridge.model.names import RealmName
from dirbridge.protocols.sasl import Challenge, Failed, Machine, Outcome, Proven
from testbed import cast
from testbed.bed import Bed
from testbed.kdc import Kdc
from tests.system.tickets import Ticket

REALM = RealmName(cast.OD_REALM)
OTHER = RealmName("OTHER.EXAMPLE.NET")


@pytest.fixture(autouse=True)
def krb5_config(bed: Bed, kdc: Kdc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(bed.krb5_conf))


@pytest.fixture(params=["GSSAPI", "GSS-SPNEGO"])
def mechanism(request: pytest.FixtureRequest) -> str:
    return request.param


def ticket(bed: Bed, mechanism: str) -> Ticket:
    return Ticket(f"carla@{REALM}", bed.password("carla", "od"), mechanism)


def ended(machine: Machine, ticket: Ticket) -> Outcome:
    outcome = machine.step(None)
    while isinstance(outcome, Challenge):
        outcome = machine.step(ticket.respond(outcome.data))
    return outcome


def test_the_keytab_that_fits_is_found(
    bed: Bed, mechanism: str, tmp_path: Path
) -> None:
    keytabs = {
        OTHER: tmp_path / "missing",
        RealmName(cast.AD_REALM): bed.keytab("corp"),
        REALM: bed.keytab("od"),
    }
    machines = [Acceptor(keytabs).mechanisms[mechanism]() for _ in range(2)]
    for machine in machines:
        outcome = ended(machine, ticket(bed, mechanism))
        assert isinstance(outcome, Proven)
        assert outcome.principal == f"carla@{REALM}"
        assert outcome.identity == b""


def test_a_realm_speaks_for_its_own_people_only(bed: Bed, mechanism: str) -> None:
    """One file may have keys of several realms, as each of them may be told of it."""
    machine = Acceptor({OTHER: bed.keytab("od")}).mechanisms[mechanism]()
    outcome = ended(machine, ticket(bed, mechanism))
    assert outcome == Failed(f"carla@{REALM} is not of the realm {OTHER}")


def test_a_keytab_that_cannot_be_read_is_our_fault(
    bed: Bed, mechanism: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_bytes(b"\x05\x02")
    for name in ("missing", "empty"):
        machine = Acceptor({REALM: tmp_path / name}).mechanisms[mechanism]()
        outcome = ended(machine, ticket(bed, mechanism))
        assert isinstance(outcome, Failed)
        assert outcome.ours, outcome


def test_keys_of_another_realm_open_nothing(bed: Bed, mechanism: str) -> None:
    corp = {RealmName(cast.AD_REALM): bed.keytab("corp")}
    outcome = ended(Acceptor(corp).mechanisms[mechanism](), ticket(bed, mechanism))
    assert isinstance(outcome, Failed)
    assert not outcome.ours


def test_without_keytabs_nothing_is_offered() -> None:
    assert Acceptor({}).mechanisms == {}


def test_nothing_is_written_to_disk(bed: Bed, mechanism: str) -> None:
    before = replay_caches()
    machine = Acceptor({REALM: bed.keytab("od")}).mechanisms[mechanism]()
    assert isinstance(ended(machine, ticket(bed, mechanism)), Proven)
    assert replay_caches() == before


def replay_caches() -> set[Path]:
    return {p for d in ("/tmp", "/var/tmp") for p in Path(d).glob("krb5*")}


def test_check_tells_whose_tickets_are_taken(bed: Bed, tmp_path: Path) -> None:
    kind = DirectoryType.OPEN_DIRECTORY_KERBEROS
    good = tickets_finding("example.net", REALM, bed.keytab("od"), kind)
    assert good.outcome is finding.Outcome.OK
    assert "smtp/mail.example.com" in good.text
    missing = tickets_finding("example.net", REALM, None, kind)
    assert (missing.outcome, missing.code) == (finding.Outcome.FAILED, "no-keytab")
    assert "kadmin" in missing.next
    other = tickets_finding("example.net", OTHER, bed.keytab("od"), kind)
    assert (other.outcome, other.code) == (finding.Outcome.FAILED, "keytab-other")
    nowhere = tickets_finding("example.net", None, None, kind)
    assert (nowhere.outcome, nowhere.code) == (finding.Outcome.FAILED, "no-realm")
