"""A worker process: the application, the shell around it, and how both stop."""

from __future__ import annotations

import gc
import importlib
import itertools
import logging
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from webchat_soap.server.connections import Connections
from webchat_soap.server.cores import Cores, threads_named
from webchat_soap.server.engine import BACKLOG, THREAD_NAMES, Engine, most_connections
from webchat_soap.server.family import Reports
from webchat_soap.server.options import Application, ServeError, ServeOptions
from webchat_soap.server.shell import Shell
from webchat_soap.server.wakeups import Wakeups

log = logging.getLogger(__name__)

_LAST_ANSWERS_SECONDS = 1.0
"""How long those who were given up may take to read that."""

_CLOSE_SECONDS = 5.0
"""What close() may still take when calls had to be given up."""

_UNHEARD_SECONDS = 3.0
"""For calls under way, where the engine may be too busy to hear that it shall stop."""

_POLL_SECONDS = 0.02
"""Between two looks whether a call is still at work that no connection waits for."""

_DEAF_SECONDS = 1.0
"""An engine that has not heard by then that it shall stop will not hear it soon."""

_SHORT_POLL_SECONDS = 0.001
"""Where connections that come meanwhile are lost."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What ends the service. A worker is forked with them blocked, ignores SIGINT and waits for SIGTERM."""

Factory = Callable[[object], Application]

_COLLECT_AFTER = 20_000
"""Objects. A call leaves no cycles, so that looking for some after every 700 (Python's own) took a twentieth of it."""


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
    gc.set_threshold(_COLLECT_AFTER)
    watch = _Watch()
    limits = replace(
        options.limits,
        max_request_bytes=options.max_request_bytes,
        request_seconds=options.request_seconds,
        max_connections=most_connections(options.limits.max_connections, descriptors=watch.descriptors),
    )
    listener.listen(BACKLOG)  # only now, if it rests: where this worker had not come up, what came to it would be lost
    connections = Connections(listener)
    shell = Shell(application, limits=limits, connections=connections, many_processes=options.workers > 1)
    engine = Engine(
        listener,
        head_seconds=options.request_seconds,
        max_connections=limits.max_connections,
        arrived=shell.arrived,
    )
    listener.close()  # the engine has its own; this one would go on listening when the engine has stopped
    engines_own = partial(threads_named, THREAD_NAMES)
    cores = Cores(kept=shell.threads_of_every_call, apart=engines_own)
    wakeups = Wakeups(engines_own, workers=options.workers)
    reports.send(None)
    # It came in blocked and stays so in every thread: a handler would run in the middle of whatever holds a lock.
    looks = itertools.count(1)
    while signal.sigtimedwait({signal.SIGTERM}, wakeups.LOOK_SECONDS) is None:
        wakeups.look()
        if next(looks) % watch.LOOKS:
            continue
        if not watch.starts_threads():
            log.error("A thread could not be started (out of memory); this process ends at once, and is replaced")
            return 1
        if not watch.has_descriptors():
            log.error("This process ends, and is replaced by one that counts with fewer open files")
            seconds = min(options.shutdown_seconds, _UNHEARD_SECONDS)
            _stop(application, engine, shell, accepts_no_more=reports.send_leaving, seconds=seconds)
            return 1
        shell.doorkeeper.look()
        if options.workers == 1:
            cores.look()
    _stop(application, engine, shell, accepts_no_more=reports.send_leaving, seconds=options.shutdown_seconds)
    return 0


class _Watch:
    """What a worker looks at now and then, since nothing in it would notice: each would end its service for good."""

    LOOKS = 5
    """So many looks of Wakeups apart: half a second."""
    STUCK_LOOKS = 10

    def __init__(self) -> None:
        self.descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._starting: dict[threading.Thread, int] = {}

    def has_descriptors(self) -> bool:
        """Whether the engine may open the files that it counts with: without, its accept loop burns a core, and does
        not even stop. A limit that was lowered meanwhile is raised again, as at the start; False where that is refused.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if self.descriptors in (soft, resource.RLIM_INFINITY) or self.descriptors < soft:
            return True
        log.error("The limit on open files was lowered to %d; it needs %d", soft, self.descriptors)
        wanted = self.descriptors if hard == resource.RLIM_INFINITY else min(hard, self.descriptors)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted == self.descriptors

    def starts_threads(self) -> bool:
        """Whether threads that are started do start. One that gets no memory in its first moments dies in silence, and
        whoever started it waits for it for ever, holding locks (CPython issue 140746)."""
        starting = [thread for thread in threading.enumerate() if not thread.is_alive()]
        self._starting = {thread: self._starting.get(thread, 0) + 1 for thread in starting}
        return all(looks < self.STUCK_LOOKS for looks in self._starting.values())


def _stop(
    application: Application, engine: Engine, shell: Shell, *, accepts_no_more: Callable[[], object], seconds: float
) -> None:
    shell.doorkeeper.close()
    engine.stop()
    threading.Thread(target=application.wake_all, name="wake-all", daemon=True).start()
    # An accept loop whose socket is put to rest before it has ended burns a core, and ends no more.
    give_up = time.monotonic() + _DEAF_SECONDS
    while engine.accepts() and time.monotonic() < give_up:
        time.sleep(_SHORT_POLL_SECONDS)
    accepts_no_more()
    if _have_ended(engine, shell, seconds):
        application.close()
        return
    unfinished = shell.give_up()
    log.warning("%d calls were not finished within %g s", unfinished, seconds)
    engine.wait(_LAST_ANSWERS_SECONDS)
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
