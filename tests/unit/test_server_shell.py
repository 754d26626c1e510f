"""What the shell does where the engine, or the memory, fails it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from webchat_soap.server.connections import Connections
from webchat_soap.server.options import Limits
from webchat_soap.server.shell import Shell


class Application:
    """Is never reached here."""

    def __call__(self, environ, start_response) -> list[bytes]:
        raise AssertionError

    def only_computes(self, environ) -> bool:
        return True

    def wake_all(self) -> None: ...

    def close(self) -> None: ...


class Future:
    """A body's last piece, which has come already."""

    def add_done_callback(self, callback, context=None) -> None:
        callback(self)

    def cancelled(self) -> bool:
        return False

    def cancel(self) -> bool:
        return True

    def result(self) -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}


class Connection:
    """A connection whose first `receive` fails."""

    def __init__(self, error: BaseException) -> None:
        self._error: BaseException | None = error
        self.sent: list[dict[str, Any]] = []

    def receive(self) -> Future:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return Future()

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


class Arrival:
    """A POST's head."""

    def __init__(self, error: BaseException) -> None:
        self.proto = Connection(error)
        self.is_done = False
        self.scope = {
            "http_version": "1.1",
            "server": ("127.0.0.1", "8000"),
            "client": ("127.0.0.1", "40000"),
            "scheme": "http",
            "method": "POST",
            "raw_path": b"/webchat",
            "query_string": b"",
            "headers": [(b"host", b"test"), (b"content-length", b"10")],
        }

    def done(self) -> None:
        self.is_done = True


@pytest.fixture
def shell() -> Iterator[Shell]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections = Connections(listener)
        yield Shell(Application(), limits=Limits(), connections=connections, many_processes=False)
        connections.close()


def test_without_memory_a_request_is_told_to_come_again_and_leaves_nothing_behind(shell) -> None:
    arrival = Arrival(MemoryError())
    shell.arrived(arrival)
    start, body = arrival.proto.sent
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert body["body"].startswith(b"The service has no memory free right now")
    assert arrival.is_done
    assert not shell.reading
    assert not shell.running
    assert shell.held.now == 0


def test_what_nobody_foresaw_ends_the_request_and_is_logged(shell, caplog) -> None:
    arrival = Arrival(ValueError("a secret"))
    shell.arrived(arrival)
    assert arrival.is_done
    assert arrival.proto.sent == []  # the engine says 500, without a word of it
    assert not shell.reading
    assert "A request could not be taken" in caplog.text


def test_a_head_that_is_no_head_ends_the_request_too(shell, caplog) -> None:
    arrival = Arrival(ValueError())
    del arrival.scope["method"]
    shell.arrived(arrival)
    assert arrival.is_done
    assert "KeyError" in caplog.text
