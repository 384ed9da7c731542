"""Notices by webhook: one POST of JSON for each."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from dirbridge.errors import ConfigError, harmless
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.secret import Secret
from dirbridge.notices.base import TIMEOUT, Message

_TAKEN = range(200, 300)
_NO_TOKEN = Secret("")


@dataclass(frozen=True)
class Webhook:
    """Posts notices to a URL.

    Redirects are not followed: the token is for this server alone.

    Attributes:
        url: `https://...`, or `http://` of this machine.
        token: Gives what is sent as `Authorization: Bearer`, or an empty secret.
        ca_file: Whose certificates are taken; the system's where None.
        timeout: Seconds for each step.
    """

    url: str
    token: Callable[[], Secret] = lambda: _NO_TOKEN
    ca_file: Path | None = None
    timeout: float = TIMEOUT

    @property
    def name(self) -> str:
        """The channel's word."""
        return "webhook"

    def send(self, message: Message) -> str:
        """Send a message; see `Channel.send`."""
        try:
            return self._post(json.dumps(message.as_json()).encode())
        except ConfigError as error:
            return error.problems[0].text
        except (OSError, http.client.HTTPException, ValueError) as error:
            return harmless(_words(error))

    def check(self) -> Finding:
        """Connect and, with https, prove who answers; see `Channel.check`."""
        where = f"notices: {self._place}"
        try:
            self.token()
            connection = self._connection()
            connection.connect()
            connection.close()
        except ConfigError as error:
            one = error.problems[0]
            failed = Outcome.FAILED
            return Finding(one.where, "webhook", failed, one.text, one.next, one.code)
        except (OSError, http.client.HTTPException, ValueError) as error:
            text = f"The webhook cannot be reached: {harmless(_words(error))}."
            mend = "Mend `webhook` below [notices], its server, or `ca_file`."
            code = "webhook-unreachable"
            return Finding(where, "webhook", Outcome.FAILED, text, mend, code)
        text = "The webhook's server answers; nothing was sent."
        return Finding(where, "webhook", Outcome.OK, text)

    @property
    def _place(self) -> str:
        """The server alone: the path of a webhook is often a secret by itself."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def _post(self, body: bytes) -> str:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "dirbridge",
        }
        token = self.token().reveal()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        parts = urlsplit(self.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = self._connection()
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
        finally:
            connection.close()
        if answer.status in _TAKEN:
            return ""
        return harmless(f"{answer.status} {answer.reason}", 100)

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=self.timeout)
        return http.client.HTTPSConnection(
            host, parts.port, timeout=self.timeout, context=self._tls
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)


def _words(error: Exception) -> str:
    """Return what went wrong, without what was sent."""
    match error:
        case socket.gaierror():
            return "its name cannot be resolved"
        case UnicodeError() if getattr(error, "encoding", "idna") == "idna":
            return "its name cannot be resolved"
        case TimeoutError():
            return "it did not answer in time"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message})"
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            # A header that is none would be shown whole, with the token in it.
            return type(error).__name__
