"""Settings for the fast tests."""

from __future__ import annotations

from hypothesis import settings

# No deadline for one example: the machine may be busy with real servers.
settings.register_profile("dirbridge", deadline=None)
settings.load_profile("dirbridge")
