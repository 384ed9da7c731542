"""Everything that takes long is built once and copied ever after.

The cache holds parts: `base` (the authority and the passwords), which all
others are built with, and one per kind of server.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed import ca, cast, kdc, postgresql, samba_provision, slapd
from testbed.process import BedError, copy_folder, run

ROOT = Path(__file__).resolve().parent.parent
BASE = "base"
UNUSED_AFTER = 7 * 86400

# Passwords with characters that are easily mangled on their way.
HARD = {"ad:jürgen": " \"ü\\ß, '€", "od:siobhan": " %\"ä:\\é' #"}


@dataclass(frozen=True, slots=True)
class Part:
    """What can be built by itself.

    Attributes:
        build: Fills a bed directory that already has the base.
        sources: Modules whose change means building anew.
        programs: What it needs: program and Debian package.
    """

    build: Callable[[Path], None]
    sources: tuple[str, ...]
    programs: tuple[tuple[str, str], ...]


def _build_base(directory: Path) -> None:
    ca.build(directory / "ca")
    passwords = {
        # Samba wants three kinds of characters, which chance alone may not give.
        name: f"{secrets.token_urlsafe(12)}-Aa1{HARD.get(name, '')}"
        for name in _password_names()
    }
    file = directory / "passwords.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(passwords, indent=1))


def _password_names() -> list[str]:
    return [
        *("ad:Administrator", f"ad:{samba_provision.SERVICE_ACCOUNT}", slapd.ROOT_KEY),
        *("od:kdc-master", postgresql.PASSWORD_KEY),
        *(f"ad:{person.sam}" for person in cast.AD_PEOPLE),
        *(f"od:{person.uid}" for person in cast.OD_PEOPLE),
    ]


PARTS = {
    BASE: Part(_build_base, ("ca",), (("openssl", "openssl"),)),
    "ad": Part(
        samba_provision.build,
        ("samba_provision", "cast"),
        (
            ("samba", "samba"),
            ("samba_spnupdate", "samba"),
            ("samba-tool", "samba-common-bin"),
            ("/usr/share/samba/setup/provision.ldif", "samba-ad-provision"),
            ("ldbadd", "ldb-tools"),
            ("ldapmodify", "ldap-utils"),
        ),
    ),
    "od": Part(
        slapd.build,
        ("slapd", "apple", "cast"),
        (("slapd", "slapd"), ("slapadd", "slapd"), ("ldapmodify", "ldap-utils")),
    ),
    "kdc": Part(
        kdc.build,
        ("kdc", "cast"),
        (
            ("krb5kdc", "krb5-kdc"),
            ("kdb5_util", "krb5-kdc"),
            ("kadmin.local", "krb5-admin-server"),
        ),
    ),
    "postgresql": Part(postgresql.build, ("postgresql",), (("initdb", "postgresql"),)),
}


def missing_packages(part: str) -> list[str]:
    """The Debian packages without which this part cannot be had."""
    needed = (*PARTS[BASE].programs, *PARTS[part].programs)
    return sorted({package for name, package in needed if not _is_there(name)})


def _is_there(program: str) -> bool:
    if program.startswith("/"):
        return Path(program).exists()
    if program == "initdb":
        return any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return shutil.which(program, path=path) is not None


def copy(part: str, directory: Path) -> None:
    """Put a part into a bed directory, building it first where need be.

    Raises:
        BedError: A package is missing or the build failed.
    """
    copy_folder(ensure(part), directory)


def ensure(part: str) -> Path:
    """The folder of a part in the cache; one process builds, others wait.

    Raises:
        BedError: A package is missing or the build failed.
    """
    if missing := missing_packages(part):
        raise BedError(
            f"The test bed misses programs: apt-get install {' '.join(missing)}"
        )
    base = ensure(BASE) if part != BASE else None
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"{part}-{_fingerprint(part, base)}"
    with _lock(cache / f"{part}.lock"):
        if not target.exists():
            _build_elsewhere(part, target)
        os.utime(target)
        _forget_old(cache, part)
    return target


def cache_folder() -> Path:
    """Where built parts are kept: $TESTBED_CACHE, or below `build`."""
    return Path(os.environ.get("TESTBED_CACHE") or ROOT / "build" / "testbed-cache")


def build(part: str, target: Path) -> None:
    """Build one part; to be called in a process of its own, in a namespace."""
    # Short, for sockets live below, and passable for PostgreSQL's user.
    with tempfile.TemporaryDirectory(prefix="bed-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        if part != BASE:
            copy(BASE, directory)
        base = {path.name for path in directory.iterdir()}
        PARTS[part].build(directory)
        unfinished = target.with_name(f".{target.name}-{os.getpid()}")
        unfinished.mkdir(mode=0o711)
        for path in directory.iterdir():
            if path.name not in base and path.name != "krb5.conf":
                run(["cp", "-a", "--sparse=always", path, unfinished])
        unfinished.rename(target)


def _build_elsewhere(part: str, target: Path) -> None:
    """Build in a child: it has a namespace of its own and no open servers."""
    path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    argv = ["env", f"PYTHONPATH={path}", sys.executable, "-m", "testbed"]
    run([*argv, "build", part, target], timeout=900)


def _forget_old(cache: Path, part: str) -> None:
    """Remove versions of a part that nobody has used for a week."""
    for folder in cache.glob(f"*{part}-*"):
        if time.time() - folder.stat().st_mtime > UNUSED_AFTER:
            shutil.rmtree(folder)


def _fingerprint(part: str, base: Path | None) -> str:
    digest = hashlib.sha256()
    for name in PARTS[part].sources:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    packages = {package for _, package in PARTS[part].programs}
    for package in sorted(packages):
        digest.update(f"{package} {_version(package)}\n".encode())
    digest.update("\n".join(_password_names()).encode())
    if base is not None:
        digest.update((base / "passwords.json").read_bytes())
        digest.update((base / "ca" / "ca.pem").read_bytes())
    return digest.hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return run(["dpkg-query", "-W", "-f", "${Version}", package])
    except (BedError, FileNotFoundError):
        return "unknown"


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
