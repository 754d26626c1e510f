"""The threads that run the application: as many as wait, and no more of those that compute."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

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
        while True:
            job, self.job = self.job, None
            while job is not None:
                used = time.thread_time()
                self.began = began = time.monotonic()
                try:
                    job()
                except BaseException:  # even SystemExit ends the job only, not the thread
                    log.exception("A job raised")
                used = time.thread_time() - used
                job = room.next_job(self, waited=used * 2 < time.monotonic() - began)
            if not self.latch.acquire(timeout=room.idle_seconds) and room.leave(self):
                return


class Threads:
    """Runs jobs in threads. All methods may be called from any thread and none waits for a job.

    Jobs that wait, for a disk or for a message, need a thread each, up to hundreds. Jobs that only compute are slowed
    by it: a no-op request cost 50 µs of the processor with one thread for all and 85 to 110 with 64. What a job will do
    is not known before. So a few are admitted at first; while others stand in line, every 2 ms more are, unless most
    of those that ended just now had not waited. Whether that is so can be seen only with few threads, because with many
    they wait for each other: twice a second it is looked at anew. Jobs that take long are not counted.
    Idle threads are woken last in, first out, so that few stay warm and the others end.
    """

    FEW = 2
    """Admitted besides the long ones while jobs do not wait. With one, a single heavy body would hold up all."""
    LOOK_SECONDS = 0.002
    LONG_SECONDS = 0.05
    LOOKS_WIDE = 250
    """So many looks later, half a second, a wide admission is tried narrow for one look."""
    LOOKS_CALM = 25
    """After so many looks without a line the looking sleeps."""
    idle_seconds = 20.0

    def __init__(self, *, most: int, most_in_line: int) -> None:
        """`most` jobs at once, and `most_in_line` beyond them before `run` says NoRoom."""
        self._most = most
        self._most_in_line = most_in_line
        self._admitted = min(self.FEW, most)
        self._mutex = threading.Lock()
        self._line: deque[Job] = deque()
        self._idle: list[_Thread] = []
        self._busy: set[_Thread] = set()
        self._ended = 0
        self._ended_waited = 0
        self._needed = threading.Event()
        self._looker: threading.Thread | None = None

    @property
    def busy(self) -> int:
        """Threads that run a job now."""
        return len(self._busy)

    @property
    def alive(self) -> int:
        """Threads there are now, idle ones counted."""
        return len(self._busy) + len(self._idle)

    def run(self, job: Job) -> None:
        """Run the job soon; what it raises is logged. NoRoom."""
        with self._mutex:
            if len(self._busy) < self._admitted and self._start(job):
                return
            if len(self._line) >= self._most_in_line:
                raise NoRoom
            self._wait_in_line(job)

    def run_later(self, job: Job) -> None:
        """Go on with something begun, which may not be refused: the line has no end for it."""
        with self._mutex:
            if len(self._busy) < self._admitted and self._start(job):
                return
            self._wait_in_line(job)

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
            except RuntimeError:  # the system gives no more threads: the ones there are must do
                log.warning("No further thread can be started beside %d", self.alive)
                return False
        self._busy.add(thread)
        return True

    def _wait_in_line(self, job: Job) -> None:
        self._line.append(job)
        if self._looker is None:
            self._looker = threading.Thread(target=self._keep_looking, name="admission", daemon=True)
            self._looker.start()
        if not self._needed.is_set():
            self._needed.set()

    def next_job(self, thread: _Thread, *, waited: bool) -> Job | None:
        """For a thread that has finished one, which `waited` for more than half of its time: the next, or None."""
        with self._mutex:
            self._ended += 1
            self._ended_waited += waited
            if self._line and len(self._busy) <= self._admitted:
                return self._line.popleft()
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
        wide_looks = 0
        calm_looks = 0
        wide = 0
        clock, used = time.monotonic(), time.process_time()
        while True:
            time.sleep(self.LOOK_SECONDS)
            last_clock, last_used = clock, used
            clock, used = time.monotonic(), time.process_time()
            computes = used - last_used > (clock - last_clock) / 2
            with self._mutex:
                if wide_looks >= self.LOOKS_WIDE:
                    wide_looks = 0
                    wide, self._admitted = self._admitted, self._narrow()
                elif self._line:
                    wide = self._admit_more(wide, computes=computes)
                ended, self._ended, self._ended_waited = self._ended, 0, 0
                calm_looks = 0 if self._line or ended else calm_looks + 1
                wide_looks = wide_looks + 1 if self._admitted > self._narrow() else 0
                if calm_looks < self.LOOKS_CALM:
                    continue
                self._needed.clear()
            self._needed.wait()
            clock, used = time.monotonic(), time.process_time()

    def _narrow(self) -> int:
        long_ago = time.monotonic() - self.LONG_SECONDS
        return min(self._most, self.FEW + sum(thread.began < long_ago for thread in self._busy))

    def _admit_more(self, wide: int, *, computes: bool) -> int:
        """Admit more if that helps; what is left of `wide`, the admission before it was tried narrow.

        Where none has ended since the last look, it counts whether the process `computes`.
        """
        narrow = self._narrow()
        if self._ended:
            computes = self._ended_waited * 4 < self._ended
        if self._admitted <= narrow and computes:
            self._admitted, wide = narrow, 0
        else:
            self._admitted, wide = min(self._most, max(wide, self._admitted * 3 // 2 + 1, narrow)), 0
        while self._line and len(self._busy) < self._admitted and self._start(self._line[0]):
            self._line.popleft()
        return wide
