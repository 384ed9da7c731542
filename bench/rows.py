"""The rows, in the order in which they are run. docs/benchmarks.md: how to add one."""

from __future__ import annotations

from bench.connecting import failover_frozen, failover_stopped, ldaps_bind
from bench.deltas import delta_nothing
from bench.logins import saslauthd_ldap
from bench.reads import memory, read_in
from bench.row import Bound, Row
from bench.syncs import full_sync

ROWS = (
    Row(
        id="read-bytes",
        what="read 100k entries x 12 attributes to octets, against ldapsearch to null",
        n=100_000,
        unit="s",
        prepare=read_in("bytes"),
        must=Bound("<=", 2.5),
        aim=Bound("<=", 1.7),
    ),
    Row(
        id="read-text",
        what="the same, every value decoded to text",
        n=100_000,
        unit="s",
        prepare=read_in("text"),
        must=Bound("<=", 3.5),
        aim=Bound("<=", 2.5),
    ),
    Row(
        id="read-skip",
        what="the same, unchanged entries skipped by the hash of their octets",
        n=100_000,
        unit="s",
        prepare=read_in("skip"),
        must=Bound("<=", 1.3),
        aim=Bound("<=", 1.05),
    ),
    Row(
        id="read-memory",
        what="growth of the reading process from 10k to 100k entries, per 1000",
        n=100_000,
        unit="MB",
        prepare=memory,
        must=Bound("<=", 0.4),
        aim=Bound("<=", 0.2),
    ),
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
    Row(
        id="delta-nothing",
        what="a read of what changed, nothing has, on a kept connection with a cookie",
        n=100_000,
        unit="ms",
        prepare=delta_nothing,
        must=Bound("<=", 20),
        aim=Bound("<=", 3),
    ),
)
