"""Waking who waits for a chat to move.

In the process the writer names the chats that moved after each commit, and only their waiters wake. For commits of
other processes one thread asks SQLite every 20 ms whether anybody else has written (`PRAGMA data_version`, a look at
shared memory), and only then, in one query, how all chats that are waited for stand. It rests while nobody waits.

No wake-up is lost: a waiter registers first and looks at its chat afterwards, and the thread compares with the version
it saw before the waiter came.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from typing import Final

from webchat_soap.domain.outages import Outage
from webchat_soap.stores import refusals
from webchat_soap.stores.statements import Statements

POLL_SECONDS: Final = 0.02
"""Half of it is the median delay over processes; it costs 0.4 % of a core."""

_PAUSE_SECONDS: Final = 0.5
"""After a look that failed: the file is opened anew for the next, and what ails it lasts."""

_LOG = logging.getLogger(__name__)


class _Waiter:
    __slots__ = ("after_sequence", "woken")

    def __init__(self, after_sequence: int) -> None:
        self.after_sequence = after_sequence
        self.woken = threading.Lock()
        self.woken.acquire()

    def wake(self) -> None:
        """Only under the lock of News, which makes looking and releasing one step."""
        if self.woken.locked():
            self.woken.release()


class News:
    """Who waits for which chat. `read_state` gives (lastSequence, whether open), None for no such chat; `connect` a
    connection for the thread. Nothing is opened before the first wait."""

    def __init__(
        self,
        *,
        read_state: Callable[[str], tuple[int, bool] | None],
        connect: Callable[[], sqlite3.Connection],
        statements: Statements,
    ) -> None:
        self._read_state = read_state
        self._connect = connect
        self._statements = statements
        self._lock = threading.Lock()
        self._somebody_waits = threading.Condition(self._lock)
        self._waiters: dict[str, set[_Waiter]] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def wait(self, chat_id: str, *, after_sequence: int, timeout_seconds: float) -> None:
        """ChatStore.wait_for_news."""
        waiter = _Waiter(after_sequence)
        with self._lock:
            if self._stopped.is_set():
                return
            if self._thread is None:
                self._start()
            if not self._waiters:
                self._somebody_waits.notify()
            self._waiters.setdefault(chat_id, set()).add(waiter)
        try:
            state = self._read_state(chat_id)
            if state is None or _is_news(state, after_sequence):
                return
            waiter.woken.acquire(timeout=max(0.0, min(timeout_seconds, threading.TIMEOUT_MAX)))
        finally:
            with self._lock:
                waiters = self._waiters[chat_id]
                waiters.discard(waiter)
                if not waiters:
                    del self._waiters[chat_id]

    def announce(self, states: Mapping[str, tuple[int, bool]]) -> None:
        """Wake who waits for less than these chats have."""
        with self._lock:
            if not self._waiters:
                return
            for chat_id, state in states.items():
                for waiter in self._waiters.get(chat_id, ()):
                    if _is_news(state, waiter.after_sequence):
                        waiter.wake()

    def wake_all(self) -> None:
        """Let all go and none wait any more. Idempotent."""
        with self._lock:
            self._stopped.set()
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.wake()
            self._somebody_waits.notify_all()

    def close(self) -> None:
        """`wake_all`, and the thread is gone on return."""
        self.wake_all()
        if self._thread is not None:
            self._thread.join(5)

    def _start(self) -> None:
        thread = threading.Thread(target=self._watch, name="chat-store-news", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise refusals.busy(Outage.NO_MEMORY) from error  # for another thread
        self._thread = thread

    def _watch(self) -> None:
        connection: sqlite3.Connection | None = None
        seen: int | None = None
        failing = False
        while not self._stopped.is_set():
            with self._lock:
                while not self._waiters and not self._stopped.is_set():
                    self._somebody_waits.wait()
            try:
                if connection is None:
                    connection, seen = self._connect(), None
                (version,) = connection.execute("PRAGMA data_version").fetchone()
                if version != seen:
                    self._look(connection)
                    seen = version
                failing = False
            except Exception as error:
                # A waiter's own timeout bounds what this costs.
                _close(connection)
                connection = None
                if not failing:
                    failing = True
                    _LOG.warning("could not look for news of other processes: %s: %s", type(error).__name__, error)
            self._stopped.wait(_PAUSE_SECONDS if failing else POLL_SECONDS)
        _close(connection)

    def _look(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            chat_ids = list(self._waiters)
        rows = connection.execute(self._statements.select_states, (json.dumps(chat_ids),)).fetchall()
        self.announce({chat_id: (last_sequence, status == "OPEN") for chat_id, last_sequence, status in rows})


def _is_news(state: tuple[int, bool], after_sequence: int) -> bool:
    last_sequence, is_open = state
    return last_sequence > after_sequence or not is_open


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
