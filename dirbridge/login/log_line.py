"""The stable log line of one login; fail2ban and people read it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import assert_never

from dirbridge.model.login import (
    Accepted,
    Attempt,
    IPAddress,
    Rejected,
    Unavailable,
    Verdict,
)


def log_line(attempt: Attempt) -> str:
    """Return the stable line of one login; fields hold no blanks.

    `login verdict= reason= user= rip= lip= service= hook= method= server= ms=`
    """
    verdict = attempt.verdict
    word, reason = _words(verdict)
    return (
        f"login verdict={word} reason={plain(reason)}"
        f" user={plain(verdict.user or attempt.request_name)}"
        f" rip={_address(attempt.remote_ip)} lip={_address(attempt.local_ip)}"
        f" service={plain(attempt.service)} hook={plain(attempt.hook)}"
        f" method={plain(verdict.method)} server={plain(verdict.server)}"
        f" ms={attempt.milliseconds:.0f}"
    )


def _address(address: IPAddress | None) -> str:
    return "" if address is None else plain(str(address))


def _words(verdict: Verdict) -> tuple[str, str]:
    match verdict:
        case Accepted():
            return ("accepted", "")
        case Rejected(reason=reason):
            return ("rejected", reason)
        case Unavailable(cause=cause):
            return ("unavailable", cause)
        case _:
            assert_never(verdict)


@lru_cache(maxsize=4096)  # most words of a line were in the one before
def plain(text: str) -> str:
    """Percent-encode what would break a log's line into other fields or lines."""
    if len(text) <= _LONGEST and _BREAKING.search(text) is None:
        return text
    return _BREAKING.sub(_encoded, text[:_LONGEST])


def _encoded(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace"))


_LONGEST = 256
_BREAKING = re.compile(r"[\s%=\x00-\x1f\x7f-\x9f\u2028\u2029]")
