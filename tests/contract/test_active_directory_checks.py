"""What `check` says of a real forest's names."""

from __future__ import annotations

import pytest

from dirbridge.config.settings import LoginSettings
from dirbridge.model.finding import Finding, Outcome
from testbed.bed import Bed
from testbed.samba import Dc1
from tests.directories import ad_connector


@pytest.fixture(scope="module")
def findings(bed: Bed, dc1: Dc1) -> dict[str, Finding]:
    return {one.what: one for one in ad_connector(bed, backup_server=()).check()}


def test_names_of_the_forest_and_the_mail_domain(findings: dict[str, Finding]) -> None:
    assert findings["names"].outcome is Outcome.OK
    assert findings["names"].text == (
        "Active Directory's own name is corp.example.com, the mail domain is "
        "example.com."
    )


def test_how_people_may_log_in(findings: dict[str, Finding]) -> None:
    # The mail domain is among the forest's UPN suffixes.
    assert findings["logins"].text == (
        "People may log in here as name, name@example.com, name@corp.example.com, "
        "CORP\\name."
    )


def test_realm_and_nt_domain_come_from_the_directory(bed: Bed, dc1: Dc1) -> None:
    nothing = ad_connector(bed, login=LoginSettings(), backup_server=())
    told = {one.what: one for one in nothing.check()}
    assert told["realm"].text == "The realm is CORP.EXAMPLE.COM."
    assert told["nt-domain"].text == "The nt-domain is CORP."
