"""The wheel by itself: installed into an empty venv, used far from a checkout."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import dirbridge
from testbed.namespace import outside

ROOT = Path(__file__).resolve().parents[2]
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("PYTHON", "DIRBRIDGE_", "COVERAGE", "COV_"))
}

pytestmark = pytest.mark.slow


def run(argv: Sequence[str | Path], cwd: Path) -> str:
    """Run to the end and return what it printed; on failure show all of it."""
    done = subprocess.run(
        argv, cwd=cwd, env=CLEAN, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    options = ["--wheel", "--no-isolation", "--outdir", out]
    run([sys.executable, "-m", "build", *options, ROOT], cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin folder of a venv that holds the wheel and what it needs."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", venv], cwd=venv.parent)
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin/python")]
    install = [*pip, "install", "--quiet", "--no-compile"]
    pinned = ["-c", str(ROOT / "constraints.txt"), str(wheel)]
    # The package index is out in the machine's own network.
    run(outside([*install, *pinned]), cwd=venv.parent)
    return venv / "bin"


def test_the_wheel_holds_the_program_and_its_data_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    own = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert own == {"dirbridge"}
    assert "dirbridge/py.typed" in names
    assert "dirbridge/shipped/mappings/active-directory.toml" in names
    assert any(name.startswith("dirbridge/shipped/realms/") for name in names)


def test_it_tells_its_version(installed: Path, tmp_path: Path) -> None:
    said = run([installed / "dirbridge", "--version"], cwd=tmp_path)
    assert dirbridge.__version__ in said.split()[-1]


def test_it_finds_its_shipped_mappings(installed: Path, tmp_path: Path) -> None:
    said = run([installed / "dirbridge", "mappings", "list"], cwd=tmp_path)
    assert "active-directory" in said
    assert "open-directory" in said
