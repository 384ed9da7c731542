"""Sites for system tests: configured, synced once, and copied ever after."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.bed import Bed
from testbed.kdc import Kdc
from testbed.samba import Dc1
from testbed.slapd import Od1
from tests.system.bridge import AD, OD, Done, Site, copied, new_site
from tests.system.warm_program import end_warm_program


@dataclass(frozen=True)
class FirstSync:
    """A site of both domains after its first two runs."""

    site: Site
    dry: Done
    done: Done


@pytest.fixture(scope="session")
def first_sync(
    bed: Bed, dc1: Dc1, od1: Od1, tmp_path_factory: pytest.TempPathFactory
) -> FirstSync:
    """The dry run and the first sync of both directories."""
    site = new_site(bed, tmp_path_factory.mktemp("first") / "site", AD, OD)
    dry = site.sync("--dry-run")
    return FirstSync(site, dry, site.sync())


@pytest.fixture
def site(first_sync: FirstSync, folder: Path) -> Site:
    """A synced site of both domains; its store and settings may be changed."""
    return copied(first_sync.site, folder / "s")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short folder that every user may pass: sockets have short names."""
    path = Path(tempfile.mkdtemp(prefix="s-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def ad_site(bed: Bed, dc1: Dc1, folder: Path) -> Site:
    """A site of Active Directory alone, with no store yet."""
    return new_site(bed, folder / "s", AD)


@pytest.fixture
def od_site(bed: Bed, od1: Od1, folder: Path) -> Site:
    """A site of Open Directory alone, with no store yet."""
    return new_site(bed, folder / "s", OD)


@pytest.fixture
def everything(dc1: Dc1, dc2: Dc1, od1: Od1, od2: Od1, kdc: Kdc) -> None:
    """Every directory server, for tests that stop some of them."""


@pytest.fixture(scope="session", autouse=True)
def _one_warm_program() -> Iterator[None]:
    yield
    end_warm_program()


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person who runs the tests may have a configuration; we do not see it."""
    monkeypatch.delenv("DIRBRIDGE_CONFIG", raising=False)
    monkeypatch.delenv("KRB5_CONFIG", raising=False)
