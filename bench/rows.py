"""The rows, in the order in which they are run. docs/benchmarks.md: how to add one."""

from __future__ import annotations

from bench.logins import saslauthd_ldap
from bench.row import Row
from bench.syncs import full_sync

ROWS = (
    Row(
        id="full-sync-10k",
        what="`dirbridge sync --full`, nothing changed, against ldapsearch",
        n=10_000,
        unit="s",
        prepare=full_sync,
    ),
    Row(
        id="saslauthd-ldap",
        what="logins by LDAP bind, 4 clients, no cache, against saslauthd -a ldap -n 5",
        n=4_000,
        unit="logins/s",
        prepare=saslauthd_ldap,
    ),
)
