"""Find a domain's directory servers by DNS (RFC 2782 SRV records)."""

from __future__ import annotations

import dns.exception
import dns.resolver

LIFETIME = 5.0
"""Seconds for one question; a site without the records answers at once."""


def domain_controllers(domain: str) -> tuple[str, ...]:
    """Return Active Directory's domain controllers for a DNS domain.

    Args:
        domain: Active Directory's own DNS name (MS-ADTS 6.3.2.3).

    Returns:
        Host names, the most wanted first; empty where DNS names none.
    """
    return _servers(f"_ldap._tcp.dc._msdcs.{domain}")


def ldap_servers(domain: str) -> tuple[str, ...]:
    """Return the LDAP servers of a DNS domain, as Open Directory announces them."""
    return _servers(f"_ldap._tcp.{domain}")


def _servers(name: str) -> tuple[str, ...]:
    try:
        answer = dns.resolver.resolve(name, "SRV", lifetime=LIFETIME)
    except (dns.exception.DNSException, OSError):
        return ()
    records = sorted(answer, key=lambda record: (record.priority, -record.weight))
    return tuple(str(record.target).rstrip(".") for record in records)
