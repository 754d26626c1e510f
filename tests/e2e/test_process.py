"""The process: one per data folder, workers that die with it and are replaced, how it stops. Contract: section 9."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.process_app import TinySettings
from tests.e2e.processes import (
    READY,
    Service,
    free_port,
    launch,
    lives,
    read_all,
    running,
    status_of,
    wait_until,
)
from webchat_soap.server import DataFolderInUse, PortInUse, ServeOptions, hold_data_folder, probe_port

MakeOptions = Callable[..., ServeOptions]

WAIT = b"GET /wait HTTP/1.1\r\nHost: test\r\n\r\n"
GET_PID = b"GET /pid HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


@pytest.fixture
def options(tmp_path: Path, notes: Path) -> MakeOptions:
    def make(**changes) -> ServeOptions:
        told = {
            "host": "127.0.0.1",
            "port": free_port(),
            "data_dir": tmp_path / "data",
            "settings": TinySettings(notes=notes),
            "application_factory": "tests.e2e.process_app:make",
            "ready_message": READY,
            "shutdown_seconds": 5.0,
        }
        return ServeOptions(**{**told, **changes})

    return make


def noted(notes: Path, name: str) -> list[Path]:
    return list(notes.glob(f"{name}-*"))


def port_is_free(port: int) -> bool:
    try:
        probe_port("127.0.0.1", port)
    except PortInUse:
        return False
    return True


def all_from(service: Service, pid: int) -> bool:
    """Whether this worker answers each of 32 new connections."""
    try:
        return all(service.ask(GET_PID).endswith(b"\r\n%d" % pid) for _ in range(32))
    except ConnectionError:  # it came to another that accepts no more, in the moment before that one's socket rests
        return False


def end(service: Service) -> str:
    """Wait for a process that ends by itself; its stderr."""
    _, err = service.process.communicate(timeout=15)
    return err.decode()


def test_the_ready_message_comes_when_requests_are_answered_and_sigterm_ends_in_order(options, notes) -> None:
    with running(options(workers=2)) as service:
        assert service.get("/hello") == (200, b"hello")
        assert len(service.workers()) == 2
        assert service.terminate() == 0
        assert service.err() == ""
    assert len(noted(notes, "closed")) == 2


def test_kill_9_of_the_parent_alone_takes_its_workers_along_and_a_restart_works_at_once(options) -> None:
    told = options(workers=2)
    with running(told) as service:
        workers = service.workers()
        with service.connect() as waiting:
            waiting.sendall(WAIT)
            os.kill(service.pid, signal.SIGKILL)
            service.process.wait()
            wait_until(lambda: not any(lives(pid) for pid in workers), seconds=3, what="the workers' end")
    # A process is a zombie before the kernel has closed what its last thread held.
    wait_until(lambda: port_is_free(told.port), seconds=3, what="a free port")
    with running(told) as again:
        assert again.get("/hello") == (200, b"hello")


def test_a_restart_in_the_very_moment_of_a_kill_9_waits_for_the_old_workers(options) -> None:
    told = options(workers=2)
    with running(told) as service:
        workers = service.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)  # a stopped worker dies late
        os.kill(service.pid, signal.SIGKILL)
        service.process.wait()
    with running(told) as again:
        assert not any(lives(pid) for pid in workers)
        assert again.get("/hello") == (200, b"hello")


def test_a_second_start_on_the_same_folder_is_refused_with_the_holders_pid(options, tmp_path) -> None:
    with running(options()) as service:
        started = time.monotonic()
        second = launch(options(port=free_port()))
        err = end(second)
        assert second.process.returncode == 1
        assert time.monotonic() - started < 5
        assert f"{tmp_path / 'data'} is in use by process {service.pid}; stop that one first" in err
        assert service.get("/hello") == (200, b"hello")
        with pytest.raises(DataFolderInUse), hold_data_folder(tmp_path / "data"):
            pass


def test_a_port_in_use_is_refused_before_anything_else_happens(options, tmp_path) -> None:
    with running(options()) as service:
        told = options(port=service.port, data_dir=tmp_path / "other")
        second = launch(told)
        err = end(second)
        assert second.process.returncode == 1
        assert f"Port {told.port} on 127.0.0.1 is in use by another program" in err
        assert "Traceback" not in err


def test_a_worker_that_dies_is_replaced_however_often(options) -> None:
    with running(options()) as service:
        for _ in range(3):
            (old,) = service.workers()
            os.kill(old, signal.SIGKILL)
            wait_until(lambda old=old: service.workers() not in ([], [old]), what="another worker")
            status, pid = service.get("/pid")  # the connection waits while nobody is there to take it
            assert (status, [int(pid)]) == (200, service.workers())
        assert service.terminate() == 0


def test_a_worker_whose_thread_died_before_it_came_to_life_is_replaced(options) -> None:
    with running(options()) as service:
        (first,) = service.workers()
        with service.connect() as caller:
            caller.sendall(b"GET /stillborn HTTP/1.1\r\nHost: test\r\n\r\n")
            wait_until(lambda: service.workers() not in ([], [first]), seconds=20, what="another worker")
        status, body = service.get("/pid")
        assert status == 200
        assert int(body) != first
        assert "A thread could not be started (out of memory)" in service.tail()


def test_a_worker_that_cannot_come_up_again_is_tried_again_after_growing_pauses(options, notes) -> None:
    with running(options()) as service:
        (notes / "refuse").touch()
        (old,) = service.workers()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: "next try is in 2 s" in service.tail(), seconds=15, what="the second failure")
        said = service.tail()
        assert said.index("starting another") < said.index("next try is in 1 s") < said.index("next try is in 2 s")
        assert "A worker could not start again: the tiny application does not want to" in said
        assert service.process.poll() is None
        (notes / "refuse").unlink()
        assert service.get("/hello") == (200, b"hello")  # the connection waits until somebody is there
        assert service.terminate() == 0


def test_a_worker_that_is_killed_while_it_comes_up_again_does_not_end_the_service(options, notes) -> None:
    with running(options(settings=TinySettings(notes=notes, start_seconds=0.5))) as service:
        for _ in range(3):
            (old,) = service.workers()
            os.kill(old, signal.SIGKILL)  # the second and third while they start
            wait_until(lambda old=old: service.workers() not in ([], [old]), what="another worker")
        assert service.get("/hello") == (200, b"hello")
        assert service.process.poll() is None
        assert "killed by signal 9" in service.tail()


def test_a_worker_that_dies_by_every_call_is_not_started_in_a_hot_loop(options) -> None:
    with running(options()) as service:
        began = time.monotonic()
        for _ in range(5):
            assert service.get("/hello") == (200, b"hello")
            service.ask(b"GET /die HTTP/1.1\r\nHost: test\r\n\r\n")
        assert service.get("/hello") == (200, b"hello")
        assert time.monotonic() - began >= 3.0  # none, none, none, one second and two
        assert service.tail().count("starting another") == 3


def test_connections_that_come_at_once_are_spread_evenly_over_the_workers(options) -> None:
    with running(options(workers=2)) as service, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(service.connect()) for _ in range(64)]
        for client in clients:
            client.sendall(GET_PID)
        answered = Counter(int(read_all(client).rpartition(b"\r\n")[2]) for client in clients)
        assert set(answered) == set(service.workers())
        # One of 10 million fair spreads is less even than this.
        assert min(answered.values()) >= 11, answered


def test_a_worker_that_stops_alone_leaves_all_new_connections_to_the_others(options, notes) -> None:
    with running(options(workers=2)) as service, contextlib.ExitStack() as stack:
        busy = []
        while (
            len({pid for _, pid in busy}) < 2
        ):  # one call at each, which keeps the one that is told to stop from ending
            client = stack.enter_context(service.connect())
            client.sendall(b"GET /pid HTTP/1.1\r\nHost: test\r\n\r\n")
            busy.append((client, int(client.recv(4096).rpartition(b"\r\n")[2])))
        leaving, staying = busy[0][1], busy[-1][1]
        busy[0][0].sendall(WAIT.replace(b"wait", b"stubborn"))
        wait_until(lambda: noted(notes, "waiting"), what="the call")
        os.kill(leaving, signal.SIGTERM)
        wait_until(lambda: all_from(service, staying), what="the last connection to the one that stops")
        assert leaving in service.workers()
        wait_until(lambda: leaving not in service.workers(), what="its end")
        wait_until(lambda: len(service.workers()) == 2, what="another worker")
        wait_until(lambda: not all_from(service, staying), what="connections for the new one")


def test_a_worker_that_stops_alone_ends_with_its_last_call(options, notes) -> None:
    with running(options(workers=2, shutdown_seconds=60.0)) as service:
        for _ in range(4):
            with service.connect() as client:
                client.sendall(b"GET /pid HTTP/1.1\r\nHost: test\r\n\r\n")
                leaving = int(client.recv(4096).rpartition(b"\r\n")[2])
                (staying,) = set(service.workers()) - {leaving}
                client.sendall(b"GET /gate HTTP/1.1\r\nHost: test\r\n\r\n")
                wait_until(lambda: noted(notes, "gate-in"), what="the call")
                os.kill(leaving, signal.SIGTERM)
                wait_until(lambda pid=staying: all_from(service, pid), what="the last connection to the one that stops")
                (notes / "gate-open").touch()
                assert status_of(client.recv(4096)) == 200
            wait_until(lambda pid=leaving: pid not in service.workers(), what="its end")
            wait_until(lambda pid=staying: len(service.workers()) == 2 and not all_from(service, pid), what="another")
            for note in notes.glob("gate-*"):
                note.unlink()


def test_while_a_worker_cannot_come_up_again_the_others_take_all_connections(options, notes) -> None:
    with running(options(workers=2)) as service:
        staying, dead = service.workers()
        (notes / "refuse").touch()
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: "next try is in 2 s" in service.tail(), seconds=15, what="the second failure")
        assert all_from(service, staying)
        (notes / "refuse").unlink()
        wait_until(lambda: not all_from(service, staying), seconds=15, what="connections for the new one")
        assert staying in service.workers()


def test_a_worker_that_does_not_come_up_costs_no_connection_when_it_is_tried_again(options, notes) -> None:
    with running(options(workers=2)) as service:
        staying, dead = service.workers()
        (notes / "refuse").touch()
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: "next try is in 1 s" in service.tail(), what="the first failure")
        while "next try is in 4 s" not in service.tail():
            assert service.get("/pid") == (200, str(staying).encode())


def test_a_worker_that_comes_up_takes_the_connections_of_one_that_stops_meanwhile(options, notes) -> None:
    with running(options(workers=2, shutdown_seconds=60.0)) as service, service.connect() as client:
        client.sendall(b"GET /pid HTTP/1.1\r\nHost: test\r\n\r\n")
        leaving = int(client.recv(4096).rpartition(b"\r\n")[2])
        (dead,) = set(service.workers()) - {leaving}
        client.sendall(b"GET /gate HTTP/1.1\r\nHost: test\r\n\r\n")
        wait_until(lambda: noted(notes, "gate-in"), what="the call")
        (notes / "refuse").touch()
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: "next try is in 1 s" in service.tail(), what="the first failure")
        os.kill(leaving, signal.SIGTERM)
        (notes / "refuse").unlink()
        wait_until(lambda: len(service.workers()) == 2, what="another worker")
        (new,) = set(service.workers()) - {leaving}
        wait_until(lambda: all_from(service, new), what="all connections for the new one")
        assert leaving in service.workers()
        (notes / "gate-open").touch()
        assert status_of(client.recv(4096)) == 200


def test_sigterm_ends_a_service_that_waits_to_try_again(options, notes) -> None:
    with running(options()) as service:
        (notes / "refuse").touch()
        os.kill(service.workers()[0], signal.SIGKILL)
        wait_until(lambda: "next try is in 1 s" in service.tail(), what="the failure")
        assert service.terminate(seconds=3) == 0


def test_an_application_that_cannot_start_ends_with_exit_1_and_a_sentence(options, notes) -> None:
    service = launch(options(workers=2, settings=TinySettings(notes=notes, refuse_to_start=True)))
    err = end(service)
    assert service.process.returncode == 1
    assert err.endswith("webchat-soap: The service could not start: the tiny application does not want to\n")


def test_a_worker_killed_while_it_starts_is_replaced_where_another_one_is_ready(options, notes) -> None:
    service = launch(options(workers=2, settings=TinySettings(notes=notes, one_starts_alone=True)))
    assert service.process.stdout is not None
    try:
        wait_until(lambda: noted(notes, "waits"), what="the second worker")
        (waiting,) = (int(note.name.partition("-")[2]) for note in noted(notes, "waits"))
        (first,) = set(service.workers()) - {waiting}
        wait_until(lambda: answers(service, first), what="the first worker's answer")
        os.kill(waiting, signal.SIGKILL)
        wait_until(lambda: "the next try is in 1 s" in service.tail(), what="the parent's word")
        (notes / "go").touch()
        assert service.process.stdout.readline().decode().strip() == READY
        assert len(service.workers()) == 2
        assert first in service.workers()
        assert service.terminate() == 0
    finally:
        service.process.kill()
        service.process.communicate()


def answers(service: Service, worker: int) -> bool:
    """Whether this worker answers one of a few connections; those of one that is not ready wait for it."""
    for _ in range(8):
        with service.connect() as client:
            client.settimeout(0.2)
            client.sendall(GET_PID)
            with contextlib.suppress(TimeoutError):
                return int(read_all(client).rpartition(b"\r\n")[2]) == worker
    return False


def test_an_application_that_cannot_be_found_ends_with_exit_1_and_a_sentence(options) -> None:
    service = launch(options(application_factory="tests.e2e.nowhere:make"))
    err = end(service)
    assert service.process.returncode == 1
    assert "tests.e2e.nowhere:make cannot be imported" in err
    assert "Traceback" not in err


def test_sigterm_wakes_a_waiting_call_and_its_answer_arrives(options, notes) -> None:
    with running(options()) as service, service.connect() as waiting:
        waiting.sendall(WAIT)
        wait_until(lambda: noted(notes, "waiting"), what="the call")
        assert service.terminate() == 0
        answer = read_all(waiting)
        assert (status_of(answer), answer.rpartition(b"\r\n")[2]) == (200, b"woken")
    assert noted(notes, "closed")


def test_sigterm_to_a_worker_alone_finishes_its_calls_and_it_is_replaced(options, notes) -> None:
    with running(options()) as service, service.connect() as waiting:
        waiting.sendall(WAIT)
        wait_until(lambda: noted(notes, "waiting"), what="the call")
        (old,) = service.workers()
        os.kill(old, signal.SIGTERM)
        answer = read_all(waiting)
        assert (status_of(answer), answer.rpartition(b"\r\n")[2]) == (200, b"woken")
        wait_until(lambda: not lives(old), what="the worker's end")
        assert service.get("/hello") == (200, b"hello")


def test_after_sigterm_nobody_is_accepted_any_more(options, notes) -> None:
    with running(options(shutdown_seconds=2.0)) as service, service.connect() as stubborn:
        stubborn.sendall(WAIT.replace(b"wait", b"stubborn"))
        wait_until(lambda: noted(notes, "waiting"), what="the call")
        service.process.terminate()

        def refused() -> bool:
            try:
                service.connect().close()
            except ConnectionError:
                return True
            return False

        wait_until(refused, seconds=1.5, what="a refused connection")
        assert service.process.poll() is None


def test_calls_that_do_not_end_are_given_up_after_shutdown_seconds(options, notes) -> None:
    with running(options(shutdown_seconds=0.5)) as service, service.connect() as stubborn:
        stubborn.sendall(WAIT.replace(b"wait", b"stubborn"))
        wait_until(lambda: noted(notes, "waiting"), what="the call")
        started = time.monotonic()
        assert service.terminate() == 0
        assert 0.4 < time.monotonic() - started < 5
        assert "1 calls were not finished within 0.5 s" in service.err()
    assert noted(notes, "closed")


def test_sigterm_while_the_workers_start_ends_in_order_too(options, notes) -> None:
    service = launch(options(workers=2, settings=TinySettings(notes=notes, start_seconds=0.5)))
    wait_until(lambda: len(noted(notes, "starting")) == 2, what="the start")
    service.process.terminate()
    out, err = service.process.communicate(timeout=10)
    assert (service.process.returncode, out, err) == (0, b"", b"")


def test_many_signals_at_once_stop_it_as_one_does(options) -> None:
    with running(options(workers=2)) as service:
        give_up = time.monotonic() + 10
        while service.process.poll() is None and time.monotonic() < give_up:  # up to its very end
            for pid in (service.pid, *service.workers()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
                    os.kill(pid, signal.SIGTERM)
        assert service.process.wait(10) == 0


def test_sighup_does_no_harm(options) -> None:
    with running(options()) as service:
        (worker,) = service.workers()
        for pid in (service.pid, worker):
            os.kill(pid, signal.SIGHUP)
        assert service.get("/pid") == (200, str(worker).encode())
        assert service.workers() == [worker]


def test_the_sweep_runs_under_the_lock_before_the_first_worker(options, notes) -> None:
    with running(options(before_workers=Sweep(notes))):
        assert (notes / "swept").read_text() == "no worker yet"


class Sweep:
    """Picklable: notes whether a worker had been there before it."""

    def __init__(self, notes: Path) -> None:
        self._notes = notes

    def __call__(self) -> None:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().strip()
        (self._notes / "swept").write_text(children or "no worker yet")


def test_open_files_are_raised_to_what_a_busy_worker_needs(options) -> None:
    import resource

    told = options()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with running(told) as service:
            limits = Path(f"/proc/{service.workers()[0]}/limits").read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    line = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    assert int(line.split()[3]) == min(hard if hard > 0 else 65_536, 65_536)


def test_a_folder_is_free_again_after_the_context(tmp_path: Path) -> None:
    for _ in range(2):
        with hold_data_folder(tmp_path / "new" / "data"):
            assert (tmp_path / "new" / "data" / "lock").read_text() == f"{os.getpid()}\n"


def test_one_process_cannot_hold_a_folder_twice(tmp_path: Path) -> None:
    refused: list[str] = []

    def second() -> None:
        try:
            with hold_data_folder(tmp_path):
                pass
        except DataFolderInUse as error:
            refused.append(str(error))

    with hold_data_folder(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert str(os.getpid()) in refused[0]


def test_the_probe_tells_a_used_port_from_a_free_one() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"Port {port} on 127.0.0.1 is in use"):
            probe_port("127.0.0.1", port)
    probe_port("127.0.0.1", port)


def test_serve_writes_nothing_to_stdout_but_its_ready_message(options) -> None:
    with running(options()) as service:
        service.get("/hello")
        service.process.terminate()
        out, err = service.process.communicate(timeout=10)
        assert (out, err) == (b"", b"")
