"""`dirbridge login`: try one login the way a mail service would."""

from __future__ import annotations

import getpass
import sys
import time
from ipaddress import ip_address

import click

from dirbridge.cli.options import Call, shared
from dirbridge.cli.output import DONE, PROBLEMS, STORE, UNAVAILABLE, Json
from dirbridge.errors import Problem
from dirbridge.hooks.requests import text
from dirbridge.login.attempts import AttemptsLog
from dirbridge.model.login import (
    Accepted,
    Cause,
    IPAddress,
    LoginRequest,
    Rejected,
    Unavailable,
    Verdict,
)
from dirbridge.model.secret import Secret
from dirbridge.model.sentences import advice_on


class IpType(click.ParamType[IPAddress]):
    """An IP address on the command line."""

    name = "ip"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> IPAddress:
        """Read the address, or fail with a sentence."""
        try:
            return ip_address(str(value))
        except ValueError:
            text = f'"{value}" is no IP address; write it like 192.0.2.10'
            self.fail(text, param, ctx)


@click.command()
@click.argument("name")
@click.option("--to-ip", type=IpType(), help="The address connected to.")
@click.option("--from-ip", type=IpType(), help="The client's address.")
@click.option("--service", default="login", help="The service's name for the log.")
@shared
def login(
    call: Call,
    *,
    name: str,
    to_ip: IPAddress | None,
    from_ip: IPAddress | None,
    service: str,
) -> int:
    """Ask for a password and say whether NAME may log in with it, and why not.

    In a pipe the password is the first line of standard input.
    """
    app = call.app()
    password = _password()
    request = LoginRequest(name, password, service, "cli", to_ip, from_ip)
    with app.open_store() as store, AttemptsLog(store.record) as attempts:
        bridge = app.login_service(store, attempts.add)
        began = time.monotonic()
        verdict = bridge.answer(request)
        bridge.told(request, verdict, time.monotonic() - began)
    advice = advice_on(verdict)
    code = _code(verdict)
    call.out.say(_sentence(verdict), style="green" if code == DONE else "red")
    if _detail(verdict):
        call.out.say(f"detail: {_detail(verdict)}")
    if code != DONE:
        call.out.problem(
            Problem(_word(verdict), verdict.user or name, advice.text, advice.next)
        )
    call.out.finish(_json(verdict), ok=code == DONE)
    return code


def _password() -> Secret:
    if sys.stdin.isatty():
        return Secret(getpass.getpass("Password: "))
    return Secret(text(sys.stdin.buffer.readline().rstrip(b"\r\n")))


def _code(verdict: Verdict) -> int:
    match verdict:
        case Accepted():
            return DONE
        case Rejected():
            return PROBLEMS
        case Unavailable(cause=Cause.STORE):
            return STORE
        case _:
            return UNAVAILABLE


def _word(verdict: Verdict) -> str:
    match verdict:
        case Rejected(reason=reason):
            return reason
        case Unavailable(cause=cause):
            return cause
        case _:
            return ""


def _sentence(verdict: Verdict) -> str:
    by = f" by {verdict.method} at {verdict.server}" if verdict.server else ""
    match verdict:
        case Accepted():
            return f"accepted as {verdict.user}{by}"
        case Rejected():
            return f"rejected ({verdict.reason}){by}"
        case _:
            return f"unavailable ({verdict.cause}){by}"


def _json(verdict: Verdict) -> Json:
    return {
        "verdict": type(verdict).__name__.lower(),
        "reason": _word(verdict),
        "user": verdict.user,
        "method": verdict.method,
        "server": verdict.server,
        "detail": _detail(verdict),
    }


def _detail(verdict: Verdict) -> str:
    return "" if isinstance(verdict, Accepted) else verdict.detail
