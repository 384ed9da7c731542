"""What people do in a directory, and what a sync makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed import cast
from testbed.bed import Bed
from testbed.process import wait_until
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.system.bridge import AD, OD, Site
from tests.system.sasl import ask

RENA, RICK, DELE = (cast.ad(f"{verb}.me") for verb in ("rename", "recreate", "delete"))


@pytest.fixture
def before(site: Site) -> dict[str, dict]:
    return site.accounts(AD)


def test_a_day_in_active_directory(
    site: Site, before: dict[str, dict], changeable_ad: Dc1, bed: Bed
) -> None:
    """Renamed in every way at once, created anew under an old name, deleted."""
    dc1 = changeable_ad
    renamed = dc1.rename(
        RENA,
        sam="rena.new",
        cn="Rena New",
        ou=cast.AD_RESEARCH,
        upn="rena.new@example.com",
        mail="rena.new@example.com",
        display="Rena New",
    )
    dc1.delete(RICK.dn)
    dc1.create(RICK, bed.password(RICK))
    dc1.delete(DELE.dn)

    dry, done = site.sync(AD, "--dry-run"), site.sync(AD)

    assert dry.code == done.code == 1  # a conflict that is new
    assert dry.changes(AD) == done.changes(AD)
    ops = {name: change["op"] for name, change in done.changes(AD).items()}
    assert ops["rename.me@example.com"] == "rename"
    assert ops["delete.me@example.com"] == "deactivate"
    accounts = site.accounts(AD)
    _renamed(before["rename.me@example.com"], accounts["rename.me@example.com"])
    assert accounts["rename.me@example.com"]["dn"] == renamed.dn
    _recreated(before, accounts, done.problems)
    _vanished_and_back(site, bed, accounts)


def _renamed(old: dict, new: dict) -> None:
    """The same account with the same mailbox; the old address still reaches it."""
    assert new["directory_id"] == old["directory_id"]
    assert new["mailbox"] == "rename.me"
    assert new["login_names"] == ["rena.new"]
    assert new["upn"] == "rena.new@example.com"
    assert new["primary_address"] == "rena.new@example.com"
    assert new["kept_addresses"] == ["rename.me@example.com"]


def _recreated(before: dict, accounts: dict, problems: list[dict]) -> None:
    """The newcomer gets nothing of the old one's, and a person is told."""
    old = accounts["recreate.me@example.com"]
    assert old["directory_id"] == before["recreate.me@example.com"]["directory_id"]
    assert old["state"] == "deactivated"
    assert len(accounts) == len(before)
    told = [one for one in problems if one["code"] == "recreated"]
    assert told
    assert "recreate.me" in told[0]["text"]


def _vanished_and_back(site: Site, bed: Bed, accounts: dict) -> None:
    gone = accounts["delete.me@example.com"]
    assert gone["state"] == "deactivated"
    assert gone["primary_address"] == "delete.me@example.com"
    login = site.login("delete.me@example.com", bed.password(DELE))
    assert login.code == 1
    assert login.codes == ["deactivated"]

    bed.reset("dc1")  # everybody is again who they were, and nothing tells so
    done = site.sync(AD, "--full")

    back = done.changes(AD, "reactivate")
    assert set(back) == {"delete.me@example.com", "recreate.me@example.com"}
    assert back["delete.me@example.com"]["account"] == gone["directory_id"]
    account = site.account("delete.me@example.com")
    assert account["state"] == "active"
    assert account["mailbox"] == "delete.me"
    assert site.login("delete.me@example.com", bed.password(DELE)).code == 0
    assert done.code == 0


