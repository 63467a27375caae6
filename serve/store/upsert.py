"""`upsert`: rows that are inserted, or change what is there under the same keys, on SQLite and PostgreSQL. It knows no table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    keys: Sequence[str],
    replace: Sequence[str] = (),
    add: Sequence[str] = (),
) -> None:
    """Insert `rows`; where a row with the same `keys` is there, `replace` these columns and `add` to these. With neither, the
    row that is there stays as it is. Rows come in one order in every transaction, so that two never wait for each other."""
    if rows:
        connection.execute(_statement(connection.dialect.name, table, tuple(keys), tuple(replace), tuple(add)), list(rows))


@cache
def _statement(dialect: str, table: Table, keys: Sequence[str], replace: Sequence[str], add: Sequence[str]) -> Insert:
    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
    changes: dict[str, Any] = {name: statement.excluded[name] for name in replace}
    changes |= {name: table.c[name] + statement.excluded[name] for name in add}
    if changes:
        return statement.on_conflict_do_update(index_elements=list(keys), set_=changes)
    return statement.on_conflict_do_nothing(index_elements=list(keys))
