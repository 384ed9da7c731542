"""The composition root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
[store]
url = "sqlite:///{folder}/db/dirbridge.db"
[domains."company.com"]
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_command_that_root_runs_becomes_the_stores_owner(tmp_path: Path) -> None:
    nobody = 65534
    folder = tmp_path / "db"
    folder.mkdir()
    for place in (folder, tmp_path, *tmp_path.parents[:2]):
        place.chmod(0o755)
    os.chown(folder, nobody, nobody)
    config = tmp_path / "dirbridge.toml"
    config.write_text(CONFIG.format(folder=tmp_path))
    subprocess.run(
        [sys.executable, "-m", "dirbridge", "accounts", "list", "--config", config],
        check=True,
        capture_output=True,
    )
    made = (folder / "dirbridge.db").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (nobody, nobody, 0o600)
