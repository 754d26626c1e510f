"""All that touches the inside of Granian: its HTTP engine without its Python side.

Granian's ASGI mode is the one of its three that reports a malformed chunk and lets a sender wait for a slow reader, but
its way through asyncio costs a request 40 to 60 µs of the processor: a task, three wake-ups of the loop, a thread
handed over twice. Here the engine calls a function for each request, on a thread of its own that must not wait, and
the threads that run the application answer it directly.

Written against granian 2.8: `ASGIWorker`, `CallbackScheduler`, the watcher it hands over, and its futures, which want
an event loop only for `call_soon` and `call_soon_threadsafe`. tests/e2e/test_process*.py go through all of it.
"""

from __future__ import annotations

import logging
import os
import resource
import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol

from granian._granian import ASGIWorker, CallbackScheduler, SocketHolder, WorkerSignal
from granian.http import HTTP1Settings

log = logging.getLogger(__name__)

BACKLOG = 1024

_OTHER_DESCRIPTORS = 256
"""For database, spool and downloads: 64 uploads take three each at most."""

_MOST_HEAD_BYTES = 64 * 1024
"""Request line and headers; also what is read ahead of a body."""


Message = dict[str, Any]
"""An ASGI message (`http.request`, `http.disconnect`, `http.response.start`, `http.response.body`)."""


class Future(Protocol):
    """A value that is not there yet."""

    def add_done_callback(self, callback: Callable[[Any], None], context: None = None) -> None:
        """Call back with this future, at once where it is done already; on the engine's thread otherwise."""

    def cancelled(self) -> bool:
        """Whether `cancel` came first."""

    def cancel(self) -> bool:
        """Give up; the callback is called in this very thread."""

    def result(self) -> Message:
        """The message, once it is done and not cancelled."""


class Connection(Protocol):
    """A request's two directions. Methods may be called from any thread and never wait."""

    def receive(self) -> Future:
        """The next piece of the body; `http.disconnect` when it is malformed, cut short, or the client has gone."""

    def send(self, message: Message) -> object:
        """Send on; what is returned has `add_done_callback` only if the reader is slow and must be waited for."""


class Arrival(Protocol):
    """A request whose head has come."""

    scope: dict[str, Any]
    proto: Connection

    def done(self) -> None:
        """Let go of the request. What was begun and not ended is cut off."""


class _Loop:
    """The little that Granian's futures ask of an event loop. Whoever completes a future runs its callbacks."""

    def call_soon(self, callback: Callable[..., object], *arguments: object, context: object = None) -> None:
        callback(*arguments)

    call_soon_threadsafe = call_soon


class _Scheduler(CallbackScheduler):
    def __init__(self, *_: object) -> None:
        super().__init__()


def most_connections(wanted: int, *, descriptors: int) -> int:
    """How many connections a worker may take that may open so many files.

    Each may have a file to send. The engine's accept loop must never meet the limit: it has no pause for that, so that
    it burns a core until descriptors are free, and meanwhile database and files get none either.
    """
    if descriptors == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(descriptors // 4, (descriptors - _OTHER_DESCRIPTORS) // 2))


THREAD_NAMES = "tokio"
"""How the names of the engine's own threads begin, which move bytes and run no Python."""


class Engine:
    """Granian's HTTP/1.1 server on a listening socket: accepts, parses heads, keeps connections alive."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        head_seconds: float,
        max_connections: int,
        arrived: Callable[[Arrival], None],
    ) -> None:
        """`arrived` is called for each request on the engine's thread; it must neither wait nor raise.

        A head that has not come after `head_seconds`, the wait on an idle connection included, ends its connection.
        """
        loop = _Loop()
        self._ended = threading.Event()
        self._signal = WorkerSignal()
        self._signal.add_cb(self._ended.set)
        self._stopped = False
        scheduler = _Scheduler(loop, arrived, None, None, None)
        scheduler._schedule_fn = arrived  # type: ignore[attr-defined]  # not in its stub
        # The engine closes its descriptor when it stops, so it gets one of its own.
        self._descriptor = os.dup(listener.fileno())
        self._socket = os.fstat(self._descriptor).st_ino
        holder = SocketHolder(self._descriptor, False, BACKLOG)  # type: ignore[call-arg]  # not in its stub
        settings = HTTP1Settings(header_read_timeout=max(1, int(head_seconds * 1000)), max_buffer_size=_MOST_HEAD_BYTES)
        make_worker: Any = ASGIWorker  # its stub is older than it
        worker = make_worker(1, (None, holder), None, backpressure=max_connections, http_mode="1", http1_opts=settings)
        worker.serve_mtr(scheduler, loop, self._signal)

    def stop(self) -> None:
        """Accept no more, end idle connections, let the others finish. Idempotent; does not wait."""
        if not self._stopped:  # a third signal would block for ever: its channel holds one
            self._stopped = True
            self._signal.set()

    def accepts(self) -> bool:
        """Whether it has its listening socket still, which it lets go of some time after `stop`."""
        try:
            return os.fstat(self._descriptor).st_ino == self._socket
        except OSError:
            return False

    def wait(self, timeout_seconds: float) -> bool:
        """True when the last connection has ended."""
        return self._ended.wait(timeout_seconds)
