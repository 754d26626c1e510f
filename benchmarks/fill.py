"""Fills a database with messages as the store would have written them, a million in a second or two."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from webchat_soap import app
from webchat_soap.settings import load_settings

STARTED_AT = 1_767_225_600_000
"""2026-01-01, in milliseconds; message n of a chat came n milliseconds later."""

_NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :last) "
# Version 4: what the service makes for a messageId.
_UUID = (
    "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || "
    "substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"
)


def chat_id(number: int) -> str:
    """The id of chat `number`, from 1."""
    return f"chat-{number}"


def fill(data_dir: Path, *, chats: int, messages: int, probes: int, probe_messages: int) -> None:
    """Make a data folder's database with so many chats and messages, spread evenly over them.

    So many of the chats, at even distances from 1, hold at least `probe_messages`. The schema is made by the service.
    """
    settings = load_settings(environ={"WEBCHAT_DATA_DIR": str(data_dir)}, toml_path=None)
    data_dir.mkdir(parents=True, exist_ok=True)
    app.sweep(settings)
    with closing(sqlite3.connect(data_dir / "webchat.db", isolation_level=None)) as connection:
        # Nothing is lost if it is: it would be filled again.
        for setting in ("synchronous=OFF", "cache_size=-200000", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("BEGIN IMMEDIATE")
        values = {
            "last": chats,
            "each": messages // chats,
            "more": messages % chats,
            "distance": chats // probes,
            "probe": probe_messages,
            "at": STARTED_AT,
        }
        connection.execute(
            _NUMBERS + ", sized (n, size) AS (SELECT n, max(:each + (n <= :more), "
            "iif((n - 1) % :distance = 0, :probe, 0)) FROM numbers) "
            "INSERT INTO chats (chat_key, chat_id, status, started_at, last_sequence, last_sent_at, file_count, "
            "file_bytes) SELECT n, 'chat-' || n, 'OPEN', :at, size, :at + size, 0, 0 FROM sized",
            values,
        )
        (longest,) = connection.execute("SELECT max(last_sequence) FROM chats").fetchone()
        # CROSS keeps the order of the loops: rows come in the order of their key, and each page is written once.
        connection.execute(
            _NUMBERS + "INSERT INTO messages (chat_key, sequence, message_id, sender, sent_at, text, file_count) "
            f"SELECT chat_key, n, {_UUID}, 'CUSTOMER', :at + n, 'test message', 0 "
            "FROM chats CROSS JOIN numbers WHERE n <= last_sequence",
            values | {"last": longest},
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
