"""Authenticators: one for each method, all with the contract of `base`."""
