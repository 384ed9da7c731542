"""Turn what pydantic finds into problems with place, sentence and mend.

The parsers in `types` say `what is wrong; how to write it`. For pydantic's own
findings there is the table below. Values of keys that may hold a secret are never
repeated, nor are the values of unknown keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from difflib import get_close_matches
from typing import TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dirbridge.errors import Problem

M = TypeVar("M", bound=BaseModel)

Location = tuple[int | str, ...]

_SECRET_KEYS = re.compile(
    r"pass|secret|token|credential|keytab|pin|url|webhook", re.IGNORECASE
)
_LONGEST = 60
_MOST_ROUNDS = 5

# pydantic's type of error: our code, what is wrong, the mend.
_SENTENCES: Mapping[str, tuple[str, str, str]] = {
    "missing": ("missing-key", "is missing", "Add it to this table"),
    "bool_type": ("wrong-type", "must be true or false", "Write true or false"),
    "int_type": ("wrong-type", "must be a whole number", "Write digits, unquoted"),
    "int_parsing": ("wrong-type", "must be a whole number", "Write digits, unquoted"),
    "int_from_float": ("wrong-type", "must be a whole number", "Write digits only"),
    "float_type": ("wrong-type", "must be a number", "Write it like 0.1, unquoted"),
    "float_parsing": ("wrong-type", "must be a number", "Write it like 0.1, unquoted"),
    "string_type": ("wrong-type", "must be text", "Write it in quotation marks"),
    "time_delta_type": ("wrong-type", "must be a duration", 'Write it like "5m"'),
    "path_type": ("wrong-type", "must be a path", "Write it in quotation marks"),
    "tuple_type": ("wrong-type", "must be a list", 'Write it like ["one", "two"]'),
    "dict_type": ("wrong-type", "must be a table", "Write it as a [table] of its own"),
    "model_type": ("wrong-type", "must be a table", "Write it as a [table] of its own"),
    "model_attributes_type": (
        "wrong-type",
        "must be a table",
        "Write it as a [table] of its own",
    ),
    "enum": ("wrong-value", "must be {expected}", "Choose one of them"),
    "literal_error": ("wrong-value", "must be {expected}", "Write {expected}"),
    "greater_than_equal": ("wrong-value", "must be at least {ge}", "Raise it"),
    "less_than_equal": ("wrong-value", "must be at most {le}", "Lower it"),
    "greater_than": ("wrong-value", "must be more than {gt}", "Raise it"),
}

_LATER_VALUES: Mapping[str, frozenset[str]] = {
    "type": frozenset({"dovecot-dict", "socketmap", "policy", "nginx", "http"}),
}
"""Values that the manual names and whose work comes with a later release."""

_UNKNOWN_TYPE = ("wrong-value", "is not allowed here", "Look it up in the manual")


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    raw: Mapping[str, object],
    file: str,
) -> tuple[Problem, ...]:
    """Return one problem for each thing that pydantic found.

    Args:
        error: What pydantic raised.
        model: The class that was to be built.
        raw: The file's tables as read.
        file: The file's name for people.
    """
    return tuple(_problem(each, model, raw, file) for each in error.errors())


def place(file: str, keys: Iterable[int | str]) -> str:
    """Return a place for people: `file: table.subtable: key`.

    A number counts from one, as in `hooks #2`, and names one of several.
    """
    parts: list[str] = []
    for key in keys:
        if isinstance(key, int) and parts:
            parts[-1] += f" #{key + 1}"
        else:
            parts.append(_quoted(str(key)))
    return ": ".join(part for part in (file, ".".join(parts[:-1]), *parts[-1:]) if part)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a mistyped one most likely means."""
    by_fold = {each.lower().replace("-", "_"): each for each in known}
    close = get_close_matches(name.lower().replace("-", "_"), by_fold, n=1, cutoff=0.6)
    return by_fold[close[0]] if close else None


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return the mend for an unknown name: the nearest one, or all that there are."""
    close = nearest(name, known)
    if close is not None:
        return f'Write "{close}", if that is meant.'
    return f"Choose one of these: {', '.join(known)}." if known else "Take it out."


def sentence(text: str) -> str:
    """Return the text with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


def as_written(location: Location, raw: object) -> Location:
    """Drop what pydantic adds: `[key]`, and 0 where one table stands for a list."""
    keys: list[int | str] = []
    for key in location:
        if key == "[key]" or (isinstance(key, int) and not isinstance(raw, list)):
            continue
        keys.append(key)
        raw = _step(raw, key)
    return tuple(keys)


