"""The rare operations that go through ldap3, on real servers."""

from __future__ import annotations

import ast
from pathlib import Path

import dirbridge
from dirbridge.ldap import operations
from dirbridge.ldap.operations import who_am_i
from dirbridge.ldap.session import Query, Session
from dirbridge.model.deadline import Deadline
from testbed import cast
from testbed.bed import Bed
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.directories import ad_connector, od_connector

ALLOWED = {Path(operations.__file__)}


def test_slapd_says_whom_it_takes_us_for(bed: Bed, od1: Od1) -> None:
    def work(session: Session, deadline: Deadline) -> str | None:
        said = who_am_i(session.transport, deadline)
        # The connection goes on as before.
        assert session.search(Query(base="", filter="(objectClass=*)"), deadline)
        return said

    admin = f"uid=diradmin,{cast.OD_USERS}"
    assert od_connector(bed)._client.run(work) == f"dn:{admin}"
    texts = [f.text for f in od_connector(bed).check() if f.what == "bind"]
    assert f"is let in as dn:{admin}." in texts[0]


def test_check_does_not_ask_who_does_not_know(bed: Bed, dc1: Dc1) -> None:
    (text,) = [
        f.text for f in ad_connector(bed, backup_server=()).check() if f.what == "bind"
    ]
    assert text.endswith("is let in.")


def test_only_one_module_knows_ldap3() -> None:
    package = Path(dirbridge.__file__).parent
    knowing = {path for path in package.rglob("*.py") if "ldap3" in imported(path)}
    assert knowing == ALLOWED


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found
