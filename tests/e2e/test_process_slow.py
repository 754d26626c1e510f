"""Clients that are slow in every way are bounded in time and number, and nobody else is kept waiting for them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process_app import TinySettings
from tests.e2e.processes import READY, Service, free_port, read_all, resident_kib, running, status_of, wait_until
from webchat_soap.server import Limits, ServeOptions

MIB = 1024 * 1024
POST = b"POST /echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"

LIMITS = Limits(
    rate_seconds=0.5,
    reader_seconds=2.0,
    hurried_reader_seconds=0.4,
    max_streams=8,
    max_unsent_bytes=24 * MIB,
    max_connections=100,
    max_threads=40,
)
REQUEST_SECONDS = 6.0


def get(path: str, *more: bytes) -> bytes:
    return b"\r\n".join((f"GET {path} HTTP/1.1".encode(), b"Host: test", *more, b"", b""))


@pytest.fixture
def notes(tmp_path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


@pytest.fixture
def service(tmp_path, notes) -> Iterator[Service]:
    options = ServeOptions(
        host="127.0.0.1",
        port=free_port(),
        data_dir=tmp_path / "data",
        settings=TinySettings(notes=notes),
        application_factory="tests.e2e.process_app:make",
        ready_message=READY,
        request_seconds=REQUEST_SECONDS,
        shutdown_seconds=1.0,
        limits=LIMITS,
    )
    with running(options) as service:
        yield service


def stalled(service: Service, request: bytes) -> socket.socket:
    """A client that has asked, has seen the answer begin, and reads no more."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    client.settimeout(10)
    client.connect(("127.0.0.1", service.port))
    client.sendall(request)
    assert client.recv(1, socket.MSG_PEEK)
    return client


