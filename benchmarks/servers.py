"""Starts what is measured: our service as its users start it, and the peers each under the server that suits it."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
CONSOLE_SCRIPT = Path(sys.executable).parent / "webchat-soap"

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0


class NotInstalled(Exception):
    """The peer is not there; benchmarks/install brings it."""


@dataclass(kw_only=True)
class Server:
    """A running server. `data` is our service's folder, None for a peer without one."""

    port: int
    process: subprocess.Popen[bytes]
    data: Path | None = None
    database: Path | None = None
    log: Path
    sent: int = field(default=0)
    """Messages acknowledged so far."""

    def stored(self) -> int | None:
        """Messages in the database, counted row by row; None where nothing is stored."""
        if self.database is None:
            return None
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM messages").fetchone()[0])

    def workers(self) -> list[int]:
        """The process ids of its children, which do the work."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def cpu_seconds(self) -> float:
        """Processor time that it and its children have used."""
        ticks = 0
        for pid in (self.process.pid, *self.workers()):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def ours(
    folder: Path, *, workers: int = 1, store: bool = True, settings: dict[str, str] | None = None, ready: bool = True
) -> Iterator[Server]:
    """`webchat-soap serve` with a data folder of its own; without `store` the same with messages kept nowhere.

    Settings by their names without WEBCHAT_. Its log lines, one a call, go to a file, as on a server.
    """
    port = free_port()
    data = folder / "data"
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(CONSOLE_SCRIPT)] if store else [sys.executable, "-m", "benchmarks.without_store"]
    command += ["serve", "--bind", f"127.0.0.1:{port}", "--data-dir", str(data), "--workers", str(workers)]
    environment = {f"WEBCHAT_{name}": value for name, value in (settings or {}).items()}
    with _running(command, folder=folder, port=port, path="/readyz" if ready else None, more=environment) as server:
        server.data = data
        server.database = data / "webchat.db" if store else None
        yield server


@contextmanager
def stock_spyne(folder: Path, *, threads: int, commits: bool = False) -> Iterator[Server]:
    """Stock Spyne under Granian's WSGI mode, one worker."""
    database = folder / "peer.db"
    make = "make_committing" if commits else "make_no_op"
    with _granian(sys.executable, f"stock_spyne:{make}", folder, threads, {"PEER_DATABASE": str(database)}) as server:
        server.database = database if commits else None
        yield server


@contextmanager
def soapbar(folder: Path, *, threads: int) -> Iterator[Server]:
    """soapbar under Granian's WSGI mode, one worker."""
    python = BUILD / "python" / "bin" / "python"
    if not python.exists():
        raise NotInstalled("soapbar")
    with _granian(str(python), "soapbar_no_op:make_no_op", folder, threads, {}) as server:
        yield server


@contextmanager
def npm(folder: Path, *, library: str) -> Iterator[Server]:
    """npm's soap or strong-soap under node's http server."""
    modules = BUILD / "node" / "node_modules"
    node = shutil.which("node")
    if node is None or not (modules / library).exists():
        raise NotInstalled(library)
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).parent / "peers" / "no_op.js"
    command = [node, str(script), library, str(port), str(ROOT / "wsdl" / "webchat.wsdl")]
    # Libraries choose their paths by it: what is run for a measurement is run as in production.
    environment = {"NODE_PATH": str(modules), "NODE_ENV": "production"}
    with _running(command, folder=folder, port=port, path="/webchat?wsdl", more=environment) as server:
        yield server


@contextmanager
def file_host(folder: Path) -> Iterator[Server]:
    """The file host of benchmarks/file_host.py over the files of a folder, in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.file_host", str(port), str(folder / "files")]
    with _running(command, folder=folder, port=port, path="/ready", more={}) as server:
        yield server


def version_of(package: str) -> str | None:
    """The version of an installed peer, None when it is not there."""
    import json

    manifest = BUILD / "node" / "node_modules" / package / "package.json"
    if manifest.exists():
        return str(json.loads(manifest.read_text())["version"])
    for folder in (BUILD / "python").glob(f"lib/*/site-packages/{package}-*.dist-info"):
        return folder.name.removesuffix(".dist-info").rpartition("-")[2]
    return None


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _granian(python: str, target: str, folder: Path, threads: int, more: dict[str, str]) -> Iterator[Server]:
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = [python, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--blocking-threads", str(threads), "--http", "1", "--no-ws", "--log-level", "error"]
    command += ["--factory", f"benchmarks.peers.{target}"]
    with _running(command, folder=folder, port=port, path="/?wsdl", more=more) as server:
        yield server


@contextmanager
def _running(
    command: list[str], *, folder: Path, port: int, path: str | None, more: dict[str, str]
) -> Iterator[Server]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WEBCHAT_", "GRANIAN_"))}
    environment |= {"PYTHONPATH": str(ROOT)} | more
    log = folder / "log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        if path is not None:
            wait_for_answer(process, port, path, log)
        yield Server(port=port, process=process, log=log)
    finally:
        _stop(process)


def wait_for_answer(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    """Return with the first answer of status 200."""
    give_up = time.monotonic() + _START_SECONDS
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"A server ended at its start: {log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            with closing(connection):
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    return
        if time.monotonic() > give_up:
            raise RuntimeError(f"A server did not answer within {_START_SECONDS:g} s: {log.read_text()[-2000:]}")
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"A server did not stop within {_STOP_SECONDS:g} s and is killed", file=sys.stderr)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its session: whatever it has left behind
    process.wait()
