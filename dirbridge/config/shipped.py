"""Where the shipped `mappings/` and `realms/` stand.

In a checkout they are folders at the top of the tree; in an installed wheel they
stand inside the package, in `dirbridge/shipped/`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import dirbridge


def folder(name: str) -> Path:
    """Return the shipped folder of that name, `mappings` or `realms`."""
    packaged = Path(str(resources.files(dirbridge))) / "shipped" / name
    return packaged if packaged.is_dir() else _top_of_checkout() / name


def files(name: str, beside: Path | None = None) -> dict[str, Path]:
    """Return the TOML files of a folder by stem; a local one wins over a shipped.

    Args:
        name: `mappings` or `realms`.
        beside: The folder of the configuration file, which may hold a folder of
            that name as well.
    """
    folders = [folder(name)] + ([beside / name] if beside else [])
    return {
        path.stem: path
        for each in folders
        if each.is_dir()
        for path in sorted(each.glob("*.toml"))
    }


def _top_of_checkout() -> Path:
    return Path(__file__).resolve().parents[2]
