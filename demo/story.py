"""What the demo shows, in order."""

from __future__ import annotations

from demo import fleet, freezing, logins, methods, phone, serving, stopping, syncing
from demo.step import Step

STEPS = (
    Step(
        "Real servers",
        "an Active Directory with two domain controllers, and an Open Directory",
        syncing.start_servers,
    ),
    Step(
        "Check",
        "every server, certificate, bind, base, clock, realm and keytab is right",
        syncing.check,
    ),
    Step(
        "The plan",
        "an account for everybody, conflicts for a person, and nothing written",
        syncing.dry_run,
    ),
    Step("First sync", "exactly the plan that was shown", syncing.first_sync),
    Step(
        "A rename and a deletion",
        "name, UPN, address and OU change at once and the mailbox stays; "
        "who vanished is deactivated, not removed; nobody else is touched",
        syncing.changes,
    ),
    Step("Once more", "nothing to do", syncing.third_sync),
    Step(
        "DC 1 freezes in the middle of a read",
        "half an answer takes nobody away: nothing is written, and the next sync gets "
        "everything from DC 2",
        freezing.frozen_read,
    ),
    Step(
        "An OU is renamed",
        "a limit stops the sync, nothing is written, and a person approves just this",
        stopping.renamed_ou,
    ),
    Step(
        "Undo",
        "what the run took away comes back, and the next sync has nothing to do",
        stopping.undo,
    ),
    Step(
        "Logins that succeed",
        "addresses, DOMAIN\\user, an umlaut, a short name, and the new name",
        logins.good_logins,
    ),
    Step(
        "Logins that fail",
        "each for its own reason, and `explain` says why and who can mend it",
        logins.bad_logins,
    ),
    Step(
        "One bare name, two people",
        "the address that is connected to decides the domain",
        logins.bare_names,
    ),
    Step(
        "Every login method",
        "accounts are switched in place and back, and an app password is for one phone",
        methods.each_method,
    ),
    Step(
        "A mail server's socket",
        "testsaslauthd logs in through `dirbridge serve`",
        serving.sockets,
    ),
    Step(
        "A phone with an old password",
        "it neither locks the account in Active Directory nor its owner out",
        phone.guarded,
    ),
    Step(
        "A domain controller dies",
        "DC 1 is stopped, then frozen, then back, and nobody is wrongly refused",
        serving.outage,
    ),
    Step(
        "Nobody there",
        "an outage never looks like a wrong password",
        serving.nobody_there,
    ),
    Step(
        "Two bridges, one PostgreSQL",
        "both answer logins; the one that syncs is killed, and the other takes over",
        fleet.two_bridges,
    ),
)
