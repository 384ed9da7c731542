"""What `dirbridge status` finds wrong with the syncs of a directory."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dirbridge.app import App
from dirbridge.cli.main import exit_code
from dirbridge.model.names import DomainName
from dirbridge.store.base import Run, RunResult

COM = DomainName("company.com")
CONFIG = """\
[store]
url = "sqlite:///{folder}/dirbridge.db"
[domains."company.com".directory]
type = "active-directory"
server = "dc1.corp.company.com"
username = "svc@corp.company.com"
password = {{ file = "{folder}/secret" }}
[domains."company.com".login]
kerberos_realm = "corp.company.com"
[domains."company.com".sync]
interval = "{interval}"
full_every = "{full_every}"
"""


@pytest.mark.parametrize(
    ("interval", "full_every", "hours", "stale"),
    [
        ("5m", "24h", 23, False),
        ("5m", "24h", 25, True),
        ("24h", "24h", 25, False),
        ("24h", "24h", 49, True),
        ("2d", "24h", 30, False),
        ("2d", "24h", 97, True),
    ],
)
def test_a_sync_is_stale_when_two_of_them_are_missing(
    interval: str,
    full_every: str,
    hours: int,
    *,
    stale: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "dirbridge.toml"
    words = {"interval": interval, "full_every": full_every}
    file.write_text(CONFIG.format(folder=tmp_path, **words))
    (tmp_path / "secret").write_text("sesame\n")
    app = App.load(file)
    (job,) = app.directories[COM]
    with app.open_store() as store:
        store.remember(well(job.policy.source, timedelta(hours=hours)))
    code = exit_code(["status", "--json", "--config", str(file)])
    answer = json.loads(capsys.readouterr().out)
    codes = [one["code"] for one in answer["problems"]]
    assert (code, codes) == ((1, ["sync-stale"]) if stale else (0, []))


def well(source: str, age: timedelta) -> Run:
    at = datetime.now(UTC) - age
    return Run(
        number=0,
        domain=COM,
        source=source,
        server="dc1",
        kind="full",
        started_at=at,
        finished_at=at,
        result=RunResult.UNCHANGED,
    )
