"""Single sign-on: a client's ticket, a real Postfix, the bridge, two kinds of KDCs."""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import spnego

from testbed import cast
from testbed.bed import Bed
from testbed.kdc import Kdc
from testbed.postfix import Postfix, smtp_login
from testbed.samba import Dc1
from tests.system.bridge import AD, OD, Serve, Site, copied, use_kerberos
from tests.system.conftest import FirstSync
from tests.system.hook_serving import AuthClient
from tests.system.tickets import Ticket, smtp_ticket

ADDRESS = "127.0.1.10:2527"
ACCEPTED, REFUSED = 235, 535
CORP, OPEN = cast.AD_REALM, cast.OD_REALM

pytestmark = [pytest.mark.needs_postfix]


@pytest.fixture(scope="module")
def served(first_sync: FirstSync, kdc: Kdc) -> Iterator[tuple[Site, Serve]]:
    """Postfix, and the bridge behind it, which takes tickets of both realms."""
    folder = Path(tempfile.mkdtemp(prefix="s-"))
    folder.chmod(0o711)
    site = copied(first_sync.site, folder / "s")
    site.config["hooks"] = [
        {
            "type": "dovecot-auth",
            "socket": str(folder / "postfix/queue/private/dirbridge"),
            "owner": "postfix",
            "group": "postfix",
        }
    ]
    for domain in (AD, OD):
        use_kerberos(site, domain)
        site.login_settings(domain)["sso"] = True
    # Logins by password are another matter; tickets need no method of the domain.
    site.login_settings(AD)["methods"] = ["ldap-bind"]
    server = Postfix(folder / "postfix", (ADDRESS,), "private/dirbridge")
    server.prepare()
    try:
        with site.serving("--no-sync") as serve:  # before Postfix
            server.start()
            try:
                yield site, serve
            finally:
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def serve(served: tuple[Site, Serve], dc1: Dc1, kdc: Kdc) -> Serve:
    return served[1]


@pytest.fixture
def raw(served: tuple[Site, Serve], serve: Serve) -> Iterator[AuthClient]:
    """A mail server of our own at the same socket."""
    client = AuthClient(Path(served[0].config["hooks"][0]["socket"]))
    yield client
    client.close()


@pytest.fixture(autouse=True)
def krb5_config(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(bed.krb5_conf))


def ad_ticket(bed: Bed, name: str, mechanism: str = "GSSAPI", **more: bytes) -> Ticket:
    return Ticket(f"{name}@{CORP}", bed.password(name, "ad"), mechanism, **more)


def last(serve: Serve) -> tuple[str, str, str]:
    """Verdict, reason and user of the last login."""
    line = serve.logins[-1]
    assert line["method"] == "ticket"
    return line["verdict"], line["reason"], line["user"]


@pytest.mark.parametrize("mechanism", ["GSSAPI", "GSS-SPNEGO"])
def test_people_of_both_realms_get_in(bed: Bed, serve: Serve, mechanism: str) -> None:
    assert smtp_ticket(ADDRESS, ad_ticket(bed, "anna", mechanism)) == ACCEPTED
    assert last(serve) == ("accepted", "", f"anna@{AD}")
    assert serve.logins[-1]["server"] == CORP
    carla = Ticket(f"carla@{OPEN}", bed.password("carla", "od"), mechanism)
    assert smtp_ticket(ADDRESS, carla) == ACCEPTED
    assert last(serve) == ("accepted", "", f"carla@{OD}")
    assert serve.logins[-1]["server"] == OPEN


def test_check_tells_whose_tickets_are_taken(
    served: tuple[Site, Serve], dc1: Dc1
) -> None:
    findings = served[0].run("check").data["findings"]
    told = {f["where"]: f for f in findings if f["what"] == "single-sign-on"}
    assert {f["outcome"] for f in told.values()} == {"ok"}
    assert set(told) == {AD, OD}
    assert "smtp/mail.example.com" in told[AD]["text"]


