"""A command on its way through the writer to the disk, and who waits for it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from webchat_soap.domain.errors import Busy
from webchat_soap.domain.outages import Outage
from webchat_soap.stores import refusals
from webchat_soap.stores.transaction import Transaction

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_CALLBACKS: Final = threading.Lock()
"""Makes "is it answered, else call me back" one step; one for all, as it is held for next to nothing."""


class Write(Generic[T]):
    """A command on its way to the disk: the Outcome of `GroupWriter.begin`."""

    __slots__ = ("_patience", "_patience_seconds", "answered", "callback", "command", "done", "error", "taken", "value")
    is_long = False

    def __init__(self, command: Callable[[Transaction], T], *, patience_seconds: float, patience: Patience) -> None:
        self._patience_seconds = patience_seconds
        self._patience = patience
        self.command = command
        self.value: T | None = None
        self.error: BaseException | None = None
        self.callback: Callable[[], object] | None = None
        self.done = False
        self.answered = threading.Lock()
        self.answered.acquire()
        # Whoever acquires this first decides: the writer takes the request, or the caller takes it back.
        self.taken = threading.Lock()

    def result(self) -> T:
        """The command's result after the commit is on disk.

        Raises what the command raises (its writes are undone), or Busy when there was no commit. The patience bounds
        the wait for the turn; once the command is in a transaction the caller waits for its outcome, since only that
        tells whether it is stored.
        """
        if not self.answered.acquire(timeout=self._patience_seconds):
            if self.taken.acquire(blocking=False):
                raise self._patience.no_turn()
            self.answered.acquire()
        if self.error is not None:
            try:
                raise self.error
            finally:
                del self  # the error's traceback would hold on to the write, and the write to the error
        return self.value  # type: ignore[return-value]  # set before it was answered

    def when_done(self, callback: Callable[[], object]) -> bool:
        """Outcome.when_done. When the turn does not come within the patience, the result is Busy."""
        with _CALLBACKS:
            waits = not self.done
            if waits:
                self.callback = callback
        if waits:
            self._patience.watch(self)
        else:
            callback()
        return True

    def give_up(self) -> None:
        """Outcome.give_up. It is stored all the same: a caller that is back with its clientToken gets the receipt."""

    def answer(self) -> None:
        """Let go of who waits. `value` or `error` is set."""
        with _CALLBACKS:
            self.done = True
            self.answered.release()
            callback = self.callback
        if callback is not None:
            callback()


class Patience:
    """Answers writes that wait to be called back and whose turn does not come in time. One thread, which sleeps while
    nothing is written; it comes with the first write to watch."""

    LOOK_SECONDS: Final = 0.25

    def __init__(self, patience_seconds: float, *, why_no_turn: Callable[[], Outage]) -> None:
        self._patience_seconds = patience_seconds
        self._why_no_turn = why_no_turn
        self._watched: deque[tuple[float, Write[Any]]] = deque()
        self._needed = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, write: Write[Any]) -> None:
        """Answer it with Busy after the patience, unless the writer has taken it by then."""
        self._watched.append((time.monotonic() + self._patience_seconds, write))
        if not self._needed.is_set():
            with self._lock:
                if self._thread is None:
                    thread = threading.Thread(target=self._look, name="chat-store-patience", daemon=True)
                    try:
                        thread.start()
                    except (RuntimeError, MemoryError):  # no room for it: the next write to watch tries again
                        return
                    self._thread = thread
            self._needed.set()

    def forget_answered(self) -> None:
        """After each batch: what is kept until the next look would be thousands of calls with all that belongs to them,
        so that new ones get memory that no cache holds."""
        with self._lock:
            while self._watched and self._watched[0][1].done:
                self._watched.popleft()

    def no_turn(self) -> Busy:
        """What is said when the writer did not get to it in time."""
        outage = self._why_no_turn()
        busy = refusals.busy(outage)
        busy.__cause__ = TimeoutError(f"the turn to write did not come ({outage})")
        return busy

    def close(self) -> None:
        """Everything is answered: end the thread."""
        self._closed.set()
        self._needed.set()
        if self._thread is not None:
            self._thread.join(5)

    def _late(self, now: float) -> list[Write[Any]]:
        late: list[Write[Any]] = []
        with self._lock:
            while self._watched and (self._watched[0][1].done or self._watched[0][0] <= now):
                late.append(self._watched.popleft()[1])
        return late

    def _look(self) -> None:
        while not self._closed.is_set():
            self._needed.wait()
            self._closed.wait(self.LOOK_SECONDS)
            now = time.monotonic()
            for write in self._late(now):
                if not write.done and write.taken.acquire(blocking=False):
                    write.error = self.no_turn()
                    try:
                        write.answer()
                    except Exception:  # without memory, say: the others are still to be answered
                        with contextlib.suppress(MemoryError):
                            _LOG.exception("a caller could not be called back")
            if not self._watched:
                self._needed.clear()
                if self._watched:  # one came in between
                    self._needed.set()
