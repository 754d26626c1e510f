"""Who wants to know of every commit: the console's live events (ChatStore.watch).

Commits of this process are told by the writer. Of others SQLite tells (`PRAGMA data_version`, a look at shared memory,
see stores.news); it counts this process's own as well, so "somebody else" may be nobody but ourselves.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from typing import Final

POLL_SECONDS: Final = 0.02


class Commits:
    """Costs a commit one look at a list while nobody watches."""

    def __init__(self, *, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._watches: tuple[CommitWatch, ...] = ()

    def announce(self, chat_ids: Iterable[str]) -> None:
        """From the writer, after a commit."""
        if self._watches:
            told = frozenset(chat_ids)
            for watch in self._watches:
                watch.tell(told)

    def watch(self, *, translated: Callable[[], AbstractContextManager[None]]) -> CommitWatch:
        """`translated` makes the store's own errors of what the watch's connection raises; here they come through."""
        watch = CommitWatch(self, self._connect(), translated)
        with self._lock:
            self._watches = (*self._watches, watch)
        return watch

    def forget(self, watch: CommitWatch) -> None:
        with self._lock:
            self._watches = tuple(each for each in self._watches if each is not watch)


class CommitWatch:
    """domain.console.Watch."""

    def __init__(
        self,
        commits: Commits,
        connection: sqlite3.Connection,
        translated: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._commits = commits
        self._translated = translated
        self._connection: sqlite3.Connection | None = connection
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._attention = threading.Event()
        self._seen = self._version()
        self._interrupted = False

    def tell(self, chat_ids: Collection[str]) -> None:
        with self._lock:
            self._told.update(chat_ids)
        self._attention.set()

    def wait(self, timeout_seconds: float) -> tuple[Collection[str], bool]:
        give_up = time.monotonic() + timeout_seconds
        while True:
            left = give_up - time.monotonic()
            self._attention.wait(max(0.0, min(POLL_SECONDS, left)))
            self._attention.clear()
            with self._lock:
                told, self._told = self._told, set()
                interrupted, self._interrupted = self._interrupted, False
            with self._translated():
                version = self._version()
            others = version != self._seen
            self._seen = version
            if told or others or interrupted or left <= POLL_SECONDS:
                return told, others

    def interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
        self._attention.set()

    def close(self) -> None:
        self._commits.forget(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _version(self) -> int:
        if self._connection is None:
            return -1
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)
