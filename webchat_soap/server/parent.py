"""The parent process: holds the data folder and the port, keeps the workers, stops them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import socket
import sys
from collections.abc import Callable
from functools import partial

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]  # it is imported there to be pickled

from webchat_soap.server.family import Lifeline, Report, Reports
from webchat_soap.server.folder import hold_data_folder
from webchat_soap.server.options import Application, ServeError, ServeOptions
from webchat_soap.server.port import BACKLOG, listen
from webchat_soap.server.worker import find_factory, start_worker

log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 4000
"""At once and per worker; a further one waits to be accepted. An idle one costs about 10 KiB."""

_GRACE_SECONDS = 8
"""A worker ends by itself shutdown_seconds (and closing) after SIGTERM; this much later it is killed."""

_GRANIAN_LOG = {"handlers": {}, "loggers": {"_granian": {"propagate": True}}}


def serve(options: ServeOptions) -> int:
    """Serve until SIGTERM or SIGINT; the exit code: 0 after an orderly stop, 1 when it could not start or go on.

    Blocks, and belongs into the main thread of a process of its own. What is wrong is one sentence on stderr.
    """
    try:
        with hold_data_folder(options.data_dir):
            factory = _import(options.application_factory)
            listener = listen(options.host, options.port)
            options.before_workers()
            return _run(options, factory, listener)
    except ServeError as error:
        _complain(str(error))
        return 1


def _import(name: str) -> Callable[[object], Application]:
    # In the parent, before it forks: a failure shows at once, and the workers share the memory of what was imported.
    try:
        return find_factory(name)
    except ImportError as error:
        raise ServeError(f"The application {name} cannot be imported: {error}.") from error


def _run(options: ServeOptions, factory: Callable[[object], Application], listener: socket.socket) -> int:
    multiprocessing.set_start_method("fork", force=True)  # workers inherit the lock, the pipes and the socket
    _raise_open_files()
    lifeline, reports = Lifeline(), Reports()
    parent = _Parent(options, listener)
    parent.hear(reports)
    try:
        parent.serve(
            target_loader=partial(start_worker, options, factory, listener, lifeline, reports),
            wrap_loader=False,
        )
    except SystemExit:
        log.debug("Granian has ended with an error")
    lifeline.close()
    if parent.failure is not None:
        _complain(f"The service could not start: {parent.failure}")
        return 1
    if not parent.interrupt_signal:
        _complain("The service has stopped: its workers die as soon as they start.")
        return 1
    return 0


class _Parent(Granian):  # type: ignore[misc, valid-type]  # Granian chooses its base class when it is imported
    """Granian's process keeper with our socket, without its reload, and with an ear for the workers' reports."""

    def __init__(self, options: ServeOptions, listener: socket.socket) -> None:
        self._options = options
        self._listener = listener
        self._ready: set[int] = set()
        self._announced = False
        self.failure: str | None = None
        super().__init__(
            "webchat_soap",
            address=options.host,
            port=options.port,
            interface=Interfaces.ASGI,
            workers=options.workers,
            loop=Loops.asyncio,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=_MOST_CONNECTIONS,
            http1_settings=HTTP1Settings(header_read_timeout=max(1, int(options.request_seconds * 1000))),
            log_level=LogLevels.error,
            log_dictconfig=_GRANIAN_LOG,
            respawn_failed_workers=True,
            respawn_interval=0,
            workers_kill_timeout=int(options.shutdown_seconds) + _GRACE_SECONDS,
        )

    def hear(self, reports: Reports) -> None:
        """Start to listen to the workers."""
        reports.listen(self._hear)

    def _hear(self, report: Report) -> None:
        if report.failure is not None:
            self.failure = self.failure or report.failure
            self.signal_handler_interrupt()
            return
        # Granian ends everything when a worker dies twice within 5.5 s. That is meant for workers that never come up;
        # one that did may be replaced as often as it dies.
        self.respawned_wrks.clear()
        self._ready.add(report.pid)
        if not self._announced and len(self._ready) >= self.workers:
            self._announced = True
            if self._options.ready_message:
                sys.stdout.write(self._options.ready_message.rstrip("\n") + "\n")
                sys.stdout.flush()

    def signal_handler_reload(self, *_: object) -> None:
        """SIGHUP does no harm: nothing is reloaded, and the closed terminal does not end the service."""

    def _init_shared_socket(self) -> None:
        # A descriptor of its own for the workers' Rust side, which closes it when it stops.
        self._sfd = os.dup(self._listener.fileno())
        self._shd = SocketHolder(self._sfd, False, BACKLOG)  # type: ignore[call-arg]  # its stub has no constructor
        self._ssp = None
        self._sso = self._listener

    def _drop_shared_socket(self) -> None:
        if self._sso is not None:
            self._sso = None  # type: ignore[assignment]  # as Granian does
            self._listener.close()
            os.close(self._sfd)


def _raise_open_files() -> None:
    """Sockets, files and database handles of a busy worker are more than the usual soft limit of 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _complain(sentence: str) -> None:
    sys.stderr.write(f"webchat-soap: {sentence}\n")
    sys.stderr.flush()
