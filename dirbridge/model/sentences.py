"""The one place where errors, reasons and causes become sentences for people.

Every sentence about something wrong comes with the next step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from dirbridge.errors import (
    AccountError,
    BindRefused,
    ConfigError,
    DirbridgeError,
    DirectoryError,
    IncompleteRead,
    Problem,
    StoreError,
    UnsafePlan,
    Unsettled,
    Unsupported,
    harmless,
)
from dirbridge.model.login import Accepted, Cause, Reason, Rejected, Verdict
from dirbridge.model.plan import Approval


@dataclass(frozen=True, slots=True)
class Advice:
    """What a reason or cause means, what to do, and who can do it."""

    text: str
    next: str
    who: str


REASONS: dict[Reason, Advice] = {
    Reason.UNKNOWN: Advice(
        "No account has this name.",
        "Check the spelling; if the person is new, run `dirbridge sync`.",
        "mail admin",
    ),
    Reason.AMBIGUOUS: Advice(
        "Two accounts have this name.",
        "Log in with the full address, and give one of the accounts another name.",
        "directory admin",
    ),
    Reason.BAD_NAME: Advice(
        "This cannot be a login name.",
        "Type the name as `user` or `user@domain`, without control characters.",
        "the person",
    ),
    Reason.EMPTY_PASSWORD: Advice(
        "The password was empty.",
        "Type the password; look into the mail program's settings.",
        "the person",
    ),
    Reason.BAD_PASSWORD: Advice(
        "The password held only control characters or a NUL.",
        "Type the password again; look into the mail program's settings.",
        "the person",
    ),
    Reason.WRONG_PASSWORD: Advice(
        "The password is wrong, or the directory hides another reason behind it.",
        "Try the password elsewhere; `dirbridge explain` shows the account's state.",
        "the person",
    ),
    Reason.DISABLED: Advice(
        "The account is disabled in the directory.",
        "Have it enabled there, then run `dirbridge sync`.",
        "directory admin",
    ),
    Reason.DEACTIVATED: Advice(
        "The account is deactivated: its entry vanished from the directory, or is one "
        "that gets no mailbox.",
        "Ask `dirbridge explain` which of them it is, and what to do.",
        "directory admin",
    ),
    Reason.REMOVED: Advice(
        "The account was removed after its quarantine.",
        "Have the entry restored in the directory, then run `dirbridge sync`.",
        "directory admin",
    ),
    Reason.EXPIRED: Advice(
        "The account's end date has passed.",
        "Have the end date moved in the directory, then run `dirbridge sync`.",
        "directory admin",
    ),
    Reason.LOCKED: Advice(
        "The account is locked after too many wrong passwords.",
        "Wait for the lock to run out or have it unlocked; then mend the device that "
        "keeps sending an old password.",
        "directory admin",
    ),
    Reason.REVOKED: Advice(
        "The KDC refuses the account: it is disabled, expired, locked, or outside its "
        "logon hours.",
        "Ask `dirbridge explain` which of them it is.",
        "directory admin",
    ),
    Reason.MUST_CHANGE: Advice(
        "The password must be changed before the next login.",
        "Change it at a computer of the domain.",
        "the person",
    ),
    Reason.PASSWORD_EXPIRED: Advice(
        "The password has expired.",
        "Change it at a computer of the domain.",
        "the person",
    ),
    Reason.LOGON_HOURS: Advice(
        "The account may not log in at this time.",
        "Log in within the logon hours, or have them changed in the directory.",
        "directory admin",
    ),
    Reason.WORKSTATION: Advice(
        "The account may log in only from certain computers.",
        "Have the mail server added to its workstations in the directory.",
        "directory admin",
    ),
    Reason.NO_PASSWORD: Advice(
        "The local account has no password yet.",
        "Set one with `dirbridge accounts passwd`.",
        "mail admin",
    ),
    Reason.SMARTCARD: Advice(
        "The account may log in with a smart card only.",
        "Give the person an app password, or end the requirement in the directory.",
        "directory admin",
    ),
    Reason.APP_PASSWORD: Advice(
        "From this address only app passwords are taken.",
        "Make one with `dirbridge accounts app-password add NAME --label PHONE`.",
        "mail admin",
    ),
    Reason.BAD_TICKET: Advice(
        "The client's Kerberos ticket was not accepted: it is old, or the keytab does "
        "not fit it.",
        "Lock and unlock the computer's screen; if that helps nobody, make the keytab "
        "anew.",
        "mail admin",
    ),
    Reason.OTHER_IDENTITY: Advice(
        "The password or ticket is one person's, but the client asks to be somebody "
        "else.",
        "Leave the authorization identity empty in the mail program.",
        "the person",
    ),
    Reason.GUARDED: Advice(
        "Too many wrong passwords: the directory is not asked, or it would lock the "
        "account.",
        "Correct the password on the device that `dirbridge explain` names, and wait.",
        "the person",
    ),
    Reason.ADDRESS_GUARDED: Advice(
        "Too many accounts failed from this client address.",
        "See `dirbridge explain`; put webmail and offices into `trusted_networks`.",
        "mail admin",
    ),
}

CAUSES: dict[Cause, Advice] = {
    Cause.UNREACHABLE: Advice(
        "No server that could decide was reached.",
        "Run `dirbridge check` and mend what it names.",
        "mail admin",
    ),
    Cause.TIMEOUT: Advice(
        "No answer came in time.",
        "Run `dirbridge check`: a server may be frozen or overloaded.",
        "mail admin",
    ),
    Cause.BUSY: Advice(
        "The directory server is too busy.",
        "Try again soon; look at the load of the directory server.",
        "directory admin",
    ),
    Cause.CONFIGURATION: Advice(
        "The login method lacks its set-up.",
        "Run `dirbridge check`: it prints what is missing.",
        "mail admin",
    ),
    Cause.OWN_ENTRY: Advice(
        "The directory takes the password, but the person may not read the own entry, "
        "so nobody can say whose it is.",
        "Let people read the id of their own entry: objectGUID and objectSid in Active "
        "Directory, else apple-generateduid, entryUUID and authAuthority.",
        "directory admin",
    ),
    Cause.CLOCK: Advice(
        "This machine's clock and the directory's differ too much for Kerberos.",
        "Set the clock, for example with chrony.",
        "mail admin",
    ),
    Cause.KDC_NOT_VERIFIED: Advice(
        "The KDC could not prove that it is the directory's own.",
        "Make the keytab anew; if that does not help, look who answers as the KDC.",
        "mail admin",
    ),
    Cause.SERVER_NOT_VERIFIED: Advice(
        "The server that answered did not prove that it is the directory's.",
        "Find out who answers at its address; then run `dirbridge check`.",
        "mail admin",
    ),
    Cause.STORE: Advice(
        "The local user database could not be read.",
        "Run `dirbridge status` and mend what it names.",
        "mail admin",
    ),
    Cause.OVERLOADED: Advice(
        "Too many logins wait already.",
        "Run `dirbridge check`: a server may be slow or frozen; if none is, look for a "
        "device or an attacker that floods the mail server.",
        "mail admin",
    ),
    Cause.INTERNAL: Advice(
        "dirbridge failed in itself.",
        "Report it with the log's last lines.",
        "mail admin",
    ),
}

_CONNECTION = {
    "group-missing": (
        "does not show the group that decides who gets a mailbox",
        "Mend `require_group`; or let the service account read the group, set `base` "
        "so that the group stands below it, and give the mapping a group_filter.",
    ),
    "refused": (
        "refused the connection",
        "Start the LDAP service there, or mend the port in `server`.",
    ),
    "timeout": (
        "did not answer in time",
        "See whether the server is up and a firewall lets the connection through.",
    ),
    "dns": (
        "has a name that cannot be resolved",
        "Mend the name in `server`, or this machine's DNS.",
    ),
    "certificate-name": (
        "showed a certificate for another name",
        "Write the name that stands in the certificate into `server`, or give the "
        "server a certificate for its name.",
    ),
    "certificate-expired": (
        "showed a certificate that has expired or is not valid yet",
        "Renew the server's certificate; also look at this machine's clock.",
    ),
    "certificate-untrusted": (
        "showed a certificate of a CA that is not trusted here",
        "Name the CA's certificate in `ca_file`.",
    ),
    "certificate-self-signed": (
        "showed a certificate that it has signed itself",
        "Name the certificate in `ca_file`; or compare its fingerprint with the one "
        "that `openssl x509 -noout -fingerprint -sha256` shows on the server, and "
        "write it as `certificate_pin`; `dirbridge check` names it.",
    ),
    "certificate-weak": (
        "showed a certificate with a key or signature that is too weak",
        "Renew the server's certificate; until then, tls_legacy = true admits it.",
    ),
    "certificate-pin": (
        "showed another certificate than the pinned one",
        "If it was given a new one, compare the fingerprint there and write it as "
        "`certificate_pin`; if not, look who answers at this name.",
    ),
    "cert-file": (
        "cannot be shown our own certificate",
        "Mend `cert_file` and `key_file`: both in PEM form, the key without a "
        "password, readable for the user that runs dirbridge.",
    ),
    "client-certificate": (
        "refused our certificate",
        "Have the server trust the authority of `cert_file` and map its subject to an "
        "account that may read (slapd: TLSVerifyClient, authz-regexp).",
    ),
    "seal-broken": (
        "sent something that was changed on the way or never sealed",
        "Look for what stands between this machine and the server and changes what "
        "passes; then look at the server's log.",
    ),
    "not-sealed": (
        "does not agree to seal the connection",
        'Write security = "ldaps", or let the server sign and seal.',
    ),
    "server-not-proven": (
        "could not prove that it is the one that is meant",
        "Look who answers at the name in `server`; nothing was read from it.",
    ),
    "no-sasl": (
        "does not know this way to log in",
        'Write security = "ldaps" and bind = "simple", or set the server up for it.',
    ),
    "sasl-in-tls": (
        "takes no Kerberos bind inside TLS",
        'Write security = "sealed"; or set Samba\'s `ldap server require strong auth '
        "= allow_sasl_over_tls`.",
    ),
    "channel-binding": (
        "wants the bind tied to the TLS connection in a way that we do not offer",
        'Write security = "sealed"; or bind = "kerberos" over TLS, with a server '
        "certificate that is signed with RSA or ECDSA. A proxy that ends TLS in "
        "between must go.",
    ),
    "kdc-unreachable": (
        "could not be asked, as no KDC of the account's realm answers",
        "See that port 88 of the realm's KDCs is open (`kdcs` in the realm's file).",
    ),
    "realm-unknown": (
        "could not be asked, as the account's realm is not known",
        "Write the realm behind the @ of `username` as the directory names it; that "
        "may differ from the mail domain.",
    ),
    "spn-unknown": (
        "has a name that the KDC does not know",
        "Write the server's own full DNS name into `server`; its account must have "
        "the service principal ldap/NAME (`setspn -L`, `samba_spnupdate`).",
    ),
    "kerberos": (
        "could not be asked, as Kerberos failed",
        "Compare the realm's file in realms/ with the directory, and the kinds of "
        "keys that the account has (AES).",
    ),
    "clock": (
        "was not asked, as this machine's clock and the KDC's differ too much",
        "Let both follow the same time server; Kerberos allows 300 seconds.",
    ),
    "account-revoked": (
        "refuses the service account: it is disabled, locked, expired or outside its "
        "hours",
        "Have the account enabled or unlocked in the directory.",
    ),
    "account-expired": (
        "refuses the service account: its end date has passed",
        "Have its end date moved in the directory.",
    ),
    "account-password-expired": (
        "refuses the service account: its password has expired",
        "Give it a new password that does not expire, in the directory and here.",
    ),
    "ticket-refused": (
        "does not take the ticket that the KDC gave the service account for it",
        "Compare the server's clock with the KDC's, and see that its own account "
        "replicates: its keys may be older or newer than those of the KDC.",
    ),
    "keytab-refused": (
        "refused the service account's keytab",
        "Make the keytab anew, for the principal in `username`: it has no key for it, "
        "or an old one.",
    ),
    "keytab-unreadable": (
        "was not asked, as the service account's keytab cannot be read",
        "Mend `keytab`, and let the user that runs dirbridge read the file.",
    ),
    "tls": (
        "could not agree on TLS",
        "See that the port is for this kind of TLS: 636 for security = "
        '"ldaps", 389 for "starttls". A server that knows no TLS 1.2 needs '
        "tls_legacy = true.",
    ),
    "no-starttls": (
        "does not offer StartTLS",
        'Write security = "ldaps", or set the server up for StartTLS.',
    ),
    "no-route": (
        "cannot be reached over the network",
        "Mend the network or the firewall between this machine and the server.",
    ),
    "protocol": (
        "does not speak LDAP on this port, or breaks its rules",
        "Write the port of the LDAP service in `server`; if it is the right one, look "
        "at what stands between, such as a proxy.",
    ),
    "waiting": (
        "is asked by somebody else with this password just now",
        "Try again in a moment.",
    ),
    "all-down": (
        "list has nobody who answers",
        "Run `dirbridge check`: it says what is wrong with each of them.",
    ),
    "behind": (
        "has not got everything yet that another one told before",
        "Wait until it has caught up; where it does not, look at the replication "
        "between the servers.",
    ),
    "no-servers": (
        "list is empty: DNS names nobody",
        "See that this machine asks the directory's DNS, or name the servers in "
        "`server` and `backup_server`.",
    ),
    "ca-file": (
        "cannot be verified",
        "Put the certificates of your authorities (PEM) into `ca_file`.",
    ),
    "cleartext-password": (
        "would get the password in clear text",
        'Write security = "ldaps", or allow_cleartext_passwords = true if you must.',
    ),
    "no-password": (
        "was not asked, since the service account has no password",
        "Put the service account's password into the file that is named.",
    ),
    "no-rootdse": (
        "hides what it is",
        "Let the service account read the server's rootDSE.",
    ),
    "search-failed": (
        "refused to search",
        "See the server's own log; then run `dirbridge check` again.",
    ),
    "range": (
        "has an entry whose many values went on changing while they were read",
        "Run it again; if the same entry fails each time, look at it there.",
    ),
    "duplicate-id": (
        "has two entries with one id",
        "Give one of the two entries another id in the directory.",
    ),
    "no-push": (
        "does not tell of changes by itself",
        "Take `push` out, or let it: OpenLDAP needs the overlay syncprov, and the "
        "service account the right to read contextCSN. The sync goes on at its "
        "interval.",
    ),
    "watch-ended": (
        "no longer tells of changes",
        "It is asked again by itself; if that goes on, look at the server's log.",
    ),
    "busy": ("is busy", "Try again soon; look at the server's load."),
    "unavailable": ("says that it is unavailable", "Look at the server."),
    "closed": ("closed the connection", "Look at the server's log."),
    "credentials": (
        "refused the service account's name or password",
        "Mend `username` and the file behind `password`. So that the account is not "
        "locked, a running `dirbridge serve` tries the same password again after a "
        "day at the latest, or once restarted; another one as soon as the file has it.",
    ),
    "rights": (
        "refused the service account for lack of rights",
        "Give it the right to read the base.",
    ),
    "strong-auth": (
        "wants a protected connection",
        'Use security = "ldaps" or "starttls".',
    ),
    "base-missing": (
        "has no entry at the base",
        "Mend `base`, `suffix` or `directory_domain`.",
    ),
    "base-mismatch": (
        "has another base than the settings say",
        "Mend `directory_domain`, `suffix` or `base`.",
    ),
}

_FALLBACK = {
    BindRefused: "Run `dirbridge check`: it says what the account lacks.",
    IncompleteRead: "Nothing was changed; raise the server's size limit, or try again.",
    Unsupported: "Run `dirbridge check` and compare `type` with the server.",
}

_SIZE_RESULT = re.compile(r"\bresult 4\b")
_SIZE_LIMIT = (
    "Nothing was changed. Let the service account read without a limit, as paging does "
    'not lift OpenLDAP\'s: `limits dn.exact="ACCOUNT" size=unlimited '
    "size.prtotal=unlimited` in slapd's configuration (`olcLimits`)."
)

_STORE = {
    "outrun": (
        "was changed by another run meanwhile; nothing was written",
        "Run it again.",
    ),
    "turn-taken": (
        "is just being written by another sync of this domain",
        "Wait for it to end, then run it again.",
    ),
    "turn-lost": (
        "gave the right to sync this domain away; nothing was written",
        "Run it again; if that does not help, look at the network and the database.",
    ),
    "undecided": (
        "was lost in the moment of writing: the whole run is in it, or nothing of it",
        "Start the database, then look at `dirbridge sync runs`.",
    ),
    "unreachable": ("cannot be reached", "Start the database, or mend `store.url`."),
    "locked": ("is locked by another process", "Wait for it to end, then try again."),
    "older-schema": ("has an older schema", "Run `dirbridge store upgrade`."),
    "newer-schema": (
        "was made by a newer dirbridge",
        "Install that release here as well.",
    ),
    "broken": ("cannot be used", "Look at the disk, or restore a backup."),
    "full": ("has no room left", "Make room on the disk, then try again."),
    "refused": (
        "does not take the change; nothing was written",
        "Mend the value or name in the directory, then run `dirbridge sync`.",
    ),
    "backup": (
        "could not be saved; nothing was changed",
        "Make room, or mend the rights of the folder, then try again.",
    ),
    "no-backup": (
        "cannot be restored from this file; nothing was changed",
        "Name a file that `dirbridge store backup` made.",
    ),
    "no-program": (
        "is saved and restored by a program that is not installed here",
        "Install PostgreSQL's client programs (Debian: postgresql-client).",
    ),
    "in-use": (
        "is in use; nothing was changed",
        "Stop every `dirbridge serve` and sync that uses it, then try again.",
    ),
    "url": ("has a wrong `store.url`", "Mend `url` below [store] in dirbridge.toml."),
    "no-folder": ("lies in a folder that is not there", "Make the folder first."),
    "read-only": ("cannot be written", "Mend the owner and mode of file and folder."),
}

_LOOK = {
    "source-empty": "Look at `base`, `filter`, `require_group` and what the "
    "service account may read",
    "scope-changed": "Look at `base`, `filter` and mapping, and at the plan",
    "rights": "Look at the service account's rights",
}

MOST_LIMITS = 3
"""Limits that a sentence tells; a renamed branch can trip one for each container."""

_LIMITS = {
    "source-empty": "Of {accounts} accounts that are known here, the directory shows "
    "not one that may have a mailbox.",
    "scope-changed": "Base, filter or mapping have changed since the last run, or the "
    "store was restored from a backup; this run would take away {away} of {accounts} "
    "accounts.",
    "absolute": "The run would take away {away} of {accounts} accounts.",
    "share": "The run would take away {away} of {accounts} accounts.",
    "container-share": "The run would take away {away} of the {accounts} accounts in "
    "{where}.",
    "rights": "{away} of {accounts} entries now show less than before, too little to "
    "be an account or none of their addresses, as if the service account had lost "
    "rights.",
}


_SETTLING = {
    "other-kind": (
        "It and the entry are not both accounts, both groups or both contacts.",
        "Name an entry of the same kind, or run `dirbridge accounts keep-apart`.",
    ),
    "still-there": (
        "Its entry is still in the directory, so it is nobody else's.",
        "Settle it in the directory: give one of the two another name there.",
    ),
    "entry-taken": (
        "The entry has this account already.",
        "Run `dirbridge sync undo` on the run that created it, or leave both.",
    ),
    "last-admin": (
        "It is the last local admin that can log in: with the directory down, nobody "
        "could get in any more.",
        "Add another one with `dirbridge accounts add --admin`, or say --yes.",
    ),
    "no-entry": (
        "No directory of its domain has an entry with this id.",
        "Take the entry's id from the conflict that `dirbridge sync --full` tells.",
    ),
    "local": (
        "It is a local account, which keeps its names.",
        "Adopt it, or give the entry another name in the directory.",
    ),
    "is-live": (
        "It is neither removed nor deactivated.",
        "`dirbridge explain` says why it cannot log in.",
    ),
}


def problems_of(error: DirbridgeError) -> tuple[Problem, ...]:
    """Return what a person should know of an error, each with the next step."""
    match error:
        case ConfigError() | AccountError():
            return error.problems
        case DirectoryError():
            return (_of_directory(error),)
        case StoreError():
            text, then = _STORE.get(error.code, _STORE["broken"])
            return (_of_store(error, text, then),)
        case UnsafePlan():
            return (_of_limit(error),)
        case Unsettled():
            text, then = _SETTLING[error.code]
            return (Problem(error.code, error.account, text, then),)
        case _:
            said = harmless(str(error))
            return (Problem("internal", "dirbridge", said, "Report it."),)


def _of_directory(error: DirectoryError) -> Problem:
    text, then = _CONNECTION.get(error.code, ("", ""))
    detail = f" ({error.detail})" if error.detail else ""
    said = text or f"failed to {error.operation}"
    if isinstance(error, IncompleteRead):
        said = "ended the read before its end"
        then = then or (_SIZE_LIMIT if _SIZE_RESULT.search(error.detail) else "")
    return Problem(
        code=error.code,
        where=f"{error.domain}: {error.server}",
        text=f"The directory server {said}{detail}.",
        next=then or _FALLBACK.get(type(error), "Run `dirbridge check`."),
    )


def _of_store(error: StoreError, text: str, then: str) -> Problem:
    detail = f" ({error.detail})" if error.detail else ""
    said = f"The local user database {text}{detail}."
    return Problem(f"store-{error.code}", error.where, said, then)


def _of_limit(error: UnsafePlan) -> Problem:
    mend = f"{_LOOK.get(error.limit, 'Look at the plan')}; if it is right, run again "
    mend += f"with `--approve {error.approval}`."
    above = [
        _LIMITS[one.limit].format(**one.counts, where=one.where) for one in error.above
    ]
    more = len(above) - MOST_LIMITS
    others = [f"It is above {more} more limits."] if more > 0 else []
    said = " ".join((*above[:MOST_LIMITS], *others, "Nothing was written."))
    return Problem(error.limit, "limits", said, mend)


def of_approval(named: str, known: Approval | None, now: datetime) -> Problem:
    """Return why an approval that a person named did not let a run pass.

    Args:
        named: What the person typed.
        known: What a stopped run offered under this id, None where none did.
        now: The time (UTC): approvals lapse.
    """
    if known is None:
        text = "No stopped run has offered it."
    elif known.used_by is not None:
        text = f"Run {known.used_by} has used it; each is good for one run."
    elif known.until < now:
        text = f"It lapsed at {known.until:%Y-%m-%d %H:%M} UTC, after a day."
    else:
        text = "It covers less than what this run would take away."
    then = "Look at the plan, and name the approval that this run offers."
    return Problem("approval-passed-over", f"--approve {named}", text, then)


def of_failures(last: Problem, failures: int) -> Problem:
    """Return what to say of runs that fail one after another.

    Args:
        last: What is wrong with the last one.
        failures: How many have failed.
    """
    said = f"{failures} syncs have failed in a row, so nothing is kept up to date; "
    text = last.text[:1].lower() + last.text[1:]
    return Problem(
        "sync-failing", last.where, said + f"the last one: {text}", last.next
    )


def of_stop(stopped: UnsafePlan, domain: str) -> Problem:
    """Return what to say of a sync that stopped for safety, where nobody sat by.

    Args:
        stopped: Why it stopped.
        domain: The mail domain.
    """
    look = f"Look at what it would do with `dirbridge sync {domain} --dry-run`"
    allow = f"`dirbridge sync {domain} --approve {stopped.approval}`"
    then = f"{look}; if it is right, run {allow} within a day."
    return replace(_of_limit(stopped), where=domain, next=then)


def of_nothing(domain: str) -> Problem:
    """Return what to say where a run failed and nobody knows why."""
    text = "The sync failed in itself."
    return Problem("internal", domain, text, "Report it with the log's last lines.")


def of_conflicts(domain: str, new: int, known: int) -> Problem:
    """Return what to say of conflicts that a person has to settle.

    Args:
        domain: The mail domain.
        new: How many are new.
        known: How many there are.
    """
    there = f"; there are {known} now" if known > new else ""
    text = f"{_counted(new, 'new conflict')} of accounts{there}."
    then = (
        f"Run `dirbridge sync {domain} --full --dry-run`: it names each and its mend."
    )
    return Problem("new-conflicts", domain, text, then)


def of_user_limit(domain: str, left_out: int) -> Problem:
    """Return what to say where the user limit leaves people out.

    Args:
        domain: The mail domain.
        left_out: How many have no account because of it.
    """
    text = f"The user limit is reached: {_counted(left_out, 'entry')} got no account."
    return Problem(
        "user-limit", domain, text, "Raise `user_limit`, or take entries out of scope."
    )


def _counted(number: int, what: str) -> str:
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{number} {what if number == 1 else plural}"


_KEPT_HERE = {
    "local": Advice(
        "The password is wrong.",
        "Type it again, or have a new one set with `dirbridge accounts passwd`.",
        "the person",
    ),
    "app-password": Advice(
        "No app password of this account is like that, or it was revoked.",
        "Make one with `dirbridge accounts app-password add NAME --label PHONE`.",
        "mail admin",
    ),
}
"""What a wrong password means to methods that ask no directory: nothing is hidden."""


def advice_on(verdict: Verdict) -> Advice:
    """Return what a verdict means, what to do, and who can do it."""
    match verdict:
        case Accepted():
            return Advice("The login is right.", "", "nobody")
        case Rejected(reason=Reason.WRONG_PASSWORD, method=method):
            return _KEPT_HERE.get(method, REASONS[Reason.WRONG_PASSWORD])
        case Rejected(reason=reason):
            return REASONS[reason]
        case _:
            return CAUSES[verdict.cause]
