"""Load `dirbridge.toml` and `realms/*.toml`; tell every problem at once.

pydantic looks at single keys, `rules` at what stands between tables. A file with
broken keys still gets its rules checked, without the broken parts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from dirbridge.config import rules, shipped
from dirbridge.config.problems import (
    Location,
    as_written,
    place,
    problems_of,
    sound_part,
)
from dirbridge.config.settings import RealmSettings, Settings
from dirbridge.config.toml_file import read_toml
from dirbridge.errors import ConfigError, Problem
from dirbridge.model.names import RealmName

T = TypeVar("T")

ENVIRONMENT = "DIRBRIDGE_CONFIG"
PLACES = (Path("dirbridge.toml"), Path("/etc/dirbridge/dirbridge.toml"))


@dataclass(frozen=True, slots=True)
class Configuration:
    """All settings, valid as a whole.

    Attributes:
        path: The file they were read from.
        settings: What it says.
        realms: The realm files by realm, shipped and local.
    """

    path: Path
    settings: Settings
    realms: Mapping[RealmName, RealmSettings]

    @property
    def beside(self) -> Path:
        """The folder of the file, where `mappings/` and `realms/` may stand."""
        return self.path.parent


def load(
    path: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Configuration:
    """Load the configuration.

    Args:
        path: The file that was named; else `$DIRBRIDGE_CONFIG`, else
            `./dirbridge.toml`, else `/etc/dirbridge/dirbridge.toml`.
        environment: The environment variables.

    Raises:
        ConfigError: It cannot be used; every problem of all files at once.
    """
    file = find(path, environment)
    problems: list[Problem] = []
    settings = _collected(problems, load_settings, file)
    realms = _collected(problems, load_realms, file.parent)
    if settings is None or realms is None:
        raise ConfigError(tuple(problems))
    return Configuration(file, settings, realms)


def find(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the configuration file to read, as an absolute path.

    Raises:
        ConfigError: None was named, and there is none at the usual places.
    """
    named = path or environment.get(ENVIRONMENT)
    if named:
        return Path(named).absolute()
    found = next((each for each in PLACES if each.is_file()), None)
    if found is not None:
        return found.absolute()
    problem = Problem(
        "missing-file",
        str(PLACES[0]),
        f"There is no configuration, neither {' nor '.join(map(str, PLACES))}.",
        'Run "dirbridge init" to write one, or name one with --config.',
    )
    raise ConfigError((problem,))


def load_settings(path: Path) -> Settings:
    """Load one `dirbridge.toml`, without the realm files.

    Raises:
        ConfigError: It cannot be used; every problem at once.
    """
    return validate(read_toml(path), path)


def validate(raw: Mapping[str, object], path: Path) -> Settings:
    """Make settings of the tables of a `dirbridge.toml`.

    Args:
        raw: The tables.
        path: The file that they stand in, or will stand in.

    Raises:
        ConfigError: They cannot be used; every problem at once.
    """
    context = {"beside": path.absolute().parent}
    try:
        settings = Settings.model_validate(raw, context=context)
    except ValidationError as error:
        problems = problems_of(error, Settings, raw, path.name)
        raise ConfigError((*problems, *_further(raw, error, path))) from None
    problems = tuple(_broken_rules(settings, raw, path.name))
    if problems:
        raise ConfigError(problems)
    return settings


def load_realms(beside: Path | None = None) -> dict[RealmName, RealmSettings]:
    """Load the shipped realms and those beside the configuration, which win.

    Raises:
        ConfigError: A file is broken, or two files of one folder describe the
            same realm; every problem at once.
    """
    problems: list[Problem] = []
    realms: dict[RealmName, RealmSettings] = {}
    sources: dict[RealmName, Path] = {}
    for path in shipped.files("realms", beside).values():
        realm = _collected(problems, _load_realm, path)
        if realm is None:
            continue
        other = sources.get(realm.name)
        if other is not None and other.parent == path.parent:
            problems.append(_two_files(realm.name, other, path))
        # Shipped files come first, so a local one replaces them.
        realms[realm.name], sources[realm.name] = realm, path
    if problems:
        raise ConfigError(tuple(problems))
    return realms


def _load_realm(path: Path) -> RealmSettings:
    raw = read_toml(path)
    file = f"realms/{path.name}"
    try:
        realm = RealmSettings.model_validate(raw, context={"beside": path.parent})
    except ValidationError as error:
        raise ConfigError(problems_of(error, RealmSettings, raw, file)) from None
    if realm.keytab is not None and realm.keytab.env is not None:
        problem = Problem(
            "wrong-value",
            place(file, ("keytab",)),
            "A keytab cannot stand in an environment variable.",
            'Write keytab = { file = "/etc/dirbridge/secrets/NAME.keytab" }.',
        )
        raise ConfigError((problem,))
    return realm


def _two_files(name: RealmName, one: Path, other: Path) -> Problem:
    return Problem(
        "realm-twice",
        place(f"realms/{other.name}", ("name",)),
        f"The realm {name} is described in {one.name} as well.",
        "Keep one of the two files.",
    )


def _collected(
    problems: list[Problem], read: Callable[[Path], T], path: Path
) -> T | None:
    try:
        return read(path)
    except ConfigError as error:
        problems.extend(error.problems)
        return None


def _further(
    raw: Mapping[str, object], error: ValidationError, path: Path
) -> Iterator[Problem]:
    """Yield what the rules say of a file without its broken parts."""
    context = {"beside": path.absolute().parent}
    settings, gone = sound_part(Settings, raw, error, context)
    if settings is not None:
        yield from _broken_rules(settings, raw, path.name, gone)


def _broken_rules(
    settings: Settings,
    raw: Mapping[str, object],
    file: str,
    gone: tuple[Location, ...] = (),
) -> Iterator[Problem]:
    for found in rules.broken(settings, raw):
        needs = (as_written(each, raw) for each in found.needs)
        if any(_is_within(need, each) for need in needs for each in gone):
            continue  # it stands in the file, but is broken and told already
        where = place(file, as_written(found.keys, raw))
        yield Problem(found.code, where, found.text, found.next)


def _is_within(one: Location, other: Location) -> bool:
    """Tell whether one of two places stands within the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
