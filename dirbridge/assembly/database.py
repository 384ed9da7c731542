"""The local user database, and who opens it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dirbridge.config.secrets import Secrets
from dirbridge.config.settings import Settings
from dirbridge.model.secret import Secret
from dirbridge.store.base import Store
from dirbridge.store.opening import (
    Owner,
    Upgrade,
    open_store,
    owner_of,
    store_is_there,
    upgrade_store,
)
from dirbridge.store.saving import Restored, Saved, restore_store, save_store


@dataclass(frozen=True)
class Database:
    """The local user database of one configuration.

    Attributes:
        settings: The settings of `dirbridge.toml`.
        secrets: Reads the database's password.
    """

    settings: Settings
    secrets: Secrets

    @contextmanager
    def open(self, *, as_owner: bool = True) -> Iterator[Store]:
        """Open it, and close it in the end.

        Args:
            as_owner: Whether a command that root runs becomes its owner first.
        """
        if as_owner:
            self.become_owner()
        store = open_store(self._url, self._password())
        try:
            yield store
        finally:
            store.close()

    def become_owner(self) -> None:
        """Let root become the store's owner; anybody else stays who they are."""
        owner = owner_of(self._url)
        if owner is not None and os.geteuid() == 0 and owner.uid != 0:
            _give_folder(self.settings.serve.run_dir, owner)
            os.setgroups([])
            os.setgid(owner.gid)
            os.setuid(owner.uid)

    def is_there(self) -> bool:
        """Whether there is a database already; makes none."""
        return store_is_there(self._url)

    def upgrade(self, backup: Path | None) -> Upgrade:
        """Bring it to the newest schema; see `store.opening.upgrade_store`."""
        self.become_owner()
        return upgrade_store(self._url, self._password(), backup)

    def save(self, target: Path | None) -> Saved:
        """Save it; see `store.saving.save_store`."""
        return save_store(self._url, self._password(), target)

    def restore(self, source: Path) -> Restored:
        """Replace it; see `store.saving.restore_store`."""
        return restore_store(self._url, source, self._password())

    @property
    def _url(self) -> str:
        return self.settings.store.url

    def _password(self) -> Secret | None:
        reference = self.settings.store.password
        if reference is None:
            return None
        return self.secrets.get(reference, "store.password")


def _give_folder(path: Path, owner: Owner) -> None:
    """Make a folder in /run while we still may; systemd does it for `serve` only."""
    with suppress(OSError):  # who then writes there tells what is wrong
        path.mkdir(parents=True)
        os.chown(path, owner.uid, owner.gid)
