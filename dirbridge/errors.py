"""The error family: fields, not prose.

Expected outcomes (a wrong password, an entry that cannot be mapped) are return
values, not errors. Native exceptions are wrapped in the module that makes the
call. `model/sentences.py` is the one place that turns these into sentences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_SAID = 300
"""Characters of a server's diagnostic text that are kept."""

MOST_DETAIL = 2000
"""Characters of a detail: what several servers of a list said."""

# Controls of C0 and C1, line and paragraph separators, and what turns the direction.
_STEERING = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+"
)


def harmless(text: str, most: int = MOST_DETAIL) -> str:
    """Return somebody else's words as one line that steers no terminal.

    A line break in them would begin a line of the log that the other side wrote, and
    such lines are read by programs that ban addresses.

    Args:
        text: What a server, a library or an entry says.
        most: Characters to keep.
    """
    # Nearly all are so, and each login has a line of its own.
    if len(text) <= most and text.isascii() and text.isprintable():
        return text.strip()
    plain = _STEERING.sub(" ", text[: 2 * most]).strip()
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that a person should know and mend.

    Attributes:
        code: Stable word for programs, such as `unknown-key`.
        where: The place: a file with table and key, a server, an account.
        text: What is wrong, one sentence.
        next: What to do next, one sentence.
    """

    code: str
    where: str
    text: str
    next: str


class DirbridgeError(Exception):
    """Base of all errors that dirbridge raises on purpose."""


class ConfigError(DirbridgeError):
    """The configuration cannot be used.

    Attributes:
        problems: Every problem that was found, in the order of the files.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{p.where}: {p.text}" for p in problems))


class ProtocolError(DirbridgeError):
    """A wire protocol was broken."""


class LocalProtocolError(ProtocolError):
    """We asked a codec for something that its protocol does not allow."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that its protocol does not allow."""


class DirectoryError(DirbridgeError):
    """A directory server could not do what was asked.

    Attributes:
        domain: The mail domain for which the directory was asked.
        server: `host:port` of the server, or the whole list where all failed.
        operation: What was tried: `connect`, `bind`, `read`, `find`.
        code: Stable word for the cause, such as `timeout` or `certificate-name`.
        detail: The server's or library's own words, without secrets; `harmless`.
    """

    def __init__(
        self, *, domain: str, server: str, operation: str, code: str, detail: str = ""
    ) -> None:
        self.domain = domain
        self.server = harmless(server)
        self.operation = operation
        self.code = code
        self.detail = harmless(detail)
        said = f"{domain}: {operation} on {self.server}: {code} {self.detail}"
        super().__init__(said.rstrip())


class Unreachable(DirectoryError):
    """No usable connection: refused, silent, busy, broken TLS, wrong certificate."""


class BindRefused(DirectoryError):
    """The server refused the service account: its password or its rights."""


class IncompleteRead(DirectoryError):
    """A read ended before its end; what came so far must take nobody away."""


class Unsupported(DirectoryError):
    """The server cannot do what was asked, or is not what the settings say."""


@dataclass(frozen=True, slots=True)
class Above:
    """One limit that a plan is above.

    Attributes:
        limit: Its name: `source-empty`, `scope-changed`, `share`, `container-share`,
            `absolute`, `rights`.
        counts: Figures behind it, such as `{"away": 60, "accounts": 100}`.
        where: The container's DN, where it is the limit of one; else "".
    """

    limit: str
    counts: dict[str, int]
    where: str = ""


class UnsafePlan(DirbridgeError):
    """A plan takes away more than one run may without a person's approval.

    Attributes:
        limit: Name of the gravest limit, see `Above`.
        counts: Figures behind it.
        approval: The approval that would let this set, and any part of it, pass.
        above: Every limit that the plan is above, the gravest first.
    """

    def __init__(
        self,
        limit: str,
        counts: dict[str, int],
        approval: str,
        above: tuple[Above, ...] = (),
    ) -> None:
        self.limit = limit
        self.counts = counts
        self.approval = approval
        self.above = above or (Above(limit, counts),)
        super().__init__(f"{limit} {counts}")


class StoreError(DirbridgeError):
    """The local user database could not be read or written.

    Attributes:
        code: A word of `_STORE` in `model/sentences.py`, such as `unreachable`,
            `locked`, `older-schema`, `full` or `broken`.
        where: The database, without any password.
        detail: The driver's own words, without bound values; `harmless`.
    """

    def __init__(self, code: str, where: str, detail: str = "") -> None:
        self.code = code
        self.where = where
        self.detail = harmless(detail)
        super().__init__(f"{where}: {code} {self.detail}".rstrip())


class AccountError(DirbridgeError):
    """What an admin named is no account that the command could do its work with.

    Attributes:
        problems: Why not, and what to do.
    """

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{p.where}: {p.code}" for p in problems))


class Unsettled(DirbridgeError):
    """What an admin asked to be done with an account cannot be.

    Attributes:
        code: A word of `_SETTLING` in `model/sentences.py`, such as `still-there`.
        account: The account that stands in the way, `mailbox@domain`.
    """

    def __init__(self, code: str, account: str) -> None:
        self.code = code
        self.account = account
        super().__init__(f"{account}: {code}")
