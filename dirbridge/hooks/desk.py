"""The desk between the event loop and the threads that answer.

Theory. Connections live on the event loop and must never block; the answerer
blocks. A question is handed to one of a fixed number of threads; its verdict
comes back to the loop. Whatever happens first settles a question: the verdict,
the deadline, or that the client went away; what comes later is dropped. So every
question is settled by the deadline, even if all threads hang: the mail server
gives up one second later and would tell its user nonsense (Postfix: 10 s).

A verdict is claimed before it is told, by the thread that has it or by the
deadline, so that what is noted is what the mail server was told.

What the answerer knows without waiting is told at once, on the loop: a hop to a
thread and back costs more than such an answer. What waits for one word of a directory
is begun on the loop as well, which goes on with it when the word is there; a thread
finishes what takes longer, and all that is no acceptance.

Beyond `THREADS + WAITING` open questions the next one is an outage at once: it
would be answered too late anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue

from dirbridge.authenticators.base import Next
from dirbridge.hooks.base import Answerer
from dirbridge.hooks.overdue import Overdue
from dirbridge.hooks.shield import shielded
from dirbridge.hooks.watch import Watch
from dirbridge.login.service import AT_ONCE
from dirbridge.login.stage import Login
from dirbridge.login.underway import LoginUnderway
from dirbridge.model.deadline import Deadline
from dirbridge.model.login import Cause, Unavailable, Verdict
from dirbridge.model.login import Question as Request

THREADS = 2 * AT_ONCE
"""One domain whose servers hang leaves half of them to everybody else."""
WAITING = 512
PATIENCE = 0.1
"""Seconds for which the loop waits for a directory; then a thread does."""
WORK = 0.98
"""The share of the time in which to find the verdict; the rest is to tell it."""

_BUG: Verdict | Next = Next.FINISH
"""What becomes of a login whose step on the loop meets a bug."""

log = logging.getLogger(__name__)

Tell = Callable[[Verdict], None]


class Question:
    """One request on its way to a verdict; used on the event loop but where said."""

    __slots__ = (
        "_asked",
        "_claim",
        "_desk",
        "_tell",
        "_timer",
        "due",
        "request",
        "underway",
        "watched",
    )

    def __init__(self, desk: Desk, request: Request, tell: Tell) -> None:
        self.request = request
        self.underway: LoginUnderway | None = None
        # The socket on which the directory answers it.
        self.watched = -1
        self._asked = time.monotonic()
        self._claim = threading.Lock()
        self._desk = desk
        self._tell: Tell | None = tell
        self._timer: asyncio.TimerHandle | None = None
        # On the clock of the loop.
        self.due = desk.due()

    @property
    def settled(self) -> bool:
        """Whether nobody waits for a verdict any more; safe from any thread."""
        return self._tell is None

    @property
    def seconds(self) -> float:
        """How long ago it was asked; safe from any thread."""
        return time.monotonic() - self._asked

    def claim(self) -> bool:
        """Whether the caller is the first to have a verdict; safe from any thread."""
        return self._claim.acquire(blocking=False)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the deadline run, unless nobody waits for a verdict any more."""
        if not self.settled:
            self._timer = loop.call_at(self.due, self._late)

    def settle(self, verdict: Verdict) -> None:
        """Tell the verdict, unless something came first."""
        tell = self._end()
        if tell is not None:
            tell(verdict)

    def withdraw(self) -> None:
        """Tell nobody: the client does not want to know any more."""
        self._end()

    def _late(self) -> None:
        if not self.claim():
            # A thread has a verdict but hangs in noting it, in a log that nobody
            # reads perhaps: the mail server cannot wait for that.
            self.settle(Unavailable(Cause.TIMEOUT))
            return
        log.warning(
            "%s: no verdict within the deadline, told like an outage; "
            'run "dirbridge check" to see which server is slow',
            self.request.hook,
        )
        verdict = Unavailable(Cause.TIMEOUT)
        self._desk.note(self, verdict)
        self.settle(verdict)

    def _end(self) -> Tell | None:
        tell, self._tell = self._tell, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if tell is not None:
            self._desk.forget(self)
        return tell


