"""`dirbridge check`: load everything and try every server."""

from __future__ import annotations

import click

from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, PROBLEMS, Output
from dirbridge.errors import Problem
from dirbridge.model.finding import Finding, Outcome

_MARKS = {
    Outcome.OK: "ok",
    Outcome.WARNING: "warning",
    Outcome.FAILED: "FAILED",
    Outcome.UNKNOWN: "unknown",
}


@click.command()
@shared
def check(call: Call) -> int:
    """Load the configuration, try every server, and say what to mend."""
    findings = call.app().findings()
    report(call.out, findings)
    failed = any(one.outcome is Outcome.FAILED for one in findings)
    call.out.finish(
        {
            "findings": [
                {
                    "where": one.where,
                    "what": one.what,
                    "outcome": one.outcome,
                    "code": one.code,
                    "text": one.text,
                    "next": one.next,
                }
                for one in findings
            ]
        },
        ok=not failed,
    )
    return PROBLEMS if failed else DONE


def report(out: Output, findings: list[Finding]) -> None:
    """Show findings as a table, each that needs a mend as a problem, then advice."""
    out.table(
        "Check",
        ("place", "tried", "result", "seen"),
        [(one.where, one.what, _MARKS[one.outcome], one.text) for one in findings],
    )
    for text in dict.fromkeys(one.next for one in findings if _is_advice(one)):
        out.say(f"Advice: {text}")
    out.problem(
        *(_problem(one) for one in findings if one.next and not _is_advice(one))
    )


def _is_advice(one: Finding) -> bool:
    """Whether nothing is wrong, but something could be better."""
    return bool(one.next) and one.outcome is Outcome.OK


def _problem(one: Finding) -> Problem:
    return Problem(one.code or one.what, one.where, one.text, one.next)
