"""What a hook needs from the rest of the house."""

from __future__ import annotations

from typing import Protocol

from dirbridge.model.login import LoginRequest, Verdict


class Answerer(Protocol):
    """Say whether a login is right; the login service does."""

    def answer(self, request: LoginRequest) -> Verdict:
        """Answer one login request.

        Called from up to 64 threads at once; it may block. It gets every
        request whose bytes made sense: names of any length and with any
        character, empty passwords, passwords with NULs; it refuses those. Past
        the deadline of `serve` its verdict is not waited for any more. An
        exception is a bug, and told like an outage.
        """
        ...