def test_known_conflicts_do_not_make_every_run_fail(
    site: Site, changeable_ad: Dc1, bed: Bed
) -> None:
    clash = replace(DELE, sam="new.bob", cn="New Bob", upn="new.bob@example.com")
    clash = replace(clash, mail="bob@example.com")
    changeable_ad.create(clash, bed.password(DELE))

    first, quiet, second = site.sync(AD), site.sync(AD), site.sync(AD, "--full")

    assert first.code == 1
    assert (quiet.code, quiet.codes) == (0, [])  # nobody was read again
    assert first.problem("name-taken")["where"] == "new.bob@example.com"
    assert second.code == 0
    assert second.codes == first.codes  # still told, no longer an alarm
    accounts = site.accounts(AD)
    assert accounts["bob@example.com"]["primary_address"] == "bob@example.com"
    assert "primary_address" not in accounts["new.bob@example.com"]


def test_a_local_account_is_never_overwritten(
    site: Site, changeable_od: Od1, bed: Bed
) -> None:
    added = site.run("accounts", "add", f"wilma@{OD}", stdin="a local secret\n")
    assert added.code == 0, added.out
    before = site.account(f"wilma@{OD}")
    person = replace(
        cast.od("carla"),
        uids=("wilma",),
        cn="Wilma Wild",
        uid_number=2001,
        mails=(f"wilma@{OD}",),
    )
    changeable_od.create(person, "another secret")

    done = site.sync(OD)

    assert done.code == 1
    assert "local-account" in done.codes
    assert site.account(f"wilma@{OD}") == before
    assert site.login(f"wilma@{OD}", "a local secret").code == 0
    assert site.login(f"wilma@{OD}", "another secret").code == 1


def test_a_short_name_changes_in_open_directory(site: Site, changeable_od: Od1) -> None:
    old = site.account(f"rename.me@{OD}")
    after = changeable_od.rename(
        cast.od("rename.me"),
        "rena.new",
        cn="Rena Newname",
        mails=(f"rena.new@{OD}",),
    )
    done = site.sync(OD)
    assert done.code == 0
    assert done.changes(OD)[f"rename.me@{OD}"]["op"] == "rename"
    new = site.account("rena.new@example.org")
    assert new["directory_id"] == old["directory_id"]
    assert new["mailbox"] == "rename.me"
    assert new["principal"] == after.principal
    assert new["kept_addresses"] == [f"rename.me@{OD}"]


def test_disabled_by_the_directory_and_enabled_again(
    site: Site, changeable_od: Od1
) -> None:
    carla = cast.od("carla")
    # A bridge that remembers right passwords, while another process syncs.
    del site.login_settings(OD)["cache"]
    right = site.bed.password(carla)
    with site.serving("--no-sync") as serve:
        told = [ask(site.saslauthd, f"carla@{OD}", right) for _ in range(2)]
        assert told == ["OK", "OK"]
        wait_until(
            lambda: serve.logins[-1]["server"] == "cache", "nothing is remembered"
        )
        changeable_od.modify(
            f"dn: {carla.dn}\nchangetype: modify\nadd: authAuthority\n"
            "authAuthority: ;DisabledUser;\n"
        )
        assert site.sync(OD).code == 0
        assert ask(site.saslauthd, f"carla@{OD}", right) == "NO"
        assert serve.logins[-1]["reason"] == "disabled"
    account = site.account(f"carla@{OD}")
    assert account["state"] == "disabled"
    assert "DisabledUser" in account["state_reason"]

    changeable_od.modify(
        f"dn: {carla.dn}\nchangetype: modify\ndelete: authAuthority\n"
        "authAuthority: ;DisabledUser;\n"
    )
    assert site.sync(OD).code == 0
    assert site.account(f"carla@{OD}")["state"] == "active"


def test_the_user_limit_is_hard(od_site: Site) -> None:
    od_site.config["domains"][OD]["user_limit"] = 5
    done = od_site.sync()
    assert done.code == 1
    created = done.changes(OD, "create").values()
    assert sum("login_names" in change["after"] for change in created) == 5
    assert len(od_site.accounts(OD)) == 5
    assert done.codes.count("user-limit") == 11
