"""Make frozen values fast: a first import makes a million of each kind.

A frozen dataclass's `__init__` sets each field by its name, past its own lock: four
times as slow as plain assignments. Here a twin that is not frozen takes the fields,
and then becomes the value: an object may change its class where both have the same
slots (Python, data model, "Notes on using __slots__").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields, make_dataclass
from typing import Any, TypeVar, cast

V = TypeVar("V")


def maker(kind: type[V]) -> type[V]:
    """Return what makes values of a frozen dataclass, called as the class is called.

    Args:
        kind: A frozen dataclass with slots, whose fields are all given by name.
    """
    twin = _twin(kind, defaults=True)

    def made(**values: Any) -> V:
        value = twin(**values)
        value.__class__ = kind
        return cast("V", value)

    return cast("type[V]", made)


def remaker(kind: type[V]) -> Callable[..., V]:
    """Return what makes a value of all of its fields, in their order.

    Args:
        kind: A frozen dataclass with slots.
    """
    twin = _twin(kind, defaults=False)

    def remade(*values: Any) -> V:
        value = twin(*values)
        value.__class__ = kind
        return cast("V", value)

    return remade


def _twin(kind: type[Any], *, defaults: bool) -> type[Any]:
    own = [(one.name, Any, _spec(one) if defaults else field()) for one in fields(kind)]
    return make_dataclass(
        f"_{kind.__name__}", own, slots=True, kw_only=defaults, eq=False, repr=False
    )


def _spec(one: Field[Any]) -> Any:
    """Return a field of the same default."""
    if one.default_factory is not MISSING:
        return field(default_factory=one.default_factory)
    return field() if one.default is MISSING else field(default=one.default)
