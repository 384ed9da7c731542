"""The rooms' parts built from configuration, by subject; `App` puts them together.

A module is imported when its subject is first asked for (PEP 562): a sync needs
nothing of logins, and their libraries take long to load.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dirbridge.assembly import (
        checks,
        database,
        directories,
        guards,
        jobs,
        logins,
        methods,
        names,
        notices,
        realms,
        tickets,
        upkeep,
    )

__all__ = [
    "checks",
    "database",
    "directories",
    "guards",
    "jobs",
    "logins",
    "methods",
    "names",
    "notices",
    "realms",
    "tickets",
    "upkeep",
]


def __getattr__(name: str) -> ModuleType:
    """Import one of the modules.

    Raises:
        AttributeError: There is none of this name.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
