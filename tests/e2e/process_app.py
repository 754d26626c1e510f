"""A tiny WSGI application that workers of the process tests import: one path per behaviour."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TinySettings:
    """What the tests tell the application."""

    notes: Path
    """A folder in which the application leaves a file for each thing that happened to it."""
    refuse_to_start: bool = False
    start_seconds: float = 0.0
    one_starts_alone: bool = False
    """All workers but the first to come wait for the file `go`."""


class Counted:
    """An iterable that notes when it is closed."""

    def __init__(self, pieces: Iterator[bytes], note: Path) -> None:
        self._pieces = pieces
        self._note = note

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self._note.write_text("closed")


class Later:
    """An answer that comes once the file `later-open` is there, and by then from a thread of its own; with the query
    `long` the thread that asks for it has to wait; with `news` it waits for others, and notes who gives up."""

    def __init__(self, application: TinyApplication, environ, start_response) -> None:
        self._notes = application._settings.notes
        self._application = application
        self._start_response = start_response
        self._kind = environ["QUERY_STRING"]
        self.is_long = self._kind in ("long", "news")

    def _wait(self) -> None:
        while not (self._notes / "later-open").exists():
            time.sleep(0.005)

    def when_ready(self, callback) -> bool:
        if self._kind == "long":
            return False
        threading.Thread(target=lambda: (self._wait(), callback())).start()
        self._application._note(f"asked-{id(self)}")
        return True

    def give_up(self) -> None:
        self._application._note(f"gave-up-{id(self)}")

    def __iter__(self) -> Iterator[bytes]:
        self._wait()
        yield from self._application._plain(self._start_response, b"later")


class Stillborn(threading.Thread):
    """Ends in its first moments, as one does that gets no memory there: who starts it waits for it for ever."""

    def _bootstrap(self) -> None:
        pass


class TinyApplication:
    def __init__(self, settings: TinySettings) -> None:
        self._settings = settings
        self._stopping = threading.Event()

    def only_computes(self, environ) -> bool:
        return environ["PATH_INFO"].startswith(("/quick", "/later"))

    def wake_all(self) -> None:
        self._note("woken")
        self._stopping.set()

    def close(self) -> None:
        self._note("closed")

    def _note(self, name: str) -> None:
        (self._settings.notes / f"{name}-{os.getpid()}").write_text("")

    def __call__(self, environ, start_response) -> Iterable[bytes]:
        name = environ["PATH_INFO"].strip("/").split("/")[0] or "hello"
        return getattr(self, "_" + name)(environ, start_response)

    def _plain(self, start_response, body: bytes, *headers: tuple[str, str]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers])
        return [body]

    def _hello(self, environ, start_response) -> Iterable[bytes]:
        return self._plain(start_response, b"hello")

    def _pid(self, environ, start_response) -> Iterable[bytes]:
        return self._plain(start_response, str(os.getpid()).encode())

    def _echo(self, environ, start_response) -> Iterable[bytes]:
        self._note("echo")
        return self._plain(start_response, environ["wsgi.input"].read())

    def _quick(self, environ, start_response) -> Iterable[bytes]:
        return self._plain(start_response, environ["wsgi.input"].read())

    def _later(self, environ, start_response) -> Iterable[bytes]:
        return Later(self, environ, start_response)

    def _environ(self, environ, start_response) -> Iterable[bytes]:
        shown = sorted(f"{name}={value}" for name, value in environ.items() if isinstance(value, str))
        return self._plain(start_response, "\n".join(shown).encode("latin-1"))

    def _wait(self, environ, start_response) -> Iterable[bytes]:
        self._note("waiting")
        woken = self._stopping.wait(30)
        return self._plain(start_response, b"woken" if woken else b"timeout")

    def _gate(self, environ, start_response) -> Iterable[bytes]:
        (self._settings.notes / f"gate-in-{environ['REMOTE_PORT']}").touch()
        while not (self._settings.notes / "gate-open").exists():
            time.sleep(0.02)
        return self._plain(start_response, b"open")

    def _stubborn(self, environ, start_response) -> Iterable[bytes]:
        self._note("waiting")
        time.sleep(30)
        return self._plain(start_response, b"too late")

    def _line(self, environ, start_response) -> Iterable[bytes]:
        return self._plain(start_response, f"{environ['webchat.exchange'].in_line_seconds:.3f}".encode())

    def _long(self, environ, start_response) -> Iterable[bytes]:
        return self._plain(start_response, bytes(int(environ["QUERY_STRING"])))

    def _die(self, environ, start_response) -> Iterable[bytes]:
        os._exit(3)

    def _stillborn(self, environ, start_response) -> Iterable[bytes]:
        Stillborn().start()
        return self._plain(start_response, b"started")

    def _raise(self, environ, start_response) -> Iterable[bytes]:
        raise ValueError("a secret")

    def _stream(self, environ, start_response) -> Iterable[bytes]:
        size = int(environ["QUERY_STRING"])
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))])
        block = bytes(64 * 1024)
        return Counted((block[: size - at] for at in range(0, size, len(block))), self._settings.notes / "stream")

    def _drip(self, environ, start_response) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])

        def pieces() -> Iterator[bytes]:
            for number in range(3):
                yield f"piece {number}\n".encode()
                while not (self._settings.notes / f"seen-{number}").exists():
                    time.sleep(0.005)

        return Counted(pieces(), self._settings.notes / "drip")

    def _broken(self, environ, start_response) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])

        def pieces() -> Iterator[bytes]:
            yield b"first"
            raise ValueError("a secret")

        return Counted(pieces(), self._settings.notes / "broken")


def make(settings: TinySettings) -> TinyApplication:
    if settings.refuse_to_start or (settings.notes / "refuse").exists():
        raise RuntimeError("the tiny application does not want to")
    (settings.notes / f"starting-{os.getpid()}").touch()
    time.sleep(settings.start_seconds)
    if settings.one_starts_alone:
        try:
            (settings.notes / "first").touch(exist_ok=False)
        except FileExistsError:
            (settings.notes / f"waits-{os.getpid()}").touch()
            while not (settings.notes / "go").exists():
                time.sleep(0.005)
    return TinyApplication(settings)
