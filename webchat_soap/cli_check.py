"""The command `check`, quick and deep, and how commands tell what hinders them."""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from webchat_soap.settings import EffectiveSetting, Settings

if TYPE_CHECKING:
    from webchat_soap.app import AuditProgress

_SHOW_SECONDS: Final = 0.2
"""Between two changes of the progress line."""


class Failure(Exception):
    """A command cannot do its work; the message is the sentence to print."""


@contextmanager
def failures_told(settings: Settings | None = None) -> Iterator[None]:
    """Turn what starting, the stores and the system refuse with into one sentence, for the operator."""
    from webchat_soap import app, server

    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        raise Failure(f"{error.strerror or error}{place}.") from error
    except app.WebchatError as error:
        raise Failure(str(error) if settings is None else app.operators_reason(error, settings)) from error
    except (server.ServeError, ValueError) as error:
        raise Failure(str(error)) from error


def check_start(settings: Settings, effective: tuple[EffectiveSetting, ...]) -> int:
    """Whether `serve` would start; the exit status. Makes nothing and changes nothing."""
    from webchat_soap import app, server

    _print_settings(effective)

    def folder() -> str:
        server.probe_data_folder(settings.data_dir)
        app.check_files(settings)
        if not settings.data_dir.exists():
            return f"{settings.data_dir} is not there yet; serve makes it."
        return f"{settings.data_dir} can be written, and no other service holds it."

    def database() -> str:
        return app.check_database(settings)

    def port() -> str:
        server.probe_port(settings.bind.host, settings.bind.port)
        return f"{settings.bind} is free."

    failed = False
    for name, check in (("folder", folder), ("database", database), ("port", port)):
        try:
            with failures_told(settings):
                result, sentence = "OK", check()
        except Failure as error:
            result, sentence, failed = "FAILED", str(error), True
        print(f"{name:<9} {result:<7} {sentence}")
    return 1 if failed else 0


def check_deep(settings: Settings) -> int:
    """Look at every row and every byte; the exit status. Works beside a running service; changes nothing."""
    from webchat_soap import app, server

    progress = app.AuditProgress()
    show = _progress_line(progress) if sys.stderr.isatty() else lambda: None

    def is_served() -> bool:
        try:
            server.probe_data_folder(settings.data_dir)
        except server.DataFolderInUse:
            return True
        return False

    with failures_told(settings), _nothing_logged():
        for finding in app.check_everything(settings, is_served=is_served, progress=progress, tick=show):
            if sys.stderr.isatty():
                sys.stderr.write("\r\x1b[K")
            print(finding, flush=True)
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    print(_summary(progress))
    return 1 if progress.findings else 0


@contextmanager
def _nothing_logged() -> Iterator[None]:
    """What a store would log of its troubles stands in the findings, with what to do."""
    logger, handler = logging.getLogger("webchat_soap"), logging.NullHandler()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _summary(progress: AuditProgress) -> str:
    found = "nothing wrong" if not progress.findings else f"{progress.findings} finding(s)"
    under_way = f" ({progress.under_way} more of calls under way)" if progress.under_way else ""
    return (
        f"Checked {progress.messages} message(s) in {progress.chats} chat(s) and {progress.files_done} file(s)"
        f"{under_way} with {progress.bytes_done / 2**20:.1f} MiB in {progress.seconds:.1f} s "
        f"(files: {_rate(progress)}): {found}."
    )


def _rate(progress: AuditProgress) -> str:
    seconds = max(progress.hash_seconds, 0.001)
    return f"{progress.files_done / seconds:.0f}/s, {progress.bytes_done / 2**20 / seconds:.1f} MiB/s"


def _progress_line(progress: AuditProgress) -> Callable[[], None]:
    shown_at = 0.0
    shown_stage = ""

    def show() -> None:
        nonlocal shown_at, shown_stage
        now = time.monotonic()
        if now - shown_at < _SHOW_SECONDS and progress.stage == shown_stage:
            return
        shown_at, shown_stage = now, progress.stage
        line = progress.stage
        if progress.files_done:
            line += f": {progress.files_done} of {progress.files}, {_rate(progress)}"
        if progress.findings:
            line += f", {progress.findings} finding(s)"
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()

    return show


def _print_settings(effective: tuple[EffectiveSetting, ...]) -> None:
    rows = [(entry.setting.variable, entry.value or "(empty)", entry.source) for entry in effective]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, source in rows:
        print(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {source}")
    print()
