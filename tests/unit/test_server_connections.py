"""What the worker sees of its connections, and what it tells the operator."""

from __future__ import annotations

import fcntl
import http.client
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from webchat_soap.server.connections import Connections
from webchat_soap.server.engine import Arrival, Engine, most_connections
from webchat_soap.server.port import listen
from webchat_soap.server.pressure import Doorkeeper, Tally


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=10) as listener:
        yield listener


class Pair:
    """A client and the accepted end of its connection."""

    def __init__(self, listener: socket.socket) -> None:
        self.client = socket.create_connection(listener.getsockname())
        self.client.settimeout(5)
        self.accepted, self.peer = listener.accept()

    def is_cut(self) -> bool:
        self.client.setblocking(False)
        try:
            return self.client.recv(1) == b""
        except BlockingIOError:
            return False
        finally:
            self.client.settimeout(5)

    def close(self) -> None:
        self.client.close()
        self.accepted.close()


@pytest.fixture
def pairs(listener: socket.socket) -> Iterator[list[Pair]]:
    pairs = [Pair(listener) for _ in range(8)]
    yield pairs
    for pair in pairs:
        pair.close()


def test_connections_are_seen_and_cut_by_their_peers_and_no_descriptor_is_left(
    listener: socket.socket, pairs: list[Pair]
) -> None:
    connections = Connections(listener)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert {connection.peer for connection in connections.all()} == {pair.peer for pair in pairs}
    assert all(connection.quiet_seconds < 5 for connection in connections.all())
    assert connections.cut({pairs[0].peer, pairs[1].peer, ("127.0.0.1", 1)}) == 2
    assert [pair.is_cut() for pair in pairs] == [True, True] + [False] * 6
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    connections.close()


def test_a_look_at_the_connections_leaves_the_process_its_record_locks(
    listener: socket.socket, pairs: list[Pair], tmp_path: Path
) -> None:
    """As SQLite holds them on the database and its shared memory, and the store for each clientToken."""
    path = tmp_path / "locked"
    try_it = (
        "import fcntl, sys\n"
        "with open(sys.argv[1], 'r+b') as file:\n"
        "    try: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    except BlockingIOError: print('held')\n"
    )
    connections = Connections(listener)
    with path.open("wb") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert len(connections.all()) == len(pairs)
        assert connections.cut({pairs[0].peer}) == 1
        other = subprocess.run([sys.executable, "-c", try_it, path], capture_output=True, text=True, check=True)
        assert other.stdout == "held\n"
    connections.close()


def test_those_that_wait_to_be_accepted_are_counted_and_none_once_it_is_closed(listener: socket.socket) -> None:
    connections = Connections(listener)
    assert connections.in_line() == 0
    waiting = [socket.create_connection(listener.getsockname()) for _ in range(3)]
    assert connections.in_line() == 3
    connections.close()
    assert connections.in_line() == 0
    for client in waiting:
        client.close()


def _answer(arrival: Arrival) -> None:
    arrival.proto.send({"type": "http.response.start", "status": 204, "headers": []})
    arrival.proto.send({"type": "http.response.body", "body": b"", "more_body": False})
    arrival.done()


def _ask(client: http.client.HTTPConnection) -> int:
    client.request("GET", "/")
    answer = client.getresponse()
    answer.read()
    return answer.status


@pytest.mark.parametrize("listened", [lambda: listen("127.0.0.1", 0), lambda: socket.create_server(("127.0.0.1", 0))])
def test_a_worker_that_starts_does_not_hold_up_one_that_shares_its_listening_socket(
    listened: Callable[[], socket.socket],
) -> None:
    with listened() as listener:
        engine = Engine(listener, head_seconds=15, max_connections=10, arrived=_answer)
        earlier, newcomer = (http.client.HTTPConnection(*listener.getsockname(), timeout=5) for _ in range(2))
        with closing(earlier), closing(newcomer):
            assert _ask(earlier) == 204
            with closing(Connections(listener)):  # the other worker's first step; its engine comes later
                assert _ask(newcomer) == 204
                assert _ask(earlier) == 204
        engine.stop()
        assert engine.wait(5)


def test_the_listening_socket_never_blocks_whoever_else_looks_at_it() -> None:
    with listen("127.0.0.1", 0) as listener, listener.dup() as other:
        assert not os.get_blocking(other.fileno())


class House:
    """A doorkeeper over real connections, of which some are in a request."""

    def __init__(self, listener: socket.socket, *, max_connections: int) -> None:
        self.in_request: set[tuple[str, int]] = set()
        self.tally = Tally(state=lambda: "as full as can be")
        self.connections = Connections(listener)
        self.doorkeeper = Doorkeeper(
            connections=self.connections,
            max_connections=max_connections,
            tally=self.tally,
            in_request=lambda: frozenset(self.in_request),
        )


def test_room_is_made_at_the_second_look_by_the_longest_quiet_that_are_in_no_request(
    listener: socket.socket, pairs: list[Pair]
) -> None:
    house = House(listener, max_connections=8)
    house.in_request = {pair.peer for pair in pairs[:4]}
    pairs[4].client.sendall(b"GET / HT")
    with socket.create_connection(listener.getsockname()):
        house.doorkeeper.look()
        assert not any(pair.is_cut() for pair in pairs)
        house.doorkeeper.look()
        cut = [pair.is_cut() for pair in pairs]
        assert cut[:4] == [False] * 4
        assert sum(cut) == 2  # three quarters may stay
    house.connections.close()


def test_nobody_is_cut_while_there_is_room_or_nobody_waits(listener: socket.socket, pairs: list[Pair]) -> None:
    alone, roomy = House(listener, max_connections=8), House(listener, max_connections=100)
    for _ in range(3):
        alone.doorkeeper.look()
    with socket.create_connection(listener.getsockname()):
        for _ in range(3):
            roomy.doorkeeper.look()
        assert not any(pair.is_cut() for pair in pairs)
    alone.connections.close()
    roomy.connections.close()


@pytest.mark.parametrize(
    ("descriptors", "most"), [(64, 16), (256, 64), (1024, 384), (20_000, 4000), (65_536, 4000), (-1, 4000)]
)
def test_as_many_connections_are_taken_as_the_limit_on_open_files_allows(descriptors: int, most: int) -> None:
    assert most_connections(4000, descriptors=descriptors) == most


def test_the_operator_is_told_in_one_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(state=lambda: "3 of 4 threads are busy")
    with caplog.at_level(logging.WARNING):
        tally.tell(0.0)
        assert caplog.messages == []
        tally.waited(1.5)
        tally.waited(2.25)
        tally.refused()
        tally.tell(100.0)
        tally.cut("slow readers", 2)
        tally.cut("slow readers")
        tally.tell(105.0)
        assert len(caplog.messages) == 1
        tally.tell(110.0)
        tally.tell(120.0)
    first, second = caplog.messages
    assert first == (
        "The service is under pressure: 2 requests waited for a thread, the longest 2.2 s, 1 were refused with 503 "
        "(3 of 4 threads are busy)"
    )
    assert second == ("The service is under pressure: 3 connections of slow readers were cut (3 of 4 threads are busy)")
