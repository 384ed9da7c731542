"""Real servers for tests: started on demand, once per run, in a namespace."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from testbed import namespace, provision
from testbed.bed import Bed
from testbed.kdc import Kdc
from testbed.postgresql import Postgresql
from testbed.samba import Dc1, Dc2
from testbed.slapd import Od1, Od2

# marker: the part of the bed, or the programs with their Debian package
PARTS = {
    "needs_samba": "ad",
    "needs_slapd": "od",
    "needs_kdc": "kdc",
    "needs_postgresql": "postgresql",
}
PROGRAMS = {
    "needs_postfix": (("postfix", "postfix"),),
    "needs_fail2ban": (("fail2ban-regex", "fail2ban"),),
    "needs_saslauthd": (("testsaslauthd", "sasl2-bin"), ("saslauthd", "sasl2-bin")),
}
# fixture: the marker that it brings along
MARKERS = {
    "dc1": "needs_samba",
    "dc2": "needs_samba",
    "od1": "needs_slapd",
    "od2": "needs_slapd",
    "kdc": "needs_kdc",
    "postgresql": "needs_postgresql",
}
REQUIRED = "DIRBRIDGE_REQUIRE_SERVERS"

# hypothesis profile: examples for a property, and for one that is marked `fuzz`
PROFILES = {"check": (50, 100), "test": (100, 10_000)}

for name, (examples, _) in PROFILES.items():
    settings.register_profile(
        name,
        max_examples=examples,
        print_blob=True,
        # The machine may be busy with real servers.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("check")  # `./run test` asks for the other

# What takes longest begins first: so no worker is left alone with it in the end.
LONGEST = (
    # While the one is fed, a cache that is empty is filled for the others.
    *("test_demo", "test_fuzz", "test_changes", "test_bad_input", "test_failover"),
    *("test_turns", "test_first_day", "test_fleet", "test_history", "test_watching"),
    *("test_store_view", "test_serve_failover", "test_sealed", "test_authenticator"),
    *("test_sync_kill", "test_secrets", "test_explain", "test_store_memories"),
    *("test_login_outages", "test_login_soak", "test_login_cast", "test_login_secrets"),
    *("test_saved_plans", "test_connector", "test_store", "test_access"),
)

_RANK = {name: rank for rank, name in enumerate(LONGEST)}

_no_namespace = pytest.StashKey[str]()


def pytest_configure() -> None:
    """Let Ctrl-C work in what the tests start.

    A shell ignores it for what runs in its background, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _RANK.get(item.path.stem, len(_RANK)))
    for item in items:
        for fixture in set(getattr(item, "fixturenames", ())) & MARKERS.keys():
            item.add_marker(MARKERS[fixture])
    _, examples = PROFILES[settings.get_current_profile_name()]
    # One function may be many items, by its parameters.
    for fuzz in {_function(item) for item in items if item.get_closest_marker("fuzz")}:
        settings(max_examples=examples)(fuzz)


def _function(item: pytest.Item) -> Callable[..., object]:
    """What a test marked `fuzz` runs; it leaves its settings to the profile."""
    function = getattr(item, "function", None)
    if function is None or not is_hypothesis_test(function):
        raise pytest.UsageError(f"{item.nodeid} is marked fuzz and is no property.")
    return function


def pytest_collection_finish(session: pytest.Session) -> None:
    """Enter the namespace while there is only one thread.

    A worker of pytest-xdist has one more, which only talks to its master.
    """
    if session.config.option.collectonly:
        return
    if not any(_needs(item) for item in session.items):
        return
    try:
        namespace.enter(threads=2 if hasattr(session.config, "workerinput") else 1)
    except namespace.NamespaceError as error:
        session.config.stash[_no_namespace] = str(error)


def pytest_runtest_setup(item: pytest.Item) -> None:
    needs = _needs(item)
    missing = sorted({package for marker in needs for package in _missing(marker)})
    if missing:
        _skip(f"Debian packages are missing: apt-get install {' '.join(missing)}")
    if needs and _no_namespace in item.config.stash:
        _skip(item.config.stash[_no_namespace])


def _needs(item: pytest.Item) -> list[str]:
    known = PARTS.keys() | PROGRAMS.keys()
    return [mark.name for mark in item.iter_markers() if mark.name in known]


def _missing(marker: str) -> list[str]:
    if marker in PARTS:
        return provision.missing_packages(PARTS[marker])
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [
        package
        for program, package in PROGRAMS[marker]
        if shutil.which(program, path=path) is None
    ]


def _skip(reason: str) -> None:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but: {reason}", pytrace=False)
    pytest.skip(reason)


_beds: list[Bed] = []


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """The bed, with nothing started; ask for `dc1`, `od1`... as well."""
    directory = Path(tempfile.mkdtemp(prefix="bed-"))
    directory.chmod(0o711)  # PostgreSQL's user passes through
    try:
        with Bed(directory) as made:
            _beds.append(made)
            yield made
    finally:
        _beds.clear()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(autouse=True)
def _heal_servers() -> Iterator[None]:
    """After each test: start, thaw and restore what it left otherwise."""
    yield
    for made in _beds:
        made.heal()


@pytest.fixture(scope="session")
def dc1(bed: Bed) -> Dc1:
    bed.start("dc1")
    return bed.dc1


@pytest.fixture(scope="session")
def dc2(bed: Bed) -> Dc2:
    bed.start("dc2")
    return bed.dc2


@pytest.fixture(scope="session")
def od1(bed: Bed) -> Od1:
    bed.start("od1")
    return bed.od1


@pytest.fixture(scope="session")
def od2(bed: Bed) -> Od2:
    bed.start("od2")
    return bed.od2


@pytest.fixture(scope="session")
def kdc(bed: Bed) -> Kdc:
    bed.start("kdc")
    return bed.kdc


@pytest.fixture(scope="session")
def postgresql(bed: Bed) -> Postgresql:
    bed.start("postgresql")
    return bed.postgresql


@pytest.fixture
def full_url(postgresql: Postgresql) -> Iterator[str]:
    """The url, with its password, of an empty database of the test's own."""
    name = f"own_{uuid4().hex}"
    yield postgresql.create_database(name)
    postgresql.drop_database(name)


@pytest.fixture
def changeable_ad(bed: Bed, dc1: Dc1) -> Iterator[Dc1]:
    """DC 1 for a test that changes people: afterwards both DCs are as new."""
    yield dc1
    bed.reset("dc1")


@pytest.fixture
def changeable_od(bed: Bed, od1: Od1) -> Iterator[Od1]:
    """The OD master for a test that changes people: afterwards it is as new."""
    yield od1
    bed.reset("od1")
