"""LDAP connections of our own: TLS, seals, deadlines, failover, kept connections."""
