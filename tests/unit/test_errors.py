"""What others say stands in one line, wherever it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from dirbridge.cli import log_lines
from dirbridge.errors import (
    MOST_DETAIL,
    BindRefused,
    DirbridgeError,
    DirectoryError,
    IncompleteRead,
    RemoteProtocolError,
    StoreError,
    Unreachable,
    Unsupported,
    harmless,
)
from dirbridge.model.sentences import problems_of

FORGED = (
    "go away\r\nlogin verdict=accepted user=x rip=192.0.2.1\x1b[2K\x85\u2028\u202e!"
)
HARMLESS = "go away login verdict=accepted user=x rip=192.0.2.1 [2K !"


def of_directory(kind: type[DirectoryError]) -> Callable[[str], DirbridgeError]:
    return lambda said: kind(
        domain="x", server="dc1:389", operation="read", code="closed", detail=said
    )


KINDS: dict[str, Callable[[str], DirbridgeError]] = {
    "unreachable": of_directory(Unreachable),
    "refused": of_directory(BindRefused),
    "unsupported": of_directory(Unsupported),
    "incomplete": of_directory(IncompleteRead),
    "server": lambda said: Unreachable(
        domain="x", server=said, operation="read", code="closed"
    ),
    "store": lambda said: StoreError("broken", "here", said),
    "other": RemoteProtocolError,
}


@pytest.mark.parametrize("made", KINDS.values(), ids=KINDS.keys())
def test_an_error_tells_others_words_in_one_line(
    made: Callable[[str], DirbridgeError],
) -> None:
    (problem,) = problems_of(made(FORGED))
    said = f"{problem.where} {problem.text} {problem.next}"
    assert HARMLESS in said
    assert said.isprintable()


def test_an_error_is_of_bounded_length() -> None:
    error = Unreachable(
        domain="x", server="y", operation="read", code="closed", detail="z" * 10**6
    )
    assert len(error.detail) == MOST_DETAIL
    assert error.detail.endswith("z…")
    assert len(str(error)) < MOST_DETAIL + 100


def test_what_is_harmless_stays_as_it_is() -> None:
    said = "80090308: LdapErr: DSID-0C090569, data 52e, v4f7c; Gerät größer 日本語"
    assert harmless(said) == said


def test_no_line_of_the_log_holds_two(capfd: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("dirbridge")
    before, level = list(log.handlers), log.level
    log_lines.log_to_stderr()
    try:
        logging.getLogger("dirbridge.sync").warning("sync %s", FORGED)
    finally:
        log.handlers[:] = before
        log.setLevel(level)
    assert capfd.readouterr().err == f"sync {HARMLESS}\n"
