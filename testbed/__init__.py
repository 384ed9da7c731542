"""A test bed of real directory servers in one folder, for tests, demo and bench.

It runs the programs of Debian packages (samba, slapd, krb5-kdc, postgresql) in
a private network namespace and needs nothing but the standard library.
"""
