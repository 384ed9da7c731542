"""A slapd with very many Open Directory accounts, for measurements."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from testbed import apple, slapd
from testbed.bed import Bed
from testbed.cast import OdPerson, od_guid
from testbed.process import BedError, environment, run
from testbed.slapd import Slapd

FIRST_UID_NUMBER = 10_000
PASSWORD_KEY = "od:diradmin"

Made = TypeVar("Made", bound="Scale")


class Scale(Slapd):
    """The server; every account has the password of the bed's diradmin."""

    name = "scale"
    host = "scale.example.com"
    address = "127.0.0.22"
    maxsize = 8 * 1024**3  # a sparse file
    debug = "0"

    def write_conf(self) -> None:
        """Write slapd.conf: it counts operations, and does not wait for the disk."""
        super().write_conf()
        size = f"maxsize {self.maxsize}\n"
        text = self.conf.read_text().replace(size, f"{size}dbnosync\n")
        self.conf.write_text(f"{text}\ndatabase monitor\n")

    def binds(self) -> int:
        """How many binds it has answered; asking is one of them."""
        base = "cn=Bind,cn=Operations,cn=Monitor"
        text = run(
            [
                *("ldapsearch", "-x", "-LLL", "-H", f"ldap://{self.address}"),
                *("-b", base, "-s", "base", "monitorOpCompleted"),
            ]
        )
        return int(text.rpartition("monitorOpCompleted:")[2])

    def load(self, records: Iterable[str]) -> None:
        """Fill the stopped server with slapadd, which reads while we write."""
        self.write_conf()
        argv = ["slapadd", "-q", "-w", "-f", self.conf, "-b", self.base]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, env=environment(), text=True
        ) as slapadd:
            assert slapadd.stdin is not None
            slapadd.stdin.writelines(records)
        if slapadd.returncode != 0:
            raise BedError(f"slapadd ended with {slapadd.returncode}; see above.")


class Small(Scale):
    """A second one that runs beside the first, with another size."""

    name = "small"
    host = apple.REPLICA_HOST
    address = apple.REPLICA_ADDRESS

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.certificate = "od2"


def load(directory: Path, count: int, kind: Callable[[Path], Made] = Scale) -> Made:
    """Make (not start) a server with `count` accounts in a bed directory.

    Names are `u000001`..., addresses `u000001@example.org`. About 4 s and
    300 MB for each 100,000 accounts.
    """
    Bed(directory)  # the authority and the passwords
    server = kind(Path(directory).resolve())
    if not (server.folder / "data" / "data.mdb").exists():
        server.load(_records(server, count))
    return server


def person(number: int) -> OdPerson:
    """The account with this number, counted from 1."""
    uid = _uid(number)
    return OdPerson(
        uids=(uid,),
        cn=f"User {number}",
        uid_number=FIRST_UID_NUMBER + number,
        given="User",
        surname=str(number),
        mails=(f"{uid}@example.org",),
    )


def _records(server: Slapd, count: int) -> Iterator[str]:
    key = slapd.public_key(server.directory)
    # One salt for all: hashing each anew would take most of the time.
    password = slapd.ssha(server.password(PASSWORD_KEY))
    yield slapd.tree()
    yield apple.person_ldif(_ADMIN, password, key)
    yield from people(count, password, key)
    yield apple.config_ldif(key)


def people(count: int, password: str, key: str) -> Iterator[str]:
    """The records of so many accounts, as `apple.person_ldif` gives them.

    They are made of one with its own words taken out: a million are wanted.
    """
    one = person(_SAMPLE)
    text = apple.person_ldif(one, _PASSWORD, _KEY).replace("%", "%%")
    for word, name in (
        *((one.uid, "uid"), (one.guid, "guid"), (apple.slot(one.uid), "slot")),
        *((str(one.uid_number), "uid_number"), (one.surname, "surname")),
    ):
        text = text.replace(word, f"%({name})s")
    text = text.replace(_PASSWORD, password.replace("%", "%%"))
    text = text.replace(_KEY, key.replace("%", "%%"))
    for number in range(1, count + 1):
        uid = _uid(number)
        yield text % {
            "uid": uid,
            "guid": od_guid(f"user:{uid}"),
            "slot": apple.slot(uid),
            "uid_number": FIRST_UID_NUMBER + number,
            "surname": number,
        }


_SAMPLE, _PASSWORD, _KEY = 987_654, "(its password)", "(the key)"
"""Words that stand nowhere else in a record."""


def _uid(number: int) -> str:
    return f"u{number:06}"


_ADMIN = OdPerson(uids=("diradmin",), cn="Directory Administrator", uid_number=1000)
