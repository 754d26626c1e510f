"""Looks at exchanges when their time has come, and counts what they hold."""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from webchat_soap.server.threads import NoRoom

log = logging.getLogger(__name__)


class Watched(Protocol):
    """Something that has until a moment."""

    def due(self) -> None:
        """The time is over. From the thread of the deadlines; must not wait."""


class Deadlines:
    """Tells who is late: one thread for all, asleep while there is nothing to watch."""

    SWEEP_SECONDS = 0.2

    def __init__(self) -> None:
        self._watched: dict[Watched, float] = {}
        self._needed = threading.Event()
        self._sweeper: threading.Thread | None = None

    def watch(self, watched: Watched, seconds: float) -> None:
        """Call `watched.due()` from another thread after so long, unless it is forgotten before. NoRoom."""
        if self._sweeper is None:
            sweeper = threading.Thread(target=self._sweep, name="deadlines", daemon=True)
            try:
                sweeper.start()
            except (RuntimeError, MemoryError) as error:
                raise NoRoom from error
            self._sweeper = sweeper
        self._watched[watched] = time.monotonic() + seconds
        if not self._needed.is_set():
            self._needed.set()

    def forget(self, watched: Watched) -> None:
        """Idempotent."""
        self._watched.pop(watched, None)

    def _sweep(self) -> None:
        while True:
            self._needed.wait()
            time.sleep(self.SWEEP_SECONDS)
            self._tell_late()
            if not self._watched:
                self._needed.clear()
                if self._watched:  # one came in between
                    self._needed.set()

    def _tell_late(self) -> None:
        # A method of its own, so that no variable keeps the last exchange: the engine ends a connection with an unread
        # body when the last reference to it is gone.
        now = time.monotonic()
        for watched, deadline in list(self._watched.items()):
            if deadline <= now and self._watched.pop(watched, None) is not None:
                try:
                    watched.due()
                except Exception:
                    log.exception("A late request could not be ended")


class Held:
    """Counts bytes from many threads."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._bytes = 0

    @property
    def now(self) -> int:
        """What is held."""
        return self._bytes

    def add(self, size: int) -> int:
        """What is held with these; a negative size lets go."""
        with self._mutex:
            self._bytes += size
            return self._bytes
