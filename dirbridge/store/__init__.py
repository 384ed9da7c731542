"""The local user database; only this package knows SQL."""
