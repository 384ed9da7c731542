"""The house rules that a machine can check: `./run`, the pins, what is named where."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
VERBS = ("demo", "test", "check", "bench", "fmt", "fresh")
SHELL = ("run", "tools/setup.sh", "tools/fresh.sh", "tools/in_memory.sh")

# Folders that the tools fill, and editors' and version control's own.
UNTRACKED = {"build", "dist", "__pycache__"}

# Written in halves, so that this file does not name what it looks for.
REGISTRY_HOSTS = re.compile(
    "|".join(
        [
            r"py" r"pi\.org",
            r"python" r"hosted\.org",
            r"npm" r"js\.(?:org|com)",
            r"\b(?:deb|ftp|security|snapshot)[\w.]*\.debian" r"\.org",
        ]
    )
)


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def own_requirements() -> list[str]:
    """Everything that pyproject.toml itself asks for, builds included."""
    builds = PYPROJECT["build-system"]["requires"]
    return [*PROJECT["dependencies"], *builds, *(r for e in EXTRAS.values() for r in e)]


def needed(requirements: list[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """Follow what is installed: the names of everything these requirements need."""
    for text in requirements:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        extras = frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        needed(
            [
                inner
                for inner in metadata.requires(name) or []
                if (marker := Requirement(inner).marker) is None
                or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
            ],
            seen,
        )
    return {name for name, _ in seen}


def own_files() -> Iterator[Path]:
    for top in sorted(ROOT.iterdir()):
        if top.name in UNTRACKED or (top.name.startswith(".") and top.name != ".ci"):
            continue
        for path in [top] if top.is_file() else top.rglob("*"):
            if path.is_file() and not UNTRACKED.intersection(path.parts):
                yield path


def test_run_fits_on_one_screen() -> None:
    assert len((ROOT / "run").read_text().splitlines()) <= 70


@pytest.mark.parametrize("script", SHELL)
def test_scripts_are_plain_shell(script: str) -> None:
    path = ROOT / script
    assert path.read_text().startswith("#!/bin/sh\n")
    assert path.stat().st_mode & 0o111
    subprocess.run(["/bin/sh", "-n", path], check=True)


def test_run_without_a_verb_lists_the_verbs() -> None:
    run = subprocess.run([ROOT / "run"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    for verb in VERBS:
        assert re.search(rf"^  {verb}\b", run.stderr, re.MULTILINE), verb


def test_run_refuses_a_verb_it_does_not_know() -> None:
    run = subprocess.run([ROOT / "run", "dmeo"], capture_output=True, check=False)
    assert run.returncode == 2


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_documented(verb: str) -> None:
    assert f"./run {verb}" in (ROOT / "CONTRIBUTING.md").read_text()


def test_continuous_integration_runs_the_same_tests() -> None:
    assert re.search(r"^\./run test\b", (ROOT / ".ci/run").read_text(), re.MULTILINE)


def test_packages_are_named_once_and_in_a_known_set() -> None:
    text = (ROOT / "tools/packages.txt").read_text()
    names = re.findall(r"^([a-z0-9]\S*)\s+\S", text, re.MULTILINE)
    assert len(names) == len(set(names))
    assert re.findall(r"^\[(\w+)\]", text, re.MULTILINE) == ["base", "servers", "fresh"]


@pytest.mark.parametrize("text", own_requirements())
def test_each_dependency_is_pinned_within_its_range(text: str) -> None:
    requirement = Requirement(text)
    assert requirement.specifier, f"{text} names no range"
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_the_pins_are_what_is_needed_and_no_more() -> None:
    assert set(pins()) == needed(own_requirements(), set())


def test_no_package_registry_is_named() -> None:
    """Where packages come from is the machine's business (apt's, pip's own files)."""
    named = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in own_files()
        if (found := REGISTRY_HOSTS.search(path.read_text(errors="replace")))
    ]
    assert named == []
