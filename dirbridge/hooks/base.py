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
        character, empty passwords, passwords with NULs; it refuses those. Each
        request carries a deadline; past it the verdict is not waited for any
        more. An exception is a bug, and told like an outage.
        """
        ...

    def told(self, request: LoginRequest, verdict: Verdict, seconds: float) -> None:
        """Note what a mail service was told; also called from many threads.

        The verdict is the one of `answer`, or the hook's own where that came too
        late, or was not asked for at all. A login whose client went away before it
        was begun is not told.

        Args:
            request: What was asked.
            verdict: What was told.
            seconds: How long that took, from the question on.
        """
        ...
