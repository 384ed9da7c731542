"""What dirbridge adds around ldap3: TLS and deadlines, failover, kept connections."""
