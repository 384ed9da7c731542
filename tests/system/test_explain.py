"""`explain` names the right reason for every edge case of the cast."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed import cast
from testbed.bed import Bed
from testbed.kdc import Kdc
from testbed.slapd import Od1
from tests.system.bridge import AD, OD, Done, Json, Site, use_kerberos
from tests.system.conftest import FirstSync

ROOT = Path(__file__).resolve().parents[2]

# name: outcome, the step that decides, words in it
REASONS = {
    f"bob@{AD}": ("ok", "", ""),
    f"jürgen@{AD}": ("ok", "", ""),
    f"zoe vdb@{AD}": ("ok", "", ""),
    f"disabled@{AD}": ("failed", "account", "disabled"),
    f"office@{AD}": ("failed", "account", "disabled"),
    f"locked@{AD}": ("failed", "state", "locked"),
    f"expired@{AD}": ("failed", "account", "end date"),
    f"mustchange@{AD}": ("failed", "state", "must be changed"),
    f"pwexpired@{AD}": ("failed", "state", "has expired"),
    f"hours@{AD}": ("failed", "state", "at this time"),
    f"workstation@{AD}": ("warning", "state", "certain computers"),
    f"carla@{OD}": ("ok", "", ""),
    f"dora@{OD}": ("failed", "account", "disabled"),
    f"oscar@{OD}": ("failed", "account", "disabled"),
}
CODES = {"ok": 0, "warning": 0, "failed": 1, "unknown": 4}


def steps(done: Done, outcome: str) -> list[Json]:
    return [step for step in done.data["steps"] if step["outcome"] == outcome]


def step(done: Done, name: str) -> Json:
    return next(one for one in done.data["steps"] if one["name"] == name)


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_of_each_edge_case(first_sync: FirstSync, name: str) -> None:
    outcome, decides, words = REASONS[name]

    done = first_sync.site.run("explain", name)

    assert done.data["outcome"] == outcome, done.out
    assert done.code == CODES[outcome]
    assert done.result["ok"] == (done.code == 0)
    if decides:
        found = steps(done, outcome)
        assert found[0]["name"] == decides, done.out
        assert words in found[0]["found"]
        assert found[0]["who_can_fix"]


@pytest.mark.parametrize(
    ("name", "about", "words"),
    [
        ("locked", "lock", "locked since"),
        ("expired", "account", "ended on Wed 2019-04-17 18:40 UTC"),
        ("mustchange", "password", "must be changed at the next login"),
        ("pwexpired", "password", "expired on"),
        ("hours", "logon hours", "no hour of the week is allowed"),
        ("workstation", "workstations", "only RECEPTION"),
        ("bob", "password", "set on"),
    ],
)
def test_since_when_until_when_and_from_where(
    first_sync: FirstSync, name: str, about: str, words: str
) -> None:
    facts = step(first_sync.site.run("explain", f"{name}@{AD}"), "state")["facts"]
    assert any(key == about and words in text for key, text in facts), facts


def test_every_step_of_somebody_who_can_log_in(first_sync: FirstSync) -> None:
    done = first_sync.site.run("explain", "anna")
    names = [one["name"] for one in done.data["steps"]]
    expected = ["domain", "account", "entry", "mapping", "groups", "state", "method"]
    assert names == [*expected, "attempts"]
    assert "primary domain" in step(done, "domain")["rule"]
    facts = dict(step(done, "mapping")["facts"])
    assert facts["primary_address"].startswith("anna@example.com  <- proxyAddresses")
    assert "smtp-primary" in facts["primary_address"]
    assert facts["primary_group"] == "513  <- primaryGroupID"
    assert cast.ad("anna").dn in step(done, "entry")["found"]


def test_the_address_connected_to_decides_about_a_bare_name(site: Site) -> None:
    site.config["domains"][OD]["bound_ip"] = "127.0.1.20"
    done = site.run("explain", "anna", "--to-ip", "127.0.1.20")
    assert f"anna@{OD}" in step(done, "account")["found"]
    assert "127.0.1.20" in step(done, "domain")["rule"]
    done = site.run("explain", "anna", "--from-ip", "::ffff:127.0.1.20")
    assert f"anna@{OD}" in step(done, "account")["found"]
    done = site.run("explain", "anna", "--to-ip", "127.0.1.10")
    assert f"anna@{AD}" in step(done, "account")["found"]


def test_a_name_that_nobody_has(first_sync: FirstSync) -> None:
    done = first_sync.site.run("explain", "nobody-at-all")
    assert done.code == 1
    assert "No account" in step(done, "account")["found"]
    assert "no entry with this name" in step(done, "entry")["found"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (f"Administrator@{AD}", "system-account"),
        (f"diradmin@{OD}", "directory-administrator"),
        (f"_jabber@{OD}", "service-user"),
        (f"vpn_0a1b2c3d4e5f@{OD}", "vpn-key-agent"),
    ],
)
def test_what_the_mapping_leaves_out_says_by_which_rule(
    first_sync: FirstSync, name: str, reason: str
) -> None:
    done = first_sync.site.run("explain", name)
    assert done.code == 1
    entry = step(done, "entry")
    assert entry["outcome"] == "failed"
    assert "leaves it out" in entry["found"]
    assert reason in entry["rule"]


def test_a_computer_is_outside_of_what_is_synced(first_sync: FirstSync) -> None:
    done = first_sync.site.run("explain", f"{cast.AD_COMPUTER}@{AD}")
    assert done.code == 1
    entry = step(done, "entry")
    assert "CN=PC1" in entry["found"]
    assert "outside" in entry["found"] or "leaves it out" in entry["found"]


def test_somebody_whom_the_filter_leaves_out(site: Site) -> None:
    done = site.run("explain", f"crowd0001@{AD}")
    assert done.code == 1
    assert "outside of what is synced" in step(done, "entry")["found"]


def test_somebody_who_is_not_synced_yet(site: Site, changeable_od: Od1) -> None:
    newcomer = cast.OdPerson(
        uids=("newcomer",),
        cn="Nina Newcomer",
        uid_number=3000,
        mails=(f"newcomer@{OD}",),
    )
    changeable_od.create(newcomer, "a first password")
    done = site.run("explain", f"newcomer@{OD}")
    assert done.code == 1
    entry = step(done, "entry")
    assert "no account yet" in entry["found"]
    assert "dirbridge sync" in entry["found"]
    facts = dict(step(done, "mapping")["facts"])
    assert facts["display_name"].startswith("Nina Newcomer")


def test_somebody_who_vanished(site: Site, changeable_od: Od1) -> None:
    changeable_od.delete(cast.od("delete.me").dn)
    assert site.sync(OD).code == 0
    done = site.run("explain", f"delete.me@{OD}")
    assert done.code == 1
    account = step(done, "account")
    assert "vanished" in account["found"]
    assert account["who_can_fix"] == "directory admin"
    assert "no entry" in step(done, "entry")["found"]


def test_a_change_since_the_last_sync_is_shown(site: Site, changeable_od: Od1) -> None:
    carla = cast.od("carla").dn
    changeable_od.modify(f"dn: {carla}\nchangetype: modify\nreplace: sn\nsn: New\n")
    done = site.run("explain", f"carla@{OD}")
    assert "surname" in step(done, "mapping")["found"]
    assert done.data["outcome"] == "warning"
    assert done.code == 0


def test_an_outage_is_not_knowing(site: Site, bed: Bed, everything: None) -> None:
    for server in (bed.dc1, bed.dc2, bed.od1, bed.od2):
        server.stop()
    for name in (f"bob@{AD}", f"carla@{OD}", f"nobody-at-all@{OD}"):
        done = site.run("explain", name)
        assert done.data["outcome"] in {"unknown", "failed"}
        assert "refused" in step(done, "entry")["found"]
        assert step(done, "entry")["outcome"] == "unknown"
    for name in (f"bob@{AD}", f"carla@{OD}"):
        assert site.run("explain", name).code == 4
    # What the store alone knows is certain all the same.
    assert site.run("explain", f"disabled@{AD}").code == 1


def test_a_missing_keytab_is_named(site: Site) -> None:
    site.login_settings(AD)["methods"] = ["kerberos"]
    done = site.run("explain", f"bob@{AD}")
    told = dict(step(done, "method")["facts"])["kerberos"]
    assert "There is no keytab" in told
    assert "binds to the directory" in told
    use_kerberos(site, AD)
    assert site.run("explain", f"bob@{AD}").data["outcome"] == "ok"


def test_a_local_account(site: Site) -> None:
    site.run("accounts", "add", "--admin", "postmaster", stdin="the way in\n")
    done = site.run("explain", "postmaster")
    assert done.code == 0
    assert "local" in step(done, "method")["rule"]


def test_the_last_attempts_are_shown_with_their_reasons(site: Site, bed: Bed) -> None:
    assert site.login(f"bob@{AD}", "wrong", "--service", "imap").code == 1
    assert site.login(f"bob@{AD}", bed.password("bob")).code == 0
    facts = step(site.run("explain", "bob"), "attempts")["facts"]
    newest, before = (text for _, text in facts)
    assert "accepted" in newest
    assert "wrong-password" in before
    assert "imap" in before


def test_in_words(first_sync: FirstSync) -> None:
    done = first_sync.site.run("explain", f"locked@{AD}", json=False)
    assert done.code == 1
    assert "who can mend it: directory admin" in done.out
    assert f"locked@{AD}: cannot log in" in done.out


@pytest.mark.parametrize("name", ["CORP\\crowd0001", "crowd0001@example.net"])
def test_a_name_without_an_account_is_looked_up_as_it_was_compared(
    site: Site, name: str
) -> None:
    site.config["domains"][AD]["aliases"] = ["example.net"]
    done = site.run("explain", name)
    assert done.code == 1
    assert "outside of what is synced" in step(done, "entry")["found"]


def test_an_ambiguous_name_lists_the_accounts(site: Site) -> None:
    for domain in (AD, OD):
        site.login_settings(domain)["nt_domain"] = "BOTH"
    done = site.run("explain", "BOTH\\anna")
    assert done.code == 1
    account = step(done, "account")
    assert "Two accounts" in account["found"]
    assert dict(account["facts"]).keys() == {f"anna@{AD}", f"anna@{OD}"}
    assert [one["name"] for one in done.data["steps"]] == ["domain", "account"]


def newcomer(*uids: str, **more: object) -> cast.OdPerson:
    fields = {"mails": (f"newcomer@{OD}",), **more}
    return cast.OdPerson(uids=uids, cn="Nina Newcomer", uid_number=3000, **fields)


def test_somebody_whose_name_another_has(site: Site, changeable_od: Od1) -> None:
    changeable_od.create(newcomer("newcomer", "carla"), "a first password")
    done = site.run("explain", f"newcomer@{OD}")
    assert done.code == 1
    entry = step(done, "entry")
    assert f'The login name "carla" belongs to carla@{OD}' in entry["found"]
    assert "is not created" in entry["found"]
    assert "run `dirbridge sync`" not in done.out.lower()
    assert entry["who_can_fix"] == "directory admin"


def test_somebody_beyond_the_user_limit(site: Site, changeable_od: Od1) -> None:
    changeable_od.create(newcomer("newcomer"), "a first password")
    site.config["domains"][OD]["user_limit"] = 1
    entry = step(site.run("explain", f"newcomer@{OD}"), "entry")
    assert "user limit of 1" in entry["found"]
    assert "Run `dirbridge sync`" not in entry["found"]
    assert entry["who_can_fix"] == "mail admin"


def test_somebody_whose_new_name_is_not_synced_yet(
    site: Site, changeable_od: Od1
) -> None:
    carla = cast.od("carla").dn
    changeable_od.modify(
        f"dn: {carla}\nchangetype: modify\nadd: mail\nmail: new.carla@{OD}\n"
    )
    entry = step(site.run("explain", f"new.carla@{OD}"), "entry")
    assert f"its account carla@{OD} lacks this name yet" in entry["found"]
    assert "dirbridge sync" in entry["found"]


def test_a_missing_secret_leaves_the_other_steps(site: Site) -> None:
    (site.folder / "secrets" / "ad").unlink()
    done = site.run("explain", f"bob@{AD}")
    assert done.code == 4
    assert step(done, "account")["outcome"] == "ok"
    entry = step(done, "entry")
    assert entry["outcome"] == "unknown"
    assert "secrets/ad" in entry["found"] + entry["rule"]
    assert step(done, "attempts")
    nobody = step(site.run("explain", f"nobody-at-all@{AD}"), "entry")
    assert nobody["outcome"] == "unknown"


@pytest.mark.parametrize("name", [f"disabled@{AD}", f"dora@{OD}", "nobody-at-all"])
def test_no_sentence_comes_twice(first_sync: FirstSync, name: str) -> None:
    done = first_sync.site.run("explain", name)
    told = ". ".join(step(done, part)["found"] for part in ("account", "entry"))
    sentences = [one.strip(" .") for one in told.split(". ")]
    assert len(sentences) == len(set(sentences)), told
    assert told.count("dirbridge sync") <= 1


@pytest.mark.parametrize(
    ("name", "words"),
    [("mustchange", "must be changed"), ("pwexpired", "has expired")],
)
def test_the_state_is_more_exact_than_the_kdc(
    site: Site, kdc: Kdc, bed: Bed, name: str, words: str
) -> None:
    """A KDC says only that the password is no more good; the entry says why."""
    use_kerberos(site, AD)
    login = site.login(f"{name}@{AD}", bed.password(name))
    code = "must-change" if name == "mustchange" else "password-expired"
    assert login.codes == [code]
    done = site.run("explain", f"{name}@{AD}")
    assert words in step(done, "state")["found"]
    assert step(done, "attempts")["facts"][0][1].startswith(f"rejected {code}")


def test_somebody_who_cannot_be_mapped(site: Site, changeable_od: Od1) -> None:
    text = (ROOT / "mappings/open-directory.toml").read_text()
    table = "[account.department]"
    (site.folder / "mappings").mkdir()
    (site.folder / "mappings/open-directory.toml").write_text(
        text.replace(table, f"{table}\nrequired = true")
    )
    changeable_od.create(newcomer("newcomer"), "a first password")
    done = site.run("explain", f"newcomer@{OD}")
    assert done.code == 1
    assert "cannot be mapped" in step(done, "entry")["found"], done.out
    assert "Run `dirbridge sync`" not in step(done, "entry")["found"]
    assert step(done, "mapping")["rule"] == "The field department could not be filled."
