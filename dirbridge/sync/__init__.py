"""Sync: read completely, decide purely, limit, then write once."""
