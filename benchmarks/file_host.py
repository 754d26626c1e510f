"""A cheap file host: sendfile from a folder, a thread a connection.

    python -m benchmarks.file_host PORT FOLDER

`GET /NAME?together=N` holds the answer until N such requests are there, at most two seconds: they are then under way at
the same time, however fast each would be.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_TOGETHER_SECONDS = 2.0
_TYPES = {".wav": "audio/wav"}


class _Gate:
    """Lets nobody through until so many are there."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._there = 0

    def wait(self, count: int) -> None:
        with self._condition:
            self._there += 1
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._there >= count, timeout=_TOGETHER_SECONDS)


def serve(port: int, folder: Path) -> None:
    """For ever."""
    gate = _Gate()
    with socket.create_server(("127.0.0.1", port), backlog=512) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection, folder, gate), daemon=True).start()


def _answer(connection: socket.socket, folder: Path, gate: _Gate) -> None:
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            got = connection.recv(65536)
            if not got:
                return
            head += got
        url = urlsplit(head.split(b" ", 2)[1].decode())
        path = folder / Path(url.path).name
        if url.path == "/ready" or not path.is_file():
            status = b"200 OK" if url.path == "/ready" else b"404 Not Found"
            connection.sendall(b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
            return
        together = parse_qs(url.query).get("together")
        if together:
            gate.wait(int(together[0]))
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            kind = _TYPES.get(path.suffix, "application/octet-stream")
            connection.sendall(
                f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            sent = 0
            while sent < size:
                sent += os.sendfile(connection.fileno(), file.fileno(), sent, size - sent)


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
