"""Nothing that is told to a caller is lost when the power fails: at every answer all of it has been synced."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.crash.contents import content
from tests.crash.process import quiet_port
from tests.crash.soap_call import Caller, Unanswered, field
from tests.crash.trace import CALLS, Disk
from tests.e2e.console_script import SCRIPT, children_of, running, until
from tests.file_host import FileHost

SCRATCH = ("data/spool", "data/locks", "data/lock", "data/webchat.db-shm", "database/webchat.db-shm", "trace", "log")


def _can_trace() -> bool:
    strace = shutil.which("strace")
    if strace is None:
        return False
    return subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True).returncode == 0


needs_strace = pytest.mark.skipif(not _can_trace(), reason="needs strace (Debian: apt-get install strace) and ptrace")


class Traced:
    """The service under strace, with calls to it."""

    def __init__(self, folder: Path, port: int, tracer: subprocess.Popen[bytes]) -> None:
        self._folder = folder
        self._caller = Caller(port)
        self._tracer = tracer

    def call(self, operation: str, **parameters: object) -> Any:
        return self._caller.call(operation, "1.1", seconds=30, **parameters)

    def answers(self) -> bool:
        assert self._tracer.poll() is None, (self._folder / "log").read_text()
        with contextlib.suppress(Unanswered):
            return self._caller.get("/healthz") != b""
        return False

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the parent a signal, and return when strace has seen it end."""
        self._caller.close()
        for pid in children_of(self._tracer.pid):
            os.kill(pid, number)
        self._tracer.wait(30)

    def disk(self, *, written: str | None = None) -> Disk:
        """After the service has ended; `written` was so before it began."""
        disk = Disk(folder=self._folder, scratch=SCRATCH)
        if written is not None:
            disk.write(written)
        with (self._folder / "trace").open() as trace:
            disk.play(trace)
        return disk


@contextmanager
def traced(folder: Path, *more: str, **settings: str) -> Iterator[Traced]:
    port = quiet_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WEBCHAT_")}
    environ |= {f"WEBCHAT_{name}": value for name, value in settings.items()}
    environ |= {"WEBCHAT_DATA_DIR": str(folder / "data"), "WEBCHAT_BIND": f"127.0.0.1:{port}"}
    strace = ["strace", "-f", "-y", "-s", "64", "-e", f"trace={CALLS}", "-o", str(folder / "trace"), *more]
    with (folder / "log").open("wb") as log:
        tracer = subprocess.Popen([*strace, SCRIPT, "serve"], env=environ, stdout=log, stderr=log, cwd=folder)
    service = Traced(folder, port, tracer)
    try:
        until(service.answers, seconds=60, what="the service does not start")
        yield service
    finally:
        if tracer.poll() is None:
            service.kill(signal.SIGTERM)


@needs_strace
@pytest.mark.parametrize("files", ["data/files", "data/kept/elsewhere"])
def test_at_every_answer_message_file_and_all_names_are_synced(tmp_path: Path, files: str) -> None:
    with FileHost() as host:
        urls = [host.serve(f"/{family}", content("a", family)) for family in ("IMAGE", "AUDIO")]
        settings = {"FETCH_ALLOW": f"127.0.0.1:{host.port}", "FILES_URL": f"file://{tmp_path / files}"}
        with traced(tmp_path, **settings) as service:
            first = service.call("UploadFile", CHATID="a", fileDetails=f'{{"fileUrl": "{urls[0]}"}}')
            service.call("SendMessage", CHATID="a", fileDetails='{"text": "words"}')
            service.call("UploadFile", CHATID="a", fileDetails=f'{{"fileUrl": "{urls[1]}"}}')
            own = first.findtext(".//{*}fileUrl")
            service.call("UploadFile", CHATID="a", fileDetails=f'{{"fileUrl": "{own}"}}')
            service.call("EndChat", CHATID="a")
    disk = service.disk()
    assert disk.problems == []
    assert disk.answers == 5
