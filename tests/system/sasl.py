"""A client of the saslauthd protocol (saslauthd's own `ipc_unix.c`): four strings."""

from __future__ import annotations

import socket
import struct
from pathlib import Path


def ask(
    path: Path,
    name: str | bytes,
    password: str | bytes,
    realm: str = "",
    service: str = "smtp",
    timeout: float = 20,
) -> str:
    """Log in once.

    Returns:
        `OK` or `NO` with what follows cut off, or `closed` where the connection
        ended without an answer, which mail servers take for an outage.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout)
        client.connect(str(path))
        try:
            client.sendall(b"".join(map(counted, (name, password, service, realm))))
            return answer(client)
        except (ConnectionError, BrokenPipeError):
            return "closed"


def counted(text: str | bytes) -> bytes:
    """A string after its length in two bytes."""
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(data)) + data


def answer(client: socket.socket) -> str:
    data = b""
    while chunk := client.recv(4096):
        data += chunk
        if len(data) >= 2 and len(data) >= 2 + struct.unpack(">H", data[:2])[0]:
            break
    return data[2:4].decode() if data else "closed"
