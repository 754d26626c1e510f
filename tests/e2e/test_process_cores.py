"""A lone worker keeps the threads of every call on one core."""

from __future__ import annotations

import contextlib
import os
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


def send(service: Running, session: requests.Session) -> None:
    answer = session.post(f"{service.url}/webchat", data=TEXT, headers={"Content-Type": "text/xml"}, timeout=30)
    assert answer.status_code == 200


def placed(worker: int) -> dict[frozenset[int], list[str]]:
    """The names of a worker's threads in the system, by the cores that they may use."""
    found: dict[frozenset[int], list[str]] = {}
    for task in Path(f"/proc/{worker}/task").iterdir():
        with contextlib.suppress(OSError):
            cores = frozenset(os.sched_getaffinity(int(task.name)))
            found.setdefault(cores, []).append((task / "comm").read_text().strip())
    return found


def kept_on(worker: int) -> set[int]:
    """The core on which threads are kept together; empty while there is none."""
    return {core for cores, names in placed(worker).items() if len(cores) == 1 < len(names) for core in cores}


@contextlib.contextmanager
def kept_busy(service: Running) -> Iterator[None]:
    done = threading.Event()

    def call() -> None:
        with requests.Session() as session:
            while not done.is_set():
                send(service, session)

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
        wait_until(lambda: kept_on(worker), what="threads that are kept together")
        (core,) = kept_on(worker)
        names = placed(worker)
        assert "tokio-rt-worker" in names[frozenset(CORES - {core})]
        assert len(names[frozenset(CORES)]) >= 2  # the main thread among them
        send(service, session)


def test_several_workers_are_placed_by_the_kernel(tmp_path: Path) -> None:
    with running(tmp_path / "data", WORKERS="2") as service, requests.Session() as session:
        with kept_busy(service):
            wait_until(lambda: all(len(list(Path(f"/proc/{w}/task").iterdir())) > 5 for w in service.workers))
        send(service, session)
        for worker in service.workers:
            assert set(placed(worker)) == {frozenset(CORES)}
