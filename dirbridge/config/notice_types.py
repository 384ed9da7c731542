"""How the values of `[notices]` are written."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import PlainValidator

from dirbridge.config.types import has_sound_labels
from dirbridge.directory import address
from dirbridge.directory.errors import Undecodable

_WRITE = 'write it like "https://hooks.company.com/dirbridge"'


def _webhook(value: object) -> str:
    """Check the URL of a webhook; as it may be a secret, it is never repeated."""
    text = value.strip() if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
        sound = has_sound_labels(parts.hostname or "") and parts.port != 0
    except ValueError:
        raise ValueError("is not a URL; " + _WRITE) from None
    if not sound or not text.isascii() or any(letter <= " " for letter in text):
        raise ValueError("is not a URL; " + _WRITE)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(parts)):
        raise ValueError(
            "would tell the network in clear text; write https://, or http:// for "
            "this machine alone"
        )
    if parts.username is not None:
        raise ValueError(
            "holds a name or password; take it out and write "
            'webhook_token = { file = "/etc/dirbridge/secrets/webhook" } below it'
        )
    return text


def _is_here(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _mail_address(value: object) -> str:
    try:
        found = address.decode(value.strip() if isinstance(value, str) else "")
    except Undecodable:
        raise ValueError(_NO_ADDRESS) from None
    # Some directories hold such addresses; in a mail's header they are none.
    atoms = found.rpartition("@")[0].split(".")
    if not found.isascii() or not all(atoms):
        raise ValueError(_NO_ADDRESS)
    return found


_NO_ADDRESS = 'is not a mail address; write it like "postmaster@company.com"'

WebhookUrl = Annotated[str, PlainValidator(_webhook)]
MailAddress = Annotated[str, PlainValidator(_mail_address)]
