"""Long work in its own rooms: files and waits beyond them are told so at once, and texts never wait for them."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.e2e.console_script import Running, running, until
from tests.file_host import Connection, FileHost, Request
from tests.file_host import head as lines
from tests.serving import SAMPLES


class Load:
    """A service with small rooms, a host that drips, and an honest one."""

    def __init__(self, service: Running, slow: FileHost, honest: FileHost) -> None:
        self.service = service
        self.slow = slow
        self.honest = honest
        self.dripping = 0
        self.url = slow.script("/drips.png", self._drip)
        self.picture = honest.serve("/a.png", next(SAMPLES.rglob("*.png")).read_bytes())
        self.stop = threading.Event()

    def _drip(self, connection: Connection, request: Request) -> None:
        self.dripping += 1
        connection.send(lines("HTTP/1.1 200 OK", "Content-Length: 1000000") + b"\x89PNG")
        while not self.stop.is_set():
            connection.drip(b"x", every_seconds=0.05)

    def call(self, operation: str, **parameters: object) -> str:
        """The answer's body."""
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in parameters.items())
        body = (
            '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>'
            f'<{operation} xmlns="urn:webchat:v1">{inner}</{operation}></Body></Envelope>'
        )
        return requests.post(
            f"{self.service.url}/webchat", data=body.encode(), headers={"Content-Type": "text/xml"}, timeout=60
        ).text

    def upload(self, url: str, chat: str) -> str:
        return self.call("UploadFile", CHATID=chat, fileDetails=json.dumps({"fileUrl": url}))

    def text(self, chat: str = "text") -> float:
        """Seconds that a text took."""
        began = time.monotonic()
        assert "messageId>" in self.call("SendMessage", CHATID=chat, fileDetails='{"text": "quick"}')
        return time.monotonic() - began


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    data: Path = tmp_path_factory.mktemp("service") / "data"
    with FileHost() as slow, FileHost(address="127.0.0.2") as honest:
        allowed = f"127.0.0.1:{slow.port},127.0.0.2:{honest.port}"
        small = {"MAX_FETCHES": "8", "MAX_WAITING": "8", "LOG": "json"}
        with running(data, FETCH_ALLOW=allowed, **small) as service:
            load = Load(service, slow, honest)
            yield load
            load.stop.set()


def test_beside_a_flood_of_files_from_a_dripping_host_others_and_texts_are_served(load: Load) -> None:
    load.text()
    with ThreadPoolExecutor(60) as pool:
        first = [pool.submit(load.upload, load.url, f"drip-{number}") for number in range(6)]
        until(lambda: load.dripping == 6, seconds=20, what="the downloads do not begin")
        began = time.monotonic()
        flood = list(pool.map(lambda number: load.upload(load.url, f"flood-{number}"), range(200)))
        took = time.monotonic() - began
        assert all("Busy" in answer and "retryAfterSeconds>5<" in answer for answer in flood)
        assert load.dripping == 6
        assert took < 10  # 200 of them at once, on whatever machine
        assert "sha256" in load.upload(load.picture, "honest")
        assert max(load.text() for _ in range(20)) < 1
        load.stop.set()
        assert all("DownloadFailed" in call.result() for call in first)


def test_waits_beyond_the_room_get_their_empty_page_after_a_second_and_no_thread(load: Load) -> None:
    for chat in ("many", "one"):
        load.call("StartChat", CHATID=chat)

    def wait(chat: str) -> tuple[float, bool]:
        began = time.monotonic()
        answer = load.call("GetMessages", CHATID=chat, waitSeconds=20)
        return time.monotonic() - began, "quick" in answer

    with ThreadPoolExecutor(60) as pool:
        waits = [pool.submit(wait, "many") for _ in range(50)]
        until(lambda: sum(call.done() for call in waits) == 44, seconds=15, what="the others are not answered")
        one = pool.submit(wait, "one")
        beyond = [call.result() for call in waits if call.done()]
        assert all(1.0 <= seconds < 5 and not news for seconds, news in beyond)
        load.text("many")
        assert sorted(call.result()[1] for call in waits) == [False] * 44 + [True] * 6
        assert not one.done()
        load.text("one")
        assert one.result()[1]


def test_the_log_tells_how_long_a_call_stood_in_line(load: Load) -> None:
    load.text()

    def last() -> dict[str, object]:
        lines = load.service.log.read_text().splitlines()
        return next(line for line in map(json.loads, reversed(lines)) if line.get("operation") == "SendMessage")

    until(lambda: last()["in_line_milliseconds"] is not None, seconds=10, what="there is no line")
    assert 0 <= float(str(last()["in_line_milliseconds"])) < 1000


def test_a_text_does_not_stand_in_the_line_of_a_thousand_uploads(load: Load) -> None:
    body = (
        '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>'
        '<UploadFile xmlns="urn:webchat:v1"><CHATID>line</CHATID>'
        f'<fileDetails>{{"fileUrl": "{load.picture}"}}</fileDetails></UploadFile></Body></Envelope>'
    ).encode()
    head = b"POST /webchat HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body)
    request = head + body
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", load.service.port), 30)) for _ in range(1000)
        ]
        for client in clients:
            client.sendall(request)
        load.text("line")
        assert all(client.recv(65536)[9:12] in (b"200", b"500") for client in clients)

    def in_line(operation: str) -> list[float]:
        lines = (json.loads(line) for line in load.service.log.read_text().splitlines() if line.startswith("{"))
        calls = (line for line in lines if (line.get("operation"), line.get("chat")) == (operation, "line"))
        return [call["in_line_milliseconds"] for call in calls]

    until(lambda: len(in_line("UploadFile")) == 1000, seconds=10, what="the log does not tell of all")
    assert in_line("SendMessage") == [0.0]
    assert max(in_line("UploadFile")) > 1.0  # there was a line
