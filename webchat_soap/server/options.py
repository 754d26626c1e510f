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

    @property
    def is_long(self) -> bool:
        """Of one that only iterating gets done: whether that waits for others rather than for the disk."""


class Application(Protocol):
    """A WSGI callable that a process can also wind down. Called from many threads at once."""

    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Iterable[bytes]:
        """PEP 3333. `wsgi.input` holds the whole body already."""

    def only_computes(self, environ: Environ, /) -> bool:
        """Whether this call neither waits nor reads from a disk before it returns, so that no thread is needed for it:
        it returns its whole answer as a list, or a Later."""

    def wake_all(self) -> None:
        """Let every waiting call go and let no new one wait: the process is stopping. Idempotent."""

    def close(self) -> None:
        """Finish what is under way and let go of stores. Nothing is called afterwards."""


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
    """Processes. One serves best on two cores as long as Python computes: the second core carries HTTP and SQLite."""
    max_request_bytes: int = 1024 * 1024
    """A longer body is 413. Contract: WEBCHAT_MAX_REQUEST."""
    request_seconds: float = 15
    """The head must have come by then, and again the body. Contract: WEBCHAT_REQUEST_SECONDS."""
    shutdown_seconds: float = 20
    """What is in flight at SIGTERM may take this long. Contract: WEBCHAT_SHUTDOWN_SECONDS."""
    ready_message: str = ""
    """Written to stdout once every worker answers; nothing when empty."""
    before_workers: Callable[[], None] = do_nothing
    """Runs in the parent under the lock, before any worker is forked: the sweep. It must close what it opens."""
