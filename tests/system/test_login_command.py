"""`dirbridge login` reads a password as the hooks do."""

from __future__ import annotations

from tests.system.bridge import AD, Site


def test_a_password_in_latin_1(site: Site) -> None:
    site.run("accounts", "add", "--admin", "postmaster", stdin="pässwörd\n")
    for password in ("pässwörd", "pässwörd".encode("latin-1")):
        assert site.login("postmaster", password).code == 0
    wrong = site.login("postmaster", b"\xff\xfe")
    assert (wrong.code, wrong.codes) == (1, ["wrong-password"])
    asked = site.login(f"bob@{AD}", b"\xff\xfe")
    assert (asked.code, asked.codes) == (1, ["wrong-password"])
