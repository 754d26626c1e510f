"""For gunicorn instead of `webchat-soap serve`: gunicorn -c python:webchat_soap.server.under_gunicorn

What it adds to the plain WSGI callable: the data folder is held and swept by gunicorn's master before a worker starts,
our settings hold where its command line says nothing else, and waiting calls are let go when a worker stops. What
gunicorn cannot do is to read requests under deadlines: it belongs behind a proxy that takes them whole first.

Source: https://docs.gunicorn.org/en/stable/settings.html (the names below are its own).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import ExitStack
from types import FrameType
from typing import Any

from webchat_soap import app
from webchat_soap.server.folder import hold_data_folder
from webchat_soap.server.options import ServeError
from webchat_soap.settings import SettingsError, load_settings

wsgi_app = "webchat_soap.app:create_app()"
worker_class = "gthread"
proc_name = "webchat-soap"
control_socket_disable = True

_THREADS_FOR_TEXTS = 128
"""And all else that is short: here each call has a thread from its first byte."""

# gunicorn reads its settings from here at the start and again at each SIGHUP, so they are made where it looks.
try:
    _settings = load_settings()
except SettingsError as error:
    sys.exit(f"webchat-soap: {error}")
bind = str(_settings.bind)
workers = _settings.workers or 1
threads = app.max_long_threads(_settings) + _settings.max_waiting + app.MAX_HELD_STREAMS + _THREADS_FOR_TEXTS
worker_connections = threads + 1000
graceful_timeout = max(1, round(_settings.shutdown_seconds))

_held = ExitStack()


def on_starting(server: Any) -> None:  # noqa: ANN401  (gunicorn has no types)
    """In the master, before it listens: lock and sweep. Ends the process with a sentence when they refuse."""
    settings = _settings
    try:
        _held.enter_context(hold_data_folder(settings.data_dir))
        report = app.sweep(settings)
        app.prepare_trial(settings, offer=False)
    except app.WebchatError as error:
        sys.exit(f"webchat-soap: {app.operators_reason(error, settings)}")
    except (ServeError, OSError, ValueError) as error:
        sys.exit(f"webchat-soap: {error}")
    if report.set_aside or report.brought_back or report.missing_files:
        server.log.warning(
            "Files put aside: %d, brought back: %d, missing: %d (README: Data and backup)",
            report.set_aside,
            report.brought_back,
            len(report.missing_files),
        )


def post_worker_init(worker: Any) -> None:  # noqa: ANN401
    """In a worker: have SIGTERM wake the calls that wait, which gunicorn would wait for."""
    woken, wake = os.pipe()
    finish = signal.getsignal(signal.SIGTERM)

    def wake_all() -> None:
        os.read(woken, 1)
        worker.wsgi.wake_all()

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        os.write(wake, b"\0")  # waking takes locks, which whatever is interrupted here may hold
        if callable(finish):
            finish(number, frame)

    threading.Thread(target=wake_all, name="wake-all", daemon=True).start()
    signal.signal(signal.SIGTERM, on_sigterm)
    signal.siginterrupt(signal.SIGTERM, False)


def worker_exit(_server: Any, worker: Any) -> None:  # noqa: ANN401
    """In a worker that ends: let go of the database."""
    application = getattr(worker, "wsgi", None)
    if application is not None:
        application.close()
