"""ChatStore over an SQLite file."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from webchat_soap.domain.chat import (
    Chat,
    ChatQuota,
    ChatStatus,
    ChatUsage,
    ClientToken,
    MessagePage,
    MessageReceipt,
    NewMessage,
    chat_not_found,
)
from webchat_soap.domain.console import ChatList, ChatSummary, OpenCounts, Watch
from webchat_soap.domain.errors import Busy
from webchat_soap.domain.file import StoredFile
from webchat_soap.domain.outcome import Outcome
from webchat_soap.domain.searching import Words
from webchat_soap.stores import console, refusals
from webchat_soap.stores.acknowledged import Acknowledged
from webchat_soap.stores.agents import SqliteAgentStore
from webchat_soap.stores.claims import claims_in, stop_waiting
from webchat_soap.stores.commits import Commits
from webchat_soap.stores.database import Database, UnusableDatabaseError
from webchat_soap.stores.news import News
from webchat_soap.stores.reasons import outage_behind
from webchat_soap.stores.rows import to_chat, to_file, to_message, to_milliseconds
from webchat_soap.stores.statements import NAMES_AT_ONCE, Statements
from webchat_soap.stores.transaction import OPEN, Append, Transaction, read_receipt
from webchat_soap.stores.turn import Turn
from webchat_soap.stores.writer import GroupWriter

MAX_READERS: Final = 8
"""Read connections a process: more than cores, so that a long page does not hold up a short look."""

PING_SECONDS: Final = 1.0
"""Probes ask every few seconds and give up soon; an honest turn is milliseconds."""

ACKNOWLEDGED: Final = "acknowledged"
"""The file's name in the lock folder."""

T = TypeVar("T")


