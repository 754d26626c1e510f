"""One console's stream of events (Server-Sent Events, WHATWG HTML section 9.2), as an answer that a server can push or,
where it cannot, hold a thread for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from webchat_soap.web.console_json import Json, dump

HEADERS: Final = [
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    # nginx would else gather events until a buffer is full.
    ("X-Accel-Buffering", "no"),
]

HEARTBEAT: Final = b":\n\n"

_HELD_AT_MOST: Final = 4


class Sink(Protocol):
    """Where the events go (server.options.Sink)."""

    @property
    def is_free(self) -> bool: ...

    def send(self, data: bytes, /) -> bool: ...

    def end(self) -> None: ...


def event(name: str, data: Json, *, event_id: int | None = None) -> bytes:
    """An event on the wire."""
    number = b"" if event_id is None else b"id: %d\n" % event_id
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), number, dump(data))


class EventStream:
    """What the application returns for `GET events`. `join` is called with the sink once there is one, and `leave` when
    the reader has gone."""

    def __init__(self, *, join: Callable[[Sink], object], leave: Callable[[], object]) -> None:
        self._join = join
        self._leave = leave
        self._held: HeldSink | None = None

    def push_to(self, sink: Sink) -> None:
        """server.options.Pushed."""
        self._join(sink)

    def gone(self) -> None:
        """server.options.Pushed."""
        self._leave()

    def __iter__(self) -> Iterator[bytes]:
        self._held = HeldSink()
        self._join(self._held)
        return iter(self._held)

    def close(self) -> None:
        """PEP 3333, for servers that iterate."""
        if self._held is not None:
            self._held.end()
            self._leave()


class HeldSink:
    """A sink for a server that gives each answer a thread, which waits here."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._ended = threading.Event()

    @property
    def is_free(self) -> bool:
        """Sink.is_free."""
        return not self._ended.is_set() and self._events.qsize() < _HELD_AT_MOST

    def send(self, data: bytes) -> bool:
        """Sink.send."""
        if not self.is_free:
            return False
        self._events.put(data)
        return True

    def end(self) -> None:
        """Sink.end."""
        if not self._ended.is_set():
            self._ended.set()
            self._events.put(None)

    def __iter__(self) -> Iterator[bytes]:
        while (data := self._events.get()) is not None:
            yield data
