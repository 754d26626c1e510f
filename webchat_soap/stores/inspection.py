"""An SQLite database looked at from outside: nothing is made, brought up to date or written, whatever its state.

Every question is a statement of its own, so beside a working service each sees one moment of it, and no snapshot is
held for longer than a statement takes (the longest is SQLite's own integrity check).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from webchat_soap.domain.audit import Finding, KeptFile
from webchat_soap.stores import refusals
from webchat_soap.stores.acknowledged import Acknowledged
from webchat_soap.stores.database import LostMessagesError, UnusableDatabaseError, log_of, version_of
from webchat_soap.stores.reasons import outage_behind
from webchat_soap.stores.schema import NEWEST_VERSION

CHATS_AT_ONCE: Final = 500
"""Per statement: some ten thousand rows, a few milliseconds."""

DAMAGES_TOLD: Final = 100

_RESTORE = "restore a backup of the database (README: Data and backup)"

_CHATS = """
    SELECT c.chat_id, c.last_sequence, c.file_count, c.file_bytes,
           coalesce(m.count, 0), coalesce(m.first, 0), coalesce(m.last, 0), coalesce(f.count, 0), coalesce(f.bytes, 0)
    FROM chats AS c
    LEFT JOIN (SELECT chat_key, count(*) AS count, min(sequence) AS first, max(sequence) AS last
               FROM messages WHERE chat_key BETWEEN :first AND :last GROUP BY chat_key) AS m USING (chat_key)
    LEFT JOIN (SELECT chat_key, count(*) AS count, sum(size) AS bytes
               FROM files WHERE chat_key BETWEEN :first AND :last GROUP BY chat_key) AS f USING (chat_key)
    WHERE c.chat_key BETWEEN :first AND :last
"""
_MESSAGES = """
    SELECT c.chat_id, m.sequence, m.file_count, coalesce(f.count, 0)
    FROM messages AS m
    JOIN chats AS c USING (chat_key)
    LEFT JOIN (SELECT chat_key, sequence, count(*) AS count, min(position) AS low, max(position) AS high
               FROM files WHERE chat_key BETWEEN :first AND :last GROUP BY chat_key, sequence) AS f
           ON f.chat_key = m.chat_key AND f.sequence = m.sequence
    WHERE m.chat_key BETWEEN :first AND :last
      AND (m.file_count <> coalesce(f.count, 0) OR f.low <> 0 OR f.high <> f.count - 1)
"""
_LOST_MESSAGES = "SELECT chat_key, sequence FROM messages WHERE chat_key NOT IN (SELECT chat_key FROM chats)"
_LOST_FILES = """
    SELECT f.chat_key, f.sequence FROM files AS f LEFT JOIN messages AS m USING (chat_key, sequence)
    WHERE m.message_id IS NULL
"""
_LOST_TOKENS = """
    SELECT t.chat_key, t.sequence FROM tokens AS t LEFT JOIN chats AS c USING (chat_key)
    LEFT JOIN messages AS m ON m.chat_key = t.chat_key AND m.sequence = t.sequence
    WHERE c.chat_key IS NULL OR (t.sequence IS NOT NULL AND m.message_id IS NULL)
