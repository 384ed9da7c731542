"""A sync script of the usual kind; Debian's Python runs it, for its python-ldap.

`peer_script.py SITE_PACKAGES URL CA DN BASE DATABASE COUNT`, the password on
standard input: for each of the accounts `u000001`... one LDAP search over a kept
connection, one look for its row through an ORM, and a commit for every hundred. It
prints the seconds of a pass in which nothing changed; the pass before it, which
fills the table, is not measured.

What makes scripts slower still is left out on purpose: a connection for each
account, all attributes, a commit for each account, writing what is the same.
"""

from __future__ import annotations

import sys
import time

import ldap
from ldap.filter import filter_format

# Only what Debian's Python lacks comes from dirbridge's environment.
sys.path.append(sys.argv[1])

from sqlalchemy import String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

FIELDS = {
    "dn": "",
    "guid": "apple-generateduid",
    "name": "cn",
    "given_name": "givenName",
    "surname": "sn",
    "mail": "mail",
    "title": "title",
    "department": "departmentNumber",
    "phone": "telephoneNumber",
}
ATTRIBUTES = [name for name in FIELDS.values() if name]
BATCH = 100


class Base(DeclarativeBase):
    """Base of the one table."""


class User(Base):
    """An account."""

    __tablename__ = "users"

    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    dn: Mapped[str | None]
    guid: Mapped[str | None]
    name: Mapped[str | None]
    given_name: Mapped[str | None]
    surname: Mapped[str | None]
    mail: Mapped[str | None] = mapped_column(index=True)
    title: Mapped[str | None]
    department: Mapped[str | None]
    phone: Mapped[str | None]


def main(arguments: list[str], password: str) -> float:
    """Sync twice, and return the seconds of the second time."""
    url, ca_file, dn, base, database, count = arguments
    ldap.set_option(ldap.OPT_X_TLS_CACERTFILE, ca_file)
    ldap.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    connection = ldap.initialize(url)
    connection.simple_bind_s(dn, password)
    engine = create_engine(f"sqlite:///{database}")
    Base.metadata.create_all(engine)
    uids = [f"u{number:06}" for number in range(1, int(count) + 1)]
    _sync(connection, engine, base, uids)
    started = time.monotonic()
    written = _sync(connection, engine, base, uids)
    seconds = time.monotonic() - started
    if written:
        raise SystemExit(f"{written} accounts were written though nothing changed")
    return seconds


def _sync(connection, engine, base: str, uids: list[str]) -> int:
    written = 0
    with Session(engine) as session:
        for number, uid in enumerate(uids, start=1):
            flt = filter_format("(&(objectClass=apple-user)(uid=%s))", [uid])
            found = connection.search_s(base, ldap.SCOPE_SUBTREE, flt, ATTRIBUTES)
            ((dn, attributes),) = found
            user = session.scalars(select(User).where(User.uid == uid)).one_or_none()
            if user is None:
                user = User(uid=uid)
                session.add(user)
            for field, attribute in FIELDS.items():
                values = attributes.get(attribute)
                value = values[0].decode() if values else None
                if not attribute:
                    value = dn
                if getattr(user, field) != value:
                    setattr(user, field, value)
            written += session.is_modified(user)
            if number % BATCH == 0:
                session.commit()
        session.commit()
    return written


if __name__ == "__main__":
    print(main(sys.argv[2:], sys.stdin.read()))
