"""Keeps the threads that every call goes through on one processor core.

Of the engine's thread, which reads a call and begins it, and the store's writer, which commits and answers, only one at
a time can have the interpreter's lock. On two cores each handing over of it wakes the other core, and finds that core's
caches without what the call is made of: kept together, they made 1.2 times the calls (64 connections, two cores; 1.1
times when the engine's own thread, which does not need the lock, is not kept off that core).

A thread that is kept on a core cannot flee from other programs, so the core is chosen anew while the threads work. Done
by a lone worker on Linux with two cores or more; several workers share the cores best when the kernel places them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

_TASKS = Path("/proc/self/task")
_TICKS = os.sysconf("SC_CLK_TCK")

_MARGIN = 0.25
"""So much more of a core must be free elsewhere: moving costs warm caches, and two cores may look better in turns."""

_IDLE_SHARE = 0.1
"""Threads that use less of a core than this are well where they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Processor time since some moment, in seconds."""

    idle: dict[int, float]
    """Of each core."""
    busy: dict[int, float]
    own: float
    """What the kept threads have used."""


def better_core(before: Times, now: Times, *, core: int, among: Collection[int]) -> int | None:
    """The core that would give the threads kept on `core` clearly more, judged by what was used since `before`."""
    share: dict[int, float] = {}
    for candidate in among:
        idle = now.idle[candidate] - before.idle[candidate]
        busy = now.busy[candidate] - before.busy[candidate]
        own = now.own - before.own if candidate == core else 0.0
        whole = idle + busy
        if whole <= 0:
            return None
        if candidate == core and own / whole < _IDLE_SHARE:
            return None
        share[candidate] = min(1.0, (idle + own) / whole)
    best = max(share, key=lambda candidate: share[candidate])
    return best if share[best] > share[core] + _MARGIN else None


class Cores:
    """Which core the threads share. One per worker; to be asked to `look` twice a second."""

    def __init__(self, *, kept: Callable[[], Iterable[int]], apart: Callable[[], Iterable[int]]) -> None:
        """`kept` gives the native ids of the threads to keep together, `apart` of those to keep off their core."""
        self._kept = kept
        self._apart = apart
        self._among = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") and _TASKS.is_dir() else {0}
        self._core: int | None = None
        self._placed: set[int] = set()
        self._before: Times | None = None

    def look(self) -> None:
        """Place threads that are new, and all of them elsewhere where their core is wanted by others."""
        if len(self._among) < 2:
            return
        kept = set(self._kept())
        if len(kept) < 2:  # the kernel does well for one
            return
        try:
            now = self._times(kept)
            if self._core is None:
                self._core = max(self._among, key=lambda core: now.idle[core])
            elif self._before is not None and kept <= self._placed:
                better = better_core(self._before, now, core=self._core, among=self._among)
                if better is not None:
                    self._core = better
                    self._placed = set()
            self._before = now
            if not kept <= self._placed:
                self._place(kept)
        except ProcessLookupError:  # a thread has just ended
            self._placed = set()
        except (OSError, KeyError):  # the cores that it may use have changed; the kernel does well without us
            self._release(kept)

    def _place(self, kept: Collection[int]) -> None:
        assert self._core is not None
        for thread in kept:
            os.sched_setaffinity(thread, {self._core})
        for thread in self._apart():
            os.sched_setaffinity(thread, self._among - {self._core})
        self._placed = set(kept)

    def _release(self, kept: Collection[int]) -> None:
        self._among = {0}
        for thread in {*kept, *self._apart()}:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(thread, range(os.cpu_count() or 1))

    def _times(self, kept: Collection[int]) -> Times:
        idle: dict[int, float] = {}
        busy: dict[int, float] = {}
        with Path("/proc/stat").open() as file:
            for line in file:
                name, *ticks = line.split()
                if not name.startswith("cpu"):
                    break
                if name != "cpu":
                    # user nice system idle iowait irq softirq steal; what follows is counted in the first two already
                    spent = [int(tick) / _TICKS for tick in ticks[:8]]
                    idle[int(name[3:])] = spent[3] + spent[4]
                    busy[int(name[3:])] = sum(spent) - spent[3] - spent[4]
        return Times(idle=idle, busy=busy, own=sum(_used_seconds(thread) for thread in kept))


def _used_seconds(thread: int) -> float:
    try:
        # Bytes: its name comes first, 15 bytes of the program's, which may end within a letter such as ş.
        fields = (_TASKS / str(thread) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def threads_named(prefix: str) -> list[int]:
    """Native ids of this process's threads, those without Python too, whose name in the system begins so."""
    found = []
    for task in _TASKS.iterdir():
        with contextlib.suppress(OSError):
            if (task / "comm").read_bytes().startswith(prefix.encode()):
                found.append(int(task.name))
    return found
