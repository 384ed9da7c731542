"""Sealed connections and Kerberos binds against real domain controllers.

DC 1 has Samba's strict default: it takes nothing that is not sealed or inside TLS. DC 2
lets SASL binds pass inside TLS.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gssapi
import gssapi.raw
import ldap3
import pytest

from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.errors import BindRefused, Unreachable, Unsupported
from dirbridge.ldap import gss, operations
from dirbridge.ldap.proofs import proof_of
from dirbridge.ldap.transport import Access, Endpoint, Unanswered, open_transport
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Entry, Finished
from dirbridge.model.finding import Outcome
from dirbridge.model.secret import Secret
from testbed import cast
from testbed.bed import Bed
from testbed.samba import Dc1, Dc2, DomainController
from testbed.slapd import Od1
from tests.directories import ad_connector, ad_settings, od_connector
from tests.recorder import Recorder

pytestmark = pytest.mark.needs_samba

NTLM, PASSWORD, KEYTAB = "ntlm", "password", "keytab"
ACCOUNT = "svc-dirbridge"
PRINCIPAL = f"{ACCOUNT}@{cast.AD_REALM}"


@pytest.fixture(autouse=True)
def _krb5_conf(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(bed.krb5_conf))


@pytest.fixture(scope="module")
def keytab(dc1: Dc1) -> Path:
    return exported(dc1, PRINCIPAL, "account.keytab")


def exported(dc: DomainController, principal: str, name: str) -> Path:
    path = dc.folder / name
    path.unlink(missing_ok=True)
    dc.tool("domain", "exportkeytab", path, f"--principal={principal}")
    return path


def way(kind: str, keytab: Path) -> dict[str, Any]:
    """The keys of the settings for one way to bind, sealed."""
    sealed: dict[str, Any] = {"security": "sealed", "backup_server": ()}
    match kind:
        case "ntlm":
            return {**sealed, "username": f"{cast.AD_NT_DOMAIN}\\{ACCOUNT}"}
        case "password":
            return {**sealed, "username": f"{ACCOUNT}@{cast.AD_DOMAIN}"}
    return {**sealed, **by_keytab(keytab)}


def by_keytab(keytab: Path) -> dict[str, Any]:
    return {
        "bind": "kerberos",
        "keytab": {"file": str(keytab)},
        "username": f"{ACCOUNT}@{cast.AD_DOMAIN}",
        "backup_server": (),
    }


def soon_given_up(bed: Bed, settings: dict[str, Any]) -> Unreachable:
    """Return how a search ends that nobody answers."""
    connector = ad_connector(bed, connect_timeout="1s", read_timeout="1s", **settings)
    start = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        connector.lookup("anna")
    assert time.monotonic() - start < 6
    return caught.value


each_way = pytest.mark.parametrize("kind", [NTLM, PASSWORD, KEYTAB])


@pytest.fixture
def sealed(kind: str, bed: Bed, keytab: Path) -> Iterator[LdapDirectory]:
    connector = ad_connector(bed, **way(kind, keytab))
    yield connector
    connector.close()


@pytest.fixture(scope="module")
def plain(bed: Bed, dc1: Dc1) -> dict[str, Entry]:
    """What a read inside TLS gives."""
    return people(ad_connector(bed, backup_server=()))


def people(connector: LdapDirectory) -> dict[str, Entry]:
    *entries, last = connector.read()
    assert isinstance(last, Finished)
    assert (last.complete, last.why) == (True, "")
    return {entry.id: entry for entry in entries if isinstance(entry, Entry)}


@each_way
def test_a_sealed_read_is_the_same_read(
    sealed: LdapDirectory, plain: dict[str, Entry]
) -> None:
    read = people(sealed)
    assert {i: e.attributes for i, e in read.items()} == {
        i: e.attributes for i, e in plain.items()
    }
    entry = next(iter(read.values()))
    found = sealed.find(entry.id)
    assert found is not None
    assert found.dn == entry.dn
    (anna,) = sealed.lookup("anna")
    assert anna.in_scope


@each_way
def test_check_is_content(sealed: LdapDirectory, dc1: Dc1) -> None:
    findings = sealed.check()
    assert Outcome.FAILED not in {f.outcome for f in findings}, findings
    assert any("sealed" in f.text for f in findings if f.what == "connect")


@each_way
def test_ldap3_does_not_notice(kind: str, bed: Bed, dc1: Dc1, keytab: Path) -> None:
    settings = ad_settings(bed, **way(kind, keytab))
    secret = Secret(bed.password(ACCOUNT, "ad"))
    proof = proof_of("example.com", settings, lambda: secret)
    transport = open_transport(
        Endpoint(dc1.host, 389), Access.of("example.com", settings), Deadline.after(9)
    )
    transport.allow(Deadline.after(9))
    assert proof.give(transport, proof.secret(), Deadline.after(9)).code == 0
    connection = operations._ldap3_on(transport)
    found = connection.extend.standard.paged_search(
        cast.AD_STAFF,
        "(mail=*)",
        search_scope=ldap3.SUBTREE,
        attributes=["mail"],
        paged_size=3,
        generator=False,
    )
    mails = {str(item["attributes"]["mail"]) for item in found}
    assert cast.ad("anna").mail in str(mails)
    transport.close()


def crossing(bed: Bed, connector: LdapDirectory, recorder: Recorder) -> list[bytes]:
    """Values of entries that can be seen on the wire."""
    values = set()
    for entry in people(connector).values():
        values.add(entry.dn.encode())
        for name, found in entry.attributes.items():
            # What is short or a number can turn up anywhere by chance.
            values |= {v for v in found if len(v) >= 8 and name != "objectclass"}
    assert len(values) > 20
    seen = recorder.everything
    assert len(seen) > 5_000
    return [value for value in values if value in seen]


@each_way
def test_no_value_of_an_entry_crosses_in_clear(
    kind: str, bed: Bed, dc1: Dc1, keytab: Path
) -> None:
    with Recorder(dc1.address, 389) as recorder:
        server = f"{dc1.host}:{recorder.port}"
        settings = way(kind, keytab) | {"server": server, "base": cast.AD_STAFF}
        connector = ad_connector(bed, **settings)
        assert crossing(bed, connector, recorder) == []
        connector.lookup("anna")
        connector.check()
        connector.close()
        seen = recorder.everything.lower()
        for word in (b"anna", b"sales", b"samaccountname", b"objectguid"):
            assert word not in seen, word
            assert word.decode().encode("utf-16-le") not in seen, word
        password = bed.password(ACCOUNT, "ad").encode()
        assert password not in recorder.everything


@pytest.mark.needs_slapd
def test_the_recorder_sees_what_is_not_sealed(bed: Bed, od1: Od1) -> None:
    """So the test above sees nothing because there is nothing."""
    with Recorder(od1.address, 389) as recorder:
        connector = od_connector(
            bed,
            server=f"{od1.host}:{recorder.port}",
            security="none",
            allow_cleartext_passwords=True,
        )
        assert len(crossing(bed, connector, recorder)) > 20
        connector.close()


def bad_passwords(dc: DomainController, sam: str) -> int:
    lines = dc.search(f"(sAMAccountName={sam})", "badPwdCount").splitlines()
    counts = [line for line in lines if line.startswith("badPwdCount")]
    return int(counts[0].split()[1]) if counts else 0


@pytest.mark.parametrize(
    "username", [f"{cast.AD_NT_DOMAIN}\\svc-repl", f"svc-repl@{cast.AD_DOMAIN}"]
)
def test_a_wrong_password_counts_once(
    username: str, bed: Bed, dc1: Dc1, dc2: Dc2
) -> None:
    """However often it is asked for, and never on the other server or the other way."""
    before = bad_passwords(dc1, "svc-repl"), bad_passwords(dc2, "svc-repl")
    connector = ad_connector(
        bed, password="wrong", security="sealed", username=username
    )
    for _ in range(3):
        with pytest.raises(BindRefused) as caught:
            list(connector.read())
        assert caught.value.code == "credentials"
    after = bad_passwords(dc1, "svc-repl"), bad_passwords(dc2, "svc-repl")
    assert sum(after) - sum(before) == 1
    right = ad_connector(bed, bed.password("svc-repl", "ad"), username=username)
    assert right.lookup("anna")  # which sets the count back
    right.close()


@pytest.mark.parametrize(
    ("sam", "code"),
    [
        ("disabled", "account-revoked"),
        ("expired", "account-revoked"),
        ("pwexpired", "account-password-expired"),
        ("mustchange", "account-password-expired"),
        ("nobody-of-this-name", "credentials"),
    ],
)
def test_what_the_kdc_says_of_an_account(
    sam: str, code: str, bed: Bed, dc1: Dc1
) -> None:
    known = sam != "nobody-of-this-name"
    password = bed.password(cast.ad(sam)) if known else "whatever"
    connector = ad_connector(
        bed, password, security="sealed", username=f"{sam}@{cast.AD_DOMAIN}"
    )
    with pytest.raises(BindRefused) as caught:
        connector.lookup("anna")
    assert caught.value.code == code
    assert caught.value.operation == "bind"


def test_a_realm_that_nobody_knows(bed: Bed, dc1: Dc1) -> None:
    connector = ad_connector(bed, security="sealed", username="x@no.such.realm")
    with pytest.raises(Unsupported) as caught:
        connector.lookup("anna")
    assert caught.value.code == "realm-unknown"


def test_a_server_whose_name_the_kdc_does_not_know(
    bed: Bed, dc1: Dc1, keytab: Path
) -> None:
    with Recorder(dc1.address, 389, listen="127.0.0.1") as proxy:
        settings = way(KEYTAB, keytab) | {"server": f"localhost:{proxy.port}"}
        with pytest.raises(Unsupported) as caught:
            ad_connector(bed, **settings).lookup("anna")
    assert caught.value.code == "spn-unknown"


class TestKeytab:
    @pytest.mark.parametrize("content", [b"junk", b"\x05\x02", None])
    def test_one_without_the_accounts_key_is_refused_once(
        self, content: bytes | None, bed: Bed, dc1: Dc1, keytab: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "bad.keytab"
        path.write_bytes(content if content is not None else keytab.read_bytes())
        name = ACCOUNT if content is not None else "anna"
        settings = way(KEYTAB, path) | {"username": f"{name}@{cast.AD_DOMAIN}"}
        connector = ad_connector(bed, **settings)
        for _ in range(2):
            with pytest.raises(BindRefused) as caught:
                connector.lookup("anna")
            assert caught.value.code == "keytab-refused"

    def test_one_that_is_not_there(self, bed: Bed, dc1: Dc1, tmp_path: Path) -> None:
        connector = ad_connector(bed, **way(KEYTAB, tmp_path / "none"))
        with pytest.raises(Unsupported) as caught:
            connector.lookup("anna")
        assert caught.value.code == "keytab-unreadable"

    def test_old_keys_count_once_until_the_file_changes(
        self, bed: Bed, dc1: Dc1, tmp_path: Path
    ) -> None:
        """The keys of `svc-repl` after a new password, that is given back later."""
        person = cast.ad("svc-repl")
        path = tmp_path / "repl.keytab"
        shutil.copy(exported(dc1, f"{person.sam}@{cast.AD_REALM}", "x.keytab"), path)
        settings = way(KEYTAB, path) | {"username": f"{person.sam}@{cast.AD_DOMAIN}"}
        dc1.set_password(person.dn, "Another-1")
        try:
            before = bad_passwords(dc1, person.sam)
            connector = ad_connector(bed, **settings)
            for _ in range(2):
                with pytest.raises(BindRefused) as caught:
                    connector.lookup("anna")
                assert caught.value.code == "keytab-refused"
            assert bad_passwords(dc1, person.sam) - before <= 1
            new = exported(dc1, f"{person.sam}@{cast.AD_REALM}", "x.keytab")
            path.write_bytes(new.read_bytes())
            assert connector.lookup("anna")
            connector.close()
        finally:
            dc1.set_password(person.dn, bed.password(person))

    def test_tickets_are_used_again_and_forgotten_when_refused(
        self, bed: Bed, dc1: Dc1, keytab: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def initiator() -> gss.Kerberos:
            return gss.with_keytab(PRINCIPAL, keytab, dc1.host, seal=True, binding=None)

        initiator()
        monkeypatch.setenv("KRB5_CONFIG", str(without_kdc(bed, 9)))
        initiator()  # asks no KDC
        gss.forget(PRINCIPAL, keytab.read_bytes())
        with pytest.raises(gss.GssFailure) as caught:
            initiator()
        assert caught.value.code == 0x9C

    @pytest.mark.parametrize("wrong", [1, 3])
    def test_a_ticket_that_a_server_refuses_is_fetched_anew_once(
        self, wrong: int, bed: Bed, dc1: Dc1, keytab: Path
    ) -> None:
        """Octets of the ticket change on the way: to the server it has another key."""
        gss.forget(PRINCIPAL, keytab.read_bytes())
        changed: list[int] = []

        def there(data: bytes, _before: int) -> bytes:
            if b"GSS-SPNEGO" not in data or len(changed) == wrong:
                return data
            changed.append(len(data))
            middle = len(data) // 2
            return data[:middle] + bytes((data[middle] ^ 1,)) + data[middle + 1 :]

        with Recorder(dc1.address, 389, there=there) as recorder:
            settings = way(KEYTAB, keytab) | {"server": f"{dc1.host}:{recorder.port}"}
            connector = ad_connector(bed, **settings)
            if wrong == 1:
                assert connector.lookup("anna")
            else:
                with pytest.raises(Unreachable) as caught:
                    connector.lookup("anna")
                assert caught.value.code == "ticket-refused"
            assert len(changed) == min(wrong, 2)
            connector.close()


def without_kdc(bed: Bed, port: int) -> Path:
    """A krb5.conf whose only KDC is this port of the loopback."""
    path = bed.directory / "krb5-elsewhere.conf"
    text = bed.krb5_conf.read_text()
    text = text.replace("    kdc = dc1.corp.example.com\n", "")
    path.write_text(
        text.replace("kdc = dc2.corp.example.com", f"kdc = 127.0.0.1:{port}")
    )
    return path


class TestOutages:
    @pytest.mark.parametrize("kind", [PASSWORD, KEYTAB])
    def test_nobody_listens_as_the_kdc(
        self, kind: str, bed: Bed, dc1: Dc1, keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        gss.forget(PRINCIPAL, keytab.read_bytes())
        monkeypatch.setenv("KRB5_CONFIG", str(without_kdc(bed, 9)))
        with pytest.raises(Unreachable) as caught:
            ad_connector(bed, **way(kind, keytab)).lookup("anna")
        assert caught.value.code == "kdc-unreachable"

    @pytest.mark.parametrize("kind", [PASSWORD, KEYTAB])
    def test_a_kdc_that_is_silent(
        self, kind: str, bed: Bed, dc1: Dc1, keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        gss.forget(PRINCIPAL, keytab.read_bytes())
        with socket.create_server(("127.0.0.1", 0)) as silent:
            conf = without_kdc(bed, silent.getsockname()[1])
            monkeypatch.setenv("KRB5_CONFIG", str(conf))
            assert soon_given_up(bed, way(kind, keytab)).code == "kdc-unreachable"

    @each_way
    def test_a_frozen_dc(self, sealed: LdapDirectory, dc1: Dc1) -> None:
        dc1.freeze()
        start = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            list(sealed.read())
        assert caught.value.code == "timeout"
        assert time.monotonic() - start < 10
        dc1.thaw()

    @pytest.mark.parametrize(("kind", "legs"), [(NTLM, 1), (NTLM, 2), (KEYTAB, 1)])
    def test_a_dc_that_freezes_between_the_legs(
        self, kind: str, legs: int, bed: Bed, dc1: Dc1, keytab: Path
    ) -> None:
        """The first piece asks whether it is alive; then come the legs."""

        def there(data: bytes, before: int) -> bytes:
            return data if before < legs else b""

        with Recorder(dc1.address, 389, there=there) as recorder:
            settings = way(kind, keytab) | {"server": f"{dc1.host}:{recorder.port}"}
            error = soon_given_up(bed, settings)
            assert error.code == "timeout"
            # Only the answer to NTLM's challenge may have been counted.
            assert isinstance(error, Unanswered) == (legs == 2)


@each_way
def test_an_octet_that_is_changed_on_the_way_ends_the_read(
    kind: str, bed: Bed, dc1: Dc1, keytab: Path
) -> None:
    begun: list[int] = []

    def back(data: bytes, _before: int) -> bytes:
        # Frames begin with a length, messages of the bind with 0x30.
        if data[:1] != b"\0" or len(data) < 64:
            return data
        begun.append(len(data))
        return data[:-1] + bytes((data[-1] ^ 1,))

    with Recorder(dc1.address, 389, back=back) as recorder:
        settings = way(kind, keytab) | {"server": f"{dc1.host}:{recorder.port}"}
        connector = ad_connector(bed, **settings)
        with pytest.raises(Unreachable) as caught:
            list(connector.read())
        assert caught.value.code == "seal-broken"
        assert begun
        connector.close()


class TestInsideTls:
    @pytest.mark.parametrize("security", ["ldaps", "starttls"])
    def test_a_keytab_where_the_server_allows_it(
        self, security: str, bed: Bed, dc2: Dc2, keytab: Path
    ) -> None:
        connector = ad_connector(
            bed, server=dc2.host, security=security, **by_keytab(keytab)
        )
        assert connector.lookup("anna")
        connector.close()

    def test_a_strict_samba_refuses_it(self, bed: Bed, dc1: Dc1, keytab: Path) -> None:
        connector = ad_connector(bed, **by_keytab(keytab))
        with pytest.raises(Unsupported) as caught:
            connector.lookup("anna")
        assert caught.value.code == "sasl-in-tls"

    def test_the_channel_binding_is_in_the_ticket(self, dc1: Dc1, keytab: Path) -> None:
        """Samba 4.17 does not look at it, MIT does: with the DC's own keys we do."""
        server = exported(dc1, f"ldap/{dc1.host}", "server.keytab")
        keys = gssapi.Credentials(
            usage="accept", store={"keytab": f"FILE:{server}", "rcache": "none:"}
        )

        def complete(expected: bytes) -> bool:
            initiator = gss.with_keytab(
                PRINCIPAL, keytab, dc1.host, seal=False, binding=b"the certificate"
            )
            acceptor = gss.Context(
                creds=keys,
                usage="accept",
                channel_bindings=gssapi.raw.ChannelBindings(application_data=expected),
            )
            assert not initiator.proven
            initiator.step(acceptor.step(initiator.step(None)))
            return initiator.proven and bool(acceptor.complete)

        assert complete(b"the certificate")
        with pytest.raises(gssapi.raw.exceptions.BadChannelBindingsError):
            complete(b"another certificate")
