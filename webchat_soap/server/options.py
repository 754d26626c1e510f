"""What `serve` is told, what it asks of the application, and the sentences it refuses with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

StartResponse = Callable[..., Callable[[bytes], object]]
"""PEP 3333's start_response(status, headers, exc_info=None)."""

Environ = dict[str, Any]
"""PEP 3333's environ."""


class ServeError(Exception):
    """The service cannot start. The message is one sentence that says why and what to do; nothing was left behind."""


class Later(Protocol):
    """An iterable of bytes (PEP 3333) that waits when it is iterated, and can call back instead."""

    def when_ready(self, callback: Callable[[], object], /) -> bool:
        """Call back, once, from any thread and perhaps at once, when iterating will not wait; False, and it is never
        called, when only iterating gets it done."""

    def give_up(self) -> None:
        """The client has gone: there is no callback any more, and nobody iterates."""

    @property
    def is_long(self) -> bool:
        """Of one that only iterating gets done: whether that waits for others rather than for the disk."""


class Sink(Protocol):
    """Where a pushed answer goes. All methods may be called from any thread, and none waits."""

    @property
    def is_free(self) -> bool:
        """Whether the reader has taken what was sent, so that `send` takes something more."""

    def send(self, data: bytes, /) -> bool:
        """Send it; False when that is not possible now, because the last is still on its way, or any more."""

    def end(self) -> None:
        """Nothing more comes. Idempotent."""


class Pushed(Protocol):
    """An iterable of bytes (PEP 3333) that waits when it is iterated, and can be handed a sink instead.

    The response has been started when the application returns one.
    """

    def push_to(self, sink: Sink, /) -> None:
        """Send there from now on, from any thread. Does not wait."""

    def gone(self) -> None:
        """The reader has gone, or was cut off. Called once, unless the sink was ended before. Does not wait."""


class Application(Protocol):
    """A WSGI callable that a process can also wind down. Called from many threads at once."""

    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Iterable[bytes]:
        """PEP 3333. `wsgi.input` holds the whole body already."""

    def only_computes(self, environ: Environ, /) -> bool:
        """Whether this call neither waits nor reads from a disk before it returns, so that no thread is needed for it:
        it returns its whole answer as a list, or a Later. One of which that is not said stands in line for a thread,
        behind all that have begun; so a call may also be sent there because others are to come first."""

    def wake_all(self) -> None:
        """Let every waiting call go and let no new one wait: the process is stopping. Idempotent."""

    def close(self) -> None:
        """Finish what is under way and let go of stores. Nothing is called afterwards."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a worker takes, and for how long."""

    max_request_bytes: int = 1024 * 1024
    request_seconds: float = 15.0
    """From the head's arrival until the body's last byte."""
    least_bytes_per_second: int = 1024
    rate_seconds: float = 6.0
    """A body comes at the least rate in each span of so long. A phone that changes cells is silent for 3 s."""
    max_held_bytes: int = 128 * 1024 * 1024
    """All bodies together that are not yet in the application; beyond it 503."""
    max_long_threads: int = 128
    """64 fetches, and 64 retries that wait for their first call."""
    max_threads: int = 128
    """For what reads from the disk; most of the time one or two of them are enough."""
    max_in_line: int = 2000
    """Calls that find none of these threads."""
    linger_seconds: float = 2.0
    """How long the rest of a refused body is read and dropped, so that the client reads the refusal and not a reset."""
    reader_seconds: float = 60.0
    """A reader that takes no further 64 KiB for so long is cut off."""
    hurried_reader_seconds: float = 5.0
    """The same while most of the streams or of the bytes not yet sent are taken: 13 KiB/s are the least then."""
    max_streams: int = 200
    """Answers on their way to readers who take their time; files (web.public_files) keep to the same number."""
    max_unsent_bytes: int = 128 * 1024 * 1024
    """All long answers together that wait for their readers; beyond it 503."""
    max_connections: int = 4000
    """Further ones wait to be accepted. An idle one costs about 10 KiB."""

    @property
    def max_pieces(self) -> int:
        """A body of so many pieces is sent byte by byte to keep us busy; networks bring some 1,400 bytes in each."""
        return 8192 + self.max_request_bytes // 256


def do_nothing() -> None:
    """The default for `before_workers`."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How to serve (contract section 8 where a setting stands behind it)."""

    host: str
    """An IP address or a name; a name is resolved once, at the start."""
    port: int
    """1..65535."""
    data_dir: Path
    """Held by a lock as long as a process of this service lives."""
    settings: object
    """Handed to the factory in each worker."""
    application_factory: str = "webchat_soap.app:create_app"
    """`module:name` of a callable(settings) -> Application, called once in each worker."""
    workers: int = 1
    """Processes. One uses two cores: the second carries HTTP and SQLite. Two make 1.2 times the calls there."""
    max_request_bytes: int = 1024 * 1024
    """A longer body is 413. Contract: WEBCHAT_MAX_REQUEST."""
    request_seconds: float = 15
    """The head must have come by then, and again the body. Contract: WEBCHAT_REQUEST_SECONDS."""
    shutdown_seconds: float = 20
    """What is in flight at SIGTERM may take this long. Contract: WEBCHAT_SHUTDOWN_SECONDS."""
    limits: Limits = Limits()
    """What stands above in it is overruled by the two fields here."""
    ready_message: str | Callable[[], str] = ""
    """Written to stdout once every worker answers; nothing when empty. Asked for then, where it is not known before."""
    before_workers: Callable[[], None] = do_nothing
    """Runs in the parent under the lock, before any worker is forked: the sweep. It must close what it opens."""
