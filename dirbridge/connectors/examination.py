"""`dirbridge check` for one directory server, step by step.

A step that fails ends the examination of that server: what comes after it needs
it. Nothing here raises for a server's failure.
"""

from __future__ import annotations

from collections.abc import Callable

from dirbridge.config.settings import Security
from dirbridge.connectors.findings import finding_of
from dirbridge.errors import DirectoryError, Unreachable
from dirbridge.ldap.certificate import Certificate, certificate_of, shown_pin
from dirbridge.ldap.channel_binding import NoBinding, tls_server_end_point
from dirbridge.ldap.client import ANY, Client
from dirbridge.ldap.failover import Failover
from dirbridge.ldap.operations import WHO_AM_I, who_am_i
from dirbridge.ldap.session import Query, Session, open_session
from dirbridge.ldap.transport import Endpoint, resolve
from dirbridge.model.deadline import Deadline
from dirbridge.model.entry import Exclusion
from dirbridge.model.finding import Finding, Outcome

ExamineBase = Callable[[Session, Deadline], tuple[str, bool, list[Finding]]]
"""Gives the base, whether accounts are there, and findings of its own."""

WARN_DAYS = 21
"""A certificate with fewer days left is a warning."""


def examine(
    server: Endpoint, client: Client, examine_base: ExamineBase
) -> list[Finding]:
    """Try one server from its name to its accounts.

    Args:
        server: The server.
        client: Its directory.
        examine_base: Reads and compares what its connector knows of.
    """
    findings: list[Finding] = []
    session: Session | None = None
    try:
        findings.append(_name(server, client))
        limit = Deadline.after(client.access.connect_seconds)
        session = open_session(server, client.access, limit)
        findings += _connected(server, client, session)
        findings += _bound(server, client, session)
        findings += _based(server, client, session, examine_base)
        findings += _seen(server, client)
    except DirectoryError as error:
        findings.append(finding_of(_with_pin(error, server, client), str(server)))
    finally:
        if session is not None:
            session.close()
    return findings


def foreign_findings(failover: Failover) -> list[Finding]:
    """Say which hosts DNS names that are not taken for the directory's own."""
    return [_foreign(host) for host in failover.foreign]


def empty_findings(domain: str, failover: Failover) -> list[Finding]:
    """Say that DNS names nobody who could be asked."""
    if failover.servers:
        return []
    nobody = Unreachable(
        domain=domain, server=f"of {domain}", operation="connect", code="no-servers"
    )
    return [finding_of(nobody, domain)]


def _foreign(host: str) -> Finding:
    return Finding(
        host,
        "name",
        Outcome.WARNING,
        f"DNS names {host}, which does not stand below the directory's own name; it "
        "is not asked.",
        "If it is yours, name it in `server` or `backup_server`, a KDC in the realm's "
        "`kdcs`; if not, look who answers this machine's questions to DNS.",
        "server-foreign",
    )


def _with_pin(
    error: DirectoryError, server: Endpoint, client: Client
) -> DirectoryError:
    """Add what to pin, where a server has signed its certificate itself."""
    if error.code != "certificate-self-signed":
        return error
    pin = shown_pin(server, client.access)
    said = f"its fingerprint is {pin}" if pin else error.detail
    return Unreachable(
        domain=error.domain,
        server=error.server,
        operation=error.operation,
        code=error.code,
        detail=said,
    )


def _name(server: Endpoint, client: Client) -> Finding:
    try:
        found = resolve(server.host, client.access.connect_seconds)
    except OSError as error:
        raise Unreachable(
            domain=client.access.domain,
            server=str(server),
            operation="connect",
            code="dns",
            detail=str(error),
        ) from error
    addresses = ", ".join(address for _, address in found)
    return _ok(server, "name", f"{server.host} is {addresses}.")


def _connected(server: Endpoint, client: Client, session: Session) -> list[Finding]:
    security = client.access.security
    if security is Security.NONE:
        return [
            Finding(
                str(server),
                "connect",
                Outcome.WARNING,
                "The connection stands, without encryption: passwords can be read.",
                'Write security = "ldaps".',
                "no-encryption",
            )
        ]
    connect = _ok(server, "connect", f"The connection stands ({security}).")
    if security is Security.SEALED:
        return [connect]  # there is no certificate
    if client.access.legacy:
        connect = Finding(
            str(server),
            "connect",
            Outcome.WARNING,
            "The connection stands, with old TLS admitted (tls_legacy).",
            "Renew the server and leave `tls_legacy` out.",
            "tls-legacy",
        )
    certificate = certificate_of(session.transport)
    found = [connect, _certificate(server, certificate)]
    return found + (_untied(server, session) if client.account.ties else [])


