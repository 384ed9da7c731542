"""Tickets of a real KDC, opened with keytabs of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import spnego

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


def test_where_one_keytab_cannot_be_read_nobody_knows(
    bed: Bed, mechanism: str, tmp_path: Path
) -> None:
    """It may be the one that fits."""
    keytabs = {
        REALM: tmp_path / "missing",
        RealmName(cast.AD_REALM): bed.keytab("corp"),
    }
    outcome = ended(Acceptor(keytabs).mechanisms[mechanism](), ticket(bed, mechanism))
    assert isinstance(outcome, Failed)
    assert outcome.ours


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (b"NTLMSSP\0\1\0\0\0" + bytes(40), "the client offered NTLM, no ticket"),
        (bytes(120), f"{REALM}: Invalid token was supplied"),
        (b"\x60\x82\x10\0" + b"A" * 4096, f"{REALM}: Invalid token was supplied"),
    ],
)
def test_what_is_no_ticket_is_called_what_it_is(
    bed: Bed, mechanism: str, token: bytes, words: str
) -> None:
    machine = Acceptor({REALM: bed.keytab("od")}).mechanisms[mechanism]()
    machine.step(None)
    assert machine.step(token) == Failed(words)


def test_ntlm_inside_spnego_is_called_what_it_is(bed: Bed) -> None:
    client = spnego.client(
        "CORP\\carla",
        "any",
        hostname="mail.example.com",
        protocol="negotiate",
        options=spnego.NegotiateOptions.use_negotiate,
    )
    machine = Acceptor({REALM: bed.keytab("od")}).mechanisms["GSS-SPNEGO"]()
    machine.step(None)
    outcome = machine.step(client.step() or b"")
    while isinstance(outcome, Challenge):
        outcome = machine.step(client.step(outcome.data) or b"")
    assert outcome == Failed("the client offered NTLM, no ticket")


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
