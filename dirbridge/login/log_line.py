"""The stable log line of one login; fail2ban and people read it."""

from __future__ import annotations

import re
from typing import assert_never

from dirbridge.model.login import Accepted, Attempt, Rejected, Unavailable, Verdict


def log_line(attempt: Attempt) -> str:
    """Return the stable line of one login; fields hold no blanks.

    `login verdict= reason= user= rip= lip= service= hook= method= server= ms=`
    """
    verdict = attempt.verdict
    word, reason = _words(verdict)
    fields = {
        "verdict": word,
        "reason": reason,
        "user": verdict.user or attempt.request_name,
        "rip": str(attempt.remote_ip or ""),
        "lip": str(attempt.local_ip or ""),
        "service": attempt.service,
        "hook": attempt.hook,
        "method": verdict.method,
        "server": verdict.server,
        "ms": f"{attempt.milliseconds:.0f}",
    }
    return "login " + " ".join(f"{key}={plain(text)}" for key, text in fields.items())


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


def plain(text: str) -> str:
    """Percent-encode what would break a log's line into other fields or lines."""

    def encoded(match: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace"))

    return re.sub(r"[\s%=\x00-\x1f\x7f-\x9f\u2028\u2029]", encoded, text[:256])
