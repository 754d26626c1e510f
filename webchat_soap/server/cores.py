"""Keeps the threads that every call goes through on one processor core.

Of the engine's thread, which reads a call and begins it, and the store's writer, which commits and answers, only one at
a time can have the interpreter's lock. On two cores each handing over of it wakes the other core, and finds that core's
caches without what the call is made of: kept together, they made 1.2 times the calls (64 connections, two cores; 1.1
times when the engine's own thread, which does not need the lock, is not kept off that core).

A thread that is kept on a core cannot flee from other programs, so the core is chosen anew while the threads work, and
where they hardly get a turn (the others have more right to the cores: nice, a container's share) all are let go for a
while: at nice 19 a call took 354 ms beside two busy programs on that core, and 2 ms when the kernel placed it. Done by
a lone worker on Linux with two cores or more; several workers share the cores best when the kernel places them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_TASKS = Path("/proc/self/task")
_TICKS = os.sysconf("SC_CLK_TCK")

_MARGIN = 0.25
"""So much more of a core must be free elsewhere: moving costs warm caches, and two cores may look better in turns."""

_IDLE_SHARE = 0.1
"""Threads that use less of a core than this are well where they are."""

_STARVED_TIMES = 8.0
_STARVED_SECONDS = 0.1
"""A thread that waited between two looks so many times as long as it ran, and so long in all, starves. Among equals it
would wait only as many times as long as there are others."""

_FREE_LOOKS = 60
"""So long threads that starved are left to the kernel: each new try costs half a second of slow calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a thread has got of the cores since it began, in seconds."""

    ran: float
    waited: float
    """Could have run, but others did."""


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


def starve(before: Mapping[int, Turn], now: Mapping[int, Turn]) -> bool:
    """Whether one of these threads hardly got a turn since `before`. By native id; new ones are not judged."""
    for thread, turn in now.items():
        was = before.get(thread)
        if was is not None:
            waited = turn.waited - was.waited
            if waited > _STARVED_SECONDS and waited > _STARVED_TIMES * (turn.ran - was.ran):
                return True
    return False


class Cores:
    """Which core the threads share. One per worker; to be asked to `look` twice a second."""

    def __init__(
        self,
        *,
        kept: Callable[[], Iterable[int]],
        apart: Callable[[], Iterable[int]],
        times: Callable[[Collection[int]], Times] | None = None,
        turns: Callable[[Collection[int]], dict[int, Turn]] | None = None,
    ) -> None:
        """`kept` gives the native ids of the threads to keep together, `apart` of those to keep off their core, `times`
        what the cores and the kept threads have done so far, and `turns` what threads got (None: the system's)."""
        self._times = read_times if times is None else times
        self._turns = read_turns if turns is None else turns
        self._kept = kept
        self._apart = apart
        self._gave_up = not hasattr(os, "sched_setaffinity") or not _TASKS.is_dir()
        self._among: set[int] = set()
        self._core: int | None = None
        self._kept_off: set[int] = set()
        self._free: set[int] = set()
        self._before: Times | None = None
        self._turns_before: dict[int, Turn] = {}
        self._looks_to_skip = 0

    def look(self) -> None:
        """Place threads that are new, and all elsewhere where their core is wanted by others. Raises nothing."""
        if self._gave_up:
            return
        if self._looks_to_skip:
            self._looks_to_skip -= 1
            return
        kept = set(self._kept())
        try:
            self._look(kept)
        except ProcessLookupError:  # a thread has just ended: it is not there at the next look
            pass
        except (OSError, KeyError):  # refused, or the cores have just changed; the kernel does well without us
            self._release(kept)
        except Exception:
            log.exception("The threads of every call are not kept on one core any more")
            self._release(kept)

    def _look(self, kept: set[int]) -> None:
        among = cores_of_process()
        if among != self._among:  # an operator or the container's host gave it others
            if self._core is not None:
                self._set_free({*kept, *self._kept_off}, among)
            self._among = among
            self._forget()
        if len(among) < 2 or len(kept) < 2:  # the kernel does well for one
            return
        turns = self._turns({*kept, *self._kept_off})
        if self._core is not None and starve(self._turns_before, turns):
            self._set_free({*kept, *self._kept_off}, among)
            self._forget()
            self._looks_to_skip = _FREE_LOOKS
            return
        self._turns_before = turns
        now = self._times(kept)
        if self._core is None:
            self._core = max(among, key=lambda core: now.idle[core])
        is_placed = all(os.sched_getaffinity(thread) == {self._core} for thread in kept)
        if is_placed and self._before is not None:
            better = better_core(self._before, now, core=self._core, among=among)
            if better is not None:
                self._core, is_placed = better, False
        self._before = now
        if not is_placed:
            self._place(kept, self._core)
        self._let_others_run(kept)

    def _forget(self) -> None:
        self._core, self._before = None, None
        self._turns_before = {}
        self._kept_off, self._free = set(), set()

    def _place(self, kept: Collection[int], core: int) -> None:
        for thread in kept:
            os.sched_setaffinity(thread, {core})
        self._kept_off = set(self._apart())
        for thread in self._kept_off:
            os.sched_setaffinity(thread, self._among - {core})

    def _let_others_run(self, kept: Collection[int]) -> None:
        """Let threads that a kept one started leave its core, which they have inherited."""
        there = {thread.native_id for thread in threading.enumerate() if thread.native_id is not None}
        there -= {*kept, *self._kept_off}
        self._set_free(there - self._free, self._among)
        self._free = there

    def _release(self, kept: Collection[int]) -> None:
        self._gave_up = True
        with contextlib.suppress(OSError):
            self._set_free({*kept, *self._kept_off}, cores_of_process())

    def _set_free(self, threads: Iterable[int], among: set[int]) -> None:
        for thread in threads:
            with contextlib.suppress(OSError):
                # What is set once stays when the container gets more cores, so it is set only where it must be.
                if os.sched_getaffinity(thread) != among:
                    os.sched_setaffinity(thread, among)


def cores_of_process() -> set[int]:
    """Those that it may use now. OSError.

    They are its main thread's, which is never kept on one, and follows when they are changed from outside.
    """
    return os.sched_getaffinity(os.getpid())


def use_all_cores() -> None:
    """For a thread that begins: it has its maker's core, which may be kept on one."""
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # refused, or the cores have just changed; the kernel knows
            among = cores_of_process()
            if os.sched_getaffinity(0) != among:
                os.sched_setaffinity(0, among)


def read_times(kept: Collection[int]) -> Times:
    """Of the system's cores, and of these threads of this process. OSError."""
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


def read_turns(threads: Collection[int]) -> dict[int, Turn]:
    """Of those of these threads of this process that are there, by native id; of none where the kernel does not say."""
    found: dict[int, Turn] = {}
    for thread in threads:
        with contextlib.suppress(OSError, ValueError):
            ran, waited, _ = (_TASKS / str(thread) / "schedstat").read_bytes().split()
            found[thread] = Turn(ran=int(ran) / 1e9, waited=int(waited) / 1e9)
    return found


def _used_seconds(thread: int) -> float:
    try:
        # In bytes: the name in brackets is what was started, cut after 15 of them, also in the middle of a letter.
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