def sound_part(
    model: type[M],
    raw: Mapping[str, object],
    error: ValidationError,
    context: Mapping[str, object] | None = None,
) -> tuple[M | None, tuple[Location, ...]]:
    """Build the model without what is broken, for further checks to look at.

    So that a typo in one table does not hide two primary domains in others.

    Args:
        model: The class that was to be built.
        raw: The file's tables.
        error: What pydantic found in them.
        context: What the validators need.

    Returns:
        The model, or None where the broken parts cannot be spared; and the places
        that were taken out.
    """
    tables = deepcopy(dict(raw))
    gone: list[Location] = []
    for _ in range(_MOST_ROUNDS):
        gone += _prune(tables, error)
        try:
            return model.model_validate(tables, context=dict(context or {})), tuple(
                gone
            )
        except ValidationError as again:
            error = again
    return None, tuple(gone)


def _prune(tables: dict[str, object], error: ValidationError) -> list[Location]:
    """Take out what an error names; return the places."""
    places = []
    for detail in error.errors():
        location = as_written(detail["loc"], tables)
        if detail["type"] == "missing":
            location = location[:-1]
        # A list that lost one of its tables would count the others wrongly.
        if location and isinstance(location[-1], int):
            location = location[:-1]
        places.append(location)
    for location in places:
        _take_out(tables, location)
    return places


def _take_out(tables: object, location: Location) -> None:
    for key in location[:-1]:
        tables = _step(tables, key)
    if isinstance(tables, dict) and location:
        tables.pop(location[-1], None)


def _problem(
    detail: ErrorDetails, model: type[BaseModel], raw: Mapping[str, object], file: str
) -> Problem:
    keys = as_written(detail["loc"], raw)
    where = place(file, keys)
    key = next((str(each) for each in reversed(keys) if isinstance(each, str)), "")
    if detail["type"] == "extra_forbidden":
        known = _keys_of(model, detail["loc"][:-1])
        text = f'The key "{key}" is not known here.'
        return Problem("unknown-key", where, text, did_you_mean(key, known))
    if detail["loc"][-1:] == ("[key]",):
        subject = _shown(key)
    else:
        subject = _subject(key, keys, detail["input"])
    if detail["type"] == "value_error":
        wrong, _, mend = str(detail["ctx"]["error"]).partition("; ")
        text = f"{subject} {wrong}."
        return Problem("wrong-value", where, text, sentence(mend or "Mend it"))
    return _from_table(detail, where, key, subject)


def _from_table(detail: ErrorDetails, where: str, key: str, subject: str) -> Problem:
    code, wrong, mend = _SENTENCES.get(detail["type"], _UNKNOWN_TYPE)
    context = detail.get("ctx", {})
    if "expected" in context:
        context = {"expected": str(context["expected"]).replace("'", '"')}
    if code == "missing-key":
        return Problem(code, where, f'The key "{key}" is missing.', f"{mend}.")
    if str(detail["input"]) in _LATER_VALUES.get(key, ()):
        text = f"{subject} is not in this release yet."
        return Problem("not-yet", where, text, f"Write {context['expected']}.")
    text = f"{subject} {wrong.format(**context)}."
    close = detail["type"] == "enum" and nearest(
        str(detail["input"]), re.findall(r'"([^"]+)"', context["expected"])
    )
    mend = f'Write "{close}", if that is meant' if close else mend.format(**context)
    return Problem(code, where, text, f"{mend}.")


def _subject(key: str, keys: Location, value: object) -> str:
    """Return `key = value`, or the key alone where the value is not to be shown."""
    hidden = any(_SECRET_KEYS.search(str(each)) for each in keys)
    if hidden or not isinstance(value, str | int | float):
        return f'The key "{key}"'
    return f"{key} = {_shown(value)}"


def _shown(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def _step(raw: object, key: int | str) -> object:
    match raw:
        case dict():
            return raw.get(key)
        case list() if isinstance(key, int) and key < len(raw):
            return raw[key]
    return None


def _quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _shown(key)


def _keys_of(model: type[BaseModel], location: Location) -> tuple[str, ...]:
    """Return the keys of the table at a location."""
    current, free_key = model, False
    for key in location:
        if isinstance(key, int):
            continue
        if free_key or key not in current.model_fields:
            free_key = False
            continue
        annotation = current.model_fields[key].annotation
        current = _table_in(annotation) or current
        free_key = get_origin(annotation) is dict
    return tuple(current.model_fields)


def _table_in(annotation: object) -> type[BaseModel] | None:
    """Return the table class inside an annotation such as `tuple[Hook, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_table_in(argument) for argument in get_args(annotation))
    return next((found for found in inner if found is not None), None)