def _untied(server: Endpoint, session: Session) -> list[Finding]:
    """Warn of a certificate to which a bind by Kerberos cannot be tied."""
    try:
        tls_server_end_point(session.transport.peer_certificate() or b"")
    except NoBinding as error:
        text = f"The bind cannot be tied to the certificate: {error}."
        mend = "Give the server a certificate that is signed with RSA or ECDSA."
        code = "no-channel-binding"
        return [Finding(str(server), "bind", Outcome.WARNING, text, mend, code)]
    return []


def _certificate(server: Endpoint, certificate: Certificate | None) -> Finding:
    if certificate is None:
        return Finding(
            str(server),
            "certificate",
            Outcome.UNKNOWN,
            "The certificate was accepted but its dates cannot be read.",
            "Give the server a certificate of your own authority.",
            "certificate-unreadable",
        )
    text = (
        f"It is for {', '.join(certificate.names)} and ends on "
        f"{certificate.expires_at:%Y-%m-%d}, in {certificate.days_left} days."
    )
    if certificate.days_left < WARN_DAYS:
        mend = "Renew the server's certificate now."
        code = "certificate-ends-soon"
        return Finding(str(server), "certificate", Outcome.WARNING, text, mend, code)
    return _ok(server, "certificate", text)


def _bound(server: Endpoint, client: Client, session: Session) -> list[Finding]:
    client.authenticate(session, Deadline.after(client.access.read_seconds))
    who = _taken_for(client, session)
    text = f"{client.account.username} is let in" + (f" as {who}." if who else ".")
    return [_ok(server, "bind", text)]


def _taken_for(client: Client, session: Session) -> str:
    """Return whom the server takes us for, "" where it does not say."""
    limit = Deadline.after(client.access.read_seconds)
    query = Query(base="", filter=ANY, scope="BASE", attributes=("supportedExtension",))
    known = {
        value
        for entry in session.search(query, limit).entries
        for value in entry.attributes.get("supportedextension", ())
    }
    if WHO_AM_I.encode() not in known:
        return ""
    return who_am_i(session.transport, limit) or ""


def _based(
    server: Endpoint, client: Client, session: Session, examine_base: ExamineBase
) -> list[Finding]:
    limit = Deadline.after(client.access.read_seconds)
    base, populated, more = examine_base(session, limit)
    if populated:
        return [_ok(server, "base", f"Accounts below {base} can be read."), *more]
    empty = Finding(
        str(server),
        "base",
        Outcome.FAILED,
        f"There is no account below {base} that the service account can see.",
        "Write the `base` and `filter` that hold your accounts, and see that the "
        "service account may read them.",
        "base-empty",
    )
    return [empty, *more]


def _seen(server: Endpoint, client: Client) -> list[Finding]:
    """Say how fast it answers, and what its clock shows where it tells."""
    states = {state.server: state for state in client.states()}
    state = states.get(str(server))
    if state is None or state.round_trip is None:
        return []
    text = f"It answers a small question in {state.round_trip * 1000:.0f} ms"
    if state.clock_offset is not None:
        text += f"; its clock is {abs(state.clock_offset):.0f} s "
        text += "ahead" if state.clock_offset >= 0 else "behind"
    return [_ok(server, "speed", f"{text}.")]


def exclusion_finding(server: str, exclusion: Exclusion) -> Finding:
    """Say that an exclusion of the mapping leaves out everybody."""
    return Finding(
        server,
        "base",
        Outcome.FAILED,
        f'The exclusion "{exclusion.name}" of the mapping leaves nobody: the server '
        f"does not know an attribute of {exclusion.filter}, or all entries match it.",
        "Mend the filter in the mapping, or take that exclusion out.",
        "exclusion-hides-all",
    )


def _ok(server: Endpoint, what: str, text: str) -> Finding:
    return Finding(str(server), what, Outcome.OK, text)
