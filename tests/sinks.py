"""Servers that take whatever they are sent, by HTTP or SMTP, and remember it."""

from __future__ import annotations

import http.server
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class Sink:
    """What a server was sent."""

    port: int = 0
    bodies: list[dict[str, object]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    status: int = 204
    refuses: bool = False
    unknown: str = "<>"
    greeted: int = 0


def web_server(sink: Sink, tls: ssl.SSLContext | None) -> socketserver.TCPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if sink.status == 204:
                sink.bodies.append(json.loads(body))
            sink.headers.append(dict(self.headers))
            sink.paths.append(self.path)
            self.send_response(sink.status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    return server


def mail_server(sink: Sink, tls: ssl.SSLContext | None) -> socketserver.TCPServer:
    """The part of RFC 5321 that takes a mail, with STARTTLS (RFC 3207)."""

    class Handler(socketserver.StreamRequestHandler):
        encrypted = False

        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            sink.greeted += 1
            self.say("220 sink ready")
            sender, recipients = "", []
            while line := self.rfile.readline():
                word, _, rest = line.decode().strip().partition(" ")
                match word.upper():
                    case "EHLO":
                        offered = tls is not None and not self.encrypted
                        self.say("250-sink")
                        self.say("250 STARTTLS" if offered else "250 HELP")
                    case "STARTTLS":
                        self.say("220 go ahead")
                        self.request = tls.wrap_socket(self.request, server_side=True)
                        self.setup()
                        self.encrypted = True
                    case "MAIL":
                        sender = rest
                        self.say("250 fine")
                    case "RCPT" if sink.refuses or sink.unknown in rest:
                        self.say("550 nobody here")
                    case "RCPT":
                        recipients.append(rest)
                        self.say("250 fine")
                    case "DATA":
                        self.say("354 go on")
                        self.take(sender, tuple(recipients))
                    case "QUIT":
                        self.say("221 bye")
                        return
                    case _:
                        self.say("250 fine")

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def take(self, sender: str, recipients: tuple[str, ...]) -> None:
            lines = iter(self.rfile.readline, b".\r\n")
            data = b"".join(line.removeprefix(b".") for line in lines)
            parsed = message_from_bytes(data, policy=policy.default)
            sink.mails.append(parsed)
            sink.envelopes.append((sender, recipients))
            sink.encrypted.append(self.encrypted)
            self.say("250 taken")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    return server


Make = Callable[[Sink, ssl.SSLContext | None], socketserver.TCPServer]


@contextmanager
def running(make: Make, tls: ssl.SSLContext | None = None) -> Iterator[Sink]:
    """A server on a free port of 127.0.0.1 until the end of the block."""
    sink = Sink()
    with make(sink, tls) as server:
        sink.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()