"""
_LOST = (("message", _LOST_MESSAGES), ("file", _LOST_FILES), ("clientToken", _LOST_TOKENS))


class SqliteInspection:
    """AuditableChatStore, and what `check` asks. One thread at a time. Busy where the database does not answer, with
    the reason as its cause (UnusableDatabaseError, OlderDatabaseError, sqlite3.Error, OSError)."""

    def __init__(
        self, path: Path, *, acknowledged: Acknowledged, patience_seconds: float, for_writing: bool = False
    ) -> None:
        """`for_writing` is what `check_writable` needs; it moves the log of a killed service into the database."""
        self.path = path
        self._acknowledged = acknowledged
        self._patience_seconds = patience_seconds
        self._for_writing = for_writing
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def store_id(self) -> str | None:
        """As ChatStore.store_id; empty for a database of the first version, which has none."""
        if not self.is_made():
            return None
        with self._connected() as connection:
            if version_of(connection, self.path) < 2:
                return ""
            return str(connection.execute("SELECT store_id FROM identity").fetchone()[0])

    def is_made(self) -> bool:
        """Whether there is a database at all."""
        try:
            return self.path.stat().st_size > 0
        except FileNotFoundError:
            return False
        except OSError as error:
            raise refusals.busy(outage_behind(error, self.path)) from error

    def is_older(self) -> bool:
        """Whether `serve` would bring it up to date first."""
        with self._connected() as connection:
            return version_of(connection, self.path) < NEWEST_VERSION

    def check_nothing_lost(self) -> None:
        """Busy (because of LostMessagesError) when it lacks a message that it has acknowledged."""
        with self._connected() as connection:
            lost = self._acknowledged.find_lost(connection)
            if lost is not None:
                raise LostMessagesError(lost.sentence(self.path))

    def check_writable(self) -> None:
        """Busy when it cannot be written, or somebody holds its lock."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")

    def file_names(self) -> Iterator[str]:
        """As ChatStore.file_names, removed ones too."""
        last = ""
        while batch := self.files_after(last, 10_000):
            last = batch[-1].name
            yield from (kept.name for kept in batch)

    def damages(self) -> Iterator[Finding]:
        """AuditableChatStore.damages."""
        with self._connected() as connection:
            for (line,) in connection.execute(f"PRAGMA integrity_check({DAMAGES_TOLD})"):
                if line != "ok":
                    yield Finding(subject="database", problem=f"it is damaged ({line})", advice=_RESTORE)

    def counts(self) -> tuple[int, int, int]:
        """AuditableChatStore.counts."""
        with self._connected() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM chats), (SELECT count(*) FROM messages), (SELECT count(*) FROM files)"
            ).fetchone()
            return int(row[0]), int(row[1]), int(row[2])

    def files_after(self, name: str, at_most: int) -> list[KeptFile]:
        """AuditableChatStore.files_after."""
        return self._files("WHERE name > ? ORDER BY name LIMIT ?", (name, at_most))

    def files_named(self, names: Collection[str]) -> Mapping[str, KeptFile]:
        """AuditableChatStore.files_named."""
        found = self._files("WHERE name IN (SELECT value FROM json_each(?))", (json.dumps(list(names)),))
        return {kept.name: kept for kept in found}

    def contradictions(self) -> Iterator[Finding]:
        """AuditableChatStore.contradictions."""
        with self._connected() as connection:
            lost = self._acknowledged.find_lost(connection) if version_of(connection, self.path) > 1 else None
            if lost is not None:
                yield Finding(
                    subject="database", problem=lost.sentence(self.path), advice="a start is refused till then"
                )
        last = 0
        while True:
            with self._connected() as connection:
                keys = connection.execute(
                    "SELECT chat_key FROM chats WHERE chat_key > ? ORDER BY chat_key LIMIT ?", (last, CHATS_AT_ONCE)
                ).fetchall()
                if not keys:
                    break
                of_these = {"first": keys[0][0], "last": keys[-1][0]}
                last = keys[-1][0]
                for row in connection.execute(_CHATS, of_these).fetchall():
                    yield from _of_chat(*row)
                for chat_id, sequence, promised, there in connection.execute(_MESSAGES, of_these).fetchall():
                    yield Finding(
                        subject=f"chat {chat_id}",
                        problem=f"message {sequence} says it has {promised} file(s) and {there} are there",
                        advice=_RESTORE,
                    )
        with self._connected() as connection:
            for what, statement in _LOST:
                for chat_key, sequence in connection.execute(statement):
                    of = f"message {sequence} of chat number {chat_key}" if sequence else f"chat number {chat_key}"
                    yield Finding(
                        subject="database", problem=f"a {what} is of {of}, which is not there", advice=_RESTORE
                    )

    def _files(self, where: str, parameters: tuple[object, ...]) -> list[KeptFile]:
        with self._connected() as connection:
            rows = connection.execute(f"SELECT name, size, sha256, removed_at FROM files {where}", parameters)  # noqa: S608 - ours
            return [
                KeptFile(name=name, size=size, sha256=sha256, is_removed=removed_at is not None)
                for name, size, sha256, removed_at in rows
            ]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is None:
                self._connection = self._open()
            yield self._connection
        except (sqlite3.Error, OSError, UnusableDatabaseError) as error:
            raise refusals.busy(outage_behind(error, self.path)) from error

    def _open(self) -> sqlite3.Connection:
        # Closing the last writable connection moves the log into the database and removes it. So where there is a log
        # (of a service that runs or was killed) it is opened for reading; and where there is none for writing, since
        # a reader leaves behind the empty log and its shared memory, which it needs, and a writer takes them away.
        log = log_of(self.path)
        has_log = log.exists() and log.stat().st_size > 0
        mode = "ro" if has_log and not self._for_writing else "rw"
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={mode}",
            uri=True,
            timeout=self._patience_seconds,
            isolation_level=None,
        )
        try:
            connection.execute("PRAGMA trusted_schema=OFF")
            if mode == "ro":
                connection.execute("PRAGMA query_only=ON")
            version_of(connection, self.path)
        except BaseException as error:
            connection.close()
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
                raise UnusableDatabaseError(
                    f"{self.path} is not an SQLite database; move it away or name another file."
                ) from error
            raise
        return connection


def _of_chat(
    chat_id: str,
    last_sequence: int,
    file_count: int,
    file_bytes: int,
    messages: int,
    first: int,
    last: int,
    files: int,
    sizes: int,
) -> Iterator[Finding]:
    subject = f"chat {chat_id}"
    expected = (last_sequence, 1 if last_sequence else 0, last_sequence)
    if (messages, first, last) != expected:
        yield Finding(
            subject=subject,
            problem=f"its {messages} message(s) have the sequences {first} to {last} where 1 to {last_sequence} "
            "without gaps are due",
            advice=_RESTORE,
        )
    if (files, sizes) != (file_count, file_bytes):
        yield Finding(
            subject=subject,
            problem=f"it counts {file_count} file(s) with {file_bytes} bytes, and its files are {files} with {sizes}",
            advice=_RESTORE,
        )
