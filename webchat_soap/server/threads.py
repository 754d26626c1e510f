"""The threads that run the application: as many as wait, and no more of those that compute."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from webchat_soap.server.cores import use_all_cores

log = logging.getLogger(__name__)

Job = Callable[[], object]


class NoRoom(Exception):
    """So many jobs stand in line that one more would only wait too long."""


class _Thread(threading.Thread):
    """Sleeps on a latch of its own, so that the room chooses who wakes."""

    def __init__(self, room: Threads, job: Job) -> None:
        super().__init__(name="request", daemon=True)
        self._room = room
        self.latch = threading.Lock()
        self.latch.acquire()
        self.job: Job | None = job
        self.began = time.monotonic()

    def run(self) -> None:
        room = self._room
        use_all_cores()
        while True:
            job, self.job = self.job, None
            while job is not None:
                self.began = time.monotonic()
                try:
                    job()
                except BaseException:  # even SystemExit ends the job only, not the thread
                    log.exception("A job raised")
                job = room.next_job(self)
            if not self.latch.acquire(timeout=room.idle_seconds) and room.leave(self):
                return


class Threads:
    """Runs jobs in threads. All methods may be called from any thread and none waits for a job.

    Jobs that only compute are slowed by each other: a no-op request cost 50 to 70 µs of the processor with one thread
    for all and 80 to 130 with 64. So `few` are run at once; one that has run for LONG_SECONDS, since it waits for a
    disk or computes much, is not counted any more, and the more of them there are, the more others are let in at once.
    Where all jobs wait, `few` is `most`.

    Idle threads are woken last in, first out, so that few stay warm and the others end.
    """

    LOOK_SECONDS = 0.002
    LONG_SECONDS = 0.005
    TELL_SECONDS = 10.0
    idle_seconds = 20.0

    def __init__(self, *, few: int, most: int, most_in_line: int) -> None:
        """`most` jobs at once, and `most_in_line` beyond them before `run` says NoRoom."""
        self._few = few
        self._most = most
        self._most_in_line = most_in_line
        self._admitted = few
        self._mutex = threading.Lock()
        self._line: deque[Job] = deque()
        self._begun: deque[Job] = deque()
        self._idle: list[_Thread] = []
        self._busy: set[_Thread] = set()
        self._needed = threading.Event()
        self._looker: threading.Thread | None = None
        self._tell_not_before = 0.0

    @property
    def busy(self) -> int:
        """Threads that run a job now."""
        return len(self._busy)

    @property
    def in_line(self) -> int:
        """Jobs that wait for a thread now."""
        return len(self._line) + len(self._begun)

    @property
    def alive(self) -> int:
        """Threads there are now, idle ones counted."""
        return len(self._busy) + len(self._idle)

    def run(self, job: Job, *, ahead: bool = False) -> None:
        """Run the job soon, `ahead` of those in line that are not; what it raises is logged. NoRoom."""
        with self._mutex:
            if len(self._busy) < self._admitted and self._start(job):
                return
            line = self._begun if ahead else self._line
            if len(line) >= self._most_in_line:
                raise NoRoom
            line.append(job)
            try:
                self._look_after()
            except (RuntimeError, MemoryError):
                line.remove(job)
                self._tell_of_too_few()
                raise NoRoom from None

    def run_later(self, job: Job) -> None:
        """Go on with something begun: it is not refused, and goes before what stands in line."""
        with self._mutex:
            if len(self._busy) < self._admitted and self._start(job):
                return
            self._begun.append(job)
            with contextlib.suppress(RuntimeError, MemoryError):  # then the next thread that is free takes it
                self._look_after()

    def _start(self, job: Job) -> bool:
        if self._idle:
            thread = self._idle.pop()
            thread.job = job
            thread.began = time.monotonic()
            thread.latch.release()
        else:
            thread = _Thread(self, job)
            try:
                thread.start()
            except (RuntimeError, MemoryError):  # the system gives no more threads: the ones there are must do
                self._tell_of_too_few()
                return False
        self._busy.add(thread)
        return True

    def _tell_of_too_few(self) -> None:
        if time.monotonic() >= self._tell_not_before:  # it is tried again every 2 ms
            self._tell_not_before = time.monotonic() + self.TELL_SECONDS
            log.warning("No further thread can be started beside %d (out of memory?)", self.alive)

    def _look_after(self) -> None:
        if self._looker is None:
            looker = threading.Thread(target=self._keep_looking, name="admission", daemon=True)
            looker.start()
            self._looker = looker  # only now: where there was no room for it, the next one in line tries again
        if not self._needed.is_set():
            self._needed.set()

    def next_job(self, thread: _Thread) -> Job | None:
        """For a thread that has finished one: the next, or None."""
        with self._mutex:
            line = self._begun or self._line
            if line and len(self._busy) <= self._admitted:
                return line.popleft()
            self._busy.discard(thread)
            self._idle.append(thread)
            return None

    def leave(self, thread: _Thread) -> bool:
        """For a thread that has slept long: True to end, False when it was given a job in this very moment."""
        with self._mutex:
            if thread in self._idle:
                self._idle.remove(thread)
                return True
        thread.latch.acquire()
        return False

    def _keep_looking(self) -> None:
        while True:
            self._needed.wait()
            time.sleep(self.LOOK_SECONDS)
            with self._mutex:
                long_ago = time.monotonic() - self.LONG_SECONDS
                long = sum(thread.began < long_ago for thread in self._busy)
                self._admitted = min(self._most, self._few + long + long // 2)
                while (line := self._begun or self._line) and len(self._busy) < self._admitted and self._start(line[0]):
                    line.popleft()
                if not line:
                    self._needed.clear()
