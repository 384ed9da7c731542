"""A slapd with very many Open Directory accounts, for measurements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from testbed import apple, slapd
from testbed.bed import Bed
from testbed.cast import OdPerson
from testbed.slapd import Slapd

FIRST_UID_NUMBER = 10_000
PASSWORD_KEY = "od:diradmin"


class Scale(Slapd):
    """The server; every account has the password of the bed's diradmin."""

    name = "scale"
    host = "scale.example.com"
    address = "127.0.0.22"
    maxsize = 8 * 1024**3  # a sparse file
    debug = "0"


def load(directory: Path, count: int) -> Scale:
    """Make (not start) a server with `count` accounts in a bed directory.

    Names are `u000001`..., addresses `u000001@example.org`. About 4 s and
    300 MB for 100,000 accounts.
    """
    Bed(directory)  # the authority and the passwords
    server = Scale(Path(directory).resolve())
    if not (server.folder / "data" / "data.mdb").exists():
        server.load(_records(server, count))
    return server


def person(number: int) -> OdPerson:
    """The account with this number, counted from 1."""
    uid = f"u{number:06}"
    return OdPerson(
        uids=(uid,),
        cn=f"User {number}",
        uid_number=FIRST_UID_NUMBER + number,
        given="User",
        surname=str(number),
        mails=(f"{uid}@example.org",),
    )


def _records(server: Scale, count: int) -> Iterator[str]:
    key = slapd.public_key(server.directory)
    # One salt for all: hashing each anew would take most of the time.
    password = slapd.ssha(server.password(PASSWORD_KEY))
    yield slapd.tree()
    yield apple.person_ldif(_ADMIN, password, key)
    for number in range(1, count + 1):
        yield apple.person_ldif(person(number), password, key)
    yield apple.config_ldif(key)


_ADMIN = OdPerson(uids=("diradmin",), cn="Directory Administrator", uid_number=1000)
