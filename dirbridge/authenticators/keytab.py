"""What stands in a keytab, and how one is made.

The file format is MIT's version 2 (krb5 documentation, "Keytab file format"). Only
names, versions and kinds of keys are read; the keys themselves are not looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dirbridge.config.settings import DirectoryType

_MAGIC = b"\x05\x02"
_ENCTYPES = {
    17: "aes128",
    18: "aes256",
    19: "aes128-sha2",
    20: "aes256-sha2",
    23: "rc4",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a keytab.

    Attributes:
        service: The principal without its realm, such as `smtp/mail.company.com`.
        realm: Its realm.
        version: The key's version number (kvno).
        enctype: Its kind, such as `aes256`.
    """

    service: str
    realm: str
    version: int
    enctype: str


def read_keytab(path: Path) -> tuple[Key, ...]:
    """Read the keys' names.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no keytab.
    """
    data = path.read_bytes()
    if data[:2] != _MAGIC:
        raise ValueError("it is no keytab of version 2")
    try:
        return tuple(_key(record) for record in _records(data))
    except (struct.error, IndexError):
        raise ValueError("it is cut off or damaged") from None


def keytab_lines(
    kind: DirectoryType, service: str, realm: str, path: Path
) -> tuple[str, ...]:
    """Return the commands that make the keytab, to be typed on the directory server.

    Args:
        kind: The directory's type.
        service: `smtp/mail.company.com`.
        realm: The realm.
        path: Where the keytab shall lie on this machine.
    """
    if kind is DirectoryType.ACTIVE_DIRECTORY:
        return (
            f"ktpass -princ {service}@{realm} -mapuser svc-mail -pass * "
            f"-crypto AES256-SHA1 -ptype KRB5_NT_PRINCIPAL -out {path.name}",
            f"samba-tool domain exportkeytab {path} --principal={service}@{realm}",
        )
    return (f'kadmin -q "addprinc -randkey {service}" -q "ktadd -k {path} {service}"',)


def _records(data: bytes) -> Iterator[bytes]:
    at = len(_MAGIC)
    while at + 4 <= len(data):
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        if size == 0:
            return
        if size > 0:  # a negative size is a hole where a key was deleted
            yield data[at : at + size]
        at += abs(size)


def _key(record: bytes) -> Key:
    (count,) = struct.unpack_from(">H", record)
    realm, at = _text(record, 2)
    parts = []
    for _ in range(count):
        part, at = _text(record, at)
        parts.append(part)
    # name type and time stamp, then the short version number and the key
    version, enctype, length = struct.unpack_from(">8xBHH", record, at)
    end = at + 13 + length
    if len(record) >= end + 4:
        (longer,) = struct.unpack_from(">I", record, end)
        version = longer or version
    return Key("/".join(parts), realm, version, _ENCTYPES.get(enctype, str(enctype)))


def _text(record: bytes, at: int) -> tuple[str, int]:
    (size,) = struct.unpack_from(">H", record, at)
    end = at + 2 + size
    if end > len(record):
        raise IndexError
    return record[at + 2 : end].decode("utf-8", "replace"), end
