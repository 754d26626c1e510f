"""A file host on raw sockets that does exactly what a test's script says, however wrong that is.

    with FileHost() as host:
        url = host.serve("/a.png", png)                          # a well-behaved file
        url = host.redirect("/go", "http://10.0.0.1/")           # status and Location
        url = host.answer("/raw", b"HTTP/1.1 200 OK\\r\\n...")     # these very bytes, then close
        url = host.script("/slow", lambda connection, request: connection.drip(b"..."))
        host.on_connect = FileHost.silence                       # before any request is read
        host.requests, host.connections                          # what came

Scripts run in a thread each and end at once when the host is left, or the other side goes away: nothing here waits for
a fixed time. `FileHost(tls="host")` speaks TLS with a certificate of tests/data/tls: `host` (localhost, 127.0.0.1, ::1,
files.example), `other` (other.example alone) or `expired`; TLS_CA_FILE is what to trust.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_TLS_FOLDER = Path(__file__).parent / "data" / "tls"
TLS_CA_FILE = _TLS_FOLDER / "ca.pem"

_MAX_HEAD_BYTES = 64 * 1024
_POLL_SECONDS = 0.05  # how soon a thread notices that the host is left


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request as it came. Header names are in lower case; a repeated one keeps its last value."""

    method: str
    path: str
    """Path and query, as on the request line."""
    headers: dict[str, str]
    raw: bytes


class Connection:
    """The host's end of one connection. Every method raises OSError when the other side is gone or the host is left."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self._socket = sock
        self._stopping = stopping

    def send(self, data: bytes) -> None:
        """All of it."""
        view = memoryview(data)
        while view:
            self._check()
            with contextlib.suppress(TimeoutError):
                view = view[self._socket.send(view) :]

    def send_forever(self, data: bytes) -> None:
        """The same again and again, until the other side goes away."""
        while True:
            self.send(data)

    def drip(self, data: Iterable[int], *, every_seconds: float = 0.01) -> None:
        """One byte at a time. `itertools.repeat(0)` never ends."""
        for byte in data:
            self.send(bytes((byte,)))
            self._stopping.wait(every_seconds)

    def silence(self) -> None:
        """Send nothing until the other side goes away."""
        with contextlib.suppress(OSError):
            while True:
                self._check()
                with contextlib.suppress(TimeoutError):
                    if not self._socket.recv(65536):
                        return

    def wait(self, event: threading.Event) -> None:
        """Until the test sets `event`."""
        while not event.wait(_POLL_SECONDS):
            self._check()

    def reset(self) -> None:
        """Break the connection with a TCP reset instead of an orderly end."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        """End the connection in order, after what was sent; a TLS connection without its closing alert."""
        self._socket.close()

    def read_head(self) -> bytes:
        """A request's head with the empty line at its end; empty when the other side sent none."""
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD_BYTES:
            self._check()
            with contextlib.suppress(TimeoutError):
                data = self._socket.recv(65536)
                if not data:
                    return b""
                head += data
        return head

    def _check(self) -> None:
        if self._stopping.is_set():
            raise ConnectionAbortedError("the file host was left")


Script = Callable[[Connection, Request], None]


class FileHost:
    """A host on a free port of loopback; `requests` and `connections` tell what has come so far."""

    def __init__(self, *, address: str = "127.0.0.1", port: int = 0, tls: str | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.on_connect: Callable[[Connection], None] | None = None
        """Set to do something else than to read a request, also before a TLS handshake."""
        self._scripts: dict[str, Script] = {}
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._tls: ssl.SSLContext | None = None
        if tls is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(_TLS_FOLDER / f"{tls}.pem")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family, backlog=128)
        self._listener.settimeout(_POLL_SECONDS)
        self.address = address
        self.port: int = self._listener.getsockname()[1]
        shown = f"[{address}]" if ":" in address else address
        self.url = f"{'https' if tls else 'http'}://{shown}:{self.port}"
        """Without a slash at its end."""

    def __enter__(self) -> FileHost:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # on Linux this wakes the waiting accept
        self._listener.close()
        for thread in list(self._threads):
            thread.join(timeout=10)
            assert not thread.is_alive(), "a script of the file host does not end"

    def serve(
        self,
        path: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        status: str = "200 OK",
        headers: Iterable[str] = (),
        chunked: bool = False,
    ) -> str:
        """An orderly answer with `body`; returns its URL. `headers` are whole lines without their line ends."""
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", framing, *headers, "Connection: close"]
        return self.answer(path, head(*lines) + (chunks(body) if chunked else body))

    def redirect(self, path: str, location: str, *, status: str = "302 Found") -> str:
        """A redirect; returns its URL."""
        return self.serve(path, b"", status=status, headers=[f"Location: {location}"])

    def answer(self, path: str, data: bytes) -> str:
        """These bytes and the end of the connection; returns the URL."""
        return self.script(path, lambda connection, request: connection.send(data))

    def script(self, path: str, script: Script) -> str:
        """Run `script` for requests of `path` (with its query); the connection ends with it. Returns the URL."""
        self._scripts[path] = script
        return self.url + path

    @staticmethod
    def silence(connection: Connection) -> None:
        """For `on_connect`: take the connection and say nothing."""
        connection.silence()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="file-host", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.connections += 1
            self._start(self._converse, sock)

    def _converse(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            sock.settimeout(_POLL_SECONDS)
            if self.on_connect is not None:
                self.on_connect(Connection(sock, self._stopping))
                return
            if self._tls is None:
                self._answer(Connection(sock, self._stopping))
                return
            sock.settimeout(10)
            with self._tls.wrap_socket(sock, server_side=True) as wrapped:
                wrapped.settimeout(_POLL_SECONDS)
                self._answer(Connection(wrapped, self._stopping))
                with contextlib.suppress(OSError, ValueError):  # a script may have closed it
                    wrapped.settimeout(1)
                    wrapped.unwrap()

    def _answer(self, connection: Connection) -> None:
        raw = connection.read_head()
        if not raw:
            return
        lines = raw.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        fields = (line.partition(":") for line in lines[1:] if line)
        request = Request(
            method=method, path=path, headers={name.lower(): value.strip() for name, _, value in fields}, raw=raw
        )
        self.requests.append(request)
        script = self._scripts.get(path)
        if script is None:
            connection.send(head("HTTP/1.1 404 Not Found", "Content-Length: 0", "Connection: close"))
        else:
            script(connection, request)


def head(*lines: str) -> bytes:
    """Lines with their line ends and the empty line after them; text beyond Latin-1 goes as UTF-8."""
    return "\r\n".join((*lines, "", "")).encode()


def chunks(*parts: bytes) -> bytes:
    """The parts as a whole chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"
