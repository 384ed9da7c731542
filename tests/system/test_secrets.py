"""No password of the bed stands anywhere that dirbridge writes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from spnego._ntlm_raw.md4 import md4

from testbed.bed import Bed
from tests.system.bridge import AD, OD, Done, Site, use_kerberos
from tests.system.sasl import ask

LOCAL = "a local pass phrase, ümläut"
TOKEN = "a webhook's token 4712"


def forms(password: str) -> Iterator[bytes]:
    """The ways in which programs write a password by mistake."""
    raw = password.encode()
    yield raw
    yield password.encode("utf-16-le")
    yield quote(password).encode()
    yield json.dumps(password)[1:-1].encode()
    yield repr(password)[1:-1].encode()
    wide, nt_hash = password.encode("utf-16-le"), md4(password.encode("utf-16-le"))
    yield nt_hash
    for octets in (raw, wide, nt_hash):
        yield octets.hex().encode()
        yield octets.hex().upper().encode()
    yield base64.b64encode(nt_hash)
    for safe in ("", "/"):
        escaped = quote(password, safe=safe)
        yield re.sub("%..", lambda found: found[0].lower(), escaped).encode()
    for lead in (b"", b"\0", b"\0bob\0", f"\0bob@{AD}\0".encode(), b"x", b"xx"):
        # Base64 within something longer: only whole groups of three are ours.
        for octets in (raw, wide):
            encoded = base64.b64encode(lead + octets)
            start = -(-len(lead) // 3) * 4
            yield encoded[start:-4]


def everything_written(site: Site, said: list[Done], log: str) -> Iterator[bytes]:
    for done in said:
        yield done.out.encode() + done.err.encode()
    yield log.encode()
    secrets = site.folder / "secrets"
    for path in site.folder.rglob("*"):
        if path.is_file() and not path.is_relative_to(secrets):
            yield path.read_bytes()


def test_no_password_is_written_anywhere(
    site: Site, bed: Bed, everything: None
) -> None:
    use_kerberos(site, OD)
    site.login_settings(AD)["methods"] = ["kerberos", "ldap-bind"]
    site.config["notices"] = {
        "webhook": "http://127.0.0.1:1/hook",
        "webhook_token": site.secret("hook", TOKEN),
        "failures": 1,
    }
    passwords = {
        *(bed.password(name) for name in ("bob", "jürgen", "locked", "disabled")),
        *(bed.password(name, "od") for name in ("carla", "siobhan", "diradmin")),
        *(bed.password("svc-dirbridge"), LOCAL, "a wrong guess 4711"),
        TOKEN,
    }
    said = list(_commands(site, bed))
    words = ("accounts", "app-password", "add", f"bob@{AD}", "--label", "phone")
    phone = str(site.run(*words).data["password"])
    passwords |= {phone, phone.replace("-", "")}
    said += _shown(site, phone)
    site.warm = False  # its command line is looked at
    with site.serving() as serve:
        # The store is open: what is not yet in the file is in the WAL.
        _logins(site, bed)
        ask(site.saslauthd, f"bob@{AD}", phone)
        assert Path(f"{site.database}-wal").stat().st_size > 0
        bed.dc1.stop()
        bed.od1.stop()
        _logins(site, bed)
        written = list(everything_written(site, said, serve.log))
        process = Path(f"/proc/{serve.process.pid}")
        written.append((process / "cmdline").read_bytes())
    written += everything_written(site, said, serve.log)

    assert sum(len(data) for data in written) > 100_000
    assert found_in(written, passwords) == []


def found_in(written: list[bytes], passwords: set[str]) -> list[tuple[int, bytes]]:
    """Where a password stands in what was written, in whatever form."""
    return [
        (number, form)
        for password in passwords
        for form in forms(password)
        if len(form) >= 8
        for number, data in enumerate(written)
        if form in data
    ]


def test_the_search_would_find_a_password() -> None:
    """Every form is found where it stands within other bytes."""
    password = "pass wörd 4711"
    line = f"\0bob\0{password}"
    for leak in (
        line.encode(),
        line.encode("utf-16-le"),
        base64.b64encode(line.encode()),
        base64.b64encode(f"user={password};".encode()),
        line.encode().hex().encode(),
        line.encode("utf-16-le").hex().upper().encode(),
        md4(password.encode("utf-16-le")).hex().encode(),
        base64.b64encode(b"\0bob\0" + password.encode()),
        quote(line).encode(),
        json.dumps({"p": password}).encode(),
    ):
        assert found_in([b"xx" + leak + b"yy"], {password}), leak


def _commands(site: Site, bed: Bed) -> Iterator[Done]:
    yield site.run("accounts", "add", "--admin", "postmaster", stdin=f"{LOCAL}\n")
    yield site.run("accounts", "passwd", "postmaster", stdin=f"{LOCAL}\n")
    for json_too in (True, False):
        yield site.run("check", json=json_too)
        yield site.run("sync", json=json_too)
        yield site.run("explain", "bob", json=json_too)
    yield site.run("status")
    yield site.run("accounts", "show", "postmaster")
    for number, (name, password) in enumerate(_people(bed)):
        in_json = number % 2 == 0
        yield site.run("login", name, stdin=f"{password}\n", json=in_json)
    yield site.run("realms", "krb5-conf", json=False)
    yield site.run("connect", "postfix", json=False)


def _shown(site: Site, phone: str) -> list[Done]:
    """What is told of an app password, and of one that was revoked."""
    bob = f"bob@{AD}"
    done = site.run("login", bob, stdin=f"{phone}\n")
    assert done.code == 0
    words = (("app-password", "list"), ("export",), ("show",), ("history",))
    return [
        done,
        *(site.run("accounts", *some, bob, json=False) for some in words),
        site.run("explain", bob),
        site.run("accounts", "switch", bob, "--method", "ldap-bind"),
    ]


def _people(bed: Bed) -> Iterator[tuple[str, str]]:
    for name in ("bob", "jürgen", "locked", "disabled"):
        yield f"{name}@{AD}", bed.password(name)
    for name in ("carla", "siobhan"):
        yield f"{name}@{OD}", bed.password(name, "od")
    yield "postmaster", LOCAL
    yield f"bob@{AD}", "a wrong guess 4711"
    yield f"carla@{OD}", "a wrong guess 4711"


def _logins(site: Site, bed: Bed) -> None:
    for name, password in _people(bed):
        ask(site.saslauthd, name, password)


def test_errors_about_a_secret_do_not_show_it(site: Site, bed: Bed) -> None:
    """A refused service account, a wrong database password."""
    wrong = "the wrong one 0815"
    site.directory(OD)["password"] = site.secret("od", wrong)
    done = site.sync()
    assert done.code == 4
    problem = done.problem("credentials")
    assert "od.example.com" in problem["where"]
    assert wrong not in done.out
    site.config["store"] = {
        "url": "postgresql+psycopg://dirbridge@127.0.0.40:1/none",
        "password": site.secret("db", wrong),
    }
    done = site.sync()
    assert done.code == 5
    assert done.codes == ["store-unreachable"]
    assert wrong not in done.out + done.err
