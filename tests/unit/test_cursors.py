"""Cursors hold only where they were made for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.connectors import cursors
from dirbridge.model.entry import Cursor

STATE = {"cookie": "TVNEUw==", "told": "yes"}


def test_a_cursor_gives_back_its_state() -> None:
    cursor = cursors.seal("dirsync", "scope", STATE)
    assert cursor.kind == "dirsync"
    assert cursors.unseal(cursor, "dirsync", "scope") == STATE


@pytest.mark.parametrize(
    ("kind", "scope"), [("usn", "scope"), ("dirsync", "other"), ("dirsync", "")]
)
def test_it_does_not_hold_elsewhere(kind: str, scope: str) -> None:
    cursor = cursors.seal("dirsync", "scope", STATE)
    assert cursors.unseal(cursor, kind, scope) is None


def test_a_question_about_the_server_takes_any_scope() -> None:
    cursor = cursors.seal("dirsync", "scope", STATE)
    assert cursors.unseal(cursor, "dirsync", None) == STATE
    assert cursors.unseal(cursor, "usn", None) is None


def test_no_cursor_is_none() -> None:
    assert cursors.unseal(None, "dirsync", "scope") is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"17",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"version": 1, "scope": "s", "state": {"usn": 5}}',
        b'{"version": 1, "scope": "s"}',
        b'{"version": 2, "scope": "s", "state": {}}',
    ],
)
def test_what_is_not_ours_is_none(value: bytes) -> None:
    assert cursors.unseal(Cursor("dirsync", value), "dirsync", "s") is None


@given(st.binary(max_size=64))
def test_whatever_comes_back_raises_nothing(value: bytes) -> None:
    assert cursors.unseal(Cursor("usn", value), "usn", "scope") is None


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_a_fingerprint_knows_the_borders(one: list[str], other: list[str]) -> None:
    same = cursors.fingerprint(*one) == cursors.fingerprint(*other)
    assert same is (one == other)
