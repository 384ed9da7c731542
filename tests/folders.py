"""Folders that other users may pass."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_home() -> Iterator[Path]:
    """Make a folder that other users may pass, and remove it in the end.

    pytest's own stand below one that each start of it, also of another run, closes
    to others again.
    """
    with tempfile.TemporaryDirectory(prefix="dirbridge-") as name:
        home = Path(name)
        home.chmod(0o755)
        yield home
