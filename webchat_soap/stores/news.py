"""Waking who waits for a chat to move.

In the process the writer names the chats that moved after each commit, and only their waiters wake. For commits of
other processes one thread asks SQLite every 20 ms whether anybody else has written (`PRAGMA data_version`, a look at
shared memory), and only then, in one query, how all chats that are waited for stand. It rests while nobody waits. It
also looks for those who want to be called back whether there is news already, and tells them when their time is over,
so that 500 who wait take no thread.

No wake-up is lost: a waiter registers first and looks at its chat afterwards, and the thread compares with the version
it saw before the waiter came.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Final

from webchat_soap.domain.outages import Outage
from webchat_soap.stores import refusals
from webchat_soap.stores.statements import Statements

POLL_SECONDS: Final = 0.02
"""Half of it is the median delay over processes; it costs 0.4 % of a core."""

_GATHER_SECONDS: Final = 0.001

_PAUSE_SECONDS: Final = 0.5
"""After a look that failed: the file is opened anew for the next, and what ails it lasts."""

_LOG = logging.getLogger(__name__)


class _Waiter:
    """Somebody who sleeps until `woken` is released, or is called back."""

    __slots__ = ("after_sequence", "callback", "chat_id", "sleeps", "woken")

    def __init__(self, chat_id: str, after_sequence: int, callback: Callable[[], object] | None = None) -> None:
        self.chat_id = chat_id
        self.after_sequence = after_sequence
        self.callback = callback
        self.sleeps = callback is None
        self.woken = threading.Lock()
        self.woken.acquire()


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
        self._new: list[_Waiter] = []
        self._times: list[tuple[float, int, _Waiter]] = []
        self._serial = count()
        self._attention = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def wait(self, chat_id: str, *, after_sequence: int, timeout_seconds: float) -> None:
        """ChatStore.wait_for_news."""
        waiter = _Waiter(chat_id, after_sequence)
        if not self._join(waiter):
            return
        try:
            state = self._read_state(chat_id)
            if state is None or _is_news(state, after_sequence):
                return
            waiter.woken.acquire(timeout=max(0.0, min(timeout_seconds, threading.TIMEOUT_MAX)))
        finally:
            with self._lock:
                self._remove(waiter)

    def call_back(
        self, chat_id: str, *, after_sequence: int, timeout_seconds: float, callback: Callable[[], object]
    ) -> Callable[[], object]:
        """ChatStore.call_back_on_news."""
        waiter = _Waiter(chat_id, after_sequence, callback)
        if not self._join(waiter, timeout_seconds):
            callback()
        return lambda: self._leave(waiter)

    def announce(self, states: Mapping[str, tuple[int, bool]]) -> None:
        """Wake who waits for less than these chats have."""
        with self._lock:
            if not self._waiters:
                return
            woken = [
                waiter
                for chat_id, state in states.items()
                for waiter in self._waiters.get(chat_id, ())
                if _is_news(state, waiter.after_sequence)
            ]
            callbacks = self._wake(woken)
        _call(callbacks)

    def wake_all(self) -> None:
        """Let all go and none wait any more. Idempotent."""
        with self._lock:
            self._stopped.set()
            self._attention.set()
            woken = [waiter for waiters in self._waiters.values() for waiter in waiters]
            callbacks = self._wake(woken)
            self._somebody_waits.notify_all()
        _call(callbacks)

    def _join(self, waiter: _Waiter, timeout_seconds: float | None = None) -> bool:
        """False when nobody may wait any more."""
        with self._lock:
            if self._stopped.is_set():
                return False
            if self._thread is None:
                self._start()
            if not self._waiters:
                self._somebody_waits.notify()
            self._waiters.setdefault(waiter.chat_id, set()).add(waiter)
            if timeout_seconds is not None:
                heapq.heappush(self._times, (time.monotonic() + timeout_seconds, next(self._serial), waiter))
                self._new.append(waiter)
                self._attention.set()
        return True

    def _leave(self, waiter: _Waiter) -> None:
        """Whoever asked to be called back does not want it any more. Idempotent."""
        with self._lock:
            waiter.callback = None
            self._remove(waiter)

    def _remove(self, waiter: _Waiter) -> None:
        waiters = self._waiters.get(waiter.chat_id)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[waiter.chat_id]

    def _wake(self, woken: list[_Waiter]) -> list[Callable[[], object]]:
        """Under the lock, which makes looking and waking one step. The callbacks are to be called without it."""
        callbacks: list[Callable[[], object]] = []
        for waiter in woken:
            if waiter.sleeps:
                if waiter.woken.locked():
                    waiter.woken.release()
            elif waiter.callback is not None:
                callbacks.append(waiter.callback)
                waiter.callback = None
                self._remove(waiter)
        return callbacks

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
                    self._look(connection, only_new=False)
                    seen = version
                elif self._new:
                    self._look(connection, only_new=True)
                failing = False
            except Exception as error:
                # Who waits already is bounded by its own time; who comes now is to hear what is wrong.
                self._send_back_new()
                _close(connection)
                connection = None
                if not failing:
                    failing = True
                    _LOG.warning("could not look for news of other processes: %s: %s", type(error).__name__, error)
            self._end_late()
            if failing:
                self._stopped.wait(_PAUSE_SECONDS)
            elif self._attention.wait(POLL_SECONDS):
                # Those who come in the same moment are looked at together.
                self._attention.clear()
                self._stopped.wait(_GATHER_SECONDS)
        _close(connection)

    def _look(self, connection: sqlite3.Connection, *, only_new: bool) -> None:
        with self._lock:
            new, self._new = self._new, []
            chat_ids = list({waiter.chat_id for waiter in new} if only_new else self._waiters)
        try:
            rows = connection.execute(self._statements.select_states, (json.dumps(chat_ids),)).fetchall()
        except BaseException:
            self._new += new
            raise
        states = {chat_id: (last_sequence, status == "OPEN") for chat_id, last_sequence, status in rows}
        gone: list[_Waiter] = []
        with self._lock:
            for waiter in new:
                state = states.get(waiter.chat_id)
                if state is None:
                    gone.append(waiter)  # there is no such chat, which is news to who waits for it
                else:
                    # Who asks beyond the last message waits for the next one.
                    waiter.after_sequence = min(waiter.after_sequence, state[0])
            callbacks = self._wake(gone)
        _call(callbacks)
        self.announce(states)

    def _send_back_new(self) -> None:
        """Call back those whose chats could not be looked at: they look themselves, and find out why."""
        with self._lock:
            new, self._new = self._new, []
            callbacks = self._wake(new)
        _call(callbacks)

    def _end_late(self) -> None:
        """Call back those whose time is over."""
        late: list[_Waiter] = []
        with self._lock:
            now = time.monotonic()
            while self._times and (self._times[0][0] <= now or self._times[0][2].callback is None):
                late.append(heapq.heappop(self._times)[2])
            callbacks = self._wake(late)
        _call(callbacks)


def _call(callbacks: list[Callable[[], object]]) -> None:
    for callback in callbacks:
        try:
            callback()
        except Exception:  # without memory, say: the others are still to be called
            with contextlib.suppress(MemoryError):
                _LOG.exception("somebody who waited could not be called back")


def _is_news(state: tuple[int, bool], after_sequence: int) -> bool:
    last_sequence, is_open = state
    return last_sequence > after_sequence or not is_open


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
