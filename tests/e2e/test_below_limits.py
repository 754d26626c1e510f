"""Limits on open files and memory: nothing spins, nothing is half done, and all is well once they are lifted."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import requests

from tests.e2e.below import TEXT_FILE, Answer, Client, assert_busy, need, serving
from tests.e2e.console_script import children_of, is_alive, until
from tests.file_host import Connection, Request, head


def set_limit(pid: int, name: str, value: int | str) -> None:
    """Change a soft limit of a running process."""
    need("prlimit")
    subprocess.run(["prlimit", f"--pid={pid}", f"--{name}={value}:"], check=True)


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def processor_seconds(pid: int) -> float:
    """What the process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_uploads_without_descriptors_are_busy_beside_texts_that_go_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    go_on = threading.Event()

    def hold(connection: Connection, request: Request) -> None:
        connection.send(head("HTTP/1.1 200 OK", f"Content-Length: {len(TEXT_FILE)}", "Connection: close"))
        connection.wait(go_on)
        connection.send(TEXT_FILE)

    need("prlimit")
    with serving(data, by=("prlimit", "--nofile=64:64")) as client:
        url = client.host.script("/held.txt", hold)
        assert client.text(token="opens the tokens' file").code is None
        answers: list[Answer] = []
        uploads = [threading.Thread(target=lambda: answers.append(client.upload(url=url))) for _ in range(15)]
        for upload in uploads:
            upload.start()
        until(lambda: answers, seconds=20, what="no upload is refused")
        for answer in answers:
            assert_busy(answer, data)
        assert client.text().code is None
        go_on.set()
        for upload in uploads:
            upload.join()
        refused = [answer for answer in answers if answer.code is not None]
        assert len(refused) < len(uploads)
        for answer in refused:
            assert_busy(answer, data)
        client.assert_full_service()
        client.assert_logs("cause=out of file descriptors")


def test_more_connections_than_descriptors_wait_without_a_spinning_loop(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, by=("prlimit", "--nofile=128:128")) as client, ExitStack() as connections:
        (worker,) = client.service.workers
        with requests.Session() as session:  # a connection that is there already is served on
            health = f"{client.service.url}/healthz"
            assert session.get(health, timeout=5).status_code == 200
            for _ in range(200):
                connections.enter_context(socket.create_connection(("127.0.0.1", client.service.port)))
            assert session.get(f"{client.service.url}/readyz", timeout=5).status_code == 200
            assert open_files(worker) < 100
            used = processor_seconds(worker)
            rest = time.monotonic() + 0.5
            while time.monotonic() < rest:
                assert session.get(health, timeout=5).status_code == 200
                threading.Event().wait(0.1)
            assert processor_seconds(worker) - used < 0.25
        connections.close()
        client.assert_full_service()
        assert client.service.workers == [worker]


def test_a_limit_that_is_lowered_under_a_running_service_is_noticed_and_mended(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as client, ExitStack() as connections:
        assert client.upload().code is None
        (worker,) = client.service.workers
        set_limit(worker, "nofile", open_files(worker) + 10)
        for _ in range(50):
            connections.enter_context(socket.create_connection(("127.0.0.1", client.service.port)))
        client.assert_logs("limit on open files was lowered")
        client.assert_full_service()
        # With the hard limit there is nothing to raise: another worker, that counts with what it may, takes over.
        lowered = open_files(worker) + 10
        subprocess.run(["prlimit", f"--pid={worker}", f"--nofile={lowered}:{lowered}"], check=True)
        for _ in range(50):
            connections.enter_context(socket.create_connection(("127.0.0.1", client.service.port)))
        until(lambda: not is_alive(worker), seconds=20, what="the worker stays")
        client.assert_full_service()


def test_without_memory_calls_fail_whole_and_service_comes_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, MAX_REQUEST="64MiB") as client:
        assert client.upload().code is None
        (worker,) = client.service.workers
        size = re.search(r"VmSize:\s+(\d+)", Path(f"/proc/{worker}/status").read_text())
        assert size is not None
        set_limit(worker, "as", int(size[1]) * 1024)
        url = f"{client.service.url}/webchat"
        # What does not fit is refused, or cut off where there is no memory to say so.
        codes: set[int | None] = set()
        for _ in range(4):
            try:
                codes.add(requests.post(url, data=bytes(48 << 20), timeout=30).status_code)
            except requests.ConnectionError:
                codes.add(None)
        assert codes <= {413, 415, 500, 503, None}
        waits = [threading.Thread(target=wait_for_news, args=(client,)) for _ in range(30)]
        for wait in waits:
            wait.start()
        for wait in waits:
            wait.join()
        if is_alive(worker):
            set_limit(worker, "as", "unlimited")
        until(lambda: children_of(client.service.process.pid) != [], seconds=10, what="no worker is there")
        client.assert_full_service()
        # Nothing is left counted: afterwards as many may wait side by side as ever, and as much be sent.
        began = time.monotonic()
        waits = [threading.Thread(target=wait_for_news, args=(client,)) for _ in range(30)]
        for wait in waits:
            wait.start()
        for wait in waits:
            wait.join()
        assert time.monotonic() - began < 10, "those who wait stand in line"
        for _ in range(4):
            assert requests.post(url, data=bytes(48 << 20), timeout=30).status_code != 503


def wait_for_news(client: Client) -> None:
    """A GetMessages that waits a second, whatever becomes of it."""
    try:
        client.call("GetMessages", CHATID="a", afterSequence=1000, waitSeconds=1)
    except requests.RequestException:
        return
