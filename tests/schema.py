"""A small check of values against the JSON Schemas of `docs/json/`.

It knows the words of JSON Schema that those files use, and refuses any other, so
that no rule in them is silently skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "docs/json"

_KNOWN = {
    *("$schema", "title", "description", "type", "properties", "required"),
    *("additionalProperties", "items", "enum", "const", "oneOf", "$ref"),
    *("minimum", "minItems", "maxItems", "pattern", "format"),
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def faults(value: Any, schema: Any, place: str = "") -> list[str]:
    """Everything in which a value is not what the schema says."""
    assert set(schema) <= _KNOWN, set(schema) - _KNOWN
    if "$ref" in schema:
        return faults(value, load(schema["$ref"]), place)
    if "oneOf" in schema:
        fitting = [one for one in schema["oneOf"] if not faults(value, one, place)]
        return [] if len(fitting) == 1 else [f"{place}: {len(fitting)} of oneOf fit"]
    return [f"{place}: {fault}" for fault in _own(value, schema)] + [
        fault for part in _parts(value, schema, place) for fault in part
    ]


def _own(value: Any, schema: Any) -> Iterator[str]:
    if "type" in schema and not _is(value, schema["type"]):
        yield f"{value!r} is no {schema['type']}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{value!r} is not {schema['const']}"
    if isinstance(value, int) and value < schema.get("minimum", value):
        yield f"{value} is too small"
    if isinstance(value, list):
        least, most = schema.get("minItems", 0), schema.get("maxItems", len(value))
        if not least <= len(value) <= most:
            yield f"{len(value)} items"
    if isinstance(value, str):
        yield from _text(value, schema)


def _text(value: str, schema: Any) -> Iterator[str]:
    if not re.search(schema.get("pattern", ""), value):
        yield f"{value!r} does not match {schema['pattern']}"
    if schema.get("format") == "date-time":
        try:
            aware = datetime.fromisoformat(value).tzinfo is not None
        except ValueError:
            aware = False
        if not aware:
            yield f"{value!r} is no time with a zone"


def _is(value: Any, names: str | list[str]) -> bool:
    if isinstance(value, bool):
        return "boolean" in ([names] if isinstance(names, str) else names)
    wanted = [names] if isinstance(names, str) else names
    return any(isinstance(value, _TYPES[name]) for name in wanted)


def _parts(value: Any, schema: Any, place: str) -> Iterator[list[str]]:
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield faults(item, schema.get("items", {}), f"{place}[{number}]")
    if isinstance(value, dict):
        yield [f"{place}.{key} is missing" for key in _lacking(value, schema)]
        for key, item in value.items():
            yield _member(key, item, schema, f"{place}.{key}")


def _lacking(value: dict[str, Any], schema: Any) -> list[str]:
    return [key for key in schema.get("required", ()) if key not in value]


def _member(key: str, item: Any, schema: Any, place: str) -> list[str]:
    known = schema.get("properties", {})
    if key in known:
        return faults(item, known[key], place)
    more = schema.get("additionalProperties", True)
    if more is False:
        return [f"{place} is not known"]
    return [] if more is True else faults(item, more, place)
