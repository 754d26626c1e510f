"""The threads that run the application: as many as wait, no more than the interpreter can use."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[Callable[..., Any], tuple[Any, ...], "asyncio.Future[Any]"]
_Done = tuple["asyncio.Future[Any]", Any, "BaseException | None"]


class NoRoom(Exception):
    """So many calls wait for a thread that one more would only wait too long."""


class _Thread(threading.Thread):
    """Sleeps on a latch of its own, so that the room chooses who wakes."""

    def __init__(self, room: Threads, job: _Job) -> None:
        super().__init__(name="request", daemon=True)
        self._room = room
        self.latch = threading.Lock()
        self.latch.acquire()
        self.job: _Job | None = job

    def run(self) -> None:
        room = self._room
        while True:
            job, self.job = self.job, None
            while job is not None:
                function, arguments, future = job
                outcome: Any = None
                failure: BaseException | None = None
                try:
                    outcome = function(*arguments)
                except BaseException as error:  # it is raised where the future is awaited
                    failure = error
                job = room.finished(self, (future, outcome, failure))
                del function, arguments, future, outcome, failure
            if not self.latch.acquire(timeout=room.idle_seconds) and room.leave(self):
                return


class Threads:
    """Runs functions in threads for one event loop. `run` belongs to the loop's thread.

    Calls that compute only slow each other when they share the interpreter (a no-op took 40 µs of the processor with 2
    threads, 60 with 64), while calls that wait for a disk or a message need a thread each, up to hundreds. What a call
    will do is not known beforehand, so `admitted` follows the load: while calls stand in line, a look every 2 ms
    either comes on time (the interpreter has room: admit more) or late (it has none: admit fewer).
    Idle threads are woken last in, first out, so that few of them stay warm and the others end.
    """

    LEAST_ADMITTED = 2
    LOOK_SECONDS = 0.002
    LATE_SECONDS = 0.001
    idle_seconds = 20.0

    def __init__(self, *, most: int, most_in_line: int) -> None:
        """`most` calls at once, and `most_in_line` beyond them before `run` says NoRoom."""
        self._most = most
        self._most_in_line = most_in_line
        self._admitted = self.LEAST_ADMITTED
        self._mutex = threading.Lock()
        self._line: deque[_Job] = deque()
        self._idle: list[_Thread] = []
        self._busy = 0
        self._done: deque[_Done] = deque()
        self._told = False
        self._looking = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def busy(self) -> int:
        """Threads that run a call now."""
        return self._busy

    def run(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """A future of function(*arguments). NoRoom."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        job: _Job = (function, arguments, future)
        with self._mutex:
            if self._busy < self._admitted:
                self._start(job)
                return future
            if len(self._line) >= self._most_in_line:
                raise NoRoom
            self._line.append(job)
        if not self._looking:
            self._looking = True
            loop.call_later(self.LOOK_SECONDS, self._look, loop.time() + self.LOOK_SECONDS)
        return future

    def _start(self, job: _Job) -> None:
        self._busy += 1
        if self._idle:
            thread = self._idle.pop()
            thread.job = job
            thread.latch.release()
        else:
            _Thread(self, job).start()

    def _look(self, due: float) -> None:
        assert self._loop is not None
        now = self._loop.time()
        with self._mutex:
            if not self._line:
                self._looking = False
                return
            if now - due < self.LATE_SECONDS:
                self._admitted = min(self._most, max(self._admitted, self._busy) * 3 // 2 + 1)
                while self._line and self._busy < self._admitted:
                    self._start(self._line.popleft())
            else:
                self._admitted = max(self.LEAST_ADMITTED, self._admitted - self._admitted // 16 - 1)
        self._loop.call_later(self.LOOK_SECONDS, self._look, now + self.LOOK_SECONDS)

    def finished(self, thread: _Thread, done: _Done) -> _Job | None:
        """A thread hands over its result and takes the next job, if there is one for it."""
        self._done.append(done)
        if not self._told:  # one wake-up of the loop tells all results that gather until it comes to look
            self._told = True
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._tell)
        with self._mutex:
            if self._line and self._busy <= self._admitted:
                return self._line.popleft()
            self._busy -= 1
            self._idle.append(thread)
        return None

    def leave(self, thread: _Thread) -> bool:
        """An idle thread wants to end; False when it was given a job in this very moment."""
        with self._mutex:
            if thread in self._idle:
                self._idle.remove(thread)
                return True
        thread.latch.acquire()
        return False

    def _tell(self) -> None:
        self._told = False
        while self._done:
            future, outcome, failure = self._done.popleft()
            if future.done():
                continue
            if failure is None:
                future.set_result(outcome)
            else:
                future.set_exception(failure)
