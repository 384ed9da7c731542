"""Whatever stands in the files: settings, or problems with place and mend."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dirbridge.config.loading import load_settings
from dirbridge.config.settings import (
    DirectorySettings,
    DomainSettings,
    HookSettings,
    Settings,
)
from dirbridge.errors import ConfigError, Problem
from dirbridge.mapping.profile import lint_profile

TABLES = (Settings, DomainSettings, DirectorySettings, HookSettings)
KNOWN = sorted({key for table in TABLES for key in table.model_fields})
WORDS = [
    "", "ldaps", "none", "saslauthd", "active-directory", "9s", "2G", "192.0.2.1",
    "::ffff:192.0.2.1", "company.com", "dc=x", "(a=b)", "[::", "a:b:c", "/x",
    "\u00fc.de", "sqlite:////x", "postgresql+psycopg://[", "\u2024.com",
    "x" * 300, "0660", "all",
]  # fmt: skip

scalars = (
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
)
keys = st.sampled_from([*KNOWN, *WORDS, "fiel", "file", "env"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)
domains = st.dictionaries(keys, st.dictionaries(keys, values, max_size=6), max_size=3)


def toml(value: object) -> str:
    match value:
        case dict():
            pairs = (f"{toml(key)} = {toml(each)}" for key, each in value.items())
            return f"{{ {', '.join(pairs)} }}"
        case list():
            return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def problems_of(path: Path) -> tuple[Problem, ...]:
    try:
        settings = load_settings(path)
    except ConfigError as error:
        return error.problems
    assert settings.primary in settings.domains
    return ()


@given(st.dictionaries(keys, values, max_size=5), domains)
def test_any_settings(tables: dict[str, object], some: dict[str, object]) -> None:
    tables["domains"] = some
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dirbridge.toml"
        lines = (f"{toml(key)} = {toml(value)}\n" for key, value in tables.items())
        path.write_text("".join(lines))
        for problem in problems_of(path):
            assert problem.where.startswith(("dirbridge.toml", folder))
            assert problem.text.endswith(".")
            assert problem.next.endswith(".")


@given(
    st.binary(max_size=200) | st.text("[]{}=\"'#\n a1.-,", max_size=60).map(str.encode)
)
def test_any_bytes(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.toml"
        path.write_bytes(raw)
        assert lint_profile(path)
        assert problems_of(path)


fields = st.dictionaries(
    st.sampled_from(["login_names", "upn", "quota", "state", "x"]),
    st.fixed_dictionaries(
        {},
        optional={
            "sources": values
            | st.lists(
                st.fixed_dictionaries({"attribute": scalars, "transforms": values})
            ),
            "many": scalars,
            "default": scalars,
        },
    ),
)


@given(fields, values)
def test_any_profile(account: dict[str, object], other: object) -> None:
    tables = {
        "name": "mine",
        "format": 1,
        "id": "entryUUID",
        "base_filter": "(a=b)",
        "account": account,
        "exclude": other,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.toml"
        lines = (f"{toml(key)} = {toml(value)}\n" for key, value in tables.items())
        path.write_text("".join(lines))
        for problem in lint_profile(path):
            assert problem.text.endswith(".")
            assert problem.next.endswith(".")
