"""The room of threads: everybody gets a turn, waiting holds nobody up, and idle threads go."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable

import pytest

from webchat_soap.server.threads import NoRoom, Threads


def wait_until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.002)


class Gate:
    """A job that waits until it is let go."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._mutex = threading.Lock()
        self.inside = 0
        self.left = 0

    def __call__(self) -> None:
        with self._mutex:
            self.inside += 1
        self._open.wait(10)
        with self._mutex:
            self.left += 1

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


def test_every_job_runs_once() -> None:
    threads = Threads(few=1, most=50, most_in_line=100_000)
    counted: list[int] = []
    for number in range(20_000):
        threads.run(lambda number=number: counted.append(number))
    wait_until(lambda: len(counted) == 20_000)
    assert sorted(counted) == list(range(20_000))


def test_jobs_that_wait_get_a_thread_each_up_to_the_most(gate) -> None:
    threads = Threads(few=1, most=100, most_in_line=1000)
    for _ in range(150):
        threads.run(gate)
    wait_until(lambda: (gate.inside, threads.busy, threads.alive) == (100, 100, 100))
    gate.open()
    wait_until(lambda: gate.left == 150)
    assert threads.alive == 100


def test_beside_jobs_that_wait_another_is_run_at_once(gate) -> None:
    threads = Threads(few=1, most=100, most_in_line=1000)
    for _ in range(50):
        threads.run(gate)
    wait_until(lambda: gate.inside == 50)
    slowest = 0.0
    for _ in range(20):
        ran = threading.Event()
        began = time.monotonic()
        threads.run(ran.set)
        assert ran.wait(5)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.25


def test_jobs_that_only_compute_share_few_threads() -> None:
    threads = Threads(few=1, most=100, most_in_line=100_000)
    names: set[str] = set()
    left = threading.Semaphore(0)

    def job() -> None:
        names.add(str(threading.get_ident()))
        left.release()

    for _ in range(5000):
        threads.run(job)
    for _ in range(5000):
        assert left.acquire(timeout=10)
    # On a busy machine one may be kept from the processor long enough to count as one that waits.
    assert len(names) < 10


def test_jobs_that_wait_are_let_in_faster_and_faster(gate) -> None:
    threads = Threads(few=1, most=600, most_in_line=1000)
    for _ in range(600):
        threads.run(gate)
    # One every 7 ms would take 4 s.
    wait_until(lambda: gate.inside == 600, seconds=2.5)


def test_what_was_begun_goes_before_what_stands_in_line(gate) -> None:
    threads = Threads(few=1, most=1, most_in_line=10)
    order: list[str] = []
    threads.run(gate)
    wait_until(lambda: gate.inside == 1)
    threads.run(lambda: order.append("in line"))
    threads.run_later(lambda: order.append("begun"))
    gate.open()
    wait_until(lambda: len(order) == 2)
    assert order == ["begun", "in line"]


def test_a_full_line_says_no_but_what_was_begun_goes_on(gate) -> None:
    threads = Threads(few=2, most=2, most_in_line=3)
    for _ in range(2):
        threads.run(gate)
    wait_until(lambda: gate.inside == 2)
    for _ in range(3):
        threads.run(gate)
    with pytest.raises(NoRoom):
        threads.run(gate)
    threads.run_later(gate)
    gate.open()
    wait_until(lambda: gate.left == 6)


def test_a_job_that_raises_ends_alone(caplog) -> None:
    threads = Threads(few=1, most=1, most_in_line=10)
    ran = threading.Event()

    def fail() -> None:
        raise SystemExit("in a job")

    threads.run(fail)
    threads.run(ran.set)
    assert ran.wait(5)
    assert threads.alive == 1
    assert "A job raised" in caplog.text


def test_idle_threads_end(gate) -> None:
    threads = Threads(few=1, most=20, most_in_line=100)
    threads.idle_seconds = 0.05
    for _ in range(20):
        threads.run(gate)
    wait_until(lambda: gate.inside == 20)
    gate.open()
    wait_until(lambda: threads.alive == 0)
    ran = threading.Event()
    threads.run(ran.set)
    assert ran.wait(5)


def test_what_goes_ahead_passes_the_line_and_has_an_end_of_its_own(gate) -> None:
    threads = Threads(few=1, most=1, most_in_line=2)
    ran: list[str] = []
    threads.run(gate)
    wait_until(lambda: gate.inside == 1)
    for name in ("first", "second"):
        threads.run(lambda name=name: ran.append(name))
    with pytest.raises(NoRoom):
        threads.run(gate)
    for name in ("ahead", "ahead too"):
        threads.run(lambda name=name: ran.append(name), ahead=True)
    with pytest.raises(NoRoom):
        threads.run(gate, ahead=True)
    assert threads.in_line == 4
    gate.open()
    wait_until(lambda: len(ran) == 4)
    assert ran == ["ahead", "ahead too", "first", "second"]


def test_without_memory_for_a_thread_a_job_is_refused_and_with_it_all_is_as_before() -> None:
    # In a process of its own, whose limit leaves no room for a thread's stack.
    program = """
        import re, resource, threading, time
        from pathlib import Path
        from webchat_soap.server.threads import NoRoom, Threads

        threads = Threads(few=1, most=50, most_in_line=100)
        first, gate, inside = threading.Event(), threading.Event(), threading.Semaphore(0)

        def wait():
            inside.release()
            gate.wait(20)

        threads.run(lambda: (inside.release(), first.wait(20)))
        assert inside.acquire(timeout=10)
        size = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (size + 2**20, resource.RLIM_INFINITY))
        for _ in range(20):
            try:
                threads.run(wait)
            except NoRoom:
                print("refused")
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for _ in range(10):  # more than one can only run where the room looks for those in line
            threads.run(wait)
        for _ in range(10):
            assert inside.acquire(timeout=10), "jobs that wait do not run side by side"
        first.set()
        gate.set()
        print("all ran")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n") == ["refused"] * 20 + ["all ran", ""], done.stdout + done.stderr