def test_passwords_go_on_beside(bed: Bed, serve: Serve) -> None:
    password = bed.password("anna", "ad")
    assert smtp_login(ADDRESS, f"anna@{AD}", password)[0] == ACCEPTED


def test_who_is_disabled_after_the_ticket_is_refused(
    bed: Bed, serve: Serve, changeable_ad: Dc1
) -> None:
    tickets = [ad_ticket(bed, "bob") for _ in range(2)]
    assert smtp_ticket(ADDRESS, tickets.pop()) == ACCEPTED
    changeable_ad.modify(
        f"dn: {cast.ad('bob').dn}\nchangetype: modify\n"
        "replace: userAccountControl\nuserAccountControl: 514\n\n"
    )
    assert smtp_ticket(ADDRESS, tickets.pop()) == REFUSED
    assert last(serve) == ("rejected", "disabled", f"bob@{AD}")


def test_without_a_directory_the_last_sync_counts(bed: Bed, serve: Serve) -> None:
    anna = ad_ticket(bed, "anna")
    bed.dc1.stop()
    bed.dc2.stop()
    assert smtp_ticket(ADDRESS, anna) == ACCEPTED


@pytest.mark.parametrize(
    "own", [b"anna", f"ANNA@{AD}".encode(), b"anna@CORP.EXAMPLE.COM"]
)
def test_one_may_name_oneself(bed: Bed, serve: Serve, own: bytes) -> None:
    assert smtp_ticket(ADDRESS, ad_ticket(bed, "anna", identity=own)) == ACCEPTED


@pytest.mark.parametrize("other", [f"bob@{AD}".encode(), f"anna@{OD}".encode(), b"?"])
def test_nobody_acts_for_another(bed: Bed, serve: Serve, other: bytes) -> None:
    assert smtp_ticket(ADDRESS, ad_ticket(bed, "anna", identity=other)) == REFUSED
    assert last(serve) == ("rejected", "other-identity", f"anna@{AD}")


def test_who_has_no_account_is_unknown(bed: Bed, serve: Serve) -> None:
    """The service account has tickets like everybody, and no mailbox."""
    stranger = ad_ticket(bed, "Administrator")
    assert smtp_ticket(ADDRESS, stranger) == REFUSED
    assert last(serve)[:2] == ("rejected", "unknown")


def step(raw: AuthClient, mechanism: str, token: bytes) -> list[bytes]:
    """The reply to a first token, without its line's end."""
    encoded = base64.b64encode(token)
    raw.send(b"AUTH\t7\t%s\tservice=smtp\tresp=%s\n" % (mechanism.encode(), encoded))
    return raw.line().rstrip(b"\n").split(b"\t")


def test_what_is_no_ticket_is_refused(bed: Bed, serve: Serve, raw: AuthClient) -> None:
    good = ad_ticket(bed, "anna").first
    changed = good[:-20] + bytes([good[-20] ^ 1]) + good[-19:]
    for token in (b"nonsense", good[:-1], changed, b"\0" * 12_000):
        assert step(raw, "GSSAPI", token) == [b"FAIL", b"7"]
        assert last(serve)[:2] == ("rejected", "bad-ticket")
    # The connection goes on for others.
    assert step(raw, "GSSAPI", good)[0] == b"CONT"


def test_ntlm_within_spnego_is_refused(serve: Serve, raw: AuthClient) -> None:
    client = spnego.client("CORP\\anna", "secret", protocol="negotiate")
    reply = step(raw, "GSS-SPNEGO", client.step() or b"")
    assert reply[0] == b"FAIL"
    assert last(serve)[:2] == ("rejected", "bad-ticket")


def test_a_mechanism_of_kerberos_takes_no_spnego(
    bed: Bed, serve: Serve, raw: AuthClient
) -> None:
    token = ad_ticket(bed, "anna", "GSS-SPNEGO").first
    assert step(raw, "GSSAPI", token)[0] == b"FAIL"
