"""Passwords checked by the realm's KDC, and the KDC checked by our keytab.

An AS exchange alone proves nothing: whoever answers as the KDC may have made the
password up together with the person at the keyboard. So a service ticket for our
own name is fetched and opened with our own keytab, in this process; only the
directory's KDC knows that key (facts: ad-semantics 14).

A KDC time-out cannot be set, so the whole check runs in a bounded worker that is
left behind when the deadline passes. Nothing is written to disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dirbridge.authenticators.answers import Answers
from dirbridge.authenticators.keytab import keytab_lines, read_keytab
from dirbridge.config.settings import DirectoryType, Method
from dirbridge.directory.kerberos_codes import CAUSES, REASONS
from dirbridge.ldap.bounded import Bounded, Full, Overdue
from dirbridge.model.account import Account
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.login import Cause, Reason, Unavailable, Verdict
from dirbridge.model.names import RealmName, fold
from dirbridge.model.secret import Secret

WORKERS = 32
"""Most checks on their way at once, abandoned ones included."""

_CHECK_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Realm:
    """What the method needs to know of its realm.

    Attributes:
        name: The realm, in upper case.
        keytab: Our keytab, None where there is none.
        service: Our own name in it, such as `smtp/mail.company.com`; None takes
            the keytab's first.
        verify: Whether the KDC must prove itself.
        kind: The directory's type, for the command that makes the keytab.
    """

    name: RealmName
    keytab: Path | None = None
    service: str | None = None
    verify: bool = True
    kind: DirectoryType = DirectoryType.ACTIVE_DIRECTORY


class KerberosAuthenticator:
    """The method `kerberos`; see `authenticators.base`.

    KRB5_CONFIG must be set before the first call: libkrb5 reads it then.
    """

    def __init__(self, realm: Realm, *, workers: int = WORKERS) -> None:
        self._realm = realm
        self._bounded = Bounded("kerberos", workers)

    @property
    def method(self) -> str:
        """The method's name in the configuration."""
        return Method.KERBEROS.value

    def authenticate(
        self, account: Account, password: Secret, deadline: Deadline
    ) -> Verdict:
        """Check a password; see `Authenticator.authenticate`."""
        answer = Answers(account.canonical, self.method, self._realm.name)
        if not password:
            return answer.rejected(Reason.EMPTY_PASSWORD)
        if "\0" in password.reveal():
            # libkrb5 would stop reading there and take the rest for granted.
            return answer.rejected(Reason.BAD_PASSWORD)
        principal = _principal(account, self._realm.name)
        if principal is None or (self._realm.verify and not self._realm.keytab):
            what = f"principal in {self._realm.name}" if not principal else "keytab"
            return answer.unavailable(Cause.CONFIGURATION, f"there is no {what}")
        return self._ask(answer, principal, password, deadline.left())

    def check(self) -> list[Finding]:
        """Say whether the keytab is there and whether a KDC answers."""
        return [self._keytab_finding(), self._kdc_finding()]

    def _ask(
        self, answer: Answers, principal: str, password: Secret, seconds: float
    ) -> Verdict:
        work = partial(self._check, answer, principal, password)
        try:
            return self._bounded.call(work, seconds)
        except Overdue:
            return answer.unavailable(Cause.TIMEOUT, "the KDC is silent")
        except Full:
            return answer.unavailable(Cause.OVERLOADED, "too many checks wait already")

    def _check(self, answer: Answers, principal: str, password: Secret) -> Verdict:
        from dirbridge.authenticators import gss  # noqa: PLC0415 - see its first lines

        try:
            credentials = gss.acquire(principal, password)
        except gss.GssFailure as error:
            return _judged(answer, error.code, error.words)
        if self._realm.keytab is None or not self._realm.verify:
            return answer.accepted()
        try:
            service = f"{self._service(self._realm.keytab)}@{self._realm.name}"
            gss.verify(credentials, principal, service, self._realm.keytab)
        except gss.GssFailure as error:
            cause = _WHILE_VERIFYING.get(error.code, Cause.KDC_NOT_VERIFIED)
            return answer.unavailable(cause, error.words)
        except gss.NotVerified as error:
            return answer.unavailable(Cause.KDC_NOT_VERIFIED, str(error))
        except (OSError, ValueError) as error:
            return answer.unavailable(Cause.CONFIGURATION, f"keytab: {error}")
        return answer.accepted()

    def _service(self, keytab: Path) -> str:
        if self._realm.service:
            return self._realm.service
        for key in read_keytab(keytab):
            if key.realm == self._realm.name:
                return key.service
        raise ValueError(f"it has no key of {self._realm.name}")

    def _keytab_finding(self) -> Finding:
        realm = self._realm
        where = str(realm.keytab or realm.name)
        if not realm.verify:
            text = "The KDC is not verified (verify_kdc = false)."
            mend = "Make a keytab and leave verify_kdc out."
            return Finding(where, "keytab", Outcome.WARNING, text, mend, "not-verified")
        if realm.keytab is None:
            return self._keytab_missing(where, "There is no keytab.", "no-keytab")
        try:
            keys = read_keytab(realm.keytab)
        except (OSError, ValueError) as error:
            text = f"The keytab cannot be read: {error}."
            return self._keytab_missing(where, text, "keytab-unreadable")
        wanted = [
            key
            for key in keys
            if key.realm == realm.name and realm.service in (None, key.service)
        ]
        if not wanted:
            text = f"The keytab has no key for {realm.service or 'us'}@{realm.name}."
            return self._keytab_missing(where, text, "keytab-other")
        kinds = ", ".join(sorted({key.enctype for key in wanted}))
        text = f"It has {wanted[0].service}@{realm.name}, {kinds}."
        return Finding(where, "keytab", Outcome.OK, text)

    def _keytab_missing(self, where: str, text: str, code: str) -> Finding:
        realm = self._realm
        service = realm.service or "smtp/HOST.OF.THE.MAIL.SERVER"
        path = realm.keytab or Path(f"/etc/dirbridge/{realm.name.lower()}.keytab")
        lines = keytab_lines(realm.kind, service, realm.name, path)
        mend = f"On the directory server: {'  or  '.join(lines)}"
        return Finding(where, "keytab", Outcome.FAILED, text, mend, code)

    def _kdc_finding(self) -> Finding:
        """Ask for somebody who is not there: a KDC that says so is alive."""
        realm = self._realm.name
        answer = Answers("", self.method, realm)
        nobody = f"dirbridge-check-nobody@{realm}"
        verdict = self._ask(answer, nobody, Secret("of nobody"), _CHECK_SECONDS)
        return _kdc_answered(realm, verdict)


def _kdc_answered(realm: str, verdict: Verdict) -> Finding:
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


def _principal(account: Account, realm: str) -> str | None:
    """Return the principal to ask for, None where it is not in this realm."""
    named = account.values.principal
    if named:
        return named if fold(named.rpartition("@")[2]) == fold(realm) else None
    names = account.values.login_names
    return f"{_quoted(names[0])}@{realm}" if names else None


def _quoted(name: str) -> str:
    """Escape what `krb5_parse_name` would take for a separator."""
    return "".join(f"\\{c}" if c in "\\/@" else c for c in name)


# While the KDC is being verified, only these say that it is merely away.
_WHILE_VERIFYING = {
    code: cause
    for code, cause in CAUSES.items()
    if cause in (Cause.UNREACHABLE, Cause.BUSY, Cause.CLOCK)
}


def _judged(answer: Answers, code: int, words: str) -> Verdict:
    if code in REASONS:
        return answer.rejected(REASONS[code], words)
    return answer.unavailable(CAUSES.get(code, Cause.INTERNAL), words)
