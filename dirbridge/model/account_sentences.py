"""What commands tell of accounts and passwords that are not as they would need."""

from __future__ import annotations

from collections.abc import Mapping

from dirbridge.errors import Problem

SENTENCES: Mapping[str, tuple[str, str]] = {
    "no-person": (
        "It is a group or a contact: nobody logs in as one.",
        "Name a person's account; `dirbridge accounts list` shows them.",
    ),
    "removed-account": (
        "The account is removed, so nobody logs in by it.",
        "Bring it back with `dirbridge accounts restore` first.",
    ),
    "mapped-account": (
        "The account comes from a directory, which alone knows its password.",
        "Change the password in the directory, or give the account one here with "
        "`dirbridge accounts switch NAME --method local`.",
    ),
    "local-account": (
        "It is a local account: no directory knows its password.",
        "If its person is in a directory by now, run `dirbridge accounts adopt`.",
    ),
    "no-password": (
        "The password was empty, or the two did not agree.",
        "Type it again.",
    ),
    "weak-password": (
        "The password would soon be guessed: {why}.",
        "Take one of 12 characters or more, such as four words that do not belong "
        "together.",
    ),
    "bad-label": (
        "The label is empty, too long, or cannot be shown.",
        'Name the device in at most 64 characters, such as --label "Anna\'s phone".',
    ),
    "label-taken": (
        "The account has an app password with this label already.",
        "Take another label, or revoke the old one with "
        "`dirbridge accounts app-password revoke`.",
    ),
    "no-app-password": (
        "The account has no app password with this label that still counts.",
        "`dirbridge accounts app-password list` shows them.",
    ),
}
"""Code to what is wrong and what to do."""


def account_problem(code: str, where: str, **words: str) -> Problem:
    """Return what a person should know.

    Args:
        code: One of `SENTENCES`.
        where: The account, as it was named or is called.
        words: What stands in the sentence's braces.
    """
    text, then = SENTENCES[code]
    return Problem(code, where, text.format(**words), then)
