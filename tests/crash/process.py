"""`webchat-soap serve` as something to be killed, and the moments at which that is worth while."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.console_script import SCRIPT, children_of


def quiet_port() -> int:
    """A free port below those that the kernel gives to callers: hundreds of calls to an ephemeral port that nobody
    listens on end with one that is connected to itself, and then the service finds its port in use."""
    while True:
        port = random.randrange(22000, 23000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


class Service:
    """One data folder and port; a process that is started again and again."""

    def __init__(self, data: Path, *, port: int, workers: int, **settings: str) -> None:
        self.data = data
        self.port = port
        self.workers_wanted = workers
        self.log = data.parent / "serve.log"
        self.starts = 0
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("WEBCHAT_")}
        self._environ |= {f"WEBCHAT_{name}": value for name, value in settings.items()}
        self._environ |= {
            "WEBCHAT_DATA_DIR": str(data),
            "WEBCHAT_BIND": f"127.0.0.1:{port}",
            "WEBCHAT_WORKERS": str(workers),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Without waiting. Its process group is its own."""
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [SCRIPT, "serve"],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data.parent,
                start_new_session=True,
            )

    def check_running(self) -> None:
        """AssertionError when the process has ended by itself."""
        assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.said()}"

    @property
    def workers(self) -> list[int]:
        return children_of(self.process.pid)

    def kill_parent(self) -> None:
        self.process.kill()
        self.process.wait()

    def kill_group(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def said(self) -> str:
        """The log's end."""
        return self.log.read_text(errors="replace")[-4000:]

    def close(self) -> None:
        """No process is left, whatever state it was in."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def spooled(data: Path) -> list[Path]:
    """Files in the spool. Folders come and go beside us."""
    found: list[Path] = []
    with contextlib.suppress(FileNotFoundError):
        for folder in (data / "spool").iterdir():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found += folder.iterdir()
    return found


def stored(data: Path) -> list[Path]:
    """Files in the file store."""
    return [path for path in (data / "files").rglob("*") if path.is_file()]


def _moved(look: Callable[[], object]) -> Callable[[], bool]:
    before = look()
    return lambda: look() != before


def _modified(path: Path) -> object:
    with contextlib.suppress(FileNotFoundError):
        found = path.stat()
        return found.st_mtime_ns, found.st_size
    return None


def _days(data: Path) -> object:
    with contextlib.suppress(FileNotFoundError):
        return [_modified(path) for path in sorted((data / "files").iterdir())]
    return None


MOMENTS: dict[str, Callable[[Path], Callable[[], bool]]] = {
    "at any time": lambda data: lambda: True,
    "as the log is written": lambda data: _moved(lambda: _modified(data / "webchat.db-wal")),
    "as a download lies in the spool": lambda data: lambda: bool(spooled(data)),
    "as a file is stored": lambda data: _moved(lambda: _days(data)),
    "as a file is stored and the log not yet written": lambda data: _stored_only(data),
}
"""What is waited for after a random time; each is made at the moment when the waiting begins."""


def _stored_only(data: Path) -> Callable[[], bool]:
    state = {"days": _days(data), "log": _modified(data / "webchat.db-wal")}

    def look() -> bool:
        days, log = _days(data), _modified(data / "webchat.db-wal")
        reached: bool = days != state["days"] and log == state["log"]
        state.update(days=days, log=log)
        return reached

    return look


def await_moment(name: str, data: Path, *, most_seconds: float) -> bool:
    """Return when it has come; False when it did not in time."""
    reached = MOMENTS[name](data)
    deadline = time.monotonic() + most_seconds
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0002)  # a poll of a condition, with a bound
    return True
