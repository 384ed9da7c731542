"""What a hook needs from the rest of the house."""

from __future__ import annotations

from typing import Protocol

from dirbridge.login.stage import Login
from dirbridge.login.underway import LoginUnderway
from dirbridge.model.login import Question, Verdict


class Answerer(Protocol):
    """Say whether a login is right; the login service does."""

    def answer(self, request: Question) -> Verdict:
        """Answer one login request.

        Called from up to 64 threads at once; it may block. It gets every
        request whose bytes made sense: names of any length and with any
        character, empty passwords, passwords with NULs; it refuses those. Each
        request carries a deadline; past it the verdict is not waited for any
        more. An exception is a bug, and told like an outage.
        """
        ...

    def again(self, hook: str, octets: bytes) -> Verdict | None:
        """Answer a request by its octets, and note it; waits for nothing.

        Called on the event loop before the request is read at all.

        Args:
            hook: The hook's name, as requests have it.
            octets: All of the request.

        Returns:
            The verdict of `quick`; None, or an exception, leads to the request's being
            read.
        """
        ...

    def remember(self, octets: bytes, request: Question, verdict: Verdict) -> None:
        """Take down a request's octets with what `quick` told, for `again`.

        Args:
            octets: All of the request.
            request: What it says.
            verdict: What it was told.
        """
        ...

    def quick(self, request: Question) -> Verdict | Login | None:
        """Answer what can be answered without waiting for anybody.

        Called on the event loop, so it takes microseconds, not more.

        Returns:
            The verdict; or what `start` takes; None leads to `answer`, which does the
            whole work. An exception is a bug, and leads there as well.
        """
        ...

    def start(self, login: Login) -> LoginUnderway | None:
        """Begin what waits for nothing but a directory's word, else None.

        Called on the event loop, which goes on with it. None, or an exception, leads
        to `answer`.

        Args:
            login: What `quick` gave for it.
        """
        ...

    def told(self, request: Question, verdict: Verdict, seconds: float) -> None:
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

    def noted(self, request: Question, verdict: Verdict, seconds: float) -> None:
        """Note what was answered on the event loop: it waits for nothing.

        That is what `quick` and `start` led to, and what a hook refused by itself.

        Args:
            request: As for `told`, like the others.
            verdict: What was told.
            seconds: How long that took.
        """
        ...
