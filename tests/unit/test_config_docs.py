"""The manual names every key, every value, every transform; its examples load."""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from dirbridge.config.settings import RealmSettings, Settings
from dirbridge.mapping.fields import ACCOUNT_FIELDS, GROUP_FIELDS
from dirbridge.mapping.profile import DEFAULT_WORDS, lint_profile
from dirbridge.mapping.transforms import TRANSFORMS

DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text()
MAPPINGS = (DOCS / "mappings.md").read_text()

SECTIONS = {
    "store": "## `[store]`",
    "serve": "## `[serve]`",
    "hooks": "## `[[hooks]]`",
    "domains": '## `[domains."company.com"]`',
    "directory": '### `[domains."company.com".directory]`',
    "login": '### `[domains."company.com".login]`',
    "mailbox": '### `[domains."company.com".mailbox]`',
    "limits": '### `[domains."company.com".limits]`',
    "sync": '### `[domains."company.com".sync]`',
    "notices": "## `[notices]`",
    "guard": "## `[guard]`",
    "retention": "## `[retention]`",
    "realm": "## `realms/*.toml`",
}


def tables_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for each in get_args(annotation) for table in tables_in(each)]


def enums_in(annotation: object) -> list[type[StrEnum]]:
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return [annotation]
    return [enum for each in get_args(annotation) for enum in enums_in(each)]


def all_keys(name: str, table: type[BaseModel]) -> list[tuple[str, str, object]]:
    """Every (section, key, annotation), tables within tables too."""
    found: list[tuple[str, str, object]] = []
    for key, field in table.model_fields.items():
        within = [
            t for t in tables_in(field.annotation) if "file" not in t.model_fields
        ]
        for each in within:
            found += all_keys(key, each)
        if not within:
            found.append((name, key, field.annotation))
    return found


KEYS = [*all_keys("top", Settings), *all_keys("realm", RealmSettings)]


def section(name: str) -> str:
    start = CONFIGURATION.index(SECTIONS[name])
    rest = CONFIGURATION[start + 3 :]
    return rest[: m.start()] if (m := re.search(r"^##+ ", rest, re.MULTILINE)) else rest


@pytest.mark.parametrize(("table", "key", "annotation"), KEYS)
def test_every_key_is_documented(table: str, key: str, annotation: object) -> None:
    text = section(table)
    assert re.search(rf"^\| `{key}` \| .+ \| .+ \|$", text, re.MULTILINE)
    for enum in enums_in(annotation):
        for value in enum:
            assert f'"{value}"' in text


def test_no_key_is_documented_that_there_is_not() -> None:
    known = {(table, key) for table, key, _ in KEYS}
    for name in SECTIONS:
        for key in re.findall(r"^\| `(\w+)` \|", section(name), re.MULTILINE):
            assert (name, key) in known


def defaults() -> list[tuple[str, str, str]]:
    return [
        (name, key, default)
        for name in SECTIONS
        for key, default in re.findall(
            r"^\| `(\w+)` \| `([^`]+)` \|", section(name), re.MULTILINE
        )
    ]


@pytest.mark.parametrize(("table", "key", "default"), defaults())
def test_documented_defaults_are_the_real_ones(
    table: str, key: str, default: str
) -> None:
    written = tomllib.loads(f"x = {default}")["x"]
    here = {"top": Settings, "realm": RealmSettings}
    tables = dict(_models("top", Settings)) | here
    model = tables[table]
    required = {
        name: value
        for name, value in {
            "type": {"directory": "ldap", "hooks": "saslauthd"}.get(table),
            "server": "x",
            "username": "x",
            "name": "x",
        }.items()
        if name in model.model_fields
        and value
        and model.model_fields[name].is_required()
    }
    whole = model.model_validate({**required, key: written})
    assert getattr(whole, key) == getattr(model.model_validate(required), key)


def _models(name: str, table: type[BaseModel]):
    yield name, table
    for key, field in table.model_fields.items():
        for each in tables_in(field.annotation):
            yield from _models(key, each)


@pytest.mark.parametrize(
    "example", re.findall(r"```toml\n(.*?)```", CONFIGURATION, re.DOTALL)
)
def test_examples_have_only_known_keys(example: str) -> None:
    raw = tomllib.loads(example)
    if "keytab" in raw:
        RealmSettings.model_validate(raw)
        return
    raw.setdefault("domains", {"company.com": {}})
    Settings.model_validate(raw)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_is_documented(name: str) -> None:
    transform = TRANSFORMS[name]
    line = rf"^\| `{name}` \| {transform.takes} \| {transform.gives} \| .+ \|$"
    assert re.search(line, MAPPINGS, re.MULTILINE)


@pytest.mark.parametrize("name", ACCOUNT_FIELDS)
def test_every_field_is_documented(name: str) -> None:
    field = ACCOUNT_FIELDS[name]
    holds = str(field.kind) + {True: "(s|es)", False: ""}[field.many]
    assert re.search(rf"^\| `{name}` \| {holds} \|", MAPPINGS, re.MULTILINE)


def test_group_fields_and_words_are_documented() -> None:
    for name in GROUP_FIELDS:
        assert f"`{name}`" in MAPPINGS
    for word in DEFAULT_WORDS:
        assert f"`{{{word}}}`" in MAPPINGS


def test_the_example_of_the_mappings_page_is_sound(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", MAPPINGS, re.DOTALL)
    path = tmp_path / "mine.toml"
    path.write_text(example)
    assert lint_profile(path) == ()
