"""Whether the engine's own threads take the core when they are woken."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from webchat_soap.server import wakeups
from webchat_soap.server.wakeups import Use, Wakeups, may_wait

NOTHING = Use(clock=0.0, own=0.0, idle=0.0)


def after_a_second(*, own: float, idle: float) -> Use:
    return Use(clock=1.0, own=own, idle=idle)


def of_two(now: Use, *, waits: bool, workers: int = 1) -> bool:
    return may_wait(NOTHING, now, cores=2, workers=workers, waits=waits)


@pytest.mark.parametrize("waits", [True, False])
def test_a_worker_that_has_a_core_for_itself_lets_them_wait(waits: bool) -> None:
    assert of_two(after_a_second(own=0.9, idle=0.0), waits=waits)
    assert of_two(after_a_second(own=0.9, idle=0.0), waits=waits, workers=2)


@pytest.mark.parametrize("waits", [True, False])
def test_beside_other_programs_nobody_waits(waits: bool) -> None:
    assert not of_two(after_a_second(own=0.4, idle=0.0), waits=waits)


@pytest.mark.parametrize("waits", [True, False])
def test_where_cores_are_idle_they_stay_as_they_are(waits: bool) -> None:
    assert of_two(after_a_second(own=0.1, idle=1.2), waits=waits) is waits


def test_four_workers_on_two_cores_have_half_a_core_each() -> None:
    assert of_two(after_a_second(own=0.45, idle=0.0), waits=False, workers=4)
    assert not of_two(after_a_second(own=0.2, idle=0.0), waits=True, workers=4)


def test_only_what_was_used_since_the_last_look_counts() -> None:
    before = Use(clock=100.0, own=70.0, idle=50.0)
    busy, pressed = Use(clock=100.5, own=70.45, idle=50.0), Use(clock=100.5, own=70.1, idle=50.0)
    assert may_wait(before, busy, cores=2, workers=2, waits=False)
    assert not may_wait(before, pressed, cores=2, workers=2, waits=True)


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the policy is Linux's")


class Sleepers:
    """Threads of this process, and what is told of the cores."""

    def __init__(self) -> None:
        self.ends = threading.Event()
        self.threads = [threading.Thread(target=self.ends.wait, args=(30,), daemon=True) for _ in range(2)]
        for thread in self.threads:
            thread.start()
        self.uses: list[Use | None] = []

    def use(self) -> Use:
        use = self.uses.pop(0)
        if use is None:
            raise OSError(errno.ENFILE, "no descriptor is free")
        return use

    def ids(self) -> list[int]:
        return [thread.native_id for thread in self.threads if thread.native_id is not None]

    def policies(self) -> set[int]:
        return {os.sched_getscheduler(thread) for thread in self.ids()}


@pytest.fixture
def sleepers() -> Iterator[Sleepers]:
    all_of_them = Sleepers()
    yield all_of_them
    all_of_them.ends.set()


BUSY, PRESSED = Use(clock=1.0, own=0.9, idle=0.0), Use(clock=2.0, own=1.2, idle=0.0)


@linux
def test_threads_wait_while_the_worker_is_busy_and_no_more_when_others_come(sleepers: Sleepers) -> None:
    sleepers.uses = [NOTHING, BUSY, PRESSED]
    looked = Wakeups(sleepers.ids, workers=1, use=sleepers.use)
    looked.look()
    assert sleepers.policies() == {os.SCHED_OTHER}
    looked.look()
    assert sleepers.policies() == {os.SCHED_BATCH}
    assert os.sched_getscheduler(0) == os.SCHED_OTHER  # only those that were named
    looked.look()
    assert sleepers.policies() == {os.SCHED_OTHER}


@linux
def test_a_policy_that_the_operator_chose_stays(sleepers: Sleepers) -> None:
    first, second = sleepers.ids()
    os.sched_setscheduler(first, os.SCHED_IDLE, os.sched_param(0))
    sleepers.uses = [NOTHING, BUSY, PRESSED]
    looked = Wakeups(sleepers.ids, workers=1, use=sleepers.use)
    for _ in range(3):
        looked.look()
        assert os.sched_getscheduler(first) == os.SCHED_IDLE
    assert os.sched_getscheduler(second) == os.SCHED_OTHER


@linux
def test_a_thread_that_ended_in_this_moment_keeps_none_from_waiting(sleepers: Sleepers) -> None:
    gone = threading.Thread(target=int)
    gone.start()
    gone.join()
    assert gone.native_id is not None
    number = gone.native_id
    sleepers.uses = [NOTHING, BUSY]
    looked = Wakeups(lambda: [number, *sleepers.ids()], workers=1, use=sleepers.use)
    looked.look()
    looked.look()
    assert sleepers.policies() == {os.SCHED_BATCH}


@linux
def test_a_look_at_the_cores_that_fails_once_is_no_reason_to_give_up(sleepers: Sleepers) -> None:
    sleepers.uses = [NOTHING, None, BUSY, Use(clock=2.0, own=1.8, idle=0.0)]
    looked = Wakeups(sleepers.ids, workers=1, use=sleepers.use)
    for _ in range(3):  # the third has nothing to compare with
        looked.look()
    assert sleepers.policies() == {os.SCHED_OTHER}
    looked.look()
    assert sleepers.policies() == {os.SCHED_BATCH}


@linux
def test_where_it_is_refused_nothing_is_tried_any_more(sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(wakeups.os, "sched_setscheduler", refuse)
    sleepers.uses = [NOTHING, BUSY]
    looked = Wakeups(sleepers.ids, workers=1, use=sleepers.use)
    for _ in range(4):  # it does not even look: there would be nothing to tell
        looked.look()
    assert sleepers.policies() == {os.SCHED_OTHER}


@linux
def test_a_worker_under_load_looks_at_the_real_cores() -> None:
    before = wakeups._use()
    while wakeups._use().own - before.own < 0.2:
        pass
    now = wakeups._use()
    assert now.clock > before.clock
    assert now.idle >= before.idle
