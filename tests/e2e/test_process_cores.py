"""A lone worker keeps the threads of every call on one core; a busy one's engine waits for its turn."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.console_script import Running, running
from tests.e2e.processes import wait_until

CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}

pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="one core leaves no choice")

TEXT = (
    '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
    '<SendMessage xmlns="urn:webchat:v1"><CHATID>cores</CHATID><fileDetails>{"text": "hello"}</fileDetails>'
    "</SendMessage></soap:Body></soap:Envelope>"
)


COSTLY = TEXT.replace('"hello"}', '"hello"' + "\n" * 60_000 + "}")
"""Takes the service far longer to read than a caller to send."""


def send(service: Running, session: requests.Session, text: str = TEXT) -> None:
    answer = session.post(f"{service.url}/webchat", data=text, headers={"Content-Type": "text/xml"}, timeout=30)
    assert answer.status_code == 200


def placed(worker: int) -> dict[frozenset[int], list[str]]:
    """The names of a worker's threads in the system, by the cores that they may use."""
    found: dict[frozenset[int], list[str]] = {}
    for task in Path(f"/proc/{worker}/task").iterdir():
        with contextlib.suppress(OSError):
            cores = frozenset(os.sched_getaffinity(int(task.name)))
            found.setdefault(cores, []).append((task / "comm").read_text().strip())
    return found


@contextlib.contextmanager
def kept_busy(service: Running, text: str = TEXT) -> Iterator[None]:
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            with requests.Session() as session:  # a connection a call: so each worker gets some
                send(service, session, text)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        done.set()
        for caller in callers:
            caller.join()


def test_engine_and_writer_share_a_core_and_the_rest_does_not(tmp_path: Path) -> None:
    with running(tmp_path / "data") as service, requests.Session() as session:
        send(service, session)
        (worker,) = service.workers

        def is_placed() -> bool:
            names = placed(worker)  # one look: beside other programs the core is soon another
            cores = [core for one, together in names.items() if len(one) == 1 < len(together) for core in one]
            return (
                len(cores) == 1
                and "tokio-rt-worker" in names.get(frozenset(CORES - set(cores)), [])
                and len(names.get(frozenset(CORES), [])) >= 2  # the main thread among them
            )

        wait_until(is_placed, what="threads that are kept together")
        send(service, session)


def test_several_workers_are_placed_by_the_kernel(tmp_path: Path) -> None:
    with running(tmp_path / "data", WORKERS="2") as service, requests.Session() as session:
        with kept_busy(service):
            wait_until(lambda: all(len(list(Path(f"/proc/{w}/task").iterdir())) > 5 for w in service.workers))
        send(service, session)
        for worker in service.workers:
            assert set(placed(worker)) == {frozenset(CORES)}


@contextlib.contextmanager
def taken_by_others() -> Iterator[None]:
    """All cores, by three programs each."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * len(CORES))]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def policies(worker: int) -> set[int]:
    """How the system schedules the worker's threads that move bytes."""
    found = set()
    for task in Path(f"/proc/{worker}/task").iterdir():
        with contextlib.suppress(OSError):
            if (task / "comm").read_text().startswith("tokio"):
                found.add(os.sched_getscheduler(int(task.name)))
    return found


def test_a_busy_workers_engine_waits_for_its_turn_unless_others_compute(tmp_path: Path) -> None:
    with running(tmp_path / "data") as service, requests.Session() as session:
        send(service, session)
        (worker,) = service.workers
        assert policies(worker) == {os.SCHED_OTHER}
        with kept_busy(service, COSTLY):
            wait_until(lambda: policies(worker) == {os.SCHED_BATCH}, what="an engine that waits", seconds=60)
            with taken_by_others():
                wait_until(
                    lambda: policies(worker) == {os.SCHED_OTHER}, what="an engine that does not wait", seconds=60
                )
            wait_until(lambda: policies(worker) == {os.SCHED_BATCH}, what="an engine that waits again", seconds=60)
        send(service, session)
