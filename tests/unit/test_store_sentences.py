"""Every code that the store gives has its own sentence."""

from __future__ import annotations

import re
from pathlib import Path

from dirbridge import store
from dirbridge.errors import StoreError
from dirbridge.model.sentences import problems_of

SOURCES = Path(store.__file__).parent.glob("*.py")
DOCS = Path(__file__).parents[2] / "docs" / "store.md"


def codes() -> set[str]:
    """The codes that stand in the store's own code."""
    source = "".join(path.read_text() for path in SOURCES)
    given = re.findall(r'StoreError\(\s*"([a-z-]+)"', source)
    mapped = re.findall(r'^    \("[A-Z0-9_]+", "([a-z-]+)"\),$', source, re.MULTILINE)
    return {*given, *mapped}


def test_every_code_has_a_sentence_and_stands_in_the_documentation() -> None:
    broken = problems_of(StoreError("broken", "x"))[0].text
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", DOCS.read_text(), re.MULTILINE))
    assert len(codes()) >= 10
    for code in codes() - {"broken"}:
        assert problems_of(StoreError(code, "x"))[0].text != broken, code
    assert codes() <= documented
