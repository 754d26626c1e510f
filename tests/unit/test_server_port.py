"""The listening sockets: one port, its own socket for each worker."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator

import pytest

from webchat_soap.server.engine import BACKLOG
from webchat_soap.server.port import PortInUse, listen, listen_apart, rest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux spreads connections")


@pytest.fixture
def two() -> Iterator[list[socket.socket]]:
    listeners = listen_apart("127.0.0.1", 0, 2)
    with listeners[0], listeners[1]:
        yield listeners


def came(listeners: list[socket.socket], count: int = 64) -> list[int]:
    """Open so many connections; how many each socket has to accept."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(listeners[0].getsockname(), timeout=5))
        return [accept_all(listener) for listener in listeners]


def accept_all(listener: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError, OSError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


def test_connections_are_spread_over_the_sockets(two) -> None:
    first, second = came(two)
    assert first + second == 64
    assert min(first, second) >= 11


def test_a_socket_that_rests_gets_none_until_it_listens_again(two) -> None:
    rest(two[1])
    assert came(two) == [64, 0]
    two[1].listen(BACKLOG)
    assert min(came(two)) >= 11


def test_one_that_was_told_twice_to_rest_is_as_good_as_before_when_it_listens_again(two) -> None:
    rest(two[1])
    rest(two[1])
    two[1].listen(BACKLOG)
    rest(two[0])
    with socket.create_connection(two[1].getsockname(), timeout=5) as client:
        accepted, _ = two[1].accept()
        with accepted:
            client.sendall(b"question")
            accepted.settimeout(5)
            assert accepted.recv(100) == b"question"
            accepted.sendall(b"answer")
            assert client.recv(100) == b"answer"


def test_the_first_may_rest_too(two) -> None:
    rest(two[0])
    assert came(two) == [0, 64]


def test_a_port_that_is_listened_on_is_refused_whether_alone_or_apart(two) -> None:
    port = two[0].getsockname()[1]
    with pytest.raises(PortInUse):
        listen("127.0.0.1", port)
    with pytest.raises(PortInUse):
        listen_apart("127.0.0.1", port, 2)
    assert came(two) != [0, 0]


def test_a_neighbour_that_would_share_the_port_is_refused_too() -> None:
    with socket.socket() as neighbour:
        neighbour.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        neighbour.bind(("127.0.0.1", 0))
        neighbour.listen()
        with pytest.raises(PortInUse):
            listen_apart("127.0.0.1", neighbour.getsockname()[1], 2)


def test_none_of_them_blocks(two) -> None:
    for listener in two:
        with pytest.raises(BlockingIOError):
            listener.accept()
