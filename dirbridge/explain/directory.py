"""A directory as explain needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dirbridge.connectors.base import Connector
from dirbridge.model.entry import Entry
from dirbridge.model.mapping import MappingResult, Provenance
from dirbridge.sync.planner import Policy


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory of a domain: how to read it, and what becomes of an entry.

    Attributes:
        connector: Reads entries, live.
        mapping: Turns an entry into values, or says why not.
        provenance: Says of each value which rule gave it.
        policy: The rules by which a sync would make an account of it.
    """

    connector: Connector
    mapping: Callable[[Entry], MappingResult]
    provenance: Callable[[Entry], Provenance]
    policy: Policy
