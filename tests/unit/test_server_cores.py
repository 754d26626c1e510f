"""On which core the threads that every call goes through are kept."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from webchat_soap.server.cores import Cores, Times, Turn, better_core, read_turns, starve, threads_named
from webchat_soap.server.threads import Threads

TWO = (0, 1)


def times(*, idle: tuple[float, float], busy: tuple[float, float], own: float) -> Times:
    return Times(idle=dict(enumerate(idle)), busy=dict(enumerate(busy)), own=own)


NOTHING = times(idle=(0, 0), busy=(0, 0), own=0)


def test_threads_that_have_their_core_for_themselves_stay() -> None:
    now = times(idle=(0.0, 0.9), busy=(1.0, 0.1), own=0.95)
    assert better_core(NOTHING, now, core=0, among=TWO) is None


def test_a_core_that_others_take_half_of_is_left_for_one_that_is_free() -> None:
    now = times(idle=(0.0, 0.9), busy=(1.0, 0.1), own=0.5)
    assert better_core(NOTHING, now, core=0, among=TWO) == 1


def test_where_all_cores_are_taken_they_stay() -> None:
    now = times(idle=(0.0, 0.3), busy=(1.0, 0.7), own=0.4)
    assert better_core(NOTHING, now, core=0, among=TWO) is None


def test_threads_that_hardly_work_stay_whatever_others_do() -> None:
    now = times(idle=(0.0, 1.0), busy=(1.0, 0.0), own=0.05)
    assert better_core(NOTHING, now, core=0, among=TWO) is None


def test_only_what_was_used_since_the_last_look_counts() -> None:
    before = times(idle=(100.0, 0.0), busy=(0.0, 100.0), own=7.0)
    now = times(idle=(100.0, 0.9), busy=(1.0, 100.1), own=7.5)
    assert better_core(before, now, core=0, among=TWO) == 1


def test_cores_that_the_process_may_not_use_are_no_choice() -> None:
    now = Times(idle={0: 0.0, 1: 0.2, 2: 1.0}, busy={0: 1.0, 1: 0.8, 2: 0.0}, own=0.5)
    assert better_core(NOTHING_OF_THREE, now, core=0, among=(0, 1)) is None
    assert better_core(NOTHING_OF_THREE, now, core=0, among=(0, 1, 2)) == 2


NOTHING_OF_THREE = Times(idle=dict.fromkeys(range(3), 0.0), busy=dict.fromkeys(range(3), 0.0), own=0.0)


def test_two_looks_in_the_same_moment_tell_nothing() -> None:
    assert better_core(NOTHING, NOTHING, core=0, among=TWO) is None


def test_a_thread_starves_that_hardly_gets_a_turn() -> None:
    before = {1: Turn(ran=5.0, waited=9.0), 2: Turn(ran=1.0, waited=0.0)}
    assert starve(before, {**before, 1: Turn(ran=5.01, waited=9.4)})
    assert not starve(before, {**before, 1: Turn(ran=5.1, waited=9.4)})  # five others, with the same right to the core
    assert not starve(before, {**before, 1: Turn(ran=5.001, waited=9.02)})  # one small call
    assert not starve(before, {**before, 3: Turn(ran=0.0, waited=0.4)})  # new


class Sleeper(threading.Thread):
    """A thread of this process, to be placed."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ends = threading.Event()
        self.start()

    def run(self) -> None:
        self.ends.wait(30)

    @property
    def cores(self) -> set[int]:
        assert self.native_id is not None
        return os.sched_getaffinity(self.native_id)


