"""A whole bridge whose domain controllers need no certificate."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from testbed import cast
from testbed.bed import Bed
from testbed.samba import Dc1, Dc2
from tests.system.bridge import AD, Site, new_site, use_kerberos

pytestmark = [pytest.mark.slow, pytest.mark.needs_samba]

ACCOUNT = "svc-dirbridge"


@pytest.fixture(scope="module", autouse=True)
def untried(bed: Bed) -> None:
    """Let nobody be locked by the tests before these."""
    bed.reset("dc1")


@pytest.fixture
def sealed(bed: Bed, dc1: Dc1, dc2: Dc2, tmp_path: Path) -> Site:
    """A site by password, sealed; nothing in its environment tells of Kerberos."""
    site = new_site(bed, tmp_path / "sealed", AD)
    directory = site.directory(AD)
    directory["security"] = "sealed"
    del directory["ca_file"]
    use_kerberos(site, AD)
    return site


def synced(site: Site, *words: str) -> None:
    """Sync; the cast has two people with one address, who are told as a conflict."""
    done = site.sync(*words)
    assert done.code == 1, done.err


def test_from_check_to_login_by_keytabs_alone(sealed: Site, bed: Bed, dc1: Dc1) -> None:
    keytab = sealed.folder / "account.keytab"
    made = dc1.folder / "made.keytab"
    made.unlink(missing_ok=True)
    principal = f"{ACCOUNT}@{cast.AD_REALM}"
    dc1.tool("domain", "exportkeytab", made, f"--principal={principal}")
    shutil.copy(made, keytab)
    keytab.chmod(0o600)
    directory = sealed.directory(AD)
    del directory["password"]
    directory |= {"bind": "kerberos", "keytab": {"file": str(keytab)}}
    checked = sealed.run("check")
    assert checked.code == 0, checked.out
    synced(sealed)
    anna = cast.ad("anna")
    assert sealed.login(f"anna@{AD}", bed.password(anna)).code == 0
    assert sealed.login(f"anna@{AD}", "wrong").code == 1
    keytab.chmod(0o644)
    (problem,) = [
        each
        for each in sealed.run("check").data["findings"]
        if each["outcome"] == "failed"
    ]
    assert problem["code"] == "open-secret"
    assert problem["where"].endswith("keytab")


def test_the_second_server_seals_as_well(sealed: Site, dc1: Dc1) -> None:
    """With the first one frozen both tickets and entries come from the second."""
    dc1.freeze()
    start = time.monotonic()
    synced(sealed, "--dry-run")
    assert time.monotonic() - start < 60
    dc1.thaw()


def test_people_log_in_by_kerberos_where_nothing_is_said(sealed: Site) -> None:
    """By a bind their passwords would cross the network as they are."""
    del sealed.login_settings(AD)["methods"]
    del sealed.realms["corp"]["keytab"]
    synced(sealed)
    done = sealed.login(f"anna@{AD}", "whatever")
    assert done.codes == ["wrong-password"]
    assert "kerberos" in done.out
    # Without a keytab the KDC proves itself by a sealed bind with Anna's own ticket.
    assert sealed.login(f"anna@{AD}", sealed.bed.password("anna", "ad")).code == 0
