"""Folders that other users may pass."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path


def opened(folder: Path) -> Iterator[Path]:
    """Yield a test's folder and all above it that pytest made for us alone."""
    yield folder
    yield from (each for each in folder.parents if each not in _ROOTS)


_TEMPORARY = Path(tempfile.gettempdir()).resolve()
_ROOTS = frozenset((_TEMPORARY, *_TEMPORARY.parents))
