"""`dirbridge explain`: why somebody can or cannot log in."""

from __future__ import annotations

import click

from dirbridge.cli.login import IpType
from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, PROBLEMS, UNAVAILABLE, Json, Output
from dirbridge.model.finding import Explanation, Outcome, Step
from dirbridge.model.login import IPAddress

_CODES = {
    Outcome.OK: DONE,
    Outcome.WARNING: DONE,
    Outcome.FAILED: PROBLEMS,
    Outcome.UNKNOWN: UNAVAILABLE,
}

_SUMMARIES = {
    Outcome.OK: "can log in with the right password",
    Outcome.WARNING: "can log in with the right password; look at the warning",
    Outcome.FAILED: "cannot log in",
    Outcome.UNKNOWN: "could not be found out",
}

_STYLES = {
    Outcome.OK: "green",
    Outcome.WARNING: "yellow",
    Outcome.FAILED: "red",
    Outcome.UNKNOWN: "magenta",
}


@click.command()
@click.argument("name")
@click.option("--to-ip", type=IpType(), help="The address connected to.")
@click.option("--from-ip", type=IpType(), help="The client's address.")
@shared
def explain(
    call: Call, *, name: str, to_ip: IPAddress | None, from_ip: IPAddress | None
) -> int:
    """Show step by step what a login as NAME would meet, without a password."""
    app = call.app()
    with app.open_store() as store:
        explanation = app.explainer(store).explain(name, to_ip, from_ip)
    for step in explanation.steps:
        _show(call.out, step)
    outcome = explanation.outcome
    call.out.say()
    call.out.say(f"{name}: {_SUMMARIES[outcome]}", style=f"bold {_STYLES[outcome]}")
    call.out.finish(_json(explanation), ok=outcome in (Outcome.OK, Outcome.WARNING))
    return _CODES[outcome]


_HANG = 21
"""Where what was found begins: behind the longest outcome and the longest step."""


def _show(out: Output, step: Step) -> None:
    head = f"{step.outcome:8}{step.name:{_HANG - 9}} "
    out.say(f"{head}{step.found}", style=_STYLES[step.outcome], hang=_HANG)
    margin = " " * _HANG
    if step.rule:
        out.say(f"{margin}rule: {step.rule}", hang=_HANG)
    for name, value in step.facts:
        out.say(f"{margin}{name}: {value}", hang=_HANG)
    if step.who_can_fix:
        out.say(f"{margin}who can mend it: {step.who_can_fix}", hang=_HANG)


def _json(explanation: Explanation) -> Json:
    return {
        "name": explanation.name,
        "outcome": explanation.outcome,
        "steps": [
            {
                "name": step.name,
                "found": step.found,
                "rule": step.rule,
                "outcome": step.outcome,
                "who_can_fix": step.who_can_fix,
                "facts": [list(fact) for fact in step.facts],
            }
            for step in explanation.steps
        ],
    }