class Desk:
    """Hands questions to threads, and verdicts back within the deadline."""

    def __init__(
        self,
        answerer: Answerer,
        *,
        deadline: float,
        threads: int = THREADS,
        waiting: int = WAITING,
    ) -> None:
        """Start the threads; to be called on the running event loop.

        Args:
            answerer: Who answers.
            deadline: Seconds after which a question is an outage.
            threads: How many questions are answered at the same time.
            waiting: How many more may wait for a thread.
        """
        self.deadline = deadline
        self._answerer = answerer
        self._loop = asyncio.get_running_loop()
        self._most = threads + waiting
        self._turns = threading.Lock()
        self._waiting: deque[Question] = deque()
        self._resting: list[SimpleQueue[Question | None]] = []
        self._inboxes: list[SimpleQueue[Question | None]] = []
        self._open: set[Question] = set()
        # Those that the loop goes on with, and for how long.
        self._watch: Watch[Question] = Watch(self._go_on)
        self._watched: Overdue[Question] = Overdue(PATIENCE, self._give_up)
        self._idle = asyncio.Event()
        self._idle.set()
        for number in range(threads):
            inbox: SimpleQueue[Question | None] = SimpleQueue()
            self._inboxes.append(inbox)
            # Daemons: one that hangs must not keep the process from ending.
            threading.Thread(
                target=self._work, args=(inbox,), name=f"login-{number}", daemon=True
            ).start()

    def due(self) -> float:
        """When a question that is asked now must be settled, on the loop's clock."""
        return self._loop.time() + self.deadline

    def time_to_work(self) -> Deadline:
        """Return until when the verdict on a question that is asked now is sought."""
        return Deadline.after(self.deadline * WORK)

    def refused(self, request: Request, verdict: Verdict) -> None:
        """Note what a hook refused by itself, without asking anybody."""
        shielded(request.hook, None, self._answerer.noted, request, verdict, 0.0)

    def again(self, hook: str, octets: bytes) -> Verdict | None:
        """Return what is told to a request that came before in the same octets.

        Args:
            hook: Where it came.
            octets: All of it.

        Returns:
            The verdict, noted already; None where the request has to be asked.
        """
        return shielded(hook, None, self._answerer.again, hook, octets)

    def ask(self, request: Request, tell: Tell, octets: bytes = b"") -> Question | None:
        """Have a request answered; `tell` is called once at most.

        Args:
            request: What is asked.
            tell: Takes the verdict.
            octets: All of the request as it came, for `again`; b"" where that is not
                for `again`.

        Returns:
            The question that is open; None where `tell` has been called already.
        """
        asked = time.monotonic()
        if request.deadline is None:
            request = replace(request, deadline=self.time_to_work())
        found = shielded(request.hook, None, self._answerer.quick, request)
        if found is None or isinstance(found, Login):
            return self._open_question(request, found, tell)
        seconds = time.monotonic() - asked
        shielded(request.hook, None, self._answerer.noted, request, found, seconds)
        if octets:
            keep = self._answerer.remember
            shielded(request.hook, None, keep, octets, request, found)
        tell(found)
        return None

    def _open_question(
        self, request: Request, login: Login | None, tell: Tell
    ) -> Question:
        question = Question(self, request, tell)
        overloaded = len(self._open) >= self._most
        self._open.add(question)
        self._idle.clear()
        if overloaded:
            log.warning(
                "%s: %d logins wait for an answer, so the next one is told like an "
                'outage; run "dirbridge check" to see which server is slow',
                request.hook,
                self._most,
            )
            self._loop.call_soon(self._refuse, question)
            return question
        if login is None or not self._begin(question, login):
            self._hand_out(question)
        return question

    def _begin(self, question: Question, login: Login) -> bool:
        """Begin a question on the loop; False: a thread is to answer it."""
        hook = question.request.hook
        underway = shielded(hook, None, self._answerer.start, login)
        if underway is None:
            return False
        question.underway = underway
        found = shielded(hook, _BUG, underway.go_on)
        if found is Next.WAIT:
            question.watched = underway.fileno()
            self._watched.add(question)
            self._watch.add(question.watched, question)
        else:
            # Not before whoever asks has the question in hand.
            self._loop.call_soon(self._end_on_loop, question, found)
        return True

    def _go_on(self, question: Question) -> None:
        underway = question.underway
        if underway is None:
            return
        found = shielded(question.request.hook, _BUG, underway.go_on)
        if found is Next.WAIT:
            self._watch.add(question.watched, question)
        else:
            self._watched.remove(question)
            self._end_on_loop(question, found)

    def _end_on_loop(self, question: Question, found: Verdict | Next) -> None:
        """Tell a verdict that came on the loop, or leave the rest to a thread."""
        if isinstance(found, Next):
            self._hand_out(question)
        elif question.claim():
            request, seconds = question.request, question.seconds
            noted = self._answerer.noted
            shielded(request.hook, None, noted, request, found, seconds)
            question.settle(found)

    def _give_up(self, question: Question) -> None:
        """Let a thread wait for a directory that did not answer at once."""
        self._watch.remove(question.watched)
        self._hand_out(question)

    def _hand_out(self, question: Question) -> None:
        """Give a question to the thread that rests for the shortest time.

        The processor still knows its memory: with all of them in turn, a login costs
        half as much again.
        """
        # Until now the loop had it, for `PATIENCE` at most.
        question.start(self._loop)
        with self._turns:
            if not self._resting:
                self._waiting.append(question)
                return
            inbox = self._resting.pop()
        inbox.put(question)

    def _next(self, inbox: SimpleQueue[Question | None]) -> Question | None:
        """Return the thread's next question; it rests until there is one."""
        with self._turns:
            if self._waiting:
                return self._waiting.popleft()
            self._resting.append(inbox)
        return inbox.get()

    def _refuse(self, question: Question) -> None:
        verdict = Unavailable(Cause.OVERLOADED)
        self.note(question, verdict)
        question.settle(verdict)

    def note(self, question: Question, verdict: Verdict) -> None:
        """Let the answerer note what was told; safe from any thread."""
        request = question.request
        told, seconds = self._answerer.told, question.seconds
        shielded(request.hook, None, told, request, verdict, seconds)

    def forget(self, question: Question) -> None:
        """Count a question as settled; for questions only."""
        self._open.discard(question)
        if not self._open:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until no question is open; the deadline bounds it."""
        await self._idle.wait()

    def close(self) -> None:
        """Let the threads end, each after what it is doing."""
        self._watch.close()
        for inbox in self._inboxes:
            inbox.put(None)

    def _work(self, inbox: SimpleQueue[Question | None]) -> None:
        while (question := self._next(inbox)) is not None:
            self._finish(question)
            # Its password must not stay in memory until the next one comes.
            del question

    def _finish(self, question: Question) -> None:
        # What is begun has taken places that it has to give back.
        if question.settled and question.underway is None:
            return
        verdict = self._verdict(question)
        if not question.claim():
            return
        # First noted, then told: who asks for the log after a login finds it.
        self.note(question, verdict)
        # The loop is gone where the process ends without waiting for us.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(question.settle, verdict)

    def _verdict(self, question: Question) -> Verdict:
        bug: Verdict = Unavailable(Cause.INTERNAL)
        request = question.request
        if question.underway is not None:
            return shielded(request.hook, bug, question.underway.finish)
        return shielded(request.hook, bug, self._answerer.answer, request)
