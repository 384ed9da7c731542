"""Read one TOML file; what is wrong with it becomes one problem with a mend."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from dirbridge.errors import ConfigError, Problem


def read_toml(path: Path) -> dict[str, object]:
    """Read a TOML file.

    Args:
        path: The file.

    Returns:
        Its tables.

    Raises:
        ConfigError: It is missing, unreadable, not UTF-8 or not TOML; the one
            problem names the file and, where there is one, the line.
    """
    try:
        text = path.read_bytes().decode()
        return tomllib.loads(text)
    except FileNotFoundError:
        problem = Problem(
            "missing-file",
            str(path),
            "There is no such file.",
            "Write it, or name another one with --config.",
        )
    except OSError as error:
        problem = Problem(
            "unreadable-file",
            str(path),
            f"The file cannot be read: {error.strerror}.",
            "Let the user that runs dirbridge read it.",
        )
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problem = Problem(
            "not-utf-8",
            f"{path}: line {line}",
            "The file is not UTF-8.",
            "Save it as UTF-8 in your editor.",
        )
    except tomllib.TOMLDecodeError as error:
        problem = _syntax(path, str(error), text)
    except RecursionError:
        problem = Problem(
            "toml-syntax",
            str(path),
            "The file nests lists or tables too deeply.",
            "Write it flatter.",
        )
    raise ConfigError((problem,)) from None


def _syntax(path: Path, message: str, text: str) -> Problem:
    """Turn `Invalid value (at line 2, column 3)` into place and text.

    Newer parsers may repeat a piece of the file, which may be a secret; only the
    place and the words before the first quotation mark are kept.
    """
    place = re.search(r"\(at (?:line (\d+), column (\d+)|end of document)\)", message)
    line = place[1] if place and place[1] else str(text.count("\n") + 1)
    words = re.split(r"['\"(]", message)[0].strip(" :") or "Not readable"
    return Problem(
        "toml-syntax",
        f"{path}: line {line}",
        f"The line is not TOML: {words[0].lower()}{words[1:]}.",
        'Mend the line; text needs quotation marks, as in key = "text".',
    )
