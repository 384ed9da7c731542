"""What `check` finds out about the Password Servers of a directory."""

from __future__ import annotations

from collections.abc import Iterator

from dirbridge.authenticators.password_server_exchange import converse, new_nonce
from dirbridge.authenticators.password_server_list import ServerList
from dirbridge.directory.password_server_record import PasswordServerRecord
from dirbridge.errors import DirectoryError
from dirbridge.ldap.transport import Endpoint
from dirbridge.model.deadline import Deadline
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DomainName
from dirbridge.protocols import cast5_cbc
from dirbridge.protocols.password_server_login import CRAM_MD5, DIGEST_MD5
from dirbridge.protocols.password_server_session import Examination, Examined

SECONDS = 5.0
"""Most seconds for one server, and for the directory's list."""

_WHAT = "password-server"

UNTRIED = (
    "This method was built from the published source of Apple's client and not tried "
    "against Apple's own server: try `dirbridge login` before you rely on it."
)


def examine(
    domain: DomainName, servers: ServerList, *, protected: bool, cram: bool
) -> list[Finding]:
    """Try every Password Server that the directory names.

    Args:
        domain: The mail domain.
        servers: Knows them.
        protected: Whether keys and slots are read by TLS or sealed.
        cram: Whether CRAM-MD5 is admitted.
    """
    found = [] if protected else [_unprotected(domain)]
    if not cast5_cbc.is_there():
        found.append(_no_cast5(domain))
    records = servers.records(Deadline.after(SECONDS))
    tried = [
        _tried(domain, endpoint, record, cram=cram)
        for record in _distinct(records)
        for endpoint in servers.endpoints(record)
    ]
    return found + (list(dict.fromkeys(tried)) or [_no_list(domain)])


def _distinct(
    records: tuple[PasswordServerRecord, ...],
) -> Iterator[PasswordServerRecord]:
    """Yield each record once; the one without an id in its name is mostly a copy."""
    seen: set[str] = set()
    for record in records:
        if record.id not in seen:
            yield record
        seen.add(record.id)


def _tried(
    domain: DomainName, server: Endpoint, record: PasswordServerRecord, *, cram: bool
) -> Finding:
    limit = Deadline.after(SECONDS)
    try:
        seen = converse(Examination(new_nonce()), domain, server, limit, limit)
    except DirectoryError as error:
        said = f"{error.code} {error.detail}".strip()
        return _failed(
            server,
            f"The Password Server cannot be asked: {said}.",
            "Start it there, and let TCP port 3659 through from this machine.",
            "password-server-away",
        )
    if not isinstance(seen, Examined):
        return _failed(
            server,
            f"The Password Server turned us away: {seen.refusal.said}.",
            "Look into its log.",
            "password-server-away",
        )
    return _judged(server, record, seen, cram=cram)


def _judged(
    server: Endpoint, record: PasswordServerRecord, seen: Examined, *, cram: bool
) -> Finding:
    key = seen.shown.key.decode("utf-8", "replace")
    if not seen.proven or (record.id and not record.belongs_to(key)):
        return _failed(
            server,
            "The Password Server did not prove that it has the directory's key.",
            "Find out who answers there; no password is sent to it.",
            "password-server-key",
        )
    offered = seen.shown.mechanisms
    version = f" {seen.shown.version}" if seen.shown.version else ""
    if DIGEST_MD5 in offered:
        text = f"The Password Server{version} proved its key and offers DIGEST-MD5."
        return Finding(str(server), _WHAT, Outcome.OK, text, UNTRIED)
    if cram and CRAM_MD5 in offered and not seen.sealed:
        return _failed(
            server,
            f"The Password Server{version} offers CRAM-MD5 but no DIGEST-MD5, and the "
            "session is not encrypted: no answer could be believed.",
            "Switch DIGEST-MD5 on in Server Admin, and let people set their password.",
            "password-server-mechanisms",
        )
    if cram and CRAM_MD5 in offered:
        return _warned(
            str(server),
            f"The Password Server{version} offers CRAM-MD5 but no DIGEST-MD5, so it "
            "proves nothing about the password's secret.",
            "Switch DIGEST-MD5 on in Server Admin, and let people set their password.",
            "password-server-cram",
        )
    return _failed(
        server,
        f"The Password Server{version} offers no DIGEST-MD5, but "
        f"{', '.join(offered) or 'nothing'}.",
        "Switch DIGEST-MD5 on in Server Admin; or admit CRAM-MD5 with "
        "password_server_cram = true.",
        "password-server-mechanisms",
    )


def _failed(server: Endpoint, text: str, mend: str, code: str) -> Finding:
    return Finding(str(server), _WHAT, Outcome.FAILED, text, mend, code)


def _warned(where: str, text: str, mend: str, code: str) -> Finding:
    return Finding(where, _WHAT, Outcome.WARNING, text, mend, code)


def _unprotected(domain: DomainName) -> Finding:
    return _warned(
        domain,
        "The keys of the Password Servers are read over LDAP without TLS: whoever "
        "changes them there can let anybody in.",
        'Write security = "ldaps" or "starttls".',
        "password-server-clear",
    )


def _no_cast5(domain: DomainName) -> Finding:
    return _warned(
        domain,
        "This machine's OpenSSL has no CAST5 (it is in its legacy provider, and not in "
        "FIPS mode), so sessions with Password Servers are not encrypted and CRAM-MD5 "
        "is never used.",
        "Take an OpenSSL with CAST5, or do with DIGEST-MD5 in clear.",
        "password-server-cast5",
    )


def _no_list(domain: DomainName) -> Finding:
    return _warned(
        domain,
        "The directory shows no list of its Password Servers, so each account's is "
        "looked for at the address in its authAuthority only.",
        "Let the service account read the record passwordserver below cn=config.",
        "password-server-list",
    )
