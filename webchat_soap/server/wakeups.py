"""Lets the engine's own threads wait for their turn while the service has the cores for itself.

The kernel lets a thread that has just been woken take the core from one that computes. The engine's own threads wake
for every request and every answer, so that on cores which are all at work each call is cut several times, for a few
bytes, and finds cold caches when it goes on. Under SCHED_BATCH (sched(7)) they wait until the core's thread sleeps or
has used its slice, and then move all that has come: at 64 connections two workers on two cores made 1.5 times the calls
without the store and 1.1 times with it, one worker 1.05 times.

While other programs compute on all cores, waiting costs: a lone caller waited 12 ms beside two of them instead of 7. So
it ends when they come, and begins again when they have gone.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from webchat_soap.server.cores import cores_of_process, read_times

log = logging.getLogger(__name__)

_MUCH = 0.6
"""Of the worker's share of the cores. A busy one gets more of it, and less beside other programs."""

_NONE = 0.1
"""Of the cores' time. Where no more of it is idle, whoever is woken takes a core from somebody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Since some moment, in seconds: the time that went by, the cores' time of which this process used a part, and the
    part of all cores' time that nobody used."""

    clock: float
    own: float
    idle: float


def may_wait(before: Use, now: Use, *, cores: int, workers: int, waits: bool) -> bool:
    """Whether threads that are woken should wait for their turn from now on; `waits`: whether they do."""
    seconds = now.clock - before.clock
    if now.own - before.own > _MUCH * min(1.0, cores / workers) * seconds:
        return True
    # Where cores are idle it is all one; they stay as they are, for the next rush.
    return waits and now.idle - before.idle > _NONE * cores * seconds


class Wakeups:
    """Whether some threads take the core at once when they are woken. One per worker; to be asked to `look` twice a
    second."""

    def __init__(
        self, threads: Callable[[], Iterable[int]], *, workers: int, use: Callable[[], Use] | None = None
    ) -> None:
        """`threads` gives the native ids of those that may wait; `workers` is the number of processes that share the
        cores; `use` tells what was used so far (None: of the system's cores, by this process)."""
        self._threads = threads
        self._workers = workers
        self._use = _use if use is None else use
        self._before: Use | None = None
        self._waits = False
        self._gave_up = not hasattr(os, "SCHED_BATCH")

    def look(self) -> None:
        """Decide by what was used since the last look. Raises nothing."""
        if self._gave_up:
            return
        try:
            now = self._use()
        except (OSError, KeyError):  # no descriptor is free, say
            self._before = None
            return
        try:
            self._decide(now)
        except Exception:  # refused, say by a container's filter of system calls: it goes on as it is
            log.info("The engine's threads stay under the scheduling they have", exc_info=True)
            self._gave_up = True

    def _decide(self, now: Use) -> None:
        before = self._before
        self._before = now
        if before is None:
            return
        cores = len(cores_of_process())
        waits = may_wait(before, now, cores=cores, workers=self._workers, waits=self._waits)
        if waits != self._waits:
            self._waits = waits
            self._set()

    def _set(self) -> None:
        # Where the operator chose another policy for the service, neither of the two is met, and nothing is changed.
        old, new = (os.SCHED_OTHER, os.SCHED_BATCH) if self._waits else (os.SCHED_BATCH, os.SCHED_OTHER)
        for thread in self._threads():
            try:
                if os.sched_getscheduler(thread) == old:
                    os.sched_setscheduler(thread, new, os.sched_param(0))
            except ProcessLookupError:  # it has just ended
                pass


def _use() -> Use:
    among = cores_of_process()
    idle = read_times(()).idle
    return Use(clock=time.monotonic(), own=time.process_time(), idle=sum(idle[core] for core in among if core in idle))
