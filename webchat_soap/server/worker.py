"""A worker process: the application, the shell around it, and how both stop."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

from webchat_soap.server.family import Lifeline, Reports
from webchat_soap.server.options import Application, ServeError, ServeOptions
from webchat_soap.server.requests import Scope
from webchat_soap.server.shell import Limits, Receive, Send, Shell

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0
"""What close() may still take when calls had to be given up."""


def find_factory(name: str) -> Callable[[object], Application]:
    """The callable that `module:name` names. ServeError when there is none; what its import raises comes through."""
    module, _, attribute = name.partition(":")
    factory = getattr(importlib.import_module(module), attribute, None)
    if not callable(factory):
        raise ServeError(f"{name} names no callable.")
    return factory  # type: ignore[no-any-return]  # only its call can show what it is


def start_worker(
    options: ServeOptions,
    factory: Callable[[object], Application],
    listener: socket.socket,
    lifeline: Lifeline,
    reports: Reports,
) -> Worker:
    """Called by Granian in the new process, before it listens. A failure is reported and ends the process."""
    lifeline.hold_on()
    listener.close()  # Granian has a duplicate; this one would still listen when that one has stopped
    # The terminal's Ctrl-C goes to its whole process group; the parent alone hears it and tells the workers.
    os.setpgid(0, 0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        application = factory(options.settings)
    except BaseException as error:  # SystemExit too: whatever it is, the parent must learn of it
        if not isinstance(error, (ServeError, SystemExit)):
            log.exception("The application could not be made")
        reports.send(str(error) or type(error).__name__)
        sys.exit(1)
    gc.collect()
    gc.freeze()  # what was made so far lives as long as the process: the collector need not walk it again and again
    return Worker(application, options=options, reports=reports)


class Worker:
    """The ASGI application of a worker: `lifespan` is its start and stop, `http` goes to the shell."""

    def __init__(self, application: Application, *, options: ServeOptions, reports: Reports) -> None:
        self._application = application
        self._shutdown_seconds = options.shutdown_seconds
        self._reports = reports
        self._stopping = False
        self._shell = Shell(
            application,
            limits=Limits(max_request_bytes=options.max_request_bytes, request_seconds=options.request_seconds),
            many_processes=options.workers > 1,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] == "http":
            await self._shell(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
        self._reports.send(None)
        await send({"type": "lifespan.startup.complete"})
        await receive()  # comes after the last connection is closed
        self._application.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        threading.Thread(target=self._application.wake_all, name="wake-all", daemon=True).start()
        asyncio.get_running_loop().call_later(self._shutdown_seconds, self._give_up)
        # Granian stops on SIGINT as on SIGTERM, whose handler this one has replaced to be the first to know.
        signal.raise_signal(signal.SIGINT)

    def _give_up(self) -> None:
        log.warning("%d calls were not finished within %g s of stopping", self._shell.busy, self._shutdown_seconds)
        closing = threading.Thread(target=self._application.close, name="close", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        os._exit(0)
