"""The installed console script as a process: what an operator starts."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

SCRIPT = Path(sys.executable).parent / "webchat-soap"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children_of(pid: int) -> list[int]:
    """The processes that have this parent now."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                # The name in brackets may hold anything; what follows it does not.
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[1]) == pid:
                    found.append(int(entry.name))
    return found


def resident_bytes(pid: int) -> int:
    """What a process holds in memory now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def threads_of(pid: int) -> int:
    """How many threads the process has now."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def until(condition: object, *, seconds: float, what: str) -> None:
    """Return once `condition()` is true, fail with `what` when it is not in time."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)  # a poll of a condition, with a bound


class Running:
    """`webchat-soap serve` on a data folder. `by` is a command that becomes it: `("prlimit", "--nofile=64")`."""

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        flags: tuple[str, ...] = (),
        by: tuple[str, ...] = (),
        **settings: str,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data.parent / f"{data.name}-{self.port}.log"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("WEBCHAT_")}
        environ |= {f"WEBCHAT_{name}": value for name, value in settings.items()}
        environ |= {"WEBCHAT_DATA_DIR": str(data), "WEBCHAT_BIND": f"127.0.0.1:{self.port}"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*by, SCRIPT, "serve", *flags], env=environ, stdout=log, stderr=log, cwd=data.parent
            )

    def wait(self, *, seconds: float = 30) -> Running:
        """Return once it answers."""

        def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(requests.RequestException):
                return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
            return False

        until(answers, seconds=seconds, what="the service does not become ready")
        return self

    @property
    def workers(self) -> list[int]:
        return children_of(self.process.pid)

    def kill(self) -> None:
        """SIGKILL to the parent alone."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


@contextmanager
def running(
    data: Path, *, port: int | None = None, flags: tuple[str, ...] = (), by: tuple[str, ...] = (), **settings: str
) -> Iterator[Running]:
    """A service that answers, stopped when the context is left."""
    service = Running(data, port=port, flags=flags, by=by, **settings)
    try:
        yield service.wait()
    finally:
        if service.process.poll() is None:
            service.process.terminate()
            try:
                service.process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                service.process.kill()
                service.process.wait()