@pytest.fixture
def sleeper() -> Iterator[Callable[[], Sleeper]]:
    """Makes sleepers, and ends them."""
    made: list[Sleeper] = []

    def make() -> Sleeper:
        made.append(Sleeper())
        return made[-1]

    yield make
    for each in made:
        each.ends.set()
        each.join()


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Two threads that `cores` keeps together, and one that it keeps apart."""

    here: Sleeper
    other: Sleeper
    apart: Sleeper
    cores: Cores


@pytest.fixture
def placed(sleeper: Callable[[], Sleeper]) -> Placed:
    here, other, apart = sleeper(), sleeper(), sleeper()
    cores = Cores(kept=lambda: [here.native_id, other.native_id], apart=lambda: [apart.native_id])
    return Placed(here=here, other=other, apart=apart, cores=cores)


CORES = os.sched_getaffinity(0) if sys.platform.startswith("linux") else {0}
with_a_choice = pytest.mark.skipif(len(CORES) < 2, reason="cores are chosen on Linux, where there are two")


@with_a_choice
def test_threads_are_put_on_one_core_and_the_engines_off_it(sleeper) -> None:
    allowed = os.sched_getaffinity(0)
    first, second, apart = sleeper(), sleeper(), sleeper()
    kept: list[int] = []
    cores = Cores(kept=lambda: kept, apart=lambda: [apart.native_id])
    cores.look()
    assert first.cores == apart.cores == allowed  # there is nobody yet
    kept.append(first.native_id)
    cores.look()
    assert first.cores == apart.cores == allowed  # and nobody to keep it with
    kept.append(second.native_id)
    cores.look()
    assert len(first.cores) == 1
    assert first.cores == second.cores
    assert apart.cores == allowed - first.cores


@with_a_choice
def test_a_thread_that_ended_in_this_moment_is_no_reason_to_give_up(sleeper) -> None:
    gone, here, other = sleeper(), sleeper(), sleeper()
    kept = [gone.native_id, here.native_id, other.native_id]
    gone.ends.set()
    gone.join()
    cores = Cores(kept=lambda: kept, apart=list)
    cores.look()
    del kept[0]
    cores.look()
    assert len(here.cores) == 1


@with_a_choice
def test_a_name_that_ends_within_a_letter_is_no_reason_to_fail(sleeper) -> None:
    here, other = sleeper(), sleeper()
    for each in (here, other):  # the system keeps 15 bytes of the program's name
        Path(f"/proc/self/task/{each.native_id}/comm").write_bytes("webchat-sohbetş".encode()[:15])
    cores = Cores(kept=lambda: [here.native_id, other.native_id], apart=lambda: threads_named("tokio"))
    cores.look()
    assert len(here.cores) == 1
    assert here.cores == other.cores


@with_a_choice
def test_where_the_kernel_refuses_threads_are_let_go(placed: Placed, monkeypatch: pytest.MonkeyPatch) -> None:
    here, apart, cores = placed.here, placed.apart, placed.cores
    allowed = here.cores
    set_affinity = os.sched_setaffinity

    def refuse(thread: int, among: set[int]) -> None:
        if thread == apart.native_id and len(among) < len(allowed):
            raise OSError(errno.EINVAL, "these cores have been taken away")
        set_affinity(thread, among)

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # the cores that there are need not be the first ones
    cores.look()
    cores.look()
    assert here.cores == apart.cores == allowed


@pytest.fixture
def process_cores() -> Iterator[Callable[[set[int]], None]]:
    """Gives this process, which is its main thread here, other cores, as `taskset` and containers do."""
    yield lambda among: os.sched_setaffinity(os.getpid(), among)
    os.sched_setaffinity(os.getpid(), CORES)


@with_a_choice
def test_cores_that_are_taken_from_the_process_and_given_back_are_left_and_used_again(
    placed: Placed, process_cores
) -> None:
    here, other, apart, cores = placed.here, placed.other, placed.apart, placed.cores
    cores.look()
    left = apart.cores
    assert here.cores == other.cores == CORES - left
    one = {min(left)}
    process_cores(one)
    cores.look()
    assert here.cores == other.cores == apart.cores == one
    process_cores(CORES)
    cores.look()
    assert len(here.cores) == 1
    assert here.cores == other.cores
    assert apart.cores == CORES - here.cores


@with_a_choice
def test_threads_that_were_moved_by_others_are_put_back(placed: Placed) -> None:
    here, other, cores = placed.here, placed.other, placed.cores
    cores.look()
    assert here.native_id is not None
    os.sched_setaffinity(here.native_id, CORES)
    cores.look()
    assert len(here.cores) == 1
    assert here.cores == other.cores


@with_a_choice
def test_threads_that_a_kept_one_starts_may_leave_its_core(placed: Placed, sleeper) -> None:
    here, cores = placed.here, placed.cores
    cores.look()
    started: list[Sleeper] = []

    def start_one() -> None:
        os.sched_setaffinity(0, here.cores)
        started.append(sleeper())

    maker = threading.Thread(target=start_one)
    maker.start()
    maker.join()
    assert started[0].cores == here.cores
    cores.look()
    assert started[0].cores == CORES
    assert len(here.cores) == 1


@with_a_choice
def test_a_look_that_fails_lets_threads_go_and_raises_nothing(sleeper, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> list[int]:
        raise ValueError("unforeseen")

    here, other = sleeper(), sleeper()
    cores = Cores(kept=lambda: [here.native_id, other.native_id], apart=fail)
    cores.look()
    cores.look()
    assert here.cores == other.cores == CORES
    assert caplog.text.count("ValueError: unforeseen") == 1


@with_a_choice
def test_request_threads_have_the_cores_that_the_process_has_when_they_start(process_cores) -> None:
    room = Threads(few=1, most=1, most_in_line=1)
    one = {min(CORES)}
    process_cores(one)
    seen: list[set[int]] = []
    ran = threading.Event()

    def job() -> None:
        seen.append(os.sched_getaffinity(0))
        ran.set()

    room.run(job)
    assert ran.wait(10)
    assert seen == [one]


@with_a_choice
def test_request_threads_run_wherever_they_may_though_their_maker_is_kept_to_a_core() -> None:
    allowed = os.sched_getaffinity(0)
    room = Threads(few=1, most=1, most_in_line=1)
    seen: list[set[int]] = []
    ran = threading.Event()

    def job() -> None:
        seen.append(os.sched_getaffinity(0))
        ran.set()

    def make() -> None:
        os.sched_setaffinity(0, {min(allowed)})
        room.run(job)

    maker = threading.Thread(target=make)
    maker.start()
    maker.join()
    assert ran.wait(10)
    assert seen == [allowed]


@with_a_choice
def test_threads_move_to_a_core_that_is_free_when_others_take_theirs(sleeper) -> None:
    first, second, apart = sleeper(), sleeper(), sleeper()
    kept = [first.native_id, second.native_id]
    given = Times(idle=dict.fromkeys(CORES, 0.0), busy=dict.fromkeys(CORES, 0.0), own=0.0)
    cores = Cores(kept=lambda: kept, apart=lambda: [apart.native_id], times=lambda _: given)
    cores.look()
    (taken,) = first.cores
    free = max(CORES - {taken})
    idle = {core: 0.9 if core == free else 0.0 for core in CORES}
    given = Times(idle=idle, busy={core: 1.0 - idle[core] for core in CORES}, own=0.4)
    cores.look()
    assert first.cores == second.cores == {free}
    assert apart.cores == CORES - {free}
    cores.look()  # nothing has happened since
    assert first.cores == second.cores == {free}


@with_a_choice
@pytest.mark.parametrize("starving", ["kept", "apart"])
def test_threads_that_starve_are_left_to_the_kernel_for_a_while(starving: str) -> None:
    sleepers = {"kept": Sleeper(), "other": Sleeper(), "apart": Sleeper()}
    kept = [sleepers["kept"].native_id, sleepers["other"].native_id]
    waited = 0.0

    def turns(threads) -> dict[int, Turn]:
        return {thread: Turn(ran=0.0, waited=waited * (thread == sleepers[starving].native_id)) for thread in threads}

    cores = Cores(kept=lambda: kept, apart=lambda: [sleepers["apart"].native_id], turns=turns)
    cores.look()
    cores.look()
    assert all(sleeper.cores < CORES for sleeper in sleepers.values())
    waited = 0.45
    cores.look()
    for _ in range(60):
        assert all(sleeper.cores == CORES for sleeper in sleepers.values())
        cores.look()
    cores.look()
    assert all(sleeper.cores < CORES for sleeper in sleepers.values())
    for sleeper in sleepers.values():
        sleeper.ends.set()


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="only Linux tells")
def test_the_system_tells_what_turns_threads_get() -> None:
    own = threading.get_native_id()
    before = read_turns([own, 2**22 + 1])
    assert before.keys() == {own}
    give_up = time.monotonic() + 10
    while read_turns([own])[own].ran == before[own].ran:  # told at the kernel's next tick
        assert time.monotonic() < give_up


@with_a_choice
def test_threads_are_found_by_their_name_in_the_system() -> None:
    own = threading.get_native_id()
    name = Path(f"/proc/self/task/{own}/comm").read_text().strip()
    assert own in threads_named(name)
    assert threads_named("no thread is called so") == []
