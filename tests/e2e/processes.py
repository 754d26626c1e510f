"""Starts and stops `serve` in a process of its own, and speaks HTTP to it by hand."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from webchat_soap.server import ServeOptions

ROOT = Path(__file__).resolve().parents[2]

_MAIN = "import pickle, sys; from webchat_soap.server import serve; sys.exit(serve(pickle.load(sys.stdin.buffer)))"

READY = "the service is ready"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], *, seconds: float = 10.0, what: str = "the condition") -> None:
    """Return as soon as it holds; fail when it does not within the time."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"{what} did not come within {seconds} s"
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """The pids of the living children of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found


def lives(pid: int) -> bool:
    """Whether a process is there and not a zombie that somebody has yet to bury."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def resident_kib(pid: int) -> int:
    """Resident memory of its own (anonymous), without mapped files."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise AssertionError("no RssAnon")


class Service:
    """A running `serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self._said = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def workers(self) -> list[int]:
        return children(self.pid)

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def ask(self, *parts: bytes, half_close: bool = False) -> bytes:
        """Send bytes on a connection of their own; everything that comes back until it is closed."""
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            return read_all(client)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET."""
        answer = self.ask(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        return status_of(answer), answer.partition(b"\r\n\r\n")[2]

    def terminate(self, *, seconds: float = 15.0) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def err(self) -> str:
        """All of stderr, once it has ended."""
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), True)
        return self._said + self.process.stderr.read().decode()

    def tail(self) -> str:
        """What stderr has said so far; does not wait."""
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)
        self._said += (self.process.stderr.read() or b"").decode()
        return self._said


def read_all(client: socket.socket) -> bytes:
    """Everything until the other side closes."""
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1."), answer[:200]
    return int(answer[9:12])


def launch(options: ServeOptions) -> Service:
    """Start it and do not wait."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MAIN],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(pickle.dumps(options))
        process.stdin.close()
    process.stdin = None  # communicate() would flush it
    return Service(process, options.port)


@contextlib.contextmanager
def running(options: ServeOptions) -> Iterator[Service]:
    """Start it, wait for its ready message, and stop it in the end if the test has not."""
    service = launch(options)
    assert service.process.stdout is not None
    assert service.process.stderr is not None
    try:
        line = service.process.stdout.readline().decode().strip()
        assert line == READY, f"{line!r} {service.err() if service.process.poll() is not None else ''}"
        yield service
    finally:
        if service.process.poll() is None:
            service.process.terminate()
            try:
                service.process.wait(15)
            except subprocess.TimeoutExpired:
                service.process.kill()
                service.process.wait()
        service.process.stdout.close()
        service.process.stderr.close()
