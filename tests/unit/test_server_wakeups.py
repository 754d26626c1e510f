"""Whether the engine's own threads take the core when they are woken."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from webchat_soap.server import wakeups
from webchat_soap.server.wakeups import Wakeups, may_wait


def test_a_worker_that_keeps_a_core_busy_lets_them_wait() -> None:
    assert may_wait(own=0.45, seconds=0.5, cores=2, workers=1)
    assert may_wait(own=0.45, seconds=0.5, cores=2, workers=2)


def test_beside_other_programs_or_with_little_to_do_nobody_waits() -> None:
    assert not may_wait(own=0.2, seconds=0.5, cores=2, workers=1)
    assert not may_wait(own=0.0, seconds=0.5, cores=2, workers=2)


def test_four_workers_on_two_cores_have_half_a_core_each() -> None:
    assert may_wait(own=0.45, seconds=1.0, cores=2, workers=4)
    assert not may_wait(own=0.2, seconds=1.0, cores=2, workers=4)


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the policy is Linux's")


class Sleepers:
    """Threads of this process, a second between two looks, and what the process used of the cores in it."""

    def __init__(self) -> None:
        self.ends = threading.Event()
        self.threads = [threading.Thread(target=self.ends.wait, args=(30,), daemon=True) for _ in range(2)]
        for thread in self.threads:
            thread.start()
        self.seconds = 0.0
        self.used = 0.0
        self.fails = False

    def look(self, looked: Wakeups, *, used: float) -> None:
        self.seconds += 1.0
        self.used += used
        looked.look()

    def wakeups(self) -> Wakeups:
        return Wakeups(self.ids, workers=1, own=lambda: self.used, clock=lambda: self.seconds)

    def ids(self) -> list[int]:
        if self.fails:
            raise OSError(errno.ENFILE, "no descriptor is free")
        return [thread.native_id for thread in self.threads if thread.native_id is not None]

    def policies(self) -> set[int]:
        return {os.sched_getscheduler(thread) for thread in self.ids()}


@pytest.fixture
def sleepers() -> Iterator[Sleepers]:
    all_of_them = Sleepers()
    yield all_of_them
    all_of_them.ends.set()


@linux
def test_threads_wait_while_the_worker_is_busy_and_no_longer(sleepers: Sleepers) -> None:
    looked = sleepers.wakeups()
    sleepers.look(looked, used=0.1)
    assert sleepers.policies() == {os.SCHED_OTHER}
    sleepers.look(looked, used=0.9)
    assert sleepers.policies() == {os.SCHED_BATCH}
    assert os.sched_getscheduler(0) == os.SCHED_OTHER  # only those that were named
    sleepers.look(looked, used=0.9)
    assert sleepers.policies() == {os.SCHED_BATCH}
    sleepers.look(looked, used=0.1)
    assert sleepers.policies() == {os.SCHED_OTHER}


@linux
def test_a_policy_that_the_operator_chose_stays(sleepers: Sleepers) -> None:
    first, second = sleepers.ids()
    os.sched_setscheduler(first, os.SCHED_IDLE, os.sched_param(0))
    looked = sleepers.wakeups()
    for used in (0.9, 0.1):
        sleepers.look(looked, used=used)
        assert os.sched_getscheduler(first) == os.SCHED_IDLE
    assert os.sched_getscheduler(second) == os.SCHED_OTHER


@linux
def test_a_thread_that_ended_in_this_moment_keeps_none_from_waiting(sleepers: Sleepers) -> None:
    gone = threading.Thread(target=int)
    gone.start()
    gone.join()
    sleepers.threads.insert(0, gone)
    looked = sleepers.wakeups()
    sleepers.look(looked, used=0.9)
    del sleepers.threads[0]
    assert sleepers.policies() == {os.SCHED_BATCH}


@linux
def test_a_look_at_the_threads_that_fails_once_is_no_reason_to_give_up(sleepers: Sleepers) -> None:
    looked = sleepers.wakeups()
    sleepers.fails = True
    sleepers.look(looked, used=0.9)
    sleepers.fails = False
    assert sleepers.policies() == {os.SCHED_OTHER}
    sleepers.look(looked, used=0.9)
    assert sleepers.policies() == {os.SCHED_BATCH}


@linux
def test_where_it_is_refused_nothing_is_tried_any_more(sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def refuse(*given: object) -> None:
        tries.append(given)
        raise PermissionError

    monkeypatch.setattr(wakeups.os, "sched_setscheduler", refuse)
    looked = sleepers.wakeups()
    for _ in range(3):
        sleepers.look(looked, used=0.9)
    assert len(tries) == 1
    assert sleepers.policies() == {os.SCHED_OTHER}
