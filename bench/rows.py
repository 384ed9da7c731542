"""The rows, in the order in which they are run. docs/benchmarks.md: how to add one."""

from __future__ import annotations

from bench.connecting import failover_frozen, failover_stopped, ldaps_bind
from bench.logins import saslauthd_ldap
from bench.row import Bound, Row
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
    Row(
        id="ldaps-bind",
        what="a new LDAPS connection with a login's bind, against python-ldap",
        n=200,
        unit="ms",
        prepare=ldaps_bind,
        must=Bound("<=", 1.5),
        aim=Bound("<=", 1.0),
        rounds=5,
    ),
    Row(
        id="failover-stopped",
        what="first login and look-up at the backup after the first server stopped",
        n=1,
        unit="s",
        prepare=failover_stopped,
        must=Bound("<=", 0.3),
        aim=Bound("<=", 0.1),
        rounds=5,
    ),
    Row(
        id="failover-frozen",
        what="first login and look-up at the backup after the first server froze",
        n=1,
        unit="s",
        prepare=failover_frozen,
        must=Bound("<=", 3.5),
        aim=Bound("<=", 2.0),
    ),
)
