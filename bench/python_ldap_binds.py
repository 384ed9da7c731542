"""Bind over new LDAPS connections with python-ldap; Debian's Python runs it.

`python_ldap_binds.py URL CA DN COUNT`, the password on standard input; prints the
seconds that it took.
"""

from __future__ import annotations

import sys
import time

import ldap


def main(url: str, ca_file: str, dn: str, count: int) -> float:
    """Return the seconds for so many connections, each with one bind."""
    password = sys.stdin.read()
    ldap.set_option(ldap.OPT_X_TLS_CACERTFILE, ca_file)
    ldap.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
    ldap.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    started = time.monotonic()
    for _ in range(count):
        connection = ldap.initialize(url)
        connection.simple_bind_s(dn, password)
        connection.unbind_s()
    return time.monotonic() - started


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
