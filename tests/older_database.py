"""A database as an older version of this program left it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from webchat_soap.stores.schema import SQLITE_STEPS


def make_older(path: Path, *, version: int) -> None:
    """Take from the database what the steps after `version` brought; what was there before them stays as it is."""
    older = sqlite3.connect(":memory:")
    older.execute("CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT")
    for step in SQLITE_STEPS[:version]:
        for statement in step:
            older.execute(statement)
    database = sqlite3.connect(path)
    # Indexes first: a column cannot go while one is over it.
    for kind in ("index", "table"):
        for name in _names(database, kind) - _names(older, kind):
            database.execute(f"DROP {kind} {name}")
    for table in _names(older, "table"):
        for column in _columns(database, table) - _columns(older, table):
            database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    database.execute("UPDATE schema_version SET version = ?", (version,))
    database.commit()
    database.close()
    older.close()


def _names(connection: sqlite3.Connection, kind: str) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = ? AND sql IS NOT NULL", (kind,))
    return {name for (name,) in rows}


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
