"""What `check` tells of a realm: how its KDC proves itself, and whether one answers."""

from __future__ import annotations

from pathlib import Path

from dirbridge.authenticators.kdc_proofs import ByBind
from dirbridge.authenticators.keytab import keytab_lines, read_keytab
from dirbridge.config.settings import DirectoryType
from dirbridge.errors import DirectoryError
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.login import Cause, Unavailable, Verdict


def keytab(
    realm: str,
    path: Path | None,
    service: str | None,
    kind: DirectoryType,
    *,
    verify: bool,
) -> Finding:
    """Look whether the keytab is there, and has our key.

    Args:
        realm: The realm.
        path: The keytab, None where none is named.
        service: Our name in it, None for its first.
        kind: The directory's type, for the command that makes a keytab.
        verify: Whether the KDC must prove itself.
    """
    where = str(path or realm)
    if not verify:
        text = "The KDC is not verified (verify_kdc = false)."
        mend = "Make a keytab and leave verify_kdc out."
        return Finding(where, "keytab", Outcome.WARNING, text, mend, "not-verified")
    mend = _how_to_make(realm, path, service, kind)
    if path is None:
        return _missing(where, "There is no keytab.", mend, "no-keytab")
    try:
        keys = read_keytab(path)
    except (OSError, ValueError) as error:
        text = f"The keytab cannot be read: {error}."
        return _missing(where, text, mend, "keytab-unreadable")
    wanted = [
        key for key in keys if key.realm == realm and service in (None, key.service)
    ]
    if not wanted:
        text = f"The keytab has no key for {service or 'us'}@{realm}."
        return _missing(where, text, mend, "keytab-other")
    kinds = ", ".join(sorted({key.enctype for key in wanted}))
    text = f"The KDC proves itself by {wanted[0].service}@{realm}, {kinds}."
    return Finding(where, "keytab", Outcome.OK, text)


def bind(
    realm: str,
    service: str | None,
    kind: DirectoryType,
    by_bind: ByBind,
    seconds: float,
) -> Finding:
    """Look whether the directory takes binds by ticket, as there is no keytab.

    Args:
        realm: The realm.
        service: Our name in the keytab that there could be.
        kind: The directory's type.
        by_bind: How the KDC proves itself.
        seconds: Time for the question.
    """
    mend = _how_to_make(realm, None, service, kind)
    try:
        offered = by_bind.offered(Deadline.after(seconds))
    except DirectoryError as error:
        text = f"There is no keytab, and {error.server} does not answer: {error.code}."
        return _missing(realm, text, mend, "no-keytab")
    if not offered:
        text = "There is no keytab, and the directory takes no GSS-SPNEGO binds."
        return _missing(realm, text, mend, "no-keytab")
    text = (
        f"There is no keytab: the KDC proves itself by {by_bind.way}. {_doubt(by_bind)}"
    )
    return Finding(realm, "keytab", Outcome.WARNING, text, mend, "by-bind")


def _doubt(by_bind: ByBind) -> str:
    """Say what a keytab would do better."""
    if by_bind.known_server:
        return "Not every server admits them; the first login tells."
    # Who stands in for both at once has keys that fit each other.
    return "That does not tell who stands in for KDC and directory server at once."


def kdc(realm: str, verdict: Verdict) -> Finding:
    """Say what it means that a KDC was asked for nobody.

    Args:
        realm: The realm.
        verdict: What came of it.
    """
    if not isinstance(verdict, Unavailable):
        return Finding(realm, "realm", Outcome.OK, "A KDC of the realm answers.")
    text = f"No KDC of the realm could be asked: {verdict.detail}."
    mend = (
        "Write the KDCs into the realm's file in realms/ (`kdcs`), see that port 88 is "
        "open, and that the realm's name is right."
    )
    if verdict.cause is Cause.CLOCK:
        mend = "Let both machines follow the same time server; Kerberos allows 300 s."
    return Finding(realm, "realm", Outcome.FAILED, text, mend, verdict.cause.value)


def _how_to_make(
    realm: str, path: Path | None, service: str | None, kind: DirectoryType
) -> str:
    named = service or "smtp/HOST.OF.THE.MAIL.SERVER"
    file = path or Path(f"/etc/dirbridge/{realm.lower()}.keytab")
    lines = keytab_lines(kind, named, realm, file)
    return f"On the directory server: {'  or  '.join(lines)}"


def _missing(where: str, text: str, mend: str, code: str) -> Finding:
    return Finding(where, "keytab", Outcome.FAILED, text, mend, code)
