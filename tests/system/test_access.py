"""Who gets a mailbox by a group or an address, on the real directories."""

from __future__ import annotations

from testbed import cast, ldif
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.system.bridge import AD, OD, Done, Json, Site

SALES = f"CN=Sales,{cast.AD_GROUPS}"


def people(site: Site, domain: str) -> dict[str, str]:
    """Who logs in, with the state."""
    found = site.accounts(domain).values()
    return {
        one["account"].partition("@")[0]: one["state"]
        for one in found
        if one.get("login_names")
    }


def step(done: Done, name: str) -> Json:
    return next(one for one in done.data["steps"] if one["name"] == name)


def required(site: Site, domain: str, group: str) -> None:
    site.directory(domain)["require_group"] = group


def test_only_members_get_a_mailbox(ad_site: Site, changeable_ad: Dc1) -> None:
    required(ad_site, AD, SALES)
    ad_site.directory(AD)["backup_server"] = []
    assert ad_site.sync(AD).code == 0
    members = {"anna": "active", "o'brien": "active", "rename.me": "active"}
    assert people(ad_site, AD) == members

    done = ad_site.run("explain", f"anna@{AD}")
    assert done.code == 0, done.out
    groups = dict(step(done, "groups")["facts"])
    assert groups["Sales"].startswith("by a group within it")
    assert groups["Domain Users"].startswith("as its primary group")
    assert step(done, "access")["outcome"] == "ok"

    bob = ad_site.run("explain", f"bob@{AD}")
    assert bob.code == 1
    access = step(bob, "access")
    assert SALES in access["found"]
    assert access["who_can_fix"] == "directory admin"

    member = ldif.modify(SALES, [("member", cast.ad("bob").dn)], how="add")
    changeable_ad.modify(member)
    # Asked anew: the person who put him in may look at once.
    assert (
        "no account yet" in step(ad_site.run("explain", f"bob@{AD}"), "entry")["found"]
    )
    assert ad_site.sync(AD).code == 0
    assert people(ad_site, AD) == {**members, "bob": "active"}

    changeable_ad.modify(member.replace("add: member", "delete: member"))
    warned = ad_site.run("explain", f"bob@{AD}")
    assert step(warned, "access")["outcome"] == "warning"
    assert ad_site.sync(AD).code == 0
    assert people(ad_site, AD) == {**members, "bob": "deactivated"}
    out = ad_site.run("explain", f"bob@{AD}")
    assert SALES in step(out, "account")["found"]
    assert step(out, "access")["found"].endswith("or to one within it.")
    assert step(out, "mapping")["outcome"] == "ok"
    told = " ".join(one["found"] for one in out.data["steps"])
    assert "restored" not in told
    assert "vanished" not in told
    refused = ad_site.login(f"bob@{AD}", "any password")
    assert refused.codes == ["deactivated"]
    assert "dirbridge explain" in refused.problem("deactivated")["next"]


def test_a_primary_group_counts(ad_site: Site) -> None:
    """Nobody stands in its `member`, so that no LDAP filter finds them."""
    required(ad_site, AD, f"CN=Domain Users,CN=Users,{cast.AD_BASE}")
    # Two of the cast want one address, both of them members.
    assert ad_site.sync(AD).code == 1
    assert {"anna", "bob", "emoji"} <= set(people(ad_site, AD))


def test_a_group_that_is_not_there_stops_everything(site: Site) -> None:
    before = people(site, AD)
    required(site, AD, f"CN=Salez,{cast.AD_GROUPS}")
    done = site.sync(AD)
    assert done.code == 4
    assert "require_group" in done.problem("group-missing")["next"]
    assert people(site, AD) == before


def test_members_by_short_name_and_by_id(od_site: Site) -> None:
    required(od_site, OD, f"cn=drifted,{cast.OD_GROUPS}")
    assert od_site.sync(OD).code == 0
    assert set(people(od_site, OD)) == {"carla", "siobhan"}
    done = od_site.run("explain", f"carla@{OD}")
    assert "drifted" in dict(step(done, "groups")["facts"])


def test_only_who_has_an_address_here(od_site: Site, changeable_od: Od1) -> None:
    od_site.directory(OD)["take"] = "by-address"
    od_site.config["domains"]["other.example"] = {}
    od_site.config["domains"]["other.example"]["directory"] = {
        **od_site.directory(OD),
        "suffix": cast.OD_BASE,
    }
    # Two of the cast want one address.
    assert od_site.sync(OD).code == 1
    moved = f"dn: {cast.od('carla').dn}\nchangetype: modify\nreplace: mail\n"
    here = people(od_site, OD)
    assert "carla" in here
    assert "nomail" not in here
    changeable_od.modify(f"{moved}mail: carla@other.example\n")
    for domain in (OD, "other.example"):
        assert od_site.sync(domain).code == 0
    assert people(od_site, OD) == {**here, "carla": "deactivated"}
    assert people(od_site, "other.example") == {"carla": "active"}
    carla = od_site.run("explain", f"carla@{OD}")
    assert "said below" in step(carla, "account")["found"]
    assert f"an address of {OD}" in step(carla, "access")["found"]
    nobody = od_site.run("explain", f"nomail@{OD}")
    assert "no primary address" in step(nobody, "access")["found"]


def test_a_person_made_anew_is_told_with_both_answers(
    site: Site, changeable_od: Od1
) -> None:
    gone = cast.od("delete.me")
    changeable_od.delete(gone.dn)
    assert site.sync(OD).code == 0
    again = cast.OdPerson(uids=("made.anew", gone.uid), cn="Made Anew", uid_number=3001)
    changeable_od.create(again, "a first password")
    done = site.run("explain", f"{gone.uid}@{OD}")
    assert done.code == 1
    found = " ".join(one["found"] for one in done.data["steps"])
    for answer in ("adopt", "keep-apart"):
        assert f"dirbridge accounts {answer} " in found
    assert "restored" not in found
    whose = {one["who_can_fix"] for one in done.data["steps"]}
    assert whose <= {"", "mail admin"}
