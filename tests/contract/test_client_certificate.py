"""Service accounts by client certificate (SASL EXTERNAL), on a slapd of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dirbridge.errors import BindRefused, DirectoryError, Unreachable, Unsupported
from dirbridge.model.entry import Finished
from testbed import apple, cast
from testbed.bed import Bed
from testbed.slapd import Slapd, public_key, ssha, tree
from tests.certificates import Pair, make
from tests.directories import od_connector

pytestmark = pytest.mark.needs_slapd

ADDRESS = "127.0.0.23"
READER = cast.od("diradmin").dn


class CertificateSlapd(Slapd):
    """One that asks everybody for a certificate, and knows one subject."""

    name = "odcert"
    host = ADDRESS
    address = ADDRESS
    files: Pair
    authority: Pair

    def write_conf(self) -> None:
        super().write_conf()
        lines = self.conf.read_text().splitlines()
        kept = [line for line in lines if not line.startswith("TLS")]
        own = [
            f"TLSCACertificateFile {self.authority.cert_file}",
            f"TLSCertificateFile {self.files.cert_file}",
            f"TLSCertificateKeyFile {self.files.key_file}",
            "TLSVerifyClient try",
            f'authz-regexp "^cn=bridge$" "{READER}"',
        ]
        self.conf.write_text("\n".join([*own, *kept, ""]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Pair:
    return make(folder, "authority")


@pytest.fixture(scope="module")
def server(bed: Bed, folder: Path, authority: Pair) -> Iterator[CertificateSlapd]:
    slapd = CertificateSlapd(bed.directory)
    slapd.authority = authority
    slapd.files = make(folder, "server", addresses=[ADDRESS], issuer=authority)
    key = public_key(bed.directory)
    people = [
        apple.person_ldif(person, ssha(bed.password(person)), key)
        for person in cast.OD_PEOPLE
    ]
    slapd.load([tree(), *people, apple.config_ldif(key)])
    slapd.start()
    yield slapd
    slapd.stop()


def settings(authority: Pair, ours: Pair, **changes: Any) -> dict[str, Any]:
    values = {
        "server": ADDRESS,
        "suffix": cast.OD_BASE,
        "bind": "external",
        "username": "",
        "ca_file": authority.cert_file,
        "cert_file": ours.cert_file,
        "key_file": ours.key_file,
    }
    return values | changes


@pytest.mark.parametrize("security", ["ldaps", "starttls"])
def test_the_subject_is_who_reads(
    security: str, bed: Bed, server: CertificateSlapd, folder: Path, authority: Pair
) -> None:
    ours = make(folder, "bridge", issuer=authority)
    connector = od_connector(bed, **settings(authority, ours, security=security))
    (last,) = [each for each in connector.read() if isinstance(each, Finished)]
    assert last.complete
    texts = [f.text for f in connector.check() if f.what == "bind"]
    assert any(f"dn:{READER.lower()}" in text.lower() for text in texts), texts
    connector.close()


def test_an_authority_that_the_server_does_not_know(
    bed: Bed, server: CertificateSlapd, folder: Path, authority: Pair
) -> None:
    """Whether the handshake or the bind says so is the server's TLS library's doing."""
    (folder / "other").mkdir()
    ours = make(folder / "other", "bridge")
    connector = od_connector(bed, **settings(authority, ours))
    for _ in range(2):
        with pytest.raises((BindRefused, Unsupported, Unreachable)) as caught:
            connector.lookup("anna")
        assert caught.value.code in {"client-certificate", "no-sasl", "tls", "closed"}


def test_files_that_cannot_be_used(
    bed: Bed, server: CertificateSlapd, folder: Path, authority: Pair
) -> None:
    ours = make(folder, "bridge", issuer=authority)
    broken = folder / "broken.pem"
    broken.write_text("nothing")
    for changes in (
        {"cert_file": folder / "nowhere.pem"},
        {"key_file": folder / "nowhere.key"},
        {"cert_file": broken},
        {"key_file": authority.key_file},
    ):
        connector = od_connector(bed, **settings(authority, ours, **changes))
        with pytest.raises(DirectoryError) as caught:
            connector.lookup("anna")
        assert isinstance(caught.value, Unsupported)
        assert caught.value.code == "cert-file"


def test_a_certificate_that_is_renewed_is_used_at_once(
    bed: Bed, server: CertificateSlapd, folder: Path, authority: Pair
) -> None:
    place = folder / "renewed"
    place.mkdir()
    ours = make(place, "bridge", issuer=authority)
    ours.cert_file.write_text("nothing")
    connector = od_connector(bed, **settings(authority, ours))
    with pytest.raises(Unsupported):
        connector.lookup("anna")
    make(place, "bridge", issuer=authority)
    assert connector.lookup("anna")
    connector.close()
