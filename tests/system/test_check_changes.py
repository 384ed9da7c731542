"""`dirbridge check` for an account with no special right, and for one with more."""

from __future__ import annotations

from testbed import cast
from testbed.bed import Bed
from testbed.samba import Dc1
from tests.system.bridge import AD, Site

RIGHT = "Replicating Directory Changes"


def changes(site: Site) -> list[dict[str, str]]:
    done = site.run("check")
    assert (done.code, done.problems) == (0, []), done.out
    return [one for one in done.data["findings"] if one["what"] == "changes"]


def test_check_names_the_way_and_the_right_that_helps(
    ad_site: Site, bed: Bed, dc1: Dc1
) -> None:
    directory = ad_site.directory(AD)
    directory.pop("backup_server", None)
    for ordinary in changes(ad_site):
        assert ordinary["outcome"] == "ok"
        assert "as far as the account may read" in ordinary["text"]
        assert len(ordinary["text"]) < 200
        assert RIGHT in ordinary["next"]
    shown = ad_site.run("check", json=False)
    assert shown.out.count("Advice: ") == 1
    directory["username"] = f"svc-repl@{cast.AD_DOMAIN}"
    directory["password"] = ad_site.secret("repl", bed.password("svc-repl", "ad"))
    for privileged in changes(ad_site):
        assert "with the replication right" in privileged["text"]
        assert RIGHT not in privileged["next"]
