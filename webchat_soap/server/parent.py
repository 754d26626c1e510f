"""The parent process: holds the data folder and the port, keeps the workers, stops them.

It has a single thread, so that it can fork at any time, and does nothing but wait.
"""

from __future__ import annotations

import logging
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import FrameType

from webchat_soap.server.family import Lifeline, Report, Reports
from webchat_soap.server.folder import hold_data_folder
from webchat_soap.server.options import ServeError, ServeOptions
from webchat_soap.server.port import listen_apart, rest
from webchat_soap.server.worker import STOP_SIGNALS, Factory, find_factory, work

log = logging.getLogger(__name__)

_GRACE_SECONDS = 8.0
"""A worker ends by itself shutdown_seconds (and closing) after SIGTERM; so much later it is killed."""

_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
"""A worker that cannot come up again is tried anew after one second, two, four …: what hinders it may pass."""

_TOLERATED_QUICK_DEATHS = 3
_QUICK_SECONDS = 10.0
"""A worker that came up is replaced at once, unless so many before it have died so soon."""


def serve(options: ServeOptions) -> int:
    """Serve until SIGTERM or SIGINT; the exit code: 0 after an orderly stop, 1 when it could not start.

    Blocks, and belongs into the main thread of a process of its own. What is wrong is one sentence on stderr.
    """
    try:
        with hold_data_folder(options.data_dir):
            factory = _import(options.application_factory)
            with ExitStack() as stack:
                listeners = listen_apart(options.host, options.port, options.workers)
                for listener in listeners:
                    stack.enter_context(listener)
                options.before_workers()
                return _Parent(options, factory, listeners).run()
    except ServeError as error:
        sys.stderr.write(f"webchat-soap: {error}\n")
        return 1


def _import(name: str) -> Factory:
    # In the parent, before it forks: a failure shows at once, and the workers share the memory of what was imported.
    try:
        return find_factory(name)
    except ImportError as error:
        raise ServeError(f"The application {name} cannot be imported: {error}.") from error


@dataclass(eq=False, slots=True)
class _Place:
    """What a worker has of its own and leaves to the one that replaces it."""

    listener: socket.socket
    pid: int | None = None
    """The worker's, None while there is none."""
    leaves: bool = False
    """Its worker accepts no more."""
    rests: bool = False
    """The others get its connections, until a worker has come up and listens again."""


