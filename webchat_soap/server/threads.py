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


class Admission:
    """How many jobs may run at once: what is decided at each look, every 2 ms while jobs stand in line.

    Jobs that wait, for a disk or for a message, need a thread each, up to hundreds. Jobs that only compute are slowed
    by it: a no-op request cost 50 to 70 µs of the processor with one thread for all and 80 to 130 with 64. What a job
    will do is not known before. So few are admitted at first, and more at each look, unless most of those that ended
    since the last one had not waited. That can be seen only among few threads, because many wait for each other: twice
    a second it is looked at anew.
    """

    FEW = 1
    """Besides the long ones, while jobs do not wait: the one takes the next without anybody being woken."""
    LOOKS_WIDE = 250
    """So many looks later, half a second, a wide admission is tried narrow for one look."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._wide_looks = 0
        self._before = 0
        self.admitted = min(self.FEW, most)

    def look(self, *, in_line: bool, long: int, ended: int, waited: int, computes: bool) -> None:
        """Decide on `admitted` anew.

        `long` jobs have run for so long that they are not counted; of the jobs that `ended` since the last look, so
        many had `waited`; where none ended, it counts whether the process `computes`.
        """
        narrow = min(self._most, self.FEW + long)
        if self._wide_looks >= self.LOOKS_WIDE:
            self._before, self.admitted = self.admitted, narrow
        elif in_line:
            if ended:
                computes = waited * 4 < ended
            if self.admitted <= narrow and computes:
                self.admitted = narrow
            else:
                self.admitted = min(self._most, max(self._before, self.admitted * 3 // 2 + 1, narrow))
            self._before = 0
        self._wide_looks = self._wide_looks + 1 if self.admitted > narrow else 0


class Threads:
    """Runs jobs in threads. All methods may be called from any thread and none waits for a job.

    Idle threads are woken last in, first out, so that few stay warm and the others end.
    """

    LOOK_SECONDS = 0.002
    LONG_SECONDS = 0.005
    LOOKS_CALM = 25
    """After so many looks without a line the looking sleeps."""
    idle_seconds = 20.0

    def __init__(self, *, most: int, most_in_line: int) -> None:
        """`most` jobs at once, and `most_in_line` beyond them before `run` says NoRoom."""
        self._most_in_line = most_in_line
        self._admission = Admission(most)
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
            if len(self._busy) < self._admission.admitted and self._start(job):
                return
            if len(self._line) >= self._most_in_line:
                raise NoRoom
            self._wait_in_line(job)

    def run_later(self, job: Job) -> None:
        """Go on with something begun, which may not be refused: the line has no end for it."""
        with self._mutex:
            if len(self._busy) < self._admission.admitted and self._start(job):
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
            if self._line and len(self._busy) <= self._admission.admitted:
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
        calm = 0
        clock, used = time.monotonic(), time.process_time()
        while True:
            time.sleep(self.LOOK_SECONDS)
            last_clock, last_used = clock, used
            clock, used = time.monotonic(), time.process_time()
            with self._mutex:
                calm = 0 if self._line or self._ended else calm + 1
                self._look(computes=used - last_used > (clock - last_clock) / 2)
                if calm < self.LOOKS_CALM:
                    continue
                self._needed.clear()
            self._needed.wait()
            clock, used = time.monotonic(), time.process_time()

    def _look(self, *, computes: bool) -> None:
        long_ago = time.monotonic() - self.LONG_SECONDS
        self._admission.look(
            in_line=bool(self._line),
            long=sum(thread.began < long_ago for thread in self._busy),
            ended=self._ended,
            waited=self._ended_waited,
            computes=computes,
        )
        self._ended = self._ended_waited = 0
        while self._line and len(self._busy) < self._admission.admitted and self._start(self._line[0]):
            self._line.popleft()
