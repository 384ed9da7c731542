"""Change numbers, cookies and times of OpenLDAP and its kin, as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

OVERLAP = timedelta(minutes=5)
"""A change may become visible that much later than its time says: clocks, replicas."""

LAG = timedelta(hours=1)
"""How long a server that knows less than it did itself is taken for one that is behind:
its name may stand for several. After that it was restored, and is read in full."""

_CSN = re.compile(
    r"(?P<when>\d{14}\.\d{6}Z#[0-9a-f]{6})#(?P<sid>[0-9a-f]{3})#[0-9a-f]{6}\Z",
    re.ASCII,
)
_COOKIE = re.compile(r"(?:\A|,)csn=(?P<csns>[^,]+)", re.ASCII)

Csns = Mapping[str, str]
"""The newest change number of each server that may be written to, by its number."""


def parsed(values: Iterable[str]) -> dict[str, str]:
    """Read change numbers by server; one that is none makes all worthless."""
    found: dict[str, str] = {}
    for value in values:
        match = _CSN.match(value)
        if match is None:
            return {}
        found[match["sid"]] = value
    return found


def written(csns: Csns) -> str:
    """Write change numbers as a cookie has them."""
    return ";".join(csns[sid] for sid in sorted(csns))


def cookie(csns: Csns) -> bytes:
    """Write OpenLDAP's cookie; as a consumer we are number 0 of none."""
    return f"rid=000,csn={written(csns)}".encode()


def csns_in(cookie: bytes | None) -> Csns:
    """Return the change numbers in OpenLDAP's cookie, such as `rid=000,csn=...`."""
    match = _COOKIE.search((cookie or b"").decode("utf-8", "replace"))
    return parsed(match["csns"].split(";")) if match else {}


def when(csn: str) -> str:
    """Return a change number's time, without the server and the part."""
    return csn.rsplit("#", 2)[0]


def moved(before: Csns, now: Csns) -> list[str]:
    """Return the servers whose number is another one now."""
    return [sid for sid, csn in now.items() if before.get(sid) != csn]


def bound(before: Csns, now: Csns) -> str:
    """Return from where on entries are asked; "" where a server is new."""
    return min((before.get(sid, "") for sid in moved(before, now)), default="")


def written_time(attribute: str, when: datetime) -> str:
    """Write a time as an attribute has it."""
    text = f"{when.year:04}{when:%m%d%H%M%S}"
    return (
        f"{text}.000000Z#000000#000#000000" if attribute == "entryCSN" else f"{text}Z"
    )


def horizon(attribute: str) -> str:
    """Return the first time that is in the future, whatever clock is right."""
    return written_time(attribute, datetime.now(UTC) + OVERLAP)


def lagging(attribute: str) -> str:
    """Return the time up to which `LAG` is over."""
    return written_time(attribute, datetime.now(UTC) - LAG)


def in_form(attribute: str, newest: str) -> str:
    """Write a time as an attribute has it; a grain of a second takes the whole one."""
    if attribute == "entryCSN":
        return newest if "#" in newest else f"{newest[:14]}.000000Z#000000#000#000000"
    return f"{newest[:14]}Z"


def earlier(newest: str) -> str:
    """Return where to begin: the overlap before the newest change that was seen."""
    attribute = "entryCSN" if "#" in newest else "modifyTimestamp"
    try:
        when = datetime.strptime(newest[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return written_time(attribute, when - OVERLAP)
    except (ValueError, OverflowError):
        return newest
