"""Lets the engine's own threads wait for their turn while a worker keeps a core busy.

The kernel lets a thread that has just been woken take the core from one that computes. The engine's own threads wake
for every request and every answer, so that on cores which are all at work each call is cut several times, for a few
bytes, and finds cold caches when it goes on. Under SCHED_BATCH (sched(7)) they wait until the core's thread sleeps or
has used its slice, and then move all that has come: at 64 connections two workers on two cores made 1.5 times the calls
without the store and 1.1 times with it, one worker 1.05 times.

Where there is less to do, or other programs compute, waiting costs more than it saves: a lone caller waited 12 ms
beside two such programs instead of 7. So it is done only while the worker gets most of a core.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable

from webchat_soap.server.cores import cores_of_process

log = logging.getLogger(__name__)

_MUCH = 0.6
"""Of the worker's share of the cores. A busy one gets more of it, and less beside other programs."""


def may_wait(*, own: float, seconds: float, cores: int, workers: int) -> bool:
    """Whether threads that are woken should wait for their turn: the process used `own` seconds of the cores' time in
    so many seconds, and so many workers share the cores."""
    return own > _MUCH * min(1.0, cores / workers) * seconds


class Wakeups:
    """Whether some threads take the core at once when they are woken. One per worker; to be asked to `look` every
    LOOK_SECONDS."""

    LOOK_SECONDS = 0.1
    """So soon a rush is met. A look costs a microsecond or two."""

    def __init__(
        self,
        threads: Callable[[], Iterable[int]],
        *,
        workers: int,
        own: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`threads` gives the native ids of those that may wait; `workers` is the number of processes that share the
        cores; `own` tells the seconds that this one has used of them so far, at the time that `clock` tells."""
        self._threads = threads
        self._workers = workers
        self._own = own
        self._clock = clock
        self._before = (clock(), own())
        self._waits = False
        self._gave_up = not hasattr(os, "SCHED_BATCH")

    def look(self) -> None:
        """Decide by what was used since the last look. Raises nothing."""
        if self._gave_up:
            return
        (clock, own), self._before = self._before, (self._clock(), self._own())
        try:
            waits = may_wait(
                own=self._before[1] - own,
                seconds=self._before[0] - clock,
                cores=len(cores_of_process()),
                workers=self._workers,
            )
            if waits != self._waits:
                self._set(waits)
        except PermissionError:  # by a container's filter of system calls, say: it goes on as it is
            log.info("The engine's threads stay under the scheduling they have", exc_info=True)
            self._gave_up = True
        except OSError:  # no descriptor is free for a look at the threads, say: the next look tries again
            pass

    def _set(self, waits: bool) -> None:
        # Where the operator chose another policy for the service, neither of the two is met, and nothing is changed.
        old, new = (os.SCHED_OTHER, os.SCHED_BATCH) if waits else (os.SCHED_BATCH, os.SCHED_OTHER)
        for thread in self._threads():
            try:
                if os.sched_getscheduler(thread) == old:
                    os.sched_setscheduler(thread, new, os.sched_param(0))
            except ProcessLookupError:  # it has just ended
                pass
        self._waits = waits