class SqliteChatStore:
    """Writes go through one group-committing thread, reads through connections of their own beside it.

    Nothing is opened or started before the first call, so the object may be made before a fork; it must not be used
    before it. One descriptor, of the tokens' lock file, stays open for the life of a process that claimed a token.
    A file that is none that this version can use makes every call Busy, with UnusableDatabaseError as its cause.
    """

    def __init__(
        self, path: Path, *, lock_folder: Path, clock: Callable[[], datetime], patience_seconds: float
    ) -> None:
        self._lock_folder = lock_folder
        self._sql = Statements(SQLiteDialect_pysqlite(paramstyle="qmark"))
        turn_path = lock_folder / "writer.lock"
        self._acknowledged = Acknowledged(lock_folder / ACKNOWLEDGED)
        self._database = Database(
            path, turn_path=turn_path, patience_seconds=patience_seconds, acknowledged=self._acknowledged
        )
        self._news = News(read_state=self._read_state, connect=self._connect_reader, statements=self._sql)
        self._commits = Commits(connect=self._connect_reader)
        self._writer = GroupWriter(
            database=self._database,
            turn=Turn(turn_path),
            statements=self._sql,
            now=lambda: to_milliseconds(clock()),
            announce=self._announce,
            note=self._acknowledged.note,
            patience_seconds=patience_seconds,
        )
        self._readers = QueuePool(
            self._connect_reader,  # type: ignore[arg-type]  # its protocol wants the DBAPI of 1999, word by word
            pool_size=MAX_READERS,
            max_overflow=0,
            timeout=patience_seconds,
            use_lifo=True,
            reset_on_return=None,  # autocommit: there is nothing to roll back
        )
        self._stopping = threading.Event()
        self._closed = False
        self.agents = SqliteAgentStore(begin=self._writer.begin, read=self._read)
        """The agents in the same database."""

    # -- writing: in the writer's transaction

    def start_chat(
        self, *, chat_id: str, customer_name: str | None, token: ClientToken | None, account: str | None
    ) -> Outcome[Chat]:
        return self._writer.begin(
            lambda transaction: transaction.start_chat(
                chat_id=chat_id, customer_name=customer_name, token=token, account=account
            )
        )

    def end_chat(self, chat_id: str, *, ended_by: str | None) -> Outcome[Chat]:
        return self._writer.begin(lambda transaction: transaction.end_chat(chat_id, ended_by=ended_by))

    def append(self, message: NewMessage, *, open_unknown: bool, quota: ChatQuota) -> Outcome[MessageReceipt]:
        return self._writer.begin(Append(message, open_unknown, quota))

    def mark_read(self, chat_id: str, *, sequence: int) -> Outcome[None]:
        return self._writer.begin(lambda transaction: transaction.mark_read(chat_id, sequence=sequence))

    def claim(self, token: ClientToken, *, deadline: float) -> AbstractContextManager[None]:
        try:
            claims = claims_in(self._lock_folder)
        except OSError as error:
            raise self._busy(error) from error
        return claims.hold(token, deadline=deadline, stopping=self._stopping)

    # -- reading: beside the writer

    def find_chat(self, chat_id: str) -> Chat | None:
        row = self._read(lambda cursor: cursor.execute(self._sql.select_chat, (chat_id,)).fetchone())
        return None if row is None else to_chat(row[1:])

    def find_receipt(self, token: ClientToken) -> MessageReceipt | None:
        return self._read(lambda cursor: read_receipt(cursor, self._sql, token))

    def read_messages(self, chat_id: str, *, after_sequence: int, max_messages: int) -> MessagePage:
        return self._read(lambda cursor: self._page(cursor, chat_id, after_sequence, max_messages))

    def read_before(self, chat_id: str, *, before_sequence: int | None, max_messages: int) -> MessagePage:
        return self._read(lambda cursor: self._page_before(cursor, chat_id, before_sequence, max_messages))

    def usage(self, chat_id: str) -> ChatUsage:
        row = self._read(lambda cursor: cursor.execute(self._sql.select_usage, (chat_id,)).fetchone())
        return ChatUsage(files=0, bytes=0) if row is None else ChatUsage(files=row[1], bytes=row[2])

    def find_file(self, name: str) -> StoredFile | None:
        row = self._read(lambda cursor: cursor.execute(self._sql.select_file, (name,)).fetchone())
        return None if row is None else to_file(row)

    def file_names(self) -> Iterator[str]:
        """In order. A file whose bytes were removed on purpose (removedAt) is left out: nothing is kept for it."""
        last = ""
        while True:
            after = last
            rows = self._read(lambda cursor: cursor.execute(self._sql.select_file_names, (after,)).fetchall())  # noqa: B023 - called at once
            for (last,) in rows:
                yield last
            if len(rows) < NAMES_AT_ONCE:
                return

    def file_days(self) -> frozenset[str]:
        return self._read(lambda cursor: frozenset(self._days(cursor)))

    def file_names_of(self, day: str) -> frozenset[str]:
        between = (f"{day}-", f"{day}.")  # the first letter behind the day's names

        def names(cursor: sqlite3.Cursor, statement: str) -> frozenset[str]:
            return frozenset(name for (name,) in cursor.execute(statement, between))

        return self._read(
            lambda cursor: names(cursor, self._sql.select_names_of_day) - names(cursor, self._sql.select_removed_of_day)
        )

    def swept_days(self) -> Mapping[str, str]:
        return self._read(lambda cursor: dict(cursor.execute(self._sql.select_swept).fetchall()))

    def remember_swept(self, *, stamps: Mapping[str, str], forget: Iterable[str]) -> None:
        self._writer.begin(lambda transaction: transaction.remember_swept(stamps=stamps, forget=forget)).result()

    def store_id(self) -> str | None:
        try:
            if self._database.is_unmade():
                return None
        except OSError as error:
            raise self._busy(error) from error
        row = self._read(lambda cursor: cursor.execute(self._sql.select_store_id).fetchone())
        return str(row[0])

    # -- the console's questions

    def list_chats(self, *, ended: bool, before: str | None, max_chats: int) -> ChatList:
        return self._read(lambda cursor: console.list_chats(cursor, ended=ended, before=before, max_chats=max_chats))

    def search_chats(self, words: str, *, ended: bool, before: str | None, max_chats: int, seconds: float) -> ChatList:
        wanted = Words(words)
        return self._read(
            lambda cursor: console.search_chats(
                cursor, wanted, ended=ended, before=before, max_chats=max_chats, seconds=seconds
            )
        )

    def summaries(self, chat_ids: Collection[str]) -> tuple[ChatSummary, ...]:
        return self._read(lambda cursor: console.summaries(cursor, chat_ids))

    def open_chats(self) -> Mapping[str, str]:
        return self._read(console.open_chats)

    def count_open(self) -> OpenCounts:
        return self._read(console.count_open)

    def last_sequences(self, chat_ids: Collection[str]) -> Mapping[str, tuple[int, bool]]:
        asked = (json.dumps(list(chat_ids)),)
        rows = self._read(lambda cursor: cursor.execute(self._sql.select_states, asked).fetchall())
        return {chat_id: (last_sequence, status == OPEN) for chat_id, last_sequence, status in rows}

    def watch(self) -> Watch:
        if self._closed:
            raise refusals.stopping()
        with self._translated():
            return self._commits.watch(translated=self._translated)

    # -- waiting

    def wait_for_news(self, chat_id: str, *, after_sequence: int, timeout_seconds: float) -> None:
        self._news.wait(chat_id, after_sequence=after_sequence, timeout_seconds=timeout_seconds)

    def call_back_on_news(
        self, chat_id: str, *, after_sequence: int, timeout_seconds: float, callback: Callable[[], object]
    ) -> Callable[[], object]:
        return self._news.call_back(
            chat_id, after_sequence=after_sequence, timeout_seconds=timeout_seconds, callback=callback
        )

    def wake_all(self) -> None:
        self._news.wake_all()
        stop_waiting(self._lock_folder, self._stopping)

    # -- the whole

    def ping(self) -> None:
        """A commit that changes nothing, which also tells when another program holds the lock, and a read."""
        # The turn first: it ends in time whatever holds the database, where a read would wait its full patience.
        self._writer.begin(Transaction.prove, patience_seconds=PING_SECONDS).result()
        self._read(lambda cursor: cursor.execute(self._sql.select_nothing).fetchone())

    def close(self) -> None:
        """Commits and answers what waits; calls after it are Busy."""
        stop_waiting(self._lock_folder, self._stopping)
        self._writer.close()
        self._news.close()
        self._closed = True
        self._readers.dispose()
        self._acknowledged.close(log=self._database.log_path)

    def _page(self, cursor: sqlite3.Cursor, chat_id: str, after_sequence: int, max_messages: int) -> MessagePage:
        chat = cursor.execute(self._sql.select_chat, (chat_id,)).fetchone()
        if chat is None:
            raise chat_not_found(chat_id)
        chat_key, _chat_id, status, _started_at, last_sequence = chat[:5]
        # Sequences have no gaps, so the page's bounds are known before a message is read.
        first = max(after_sequence, 0) + 1
        last = min(first + max_messages - 1, last_sequence)
        rows = []
        files: dict[int, list[StoredFile]] = {}
        if first <= last:
            rows = cursor.execute(self._sql.select_messages, (chat_key, first - 1, last)).fetchall()
            if any(row[5] for row in rows):
                for row in cursor.execute(self._sql.select_files, (chat_key, first, last)):
                    files.setdefault(row[0], []).append(to_file(row[1:]))
        return MessagePage(
            chat_id=chat_id,
            status=ChatStatus(status),
            messages=tuple(to_message(row, tuple(files.get(row[0], ()))) for row in rows),
            last_sequence=last_sequence,
            has_more=last < last_sequence and first <= last_sequence,
        )

    def _page_before(
        self, cursor: sqlite3.Cursor, chat_id: str, before_sequence: int | None, max_messages: int
    ) -> MessagePage:
        state = cursor.execute(self._sql.select_state, (chat_id,)).fetchone()
        last = 0 if state is None else state[0]
        if before_sequence is not None:
            last = min(last, before_sequence - 1)
        after = max(0, last - max_messages)
        # Messages never change and their chat only grows, so nothing comes between the two looks.
        page = self._page(cursor, chat_id, after, max(0, last - after))
        return replace(page, has_more=after > 0)

    def _announce(self, moved: Mapping[str, tuple[int, bool]], touched: Collection[str]) -> None:
        self._news.announce(moved)
        self._commits.announce(moved.keys() | touched if touched else moved)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, MemoryError, UnusableDatabaseError) as error:
            raise self._busy(error) from error

    def _days(self, cursor: sqlite3.Cursor) -> Iterator[str]:
        after = ""
        while True:
            (name,) = cursor.execute(self._sql.select_next_file_name, (after,)).fetchone()
            if name is None:
                return
            yield name[:8]
            after = f"{name[:8]}."

    def _read_state(self, chat_id: str) -> tuple[int, bool] | None:
        row = self._read(lambda cursor: cursor.execute(self._sql.select_state, (chat_id,)).fetchone())
        return None if row is None else (row[0], row[1] == ChatStatus.OPEN.value)

    def _read(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        if self._closed:
            raise refusals.stopping()
        try:
            connection = self._readers.connect()
        except (sqlite3.Error, OSError, MemoryError, PoolTimeoutError, UnusableDatabaseError) as error:
            raise self._busy(error) from error
        cursor: sqlite3.Cursor = connection.cursor()  # type: ignore[assignment]  # the driver's own, not the protocol
        try:
            return work(cursor)
        except (sqlite3.Error, MemoryError) as error:
            cursor.close()  # else the connection stays open behind the scenes as long as the error is held
            connection.invalidate(error)
            raise self._busy(error) from error
        finally:
            connection.close()
            self._dispose_if_closed()

    def _busy(self, error: BaseException) -> Busy:
        return refusals.busy(outage_behind(error, self._database.path))

    def _dispose_if_closed(self) -> None:
        """A connection that was out while `close` emptied the pool would stay in it."""
        if self._closed:
            self._readers.dispose()

    def _connect_reader(self) -> sqlite3.Connection:
        return self._database.connect(read_only=True)
