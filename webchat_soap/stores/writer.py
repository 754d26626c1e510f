"""Group commit: one thread a process writes for everybody who waits, with one fsync for all of them.

A caller puts its command into the queue and waits. The writer takes the turn among the processes, begins a
transaction, and only then gathers who waits: whoever it has not taken by then can still go away with Busy, so nobody
waits for a stuck disk or another program's lock longer than the patience, and what it has taken is either committed
and answered or rolled back and Busy. A command that is refused or fails does not harm its neighbours.

After any error of the database the connection is dropped and the next batch opens the file anew, so that service comes
back with the disk. A COMMIT that failed gets a treatment of its own, see `_seal`.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeVar

from webchat_soap.domain.errors import Internal, WebchatError
from webchat_soap.domain.outages import Outage
from webchat_soap.stores import refusals
from webchat_soap.stores.database import Database, UnusableDatabaseError
from webchat_soap.stores.reasons import outage_behind
from webchat_soap.stores.statements import Statements
from webchat_soap.stores.transaction import Append, Transaction, change_nothing
from webchat_soap.stores.turn import Turn
from webchat_soap.stores.write import Patience, Write

MAX_BATCH: Final = 128
"""Commands per commit. More would save nothing on the fsync (1 µs each) and hold other processes' turns longer."""

GATHER_FROM: Final = 3
GATHER_SECONDS: Final = 0.0003
MAX_GATHER_SECONDS: Final = 0.005
"""When the last commit held so many writes, the next one waits for more, as long as so many come in each span. A commit
costs the same dozen fights for the interpreter's lock whatever it holds, and takes them from those who are about to
bring more: with 64 connections all 64 join, and a call costs a fifth less. Who is alone never waits."""

_NOT_COMPLETE: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY}
)
"""Errors of a COMMIT that come before the transaction's last page is in the log."""

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


class _UnsureError(Exception):
    """The commit failed (see the cause), and whether a restart would find it done is not known."""


class _Thread(threading.Thread):
    every_call = True
    """For the server, which keeps such threads on one core (server.cores)."""


