"""The bed's certificate authority and its certificates, made with openssl."""

from __future__ import annotations

from pathlib import Path

from testbed.process import run

# name of the certificate: the names and addresses that stand in it
SERVERS = {
    "dc1": "DNS:dc1.corp.example.com,DNS:corp.example.com,IP:127.0.0.10",
    "dc2": "DNS:dc2.corp.example.com,DNS:corp.example.com,IP:127.0.0.11",
    "od1": "DNS:od.example.com,IP:127.0.0.20",
    "od2": "DNS:od2.example.com,IP:127.0.0.21",
    "scale": "DNS:scale.example.com,IP:127.0.0.22",
    "mail": "DNS:mail.example.com,DNS:mail.example.org,IP:127.0.1.10,IP:127.0.1.20",
}
ALL_NAMES = ",".join(names for name, names in SERVERS.items() if name != "mail")

# Spare ones for tests: each is wrong in one way.
WRONG_NAME = "wrong-name"
EXPIRED = "expired"
FOREIGN = "foreign"

_LEAF = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


def build(folder: Path) -> None:
    """Make the authority (`ca.pem`) and every `<name>.pem`, `<name>.key`."""
    folder.mkdir(parents=True)
    _authority(folder, "ca", "dirbridge test bed CA")
    _authority(folder, "foreign-ca", "some other CA")
    for name, names in SERVERS.items():
        _leaf(folder, name, names)
    _leaf(folder, WRONG_NAME, "DNS:somebody-else.example.net")
    _leaf(folder, EXPIRED, ALL_NAMES, days=-1)
    _leaf(folder, FOREIGN, ALL_NAMES, issuer="foreign-ca")
    _password_server_key(folder)


def _authority(folder: Path, name: str, title: str) -> None:
    run(
        [
            *("openssl", "req", "-x509", "-days", "3650", "-nodes"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-subj", f"/CN={title}"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"),
        ]
    )
    (folder / f"{name}.key").chmod(0o600)


def _leaf(
    folder: Path, name: str, names: str, *, issuer: str = "ca", days: int = 3650
) -> None:
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(_LEAF.format(names=names))
    run(
        [
            *("openssl", "req", "-new", "-nodes", "-subj", f"/CN={name}"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-keyout", folder / f"{name}.key", "-out", request),
        ]
    )
    run(
        [
            *("openssl", "x509", "-req", "-in", request, "-days", str(days)),
            *("-CA", folder / f"{issuer}.pem", "-CAkey", folder / f"{issuer}.key"),
            *("-CAcreateserial", "-extfile", extensions),
            *("-out", folder / f"{name}.pem"),
        ]
    )
    (folder / f"{name}.key").chmod(0o600)
    request.unlink()
    extensions.unlink()


def _password_server_key(folder: Path) -> None:
    """Apple's PasswordServer has a bare RSA key; `.pub` holds its text form."""
    key = folder / "passwordserver.key"
    run(["openssl", "genrsa", "-traditional", "-out", key, "1024"])
    key.chmod(0o600)
    modulus = run(["openssl", "rsa", "-in", key, "-noout", "-modulus"])
    number = int(modulus.strip().removeprefix("Modulus="), 16)
    text = f"1024 65537 {number} root@od.example.com"
    (folder / "passwordserver.pub").write_text(text)
