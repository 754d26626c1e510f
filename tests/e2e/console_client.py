"""The console's API and its event streams, spoken over real HTTP, and the process that serves them."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tests.e2e.processes import READY, Service, free_port, running
from webchat_soap.server import ServeOptions

ENVELOPE = (
    '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
    '<{0} xmlns="urn:webchat:v1">{1}</{0}></e:Body></e:Envelope>'
)


class Desk:
    """A service with a console, and an agent at it."""

    def __init__(self, service: Service, data: Path, agent: str = "Ayse") -> None:
        self.service = service
        self.data = data
        self.agent = agent
        self.url = f"http://127.0.0.1:{service.port}"
        self.http = requests.Session()
        self.http.cookies.set("webchat_agent", agent)
        self.http.headers["X-CSRF-Token"] = "token"

    def beside(self, agent: str) -> Desk:
        """Another agent."""
        return Desk(self.service, self.data, agent)

    def soap(self, operation: str, inner: str) -> str:
        body = ENVELOPE.format(operation, inner).encode()
        answer = requests.post(f"{self.url}/webchat", data=body, headers={"Content-Type": "text/xml"}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.text

    def send(self, chat_id: str, text: str = "hello") -> None:
        """A customer's text."""
        self.soap("SendMessage", f'<CHATID>{chat_id}</CHATID><fileDetails>{{"text": "{text}"}}</fileDetails>')

    def api(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.http.request(method, f"{self.url}/agent/api/{path}", timeout=30, **more)

    def get(self, path: str) -> Any:
        answer = self.api("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Status and error of a call that must be refused."""
        answer = self.api(method, path, **more)
        assert answer.status_code >= 400, answer.text
        assert answer.headers["Content-Type"] == "application/json"
        error = answer.json()["error"]
        return answer.status_code, error

    def post(self, chat_id: str, text: str, token: str) -> requests.Response:
        return self.api("POST", f"chats/{chat_id}/messages", json={"text": text, "clientToken": token})

    def put(self, chat_id: str, token: str, piece: bytes, *, offset: int, size: int, name: str = "a.png"):
        query = {"offset": offset, "size": size, "name": name}
        return self.api("PUT", f"chats/{chat_id}/uploads/{token}", params=query, data=piece)

    def events(self, query: str = "", last_id: int | None = None) -> Events:
        return Events(self, query, last_id)

    def sign_out(self) -> None:
        (self.data / f"signed-out-{self.agent}").touch()


class Events:
    """One stream, read by hand on a socket of its own."""

    def __init__(self, desk: Desk, query: str, last_id: int | None = None, *, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", desk.service.port))
        last = "" if last_id is None else f"Last-Event-ID: {last_id}\r\n"
        self.socket.sendall(
            f"GET /agent/api/events{query} HTTP/1.1\r\nHost: test\r\nCookie: webchat_agent={desk.agent}\r\n"
            f"{last}\r\n".encode()
        )
        self._file = self.socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.headers[name.lower()] = value

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def _lines(self) -> Iterator[bytes]:
        """Without the framing of chunks, each of which holds whole lines here."""
        while True:
            head = self._file.readline().strip()
            size = int(head or b"0", 16)
            chunk = self._file.read(size + 2)[:size]
            if not chunk:
                return
            yield from chunk.split(b"\n")

    def __iter__(self) -> Iterator[tuple[str, Any, int | None]]:
        name, event_id, data = "", None, None
        for line in self._lines():
            field, _, value = line.partition(b": ")
            if field == b"event":
                name = value.decode()
            elif field == b"id":
                event_id = int(value)
            elif field == b"data":
                data = json.loads(value)
            elif field == b"" and data is not None:
                yield name, data, event_id
                name, event_id, data = "", None, None

    def until(self, wanted: str, seconds: float = 15.0) -> Any:
        """The data of the next event of this name."""
        give_up = time.monotonic() + seconds
        for name, data, _ in self:
            if name == wanted:
                return data
            assert time.monotonic() < give_up
        raise AssertionError(f"the stream ended before an event {wanted}")


@contextlib.contextmanager
def console(
    data: Path, *, workers: int = 1, factory: str = "tests.console_gate:make_app", **settings: str
) -> Iterator[Desk]:
    """A service in processes of its own, until the context is left; its log must hold no trace."""
    port = free_port()
    environ = {"WEBCHAT_DATA_DIR": str(data), "WEBCHAT_BIND": f"127.0.0.1:{port}", **settings}
    options = ServeOptions(
        host="127.0.0.1",
        port=port,
        data_dir=data,
        settings=environ,
        application_factory=factory,
        workers=workers,
        ready_message=READY,
        max_request_bytes=int(settings.get("WEBCHAT_MAX_REQUEST", 1024 * 1024)),
    )
    with running(options) as service:
        said: list[bytes] = []
        # A log line a request would fill the pipe.
        assert service.process.stderr is not None
        reader = threading.Thread(target=said.extend, args=(service.process.stderr,), daemon=True)
        reader.start()
        yield Desk(service, data)
        if service.process.poll() is None:
            service.terminate()
        reader.join()
        problems = [line for line in said if b"Traceback" in line or b"raised" in line or b"unforeseen" in line]
        assert problems == [], b"".join(said)[-5000:]