class _Parent:
    def __init__(self, options: ServeOptions, factory: Factory, listeners: Sequence[socket.socket]) -> None:
        self._options = options
        self._factory = factory
        self._places = [_Place(listener) for listener in listeners]
        self._lifeline = Lifeline()
        self._reports = Reports()
        self._alarm_read, self._alarm_write = os.pipe()
        self._workers: dict[int, float] = {}
        """By pid: since when, on the monotonic clock."""
        self._ready: set[int] = set()
        self._announced = False
        self._stop_wanted = False
        self._spawn_not_before = 0.0
        self._failures = 0
        """Workers in a row that did not come up."""
        self._quick_deaths = 0
        """Workers in a row that came up and died soon."""

    def run(self) -> int:
        """Until all workers have ended. ServeError when the first ones could not start."""
        os.set_blocking(self._alarm_read, False)
        os.set_blocking(self._alarm_write, False)
        signal.set_wakeup_fd(self._alarm_write, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._want_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal has closed, and that is no reason to stop
        _raise_open_files()
        try:
            while not self._stop_wanted:
                self._keep_workers()
                self._wait(max(0.0, self._spawn_not_before - time.monotonic()) if self._missing() else None)
        finally:
            self._stop()
        return 0

    def _want_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_wanted = True

    def _missing(self) -> int:
        return self._options.workers - len(self._workers)

    def _keep_workers(self) -> None:
        if time.monotonic() >= self._spawn_not_before:
            for _ in range(self._missing()):
                try:
                    self._spawn()
                except OSError as error:  # no more processes, or no memory
                    if not self._announced:
                        raise ServeError(
                            f"The service could not start: no worker can be forked ({error.strerror})."
                        ) from error
                    self._failures += 1
                    pause = self._pause()
                    self._leave_to_others()
                    log.error("No worker can be forked (%s); the next try is in %g s", error.strerror, pause)
                    return

    def _spawn(self) -> None:
        _say("")
        # Blocked in the worker, which waits for it: the handler it inherits would swallow the parent's SIGTERM.
        place = min((place for place in self._places if place.pid is None), key=lambda place: place.rests)
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            raise
        if pid == 0:
            code = 1
            try:
                code = self._be_worker(place)
            except BaseException:
                log.exception("A worker ended by an error")
            finally:
                try:
                    logging.shutdown()
                    _say("")
                finally:  # whatever was raised: what the parent goes on with or does at its exit is not the worker's
                    os._exit(code)
        place.pid, place.leaves = pid, False
        self._workers[pid] = time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _be_worker(self, own: _Place) -> int:
        self._lifeline.hold_on()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # The terminal's Ctrl-C reaches all of its process group; the parent hears it and tells the workers.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.close(self._alarm_read)
        os.close(self._alarm_write)
        for place in self._places:
            if place.listener is not own.listener:
                place.listener.close()
        return work(self._options, self._factory, own.listener, self._reports)

    def _wait(self, timeout_seconds: float | None) -> None:
        """Until a report, a signal or the time; then see who reported and who died."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._reports, selectors.EVENT_READ)
            selector.register(self._alarm_read, selectors.EVENT_READ)
            for key, _ in selector.select(timeout_seconds):
                if key.fileobj is self._reports:
                    for report in self._reports.read():
                        self._hear(report)
                else:
                    os.read(self._alarm_read, 4096)
        for pid in list(self._workers):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._bury(pid, status)

    def _hear(self, report: Report) -> None:
        if self._stop_wanted:
            return
        if report.failure is not None:
            if self._cannot_start():
                raise ServeError(f"The service could not start: {report.failure}")
            log.error("A worker could not start again: %s", report.failure)
            return
        for place in self._places:
            if place.pid == report.pid:
                place.leaves = report.leaves
                place.rests = place.rests and report.leaves
        self._leave_to_others()
        if report.leaves:
            return
        self._ready.add(report.pid)
        if not self._announced and len(self._ready) >= self._options.workers:
            self._announced = True
            message = self._options.ready_message
            if message := message if isinstance(message, str) else message():
                _say(message.rstrip("\n") + "\n")

    def _bury(self, pid: int, status: int) -> None:
        lived_seconds = time.monotonic() - self._workers.pop(pid)
        if self._stop_wanted:
            return
        code = os.waitstatus_to_exitcode(status)
        cause = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        for report in self._reports.read():  # its last word may have come after the look at the pipe
            self._hear(report)
        if self._cannot_start():
            raise ServeError(f"The service could not start: a worker ended ({cause}) before it was ready.")
        if pid not in self._ready:
            self._failures += 1
        elif lived_seconds > _QUICK_SECONDS:
            self._failures = self._quick_deaths = 0
        else:
            self._failures = 0
            self._quick_deaths += 1
        self._ready.discard(pid)
        pause = self._pause()
        for place in self._places:
            if place.pid == pid:
                place.pid, place.leaves = None, False
        self._leave_to_others()
        when = f"the next try is in {pause:g} s" if pause else "starting another"
        log.error("Worker %d has ended (%s); %s", pid, cause, when)

    def _leave_to_others(self) -> None:
        """Have sockets rest that nobody accepts from, or not soon, where there are others from which somebody does."""
        at_work = (place for place in self._places if place.pid is not None and not place.leaves)
        served = {place.listener for place in at_work if not place.rests}
        waits = time.monotonic() < self._spawn_not_before
        for place in self._places:
            if served and place.listener not in served and (place.leaves or (place.pid is None and waits)):
                rest(place.listener)
                place.rests = True

    def _cannot_start(self) -> bool:
        """Whether a worker's failure is the service's: where one came up, what ails another may pass."""
        return not (self._announced or self._ready)

    def _pause(self) -> float:
        """How long the next worker is waited with: the longer, the more went wrong in a row."""
        count = self._failures + max(0, self._quick_deaths - _TOLERATED_QUICK_DEATHS)
        pause = min(_LONGEST_PAUSE_SECONDS, _PAUSE_SECONDS * 2.0 ** (count - 1)) if count else 0.0
        self._spawn_not_before = max(self._spawn_not_before, time.monotonic() + pause)
        return pause

    def _stop(self) -> None:
        """SIGTERM to the workers, time to finish, SIGKILL to those that did not."""
        self._stop_wanted = True
        for place in self._places:
            place.listener.close()
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)
        give_up = time.monotonic() + self._options.shutdown_seconds + _GRACE_SECONDS
        while self._workers:
            left = give_up - time.monotonic()
            if left <= 0:
                for pid in self._workers:
                    os.kill(pid, signal.SIGKILL)
                    log.error("Worker %d did not stop and is killed", pid)
                give_up = float("inf")
                continue
            self._wait(min(left, 1.0))
        for number in STOP_SIGNALS:
            # Python takes its handlers away before it exits: one more signal then would end it as if by a crash.
            signal.signal(number, signal.SIG_IGN)
        self._lifeline.close()


def _say(text: str) -> None:
    """Write it to stdout, and what stands in line there. Where nobody reads, or a disk is full, it is dropped: what is
    said there helps people, and is no reason to serve nobody."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        log.warning("What is said on stdout is dropped (%s)", error.strerror)
        # Python would keep it, and raise again at each further try and at the exit.
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        sys.stdout.flush()


def _raise_open_files() -> None:
    """Sockets, files and database handles of a busy worker are more than the usual soft limit of 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
