"""Logins in an interpreter of their own, on command.

`python -m bench.login_child CONFIG`: each line of standard input is a JSON object with
`name`, `password`, `logins` and `threads`; a line of JSON tells how they went. With
`bare` in the place of the configuration, nothing but libkrb5 is asked, for `name` as
the principal. The first line that comes says that it is ready.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gssapi
import gssapi.raw

from dirbridge.app import App
from dirbridge.model.login import LoginRequest
from dirbridge.model.secret import Secret

LogIn = Callable[[str, str], tuple[str, str]]
"""Takes name and password; gives the verdict and the server."""


def main(config: str) -> None:
    """Log in as often as told."""
    if config == "bare":
        _serve(_acquire)
        return
    app = App.load(Path(config))
    with app.open_store() as store:
        service = app.login_service(store)

        def log_in(name: str, password: str) -> tuple[str, str]:
            verdict = service.answer(LoginRequest(name, Secret(password)))
            return type(verdict).__name__, verdict.server

        _serve(log_in)


def _acquire(name: str, password: str) -> tuple[str, str]:
    principal = gssapi.Name(name, gssapi.NameType.kerberos_principal)
    gssapi.raw.acquire_cred_with_password(
        principal,
        password.encode(),
        usage="initiate",
        mechs=[gssapi.MechType.kerberos],
    )
    return "Accepted", ""


def _serve(log_in: LogIn) -> None:
    _tell({"ready": True})
    for line in sys.stdin:
        _tell(_done(log_in, **json.loads(line)))


def _done(
    log_in: LogIn, *, name: str, password: str, logins: int, threads: int
) -> dict[str, Any]:
    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        found = list(pool.map(lambda _: log_in(name, password), range(logins)))
        seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "verdicts": Counter(verdict for verdict, _ in found),
        "servers": sorted({server for _, server in found}),
    }


def _tell(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
