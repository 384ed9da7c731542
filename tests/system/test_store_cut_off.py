"""A PostgreSQL that the network has lost, under a store that is open."""

from __future__ import annotations

import time

import pytest

from dirbridge.errors import StoreError
from dirbridge.model.names import DomainName
from dirbridge.store.base import NameKind
from dirbridge.store.opening import open_store
from testbed.postgresql import Postgresql
from tests.stores import parted

COMPANY = DomainName("company.com")


def test_a_database_that_is_cut_off_holds_no_login_for_long(
    postgresql: Postgresql,
) -> None:
    store = open_store(*parted(postgresql.create_database("cut_off")))
    try:
        assert store.named(COMPANY, NameKind.LOGIN, "anna") == ()
        postgresql.cut_off()
        began = time.monotonic()
        with pytest.raises(StoreError) as caught:
            store.named(COMPANY, NameKind.LOGIN, "anna")
        assert time.monotonic() - began < 9
        assert caught.value.code == "unreachable"
        postgresql.restore()
        assert store.named(COMPANY, NameKind.LOGIN, "anna") == ()
    finally:
        postgresql.restore()
        store.close()
        postgresql.drop_database("cut_off")
