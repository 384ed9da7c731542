"""The test bed itself: what other tests rely on."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed import ca, cast, namespace
from testbed.bed import Bed
from testbed.cast import AdPerson, Answer, OdPerson
from testbed.kdc import Kdc
from testbed.postgresql import Postgresql
from testbed.process import BedError, members, wait_until
from testbed.samba import Dc1, Dc2
from testbed.scale import load
from testbed.server import Server
from testbed.slapd import Od1, Od2

# The exact code of the KDC: kinit would go on and ask for a new password.
ASK_KDC = """
import sys, gssapi
user, password = sys.stdin.read().split("\\n", 1)
name = gssapi.Name(user, gssapi.NameType.kerberos_principal)
try:
    gssapi.raw.acquire_cred_with_password(name, password.encode(), usage="initiate")
    print(0)
except gssapi.exceptions.GSSError as error:
    print((error.min_code & 0xFFFFFFFF) - 0x96C73A00)
"""


def ldap_answer(bed: Bed, server: Server, name: str, password: str) -> Answer:
    """Bind over LDAPS with the certificate verified, and read the root entry."""
    done = subprocess.run(
        [
            *("ldapsearch", "-x", "-LLL", "-H", f"ldaps://{server.host}"),
            *("-D", name, "-w", password, "-b", "", "-s", "base", "1.1"),
        ],
        env={**os.environ, "LDAPTLS_CACERT": str(bed.ca_file)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return Answer.ACCEPTED
    assert done.returncode == 49, done.stderr
    code = re.search(r", data ([0-9a-f]+),", done.stderr)
    if code is None:
        return Answer.WRONG_PASSWORD
    return next(
        answer
        for answer, number in cast.AD_LDAP_DATA.items()
        if number == int(code[1], 16)
    )


def kerberos_answer(bed: Bed, principal: str, password: str) -> Answer:
    done = subprocess.run(
        [sys.executable, "-c", ASK_KDC],
        input=f"{principal}\n{password}",
        env={**os.environ, "KRB5_CONFIG": str(bed.krb5_conf)},
        capture_output=True,
        text=True,
        check=True,
    )
    codes = {0: Answer.ACCEPTED} | {
        code: answer for answer, code in cast.KERBEROS_CODE.items()
    }
    return codes[int(done.stdout)]


@pytest.mark.parametrize("person", cast.AD_PEOPLE, ids=lambda person: person.sam)
def test_ad_answers_as_the_cast_says(bed: Bed, dc1: Dc1, person: AdPerson) -> None:
    right, wrong = bed.password(person), "wrong"
    expected = person.verdicts

    name = f"CORP\\{person.sam}"
    assert ldap_answer(bed, dc1, name, wrong) is expected.ldap_wrong
    assert ldap_answer(bed, dc1, name, right) is expected.ldap
    assert ldap_answer(bed, dc1, person.dn, right) is expected.ldap
    if person.upn:
        assert ldap_answer(bed, dc1, person.upn, right) is expected.ldap
    assert kerberos_answer(bed, person.principal, wrong) is expected.kerberos_wrong
    assert kerberos_answer(bed, person.principal, right) is expected.kerberos


@pytest.mark.parametrize(
    "person",
    [person for person in cast.AD_PEOPLE if person.ou == cast.AD_EDGE],
    ids=lambda person: person.sam,
)
def test_the_second_dc_agrees_about_edge_accounts(
    bed: Bed, dc2: Dc2, person: AdPerson
) -> None:
    answer = ldap_answer(bed, dc2, person.dn, bed.password(person))
    assert answer is person.verdicts.ldap


@pytest.mark.parametrize(("sam", "code"), [("svc-dirbridge", 50), ("svc-repl", 0)])
def test_only_the_replication_account_may_dirsync(
    bed: Bed, dc1: Dc1, sam: str, code: int
) -> None:
    done = subprocess.run(
        [
            *("ldapsearch", "-x", "-LLL", "-H", f"ldaps://{dc1.host}"),
            *("-D", cast.ad(sam).dn, "-w", bed.password(sam)),
            *("-b", cast.AD_BASE, "-E", "!dirSync=0/0", "(cn=anna*)", "cn"),
        ],
        env={**os.environ, "LDAPTLS_CACERT": str(bed.ca_file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize("person", cast.OD_PEOPLE, ids=lambda person: person.uid)
def test_od_answers_as_the_cast_says(
    bed: Bed, od1: Od1, kdc: Kdc, person: OdPerson
) -> None:
    right, wrong = bed.password(person), "wrong"
    expected = person.verdicts

    assert ldap_answer(bed, od1, person.dn, wrong) is expected.ldap_wrong
    assert ldap_answer(bed, od1, person.dn, right) is expected.ldap
    assert kerberos_answer(bed, person.principal, wrong) is expected.kerberos_wrong
    assert kerberos_answer(bed, person.principal, right) is expected.kerberos


def test_the_two_annas_are_different_people(bed: Bed, dc1: Dc1, od1: Od1) -> None:
    assert bed.password("anna", "ad") != bed.password("anna", "od")
    dn = cast.od("anna").dn
    assert ldap_answer(bed, od1, dn, bed.password("anna", "ad")) is not Answer.ACCEPTED


def test_unknown_people_are_unknown(bed: Bed, dc1: Dc1, kdc: Kdc) -> None:
    for realm in (cast.AD_REALM, cast.OD_REALM):
        assert kerberos_answer(bed, f"nobody@{realm}", "x") is Answer.UNKNOWN


def test_five_wrong_tries_lock(bed: Bed, changeable_ad: Dc1) -> None:
    person = cast.ad("lockme")
    for _ in range(5):
        answer = ldap_answer(bed, changeable_ad, person.dn, "wrong")
        assert answer is Answer.WRONG_PASSWORD
    right = bed.password(person)
    assert ldap_answer(bed, changeable_ad, person.dn, right) is Answer.LOCKED
    changeable_ad.unlock(person)
    assert ldap_answer(bed, changeable_ad, person.dn, right) is Answer.ACCEPTED


def test_the_domain_has_all_of_the_cast(dc1: Dc1) -> None:
    crowd = dc1.search("(&(objectClass=user)(sAMAccountName=crowd*))", "dn")
    assert crowd.count("dn: ") == cast.CROWD_SIZE
    group = dc1.search("(cn=Crowd)", "member")
    assert group.count("member: ") == cast.CROWD_SIZE
    chain = f"(memberOf:1.2.840.113556.1.4.1941:=CN=Everyone Mail,{cast.AD_GROUPS})"
    assert dc1.has(f"(&(sAMAccountName=anna){chain})")
    assert dc1.has("(&(objectClass=contact)(mail=karl@partner.example.net))")
    assert dc1.has("(&(objectClass=computer)(sAMAccountName=PC1$))")


def test_changes_go_both_ways_between_the_dcs(
    bed: Bed, changeable_ad: Dc1, dc2: Dc2
) -> None:
    started = time.monotonic()
    after = changeable_ad.rename(
        cast.ad("rename.me"),
        sam="renamed",
        upn="renamed@example.com",
        mail="renamed@example.com",
        cn="Rena Renamed",
        ou=cast.AD_RESEARCH,
    )
    dc2.delete(cast.ad("delete.me").dn)
    bed.wait_replicated()
    assert time.monotonic() - started < 30
    assert dc2.has("(&(sAMAccountName=renamed)(mail=renamed@example.com))")
    assert not changeable_ad.has("(sAMAccountName=delete.me)")
    right = bed.password("rename.me")
    assert ldap_answer(bed, dc2, after.dn, right) is Answer.ACCEPTED


def test_a_recreated_person_has_another_guid(bed: Bed, changeable_ad: Dc1) -> None:
    person = cast.ad("recreate.me")
    before = changeable_ad.search("(sAMAccountName=recreate.me)", "objectGUID")
    changeable_ad.delete(person.dn)
    changeable_ad.create(person, "Another password 1")
    after = changeable_ad.search("(sAMAccountName=recreate.me)", "objectGUID")
    assert before != after
    answer = ldap_answer(bed, changeable_ad, person.dn, "Another password 1")
    assert answer is Answer.ACCEPTED


def test_a_reset_brings_everybody_back(dc1: Dc1) -> None:
    # Runs after tests that renamed and deleted them.
    assert dc1.has("(sAMAccountName=rename.me)")
    assert dc1.has("(sAMAccountName=delete.me)")


def test_the_replica_gets_changes_of_the_master(
    bed: Bed, changeable_od: Od1, od2: Od2
) -> None:
    person = cast.od("rename.me")
    changeable_od.rename(person, "renamed", mails=("renamed@example.org",))
    changeable_od.delete(cast.od("delete.me").dn)
    bed.wait_replicated()
    assert od2.has(f"(&(uid=renamed)(apple-generateduid={person.guid}))")
    assert not od2.has("(uid=delete.me)")
    with pytest.raises(BedError, match=r"[Rr]eferral"):
        od2.delete(cast.od("anna").dn)


def test_od_tells_what_a_client_wants_to_discover(od1: Od1) -> None:
    for record in (
        *("(&(objectClass=organizationalUnit)(ou=macosxodconfig))",),
        *("(cn=macosxodpolicy)", "(cn=ldapreplicas)", "(cn=KerberosClient)"),
        *("(cn=KerberosKDC)", "(cn=dirserv)", "(cn=passwordserver)"),
    ):
        assert od1.has(record), record
    found = od1.search("(uid=carla)", "authAuthority", "modifyTimestamp", "entryUUID")
    assert ";ApplePasswordServer;0x" in found
    assert ";Kerberosv5;;carla@OD.EXAMPLE.COM;OD.EXAMPLE.COM;" in found
    assert "entryUUID" in found


def test_keytabs_hold_aes_keys(bed: Bed, dc1: Dc1, kdc: Kdc) -> None:
    for realm in ("corp", "od"):
        listed = subprocess.run(
            ["klist", "-kte", str(bed.keytab(realm))],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "smtp/mail.example.com" in listed
        assert "aes256-cts" in listed
        assert "arcfour" not in listed


def test_service_tickets_are_given_for_the_keytabs(
    bed: Bed, dc1: Dc1, kdc: Kdc, tmp_path: Path
) -> None:
    for person, realm in ((cast.ad("anna"), "corp"), (cast.od("anna"), "od")):
        environment = {
            **os.environ,
            "KRB5_CONFIG": str(bed.krb5_conf),
            "KRB5CCNAME": f"FILE:{tmp_path / realm}",
        }
        subprocess.run(
            ["kinit", person.principal],
            input=f"{bed.password(person)}\n",
            env=environment,
            text=True,
            check=True,
            capture_output=True,
        )
        service = f"smtp/mail.example.com@{person.principal.rpartition('@')[2]}"
        proof = subprocess.run(
            ["kvno", "-k", str(bed.keytab(realm)), service],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "keytab entry valid" in proof.stdout, proof.stderr


def test_postgresql_gives_databases(postgresql: Postgresql) -> None:
    url = postgresql.create_database("extra")
    postgresql.drop_database("extra")
    assert url.endswith("@db.example.com:54320/extra")


# ---- servers in trouble


def greeting(bed: Bed, server: Server) -> str:
    """What becomes of a TLS connection: well, refused, silent or lost."""
    context = ssl.create_default_context(cafile=str(bed.ca_file))
    try:
        raw = socket.create_connection((server.host, server.port), timeout=1.5)
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "lost"
    with raw:
        try:
            with context.wrap_socket(raw, server_hostname=server.host):
                return "well"
        except TimeoutError:
            return "silent"


TROUBLES: dict[str, tuple[Callable[[Server], None], Callable[[Server], None]]] = {
    "refused": (Server.stop, Server.start),
    "silent": (Server.freeze, Server.thaw),
    "lost": (Server.cut_off, Server.restore),
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("name", ["dc1", "od1"])
def test_trouble_looks_as_it_should(
    bed: Bed, request: pytest.FixtureRequest, name: str, trouble: str
) -> None:
    server: Server = request.getfixturevalue(name)
    begin, end = TROUBLES[trouble]
    assert greeting(bed, server) == "well"
    begin(server)
    assert greeting(bed, server) == trouble
    assert not server.well
    end(server)
    wait_until(lambda: greeting(bed, server) == "well", "back again", timeout=15)
    assert server.well


def test_an_old_connection_loses_its_packets_too(bed: Bed, od1: Od1) -> None:
    context = ssl.create_default_context(cafile=str(bed.ca_file))
    raw = socket.create_connection((od1.host, od1.port), timeout=1)
    with context.wrap_socket(raw, server_hostname=od1.host) as old:
        od1.cut_off()
        old.sendall(bytes.fromhex("30050201014200"))  # an unbind request
        with pytest.raises(TimeoutError):
            old.recv(1)


def test_the_kdc_can_be_stopped_as_well(bed: Bed, kdc: Kdc) -> None:
    kdc.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((kdc.host, kdc.port), timeout=1)


def test_what_a_test_left_stopped_runs_again(kdc: Kdc) -> None:
    # Runs after the test above.
    assert kdc.well


@pytest.mark.parametrize(
    ("certificate", "complaint"),
    [
        (ca.WRONG_NAME, "Hostname mismatch"),
        (ca.EXPIRED, "certificate has expired"),
        (ca.FOREIGN, "unable to get local issuer certificate"),
    ],
)
def test_spare_certificates_are_wrong_in_one_way(
    bed: Bed, od1: Od1, certificate: str, complaint: str
) -> None:
    od1.use_certificate(certificate)
    with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
        greeting(bed, od1)


@pytest.mark.parametrize("name", ["dc1", "dc2", "od1", "od2"])
def test_certificates_hold_names_and_addresses(
    bed: Bed, request: pytest.FixtureRequest, name: str
) -> None:
    server: Server = request.getfixturevalue(name)
    context = ssl.create_default_context(cafile=str(bed.ca_file))
    for known_as in (server.host, server.address):
        with socket.create_connection((known_as, server.port), timeout=5) as raw:
            context.wrap_socket(raw, server_hostname=known_as).close()


# ---- the namespace, and what is left behind


@pytest.mark.needs_slapd
def test_outside_is_another_network() -> None:
    show = ["readlink", "/proc/self/ns/net"]
    inside = subprocess.run(show, capture_output=True, text=True, check=True)
    outside = subprocess.run(
        namespace.outside(show), capture_output=True, text=True, check=True
    )
    assert inside.stdout != outside.stdout
    assert namespace.inside()


def test_stopping_leaves_no_process(bed: Bed, od1: Od1, dc1: Dc1) -> None:
    for server in (od1, dc1):
        pids = server.pids
        everyone = [member for pid in pids for member in members(pid)]
        assert everyone
        server.stop()
        assert not any(members(pid) for pid in pids)
        gone = (not Path(f"/proc/{member}").exists() for member in everyone)
        wait_until(lambda: all(gone), "reaped", timeout=5)  # noqa: B023


@pytest.mark.needs_slapd
def test_many_accounts_load_quickly(tmp_path: Path) -> None:
    server = load(tmp_path / "scale", 1000)
    server.start()
    try:
        assert server.has("(uid=u001000)")
    finally:
        server.stop()


def _up(directory: Path, *servers: str) -> subprocess.Popen[str]:
    """`python -m testbed up`, as in another terminal, in its own namespace."""
    environment = {k: v for k, v in os.environ.items() if k != namespace.MARK}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "testbed", "up", "--directory", str(directory)),
            *servers,
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Ctrl-C"):
            break
    return process


def _processes_below(directory: Path) -> list[str]:
    return [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if str(directory).encode() in _read(path) and b"testbed" not in _read(path)
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.needs_slapd
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_its_bed(tmp_path: Path, how: signal.Signals) -> None:
    directory = tmp_path / "other"
    process = _up(directory, "od1", "od2")
    with process:
        assert len(_processes_below(directory)) == 2
        enter = namespace.inside_command(process.pid)
        ask = ["ldapsearch", "-x", "-LLL", "-H", "ldap://od2.example.com"]
        ask += ["-b", cast.OD_BASE, "(uid=carla)", "mail"]
        found = subprocess.run(
            [*enter, *ask], capture_output=True, text=True, check=True
        )
        assert "mail: carla@example.org" in found.stdout
        process.send_signal(how)
        process.wait(timeout=20)
    wait_until(lambda: not _processes_below(directory), "ended", timeout=15)