def sockets(service: Service) -> int:
    """How many the worker holds."""
    (worker,) = service.workers()
    count = 0
    for entry in Path(f"/proc/{worker}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += entry.readlink().name.startswith("socket:")
    return count


def slowest_answer(service: Service, *, of: int = 10) -> float:
    """Seconds that the slowest of a few ordinary requests took."""
    slowest = 0.0
    for _ in range(of):
        began = time.monotonic()
        assert service.get("/hello") == (200, b"hello")
        slowest = max(slowest, time.monotonic() - began)
    return slowest


@pytest.mark.parametrize("head", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_body_below_the_least_rate_is_ended_long_before_its_deadline(service, notes, head) -> None:
    with service.connect() as client:
        client.sendall(POST + head)
        client.settimeout(0.1)
        began = time.monotonic()
        answer = b""
        while not answer and time.monotonic() - began < REQUEST_SECONDS:
            with contextlib.suppress(TimeoutError):
                client.sendall(b"5\r\nhello\r\n" if b"chunked" in head else b"hello")
                answer = client.recv(65536)
    assert status_of(answer) == 408
    assert b"more slowly than 1024 bytes a second" in answer
    assert time.monotonic() - began < REQUEST_SECONDS / 2
    assert not list(notes.glob("echo-*"))


def test_a_body_that_stops_after_a_fast_beginning_is_ended_too(service) -> None:
    began = time.monotonic()
    answer = service.ask(POST + b"Content-Length: 500000\r\n\r\n" + bytes(400_000))
    assert status_of(answer) == 408
    assert time.monotonic() - began < REQUEST_SECONDS / 2


def test_a_slow_body_above_the_least_rate_is_taken_whole(service) -> None:
    pause = threading.Event()
    with service.connect() as client:
        client.sendall(POST + b"Content-Length: 5600\r\n\r\n")
        for _ in range(14):
            client.sendall(b"x" * 400)  # 4 KB a second, over three spans
            pause.wait(0.1)
        answer = read_all(client)
    assert status_of(answer) == 200
    assert answer.endswith(b"x" * 5600)


def test_a_reader_that_stalls_is_cut_off_and_its_answer_closed(service, notes) -> None:
    before = sockets(service)
    client = stalled(service, get(f"/stream?{64 * MIB}"))
    began = time.monotonic()
    wait_until((notes / "stream").exists, seconds=LIMITS.reader_seconds + 3, what="close()")
    assert time.monotonic() - began > LIMITS.reader_seconds / 2
    wait_until(lambda: sockets(service) == before, what="the end of the connection")
    with client:
        assert len(read_cut(client)) < 64 * MIB
    wait_until(lambda: "slow readers" in service.tail(), what="a line for the operator")


def read_cut(client: socket.socket) -> bytes:
    """What comes until the other side ends the connection in whatever way."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(65536):
            data += piece
    return data


def test_a_reader_that_drips_is_cut_off_and_a_steady_one_gets_all(service, notes) -> None:
    steady = stalled(service, get("/stream?4000000", b"Connection: close"))
    dripping = stalled(service, get(f"/stream?{64 * MIB}"))
    pause = threading.Event()
    got = 0
    with steady, dripping:
        while not (notes / "stream").exists():
            dripping.recv(100)
            got += len(steady.recv(40_000))
            pause.wait(0.02)
        # The steady one is slow enough to be waited for again and again, and is never cut.
        assert not steady.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        while piece := steady.recv(65536):
            got += len(piece)
    assert got > 4_000_000


def test_when_many_readers_stall_they_go_sooner_and_others_are_served(service, notes) -> None:
    readers = [stalled(service, get(f"/stream?{64 * MIB}")) for _ in range(LIMITS.max_streams)]
    began = time.monotonic()
    wait_until((notes / "stream").exists, what="the first close()")
    assert time.monotonic() - began < LIMITS.reader_seconds
    assert slowest_answer(service) < 0.5
    for client in readers:
        client.close()


def test_long_answers_that_are_not_read_are_bounded_in_memory(service) -> None:
    (worker,) = service.workers()
    service.get("/long?10000000")
    before = resident_kib(worker)
    readers = [stalled(service, get("/long?10000000")) for _ in range(2)]
    refused = service.ask(get("/long?10000000", b"Connection: close"))
    assert status_of(refused) == 503
    assert b"retry-after: 1" in refused
    assert service.get("/hello") == (200, b"hello")
    assert resident_kib(worker) - before < 40 * 1024
    # They are cut since they take most of what there is, and then there is room again.
    wait_until(lambda: service.get("/long?10000000")[0] == 200, seconds=LIMITS.reader_seconds + 3, what="room")
    for client in readers:
        client.close()


def test_a_long_answer_arrives_whole(service) -> None:
    for size in (65_536, 65_537, 1_000_000):
        status, body = service.get(f"/long?{size}")
        assert (status, body) == (200, bytes(size))
    head = service.ask(get("/long?1000000", b"Connection: close").replace(b"GET", b"HEAD"))
    assert b"content-length: 1000000" in head
    assert head.endswith(b"\r\n\r\n")


def test_ten_thousand_requests_sent_ahead_without_reading_cost_little(service) -> None:
    (worker,) = service.workers()
    slowest_answer(service)
    before = resident_kib(worker)
    client = stalled(service, get("/hello"))
    client.setblocking(False)
    ahead = get("/hello") * 10_000
    with client:
        with contextlib.suppress(BlockingIOError):
            while ahead:
                ahead = ahead[client.send(ahead) :]
        assert slowest_answer(service, of=20) < 0.5
        assert resident_kib(worker) - before < 8 * 1024


@pytest.mark.parametrize("sent", [b"", b"POST /echo HT", get("/hello")], ids=["silent", "half a head", "idle"])
def test_connections_that_nobody_uses_make_room_when_others_come(service, notes, sent) -> None:
    working = service.connect()
    working.sendall(get("/gate", b"Connection: close"))
    wait_until(lambda: list(notes.glob("gate-in-*")), what="the call")
    unused = []
    try:
        for _ in range(LIMITS.max_connections * 2):
            client = service.connect()
            unused.append(client)
            client.sendall(sent)
        began = time.monotonic()
        assert service.get("/hello") == (200, b"hello")
        # Twice as many as fit, each of which the engine alone would keep for six seconds.
        assert time.monotonic() - began < REQUEST_SECONDS / 2
        (notes / "gate-open").touch()
        assert status_of(read_all(working)) == 200
    finally:
        for client in (working, *unused):
            client.close()
    wait_until(lambda: "silent clients were cut" in service.tail(), what="a line for the operator")


def test_without_need_an_idle_connection_is_kept(service) -> None:
    with service.connect() as client:
        client.sendall(get("/hello"))
        assert client.recv(65536).endswith(b"hello")
        threading.Event().wait(1.2)  # two looks of the doorkeeper
        client.sendall(get("/hello"))
        assert client.recv(65536).endswith(b"hello")


def test_calls_that_are_given_up_at_the_end_are_told_503(service, notes) -> None:
    with service.connect() as stubborn, service.connect() as half, service.connect() as in_line:
        stubborn.sendall(get("/stubborn"))
        wait_until(lambda: list(notes.glob("waiting-*")), what="the call")
        half.sendall(POST + b"Content-Length: 500000\r\n\r\n" + bytes(300_000))
        feed = threading.Thread(target=keep_sending, args=(half,))
        feed.start()
        assert service.terminate() == 0
        answer = read_all(stubborn)
        assert status_of(answer) == 503
        assert b"whether it took effect is not known: try again, with the same clientToken" in answer
        assert b"retry-after: 1" in answer
        assert status_of(read_cut(half)) == 503
        feed.join()
        assert in_line.recv(1) == b""


def keep_sending(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        for _ in range(200):
            client.sendall(bytes(500))
            threading.Event().wait(0.02)


def test_who_waits_for_a_thread_is_told_to_the_operator(service, notes) -> None:
    assert float(service.get("/line")[1]) < 0.5
    clients = [service.connect() for _ in range(LIMITS.max_threads)]
    for client in clients:
        client.sendall(get("/gate", b"Connection: close"))
    wait_until(lambda: len(list(notes.glob("gate-in-*"))) == LIMITS.max_threads, what="a full house")
    with service.connect() as late:
        late.sendall(get("/line", b"Connection: close"))
        threading.Event().wait(1.2)
        (notes / "gate-open").touch()
        assert float(read_all(late).rpartition(b"\r\n")[2]) > 1.0
    for client in clients:
        assert status_of(read_all(client)) == 200
        client.close()
    wait_until(lambda: "waited for a thread, the longest 1." in service.tail(), what="a line for the operator")