class GroupWriter:
    """Runs commands in group commits. The thread, its connection and its lock file come with the first command.

    `now` gives milliseconds since 1970; `note` is told within the turn, and `announce` after each commit, which
    chats moved; `announce` also of which chats anything else has changed.
    """

    def __init__(
        self,
        *,
        database: Database,
        turn: Turn,
        statements: Statements,
        now: Callable[[], int],
        announce: Callable[[Mapping[str, tuple[int, bool]], Collection[str]], None],
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
        self._patience = Patience(patience_seconds, why_no_turn=self._why_no_turn)
        self._queue: queue.SimpleQueue[Write[Any] | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._thread: _Thread | None = None
        self._closed = False
        self._last_one_seen = False
        self._waits_for_lock = False
        self._connection: sqlite3.Connection | None = None

    def begin(self, command: Callable[[Transaction], T], *, patience_seconds: float | None = None) -> Write[T]:
        """Have the command run in the next transaction. Its patience is the writer's own when None, and never more.

        Raises Busy when the writer is closed, or no thread can be had for it.
        """
        patience = self._patience_seconds if patience_seconds is None else min(patience_seconds, self._patience_seconds)
        request = Write(command, patience_seconds=patience, patience=self._patience)
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

    def _why_no_turn(self) -> Outage:
        # Else it is in a transaction, whose commit waits for nothing but the disk.
        return Outage.LOCKED if self._waits_for_lock else Outage.NO_ANSWER

    def _start(self) -> None:
        thread = _Thread(target=self._run, name="chat-store-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise refusals.busy(Outage.NO_MEMORY) from error  # for another thread
        self._thread = thread

    def _run(self) -> None:
        last = 0
        while not self._last_one_seen:
            first = self._queue.get()
            if first is None:
                break
            if last >= GATHER_FROM:
                self._let_more_come()
            batch: list[Write[Any]] = []
            done: Transaction | None = None
            try:
                done = self._commit(first, batch)
            except BaseException as error:
                # Nobody else would answer the callers, and the thread must live on for the next.
                self._let_go()
                self._refuse(first, batch, error)
                # They hold the writes, and these the error that holds them: a circle that is looked for seldom.
                traceback.clear_frames(error.__traceback__)
            last = len(batch)
            for request in batch:
                try:
                    request.answer()
                except Exception:  # a callback without memory, say: the others are still to be answered
                    _LOG.exception("a caller could not be called back")
            self._patience.forget_answered()
            if done is None:
                continue
            try:
                self._announce(done.moved, done.touched)
            except Exception:  # what is stored is answered; who waits for it has a timeout
                _LOG.exception("nobody was told of %d chats that moved", len(done.moved))
        self._let_go()

    def _commit(self, first: Write[Any], batch: list[Write[Any]]) -> Transaction:
        if self._connection is None:
            self._connection = self._database.connect()  # before the turn: making the schema takes it too
        cursor = self._connection.cursor()
        self._waits_for_lock = True
        self._turn.take()
        try:
            cursor.execute("BEGIN IMMEDIATE")
            self._waits_for_lock = False
            self._gather(first, batch, MAX_BATCH)
            done = self._run_all(batch, cursor, guarded=False)
            if done is None:
                if self._connection.in_transaction:  # without memory SQLite may have rolled it back already
                    cursor.execute("ROLLBACK")
                cursor.execute("BEGIN IMMEDIATE")
                done = self._run_all(batch, cursor, guarded=True)
                assert done is not None, "each command has a savepoint of its own"
            self._database.check_in_place()
            self._seal(cursor)
            try:
                self._note(done.moved)  # before the receipts, and in the turn: the last commit's is the one that stays
            except Exception:  # what is committed must not end as a failure
                _LOG.exception("what was acknowledged could not be noted")
            return done
        finally:
            # A connection that is closed while a cursor holds a statement stays open behind the scenes, with its
            # transaction and the lock, until the last who holds on to the cursor has gone: an error's traceback does.
            cursor.close()
            self._waits_for_lock = False
            self._turn.give_back()

    def _seal(self, cursor: sqlite3.Cursor) -> None:
        """COMMIT. Where it fails, make sure that nothing of it comes back.

        SQLite writes all of a transaction into the log, then has it synced, then counts it. When the sync fails (or
        the shared memory has no room) the transaction is not counted, but it stands in the log, complete: whoever opens
        the database first after a crash would find it there and believe it, although its callers were told that
        nothing is stored and have taken its files away. So its place is overwritten at once by a commit that changes
        nothing and needs no sync. Where even that fails the outcome is not known: _UnsureError.
        """
        try:
            cursor.execute("COMMIT")
        except (sqlite3.Error, MemoryError) as error:
            if getattr(error, "sqlite_errorcode", None) not in _NOT_COMPLETE and not _take_back(cursor):
                raise _UnsureError from error
            raise

    def _run_all(self, batch: list[Write[Any]], cursor: sqlite3.Cursor, *, guarded: bool) -> Transaction | None:
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
                if not guarded:  # what it has counted and gathered so far is not in the database yet
                    return None
                if not cursor.connection.in_transaction:  # and nothing of the batch is left
                    raise
                request.error = refusals.busy(Outage.NO_MEMORY) if isinstance(error, MemoryError) else Internal()
                request.error.__cause__ = error
            if request.error is not None and (guarded or cursor.connection.total_changes != changes):
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
        return transaction

    def _let_more_come(self) -> None:
        until = time.monotonic() + MAX_GATHER_SECONDS
        came = self._queue.qsize()
        while True:
            time.sleep(GATHER_SECONDS)
            before, came = came, self._queue.qsize()
            if came - before < GATHER_FROM or came >= MAX_BATCH or time.monotonic() > until:
                return

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

    def _refuse(self, first: Write[Any], batch: list[Write[Any]], error: BaseException) -> None:
        """A refusal for all who wait, also for those not taken yet: they would only wait for the same."""
        if not batch:
            self._gather(first, batch, self._queue.qsize() + 1)
        cause = error.__cause__ if isinstance(error, _UnsureError) and error.__cause__ is not None else error
        outage = None
        if isinstance(cause, (sqlite3.Error, OSError, MemoryError, UnusableDatabaseError)):
            outage = outage_behind(cause, self._database.path)
        for request in batch:
            request.value = None
            if outage is None:
                request.error = Internal()
            else:
                request.error = refusals.unsure(outage) if cause is not error else refusals.busy(outage)
            request.error.__cause__ = cause
        with contextlib.suppress(MemoryError):  # the answers are what matters
            if outage is None:
                _LOG.error("the writer failed", exc_info=error)
            else:
                what = "nothing could be written" if cause is error else "what was written may or may not be there"
                _LOG.warning("%s (%s): %s: %s", what, outage, type(cause).__name__, cause)

    def _let_go(self) -> None:
        """Drop the connection (and with it any open transaction) and the turn: the next batch begins afresh."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        self._turn.close()


def _take_back(cursor: sqlite3.Cursor) -> bool:
    """See GroupWriter._seal; whether it could be done. The connection is of no further use."""
    try:
        if cursor.connection.in_transaction:
            cursor.execute("ROLLBACK")
        # The log is not synced by the commit, but still by a checkpoint, which OFF would leave out too.
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("BEGIN IMMEDIATE")
        change_nothing(cursor)
        cursor.execute("COMMIT")
    except (sqlite3.Error, MemoryError):
        return False
    return True
