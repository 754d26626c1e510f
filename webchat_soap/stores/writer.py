"""Group commit: one thread a process writes for everybody who waits, with one fsync for all of them.

A caller puts its command into the queue and waits. The writer takes the turn among the processes, begins a
transaction, and only then gathers who waits: whoever it has not taken by then can still go away with Busy, so nobody
waits for a stuck disk or another program's lock longer than the patience, and what it has taken is either committed
and answered or rolled back and Busy. A command that is refused or fails does not harm its neighbours.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from webchat_soap.domain.errors import Internal, WebchatError
from webchat_soap.stores import refusals
from webchat_soap.stores.database import Database, UnusableDatabaseError
from webchat_soap.stores.statements import Statements
from webchat_soap.stores.transaction import Append, Transaction
from webchat_soap.stores.turn import Turn
from webchat_soap.stores.write import Patience, Write

MAX_BATCH: Final = 128
"""Commands per commit. More would save nothing on the fsync (1 µs each) and hold other processes' turns longer."""

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


class GroupWriter:
    """Runs commands in group commits. The thread, its connection and its lock file come with the first command.

    `now` gives milliseconds since 1970; `note` is told within the turn, and `announce` after each commit, which
    chats moved.
    """

    def __init__(
        self,
        *,
        database: Database,
        turn: Turn,
        statements: Statements,
        now: Callable[[], int],
        announce: Callable[[Mapping[str, tuple[int, bool]]], None],
        note: Callable[[Mapping[str, tuple[int, bool]]], None],
        patience_seconds: float,
    ) -> None:
        self._database = database
        self._turn = turn
        self._statements = statements
        self._now = now
        self._announce = announce
        self._note = note
        self._patience_seconds = patience_seconds
        self._patience = Patience(patience_seconds)
        self._queue: queue.SimpleQueue[Write[Any] | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._last_one_seen = False
        self._connection: sqlite3.Connection | None = None

    def begin(self, command: Callable[[Transaction], T], *, patience_seconds: float | None = None) -> Write[T]:
        """Have the command run in the next transaction. Its patience is the writer's own when None, and never more.

        Raises Busy when the writer is closed, or no thread can be had for it.
        """
        patience = self._patience_seconds if patience_seconds is None else min(patience_seconds, self._patience_seconds)
        request = Write(command, patience_seconds=patience, watch=self._patience.watch)
        with self._gate:
            if self._closed:
                raise refusals.stopping()
            if self._thread is None:
                self._start()
            self._queue.put(request)
        return request

    @property
    def waiting(self) -> int:
        """Commands that are not in a transaction yet, about."""
        return self._queue.qsize()

    def close(self) -> None:
        """Commit and answer all that waits, then end. Later commands are Busy. Idempotent."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
            thread = self._thread
        if thread is not None:
            # As long as the slowest honest turn may take; a thread that hangs in a dead disk is left behind.
            thread.join(2 * self._patience_seconds + 5)
        self._patience.close()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="chat-store-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise refusals.busy() from error
        self._thread = thread

    def _run(self) -> None:
        while not self._last_one_seen:
            first = self._queue.get()
            if first is None:
                break
            batch: list[Write[Any]] = []
            moved: Mapping[str, tuple[int, bool]] = {}
            try:
                moved = self._commit(first, batch)
            except (sqlite3.Error, OSError, UnusableDatabaseError) as error:
                _LOG.warning("nothing could be written: %s: %s", type(error).__name__, error)
                self._let_go()
                self._fail(first, batch, refusals.busy, error)
            except BaseException as error:
                # Nobody else would answer the callers, and the thread must live on for the next.
                _LOG.exception("the writer failed")
                self._let_go()
                self._fail(first, batch, Internal, error)
            for request in batch:
                request.answer()
            try:
                self._announce(moved)
            except Exception:  # what is stored is answered; who waits for it has a timeout
                _LOG.exception("nobody was told of %d chats that moved", len(moved))
        self._let_go()

    def _commit(self, first: Write[Any], batch: list[Write[Any]]) -> Mapping[str, tuple[int, bool]]:
        if self._connection is None:
            self._connection = self._database.connect()  # before the turn: making the schema takes it too
        self._turn.take()
        try:
            cursor = self._connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            self._gather(first, batch, MAX_BATCH)
            moved = self._run_all(batch, cursor, guarded=False)
            if moved is None:
                cursor.execute("ROLLBACK")
                cursor.execute("BEGIN IMMEDIATE")
                moved = self._run_all(batch, cursor, guarded=True)
            self._database.check_in_place()
            cursor.execute("COMMIT")
            self._note(moved or {})  # before the receipts, and in the turn: the last commit's is the one that stays
            return moved or {}
        finally:
            self._turn.give_back()

    def _run_all(
        self, batch: list[Write[Any]], cursor: sqlite3.Cursor, *, guarded: bool
    ) -> Mapping[str, tuple[int, bool]] | None:
        """Run every command of the batch. A failed one must leave nothing: `guarded` gives each a savepoint for that.

        Without, None when one failed after it had written, which says: undo all and run them again, guarded. Refusals
        come before the first write, so that does not happen in the ordinary; and leaving the savepoints away made 32
        threads 1.7 times as fast, because every statement lets the interpreter's lock go.
        """
        transaction = Transaction(cursor=cursor, statements=self._statements, now=self._now())
        if not guarded:
            commands = [request.command for request in batch]
            transaction.foresee([command.message for command in commands if isinstance(command, Append)])
        for request in batch:
            request.value = request.error = None
            changes = cursor.connection.total_changes
            if guarded:
                cursor.execute("SAVEPOINT command")
            try:
                request.value = request.command(transaction)
                if guarded:
                    transaction.write_out()
            except WebchatError as refusal:
                request.error = refusal
            except sqlite3.OperationalError:
                raise  # the disk, the file or a lock: SQLite may have rolled back everything already
            except Exception as error:
                if type(error) is sqlite3.DatabaseError:  # the file is damaged
                    raise
                request.error = Internal()
                request.error.__cause__ = error
            if request.error is not None and cursor.connection.total_changes != changes:
                if not guarded:
                    return None
                cursor.execute("ROLLBACK TO command")
                transaction.forget()
            if guarded:
                cursor.execute("RELEASE command")
        try:
            transaction.write_out()
        except sqlite3.IntegrityError:  # of one of them; which one, the guarded run will tell
            return None
        return transaction.moved

    def _gather(self, first: Write[Any] | None, batch: list[Write[Any]], at_most: int) -> None:
        request = first
        while True:
            if request is not None and request.taken.acquire(blocking=False):
                batch.append(request)
            if len(batch) >= at_most:
                return
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                return
            if request is None:
                self._last_one_seen = True
                return

    def _fail(
        self, first: Write[Any], batch: list[Write[Any]], refusal: Callable[[], WebchatError], cause: BaseException
    ) -> None:
        """A refusal for all who wait, also for those not taken yet: they would only wait for the same."""
        if not batch:
            self._gather(first, batch, self._queue.qsize() + 1)
        for request in batch:
            request.value = None
            request.error = refusal()
            request.error.__cause__ = cause

    def _let_go(self) -> None:
        """Drop the connection (and with it any open transaction) and the turn: the next batch begins afresh."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        self._turn.close()
