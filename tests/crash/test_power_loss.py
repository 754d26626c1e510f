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

STRACE = ("strace", "-f", "-y", "-s", "64", "-e", f"trace={CALLS}")

SCRATCH = ("data/spool", "data/locks", "data/lock", "data/webchat.db-shm", "trace", "log")


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

    def disk(self) -> Disk:
        """After the service has ended."""
        disk = Disk(folder=self._folder, scratch=SCRATCH)
        with (self._folder / "trace").open() as trace:
            disk.play(trace)
        return disk


@contextmanager
def traced(folder: Path, **settings: str) -> Iterator[Traced]:
    """A service on `folder/data`, followed from its start."""
    port = quiet_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WEBCHAT_")}
    environ |= {f"WEBCHAT_{name}": value for name, value in settings.items()}
    environ |= {"WEBCHAT_DATA_DIR": str(folder / "data"), "WEBCHAT_BIND": f"127.0.0.1:{port}"}
    with (folder / "log").open("wb") as log:
        command = [*STRACE, "-o", str(folder / "trace"), str(SCRIPT), "serve"]
        tracer = subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=folder)
    service = Traced(folder, port, tracer)
    try:
        until(service.answers, seconds=60, what="the service does not start")
        yield service
    finally:
        if tracer.poll() is None:
            service.kill(signal.SIGTERM)


@contextmanager
def attached(pid: int, trace: Path, *more: str) -> Iterator[None]:
    """Follow a process that runs already, until the context is left or it dies."""
    tracer = subprocess.Popen([*STRACE, *more, "-o", str(trace), "-p", str(pid)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: _is_traced(pid), seconds=20, what="strace cannot follow the process")
        yield
    finally:
        tracer.terminate()
        tracer.wait(30)


def _is_traced(pid: int) -> bool:
    """All threads: one that is not yet followed would go unseen."""
    tasks = list(Path(f"/proc/{pid}/task").glob("*/status"))
    return all("TracerPid:\t0\n" not in status.read_text() for status in tasks)


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


@needs_strace
def test_what_a_dead_worker_wrote_and_did_not_sync_is_synced_before_anybody_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    message = {"CHATID": "a", "fileDetails": '{"text": "words"}', "clientToken": str(uuid.uuid4())}
    with running(data) as service, contextlib.closing(Caller(service.port)) as caller:
        caller.call("StartChat", "1.1", seconds=30, CHATID="a")  # opens the log: after it a commit is a single sync
        (worker,) = service.workers
        with attached(worker, tmp_path / "killed", "-e", "inject=fdatasync:signal=SIGKILL"):
            with pytest.raises(Unanswered):
                caller.call("SendMessage", "1.1", seconds=30, **message)
            until(lambda: service.workers not in ([], [worker]), seconds=20, what="there is no other worker")
        # Somebody looks into the database: SQLite takes all that is whole in the log for committed, and the new worker
        # will not be the one that opens it first or closes it last, which would make a checkpoint.
        with contextlib.closing(sqlite3.connect(data / "webchat.db")) as looking:
            assert looking.execute("SELECT count(*) FROM messages").fetchone() == (1,)
            (worker,) = service.workers
            with attached(worker, tmp_path / "trace"):
                again = caller.call("SendMessage", "1.1", seconds=30, **message)
    assert field(again, "duplicate") == "true"
    disk = Disk(folder=tmp_path, scratch=(*SCRATCH, service.log.name))
    disk.write(str(data / "webchat.db-wal"))
    disk.play((tmp_path / "trace").read_text().splitlines())
    assert disk.problems == []
    assert disk.answers == 1
