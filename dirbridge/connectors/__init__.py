"""Connectors: one for each kind of directory, all with the contract of `base`."""
