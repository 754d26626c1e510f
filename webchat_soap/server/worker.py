"""A worker process: the application, the shell around it, and how both stop."""

from __future__ import annotations

import gc
import importlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable

from webchat_soap.server.engine import Engine
from webchat_soap.server.family import Reports
from webchat_soap.server.options import Application, ServeError, ServeOptions
from webchat_soap.server.shell import Limits, Shell

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0
"""What close() may still take when calls had to be given up."""

_POLL_SECONDS = 0.02
"""Between two looks whether a call is still at work that no connection waits for."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What ends the service. A worker is forked with them blocked, ignores SIGINT and waits for SIGTERM."""

Factory = Callable[[object], Application]


def find_factory(name: str) -> Factory:
    """The callable that `module:name` names. ServeError when there is none; what its import raises comes through."""
    module, _, attribute = name.partition(":")
    factory = getattr(importlib.import_module(module), attribute, None)
    if not callable(factory):
        raise ServeError(f"{name} names no callable.")
    return factory  # type: ignore[no-any-return]  # only its call can show what it is


def work(options: ServeOptions, factory: Factory, listener: socket.socket, reports: Reports) -> int:
    """Serve in this process until SIGTERM; its exit code. A failure to start is reported."""
    try:
        application = factory(options.settings)
    except BaseException as error:  # SystemExit too: whatever it is, the parent must learn of it
        if not isinstance(error, (ServeError, SystemExit)):
            log.exception("The application could not be made")
        reports.send(str(error) or type(error).__name__)
        return 1
    gc.collect()
    gc.freeze()  # what was made so far lives as long as the process: the collector need not walk it again and again
    limits = Limits(max_request_bytes=options.max_request_bytes, request_seconds=options.request_seconds)
    shell = Shell(application, limits=limits, many_processes=options.workers > 1)
    engine = Engine(listener, head_seconds=options.request_seconds, arrived=shell.arrived)
    listener.close()  # the engine has its own; this one would go on listening when the engine has stopped
    reports.send(None)
    # It came in blocked and stays so in every thread: a handler would run in the middle of whatever holds a lock.
    signal.sigwait({signal.SIGTERM})
    _stop(options, application, engine, shell)
    return 0


def _stop(options: ServeOptions, application: Application, engine: Engine, shell: Shell) -> None:
    engine.stop()
    threading.Thread(target=application.wake_all, name="wake-all", daemon=True).start()
    if _have_ended(engine, shell, options.shutdown_seconds):
        application.close()
        return
    busy = shell.threads.busy + shell.long_threads.busy
    log.warning("%d calls were not finished %g s after SIGTERM", busy, options.shutdown_seconds)
    closing = threading.Thread(target=application.close, name="close", daemon=True)
    closing.start()
    closing.join(_CLOSE_SECONDS)


def _have_ended(engine: Engine, shell: Shell, timeout_seconds: float) -> bool:
    """Wait for all connections and calls. A call goes on when its caller has hung up, and the engine knows nothing of
    it: cut off it would leave half a download in the spool."""
    give_up = time.monotonic() + timeout_seconds
    if not engine.wait(timeout_seconds):
        return False
    while shell.threads.busy or shell.long_threads.busy:
        if time.monotonic() > give_up:
            return False
        time.sleep(_POLL_SECONDS)
    return True
