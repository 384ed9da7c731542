"""What is said of columns when rows go to PostgreSQL in binary form."""

from __future__ import annotations

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from dirbridge.store.postgresql_copy import column_types
from dirbridge.store.schema import Base

SAME_OCTETS = {
    # Type of a column: how its values are sent (PostgreSQL manual, chapter 8).
    "BIGINT": "int8",
    "INTEGER": "int4",
    "TEXT": "text",
    'TEXT COLLATE "C"': "text",
    "VARCHAR(253)": "text",
    "BOOLEAN": "bool",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "BYTEA": "bytea",
    "DOUBLE PRECISION": "float8",
}


@pytest.mark.parametrize(
    "table", Base.metadata.sorted_tables, ids=lambda table: table.name
)
def test_values_are_sent_as_their_columns_take_them(table: Table) -> None:
    names = tuple(table.columns.keys())
    dialect = postgresql.dialect()
    wanted = [
        SAME_OCTETS[column.type.compile(dialect=dialect)] for column in table.columns
    ]
    assert list(column_types(table, names)) == wanted
