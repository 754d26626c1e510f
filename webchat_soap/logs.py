"""How log lines look: one for each SOAP call, as text or as JSON (WEBCHAT_LOG), with times as everywhere here.

A line for a call is written by a thread of its own, together with those of other calls: written at once it cost a call
as much as reading its XML. All else is written at once, with what came before it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TextIO


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=64)
def _template(names: tuple[str, ...]) -> str:
    return " ".join([f"{name}=%s" for name in names])


class _UtcFormatter(logging.Formatter):
    """Times as everywhere here: UTC with milliseconds and a Z."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  (logging's name)
        seconds, thousandths = divmod(int(record.created * 1000), 1000)
        return f"{_second(seconds)}.{thousandths:03d}Z"


class _TextFormatter(_UtcFormatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        if fields is None:
            return super().format(record)
        return f"{self.formatTime(record)} {_template(tuple(fields)) % tuple(fields.values())}"


class _JsonFormatter(_UtcFormatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        entry = {"time": self.formatTime(record), "level": record.levelname.lower(), "logger": record.name}
        entry |= {"message": record.getMessage()} if fields is None else fields
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class GatheringHandler(logging.Handler):
    """Writes lines to a stream, those of calls a little later and many at once.

    What is not written yet is lost when the process is killed. Another process may be forked from this one at any time.
    """

    GATHER_SECONDS: Final = 0.05
    MOST_GATHERED: Final = 10_000
    """A stream that takes nothing more must not fill the memory: beyond this, who logs writes, and waits."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A new process has neither the other's thread nor its lines."""
        self._lines: deque[str] = deque()
        self._needed = threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """As Handler.handle, but without its lock: a deque needs none."""
        if self.filters and not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        # Here and not later, all at once: kept records would be so much memory that no cache holds the next calls'.
        try:
            self._lines.append(self.format(record))
        except Exception:
            self.handleError(record)
            return
        # Also what is no line of a call: the parent logs nothing else, and a fork beside a thread is not safe.
        is_urgent = record.levelno >= logging.WARNING or not hasattr(record, "fields")
        if is_urgent or len(self._lines) > self.MOST_GATHERED:
            self.flush()
        elif not self._needed.is_set():
            self._needed.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._gather, name="log", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # no more threads, or the interpreter is ending
                    self._thread = None
                    self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        with self._writing:
            text: list[str] = []
            while self._lines:
                text.append(self._lines.popleft())
            if not text:
                return
            try:
                self._stream.write("\n".join(text) + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads it any more; a call must not fail for that
                pass

    def _gather(self) -> None:
        while True:
            self._needed.wait()
            time.sleep(self.GATHER_SECONDS)
            self._needed.clear()
            self.flush()


def set_up_logging(form: str) -> None:
    """Log lines to stderr as `text` or `json`, unless whoever embeds the application has set up logging already."""
    if logging.getLogger().handlers:
        return
    handler = GatheringHandler(sys.stderr)
    text = _TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonFormatter() if form == "json" else text)
    # Ours, and what the server below says of its processes.
    for name in ("webchat_soap", "_granian"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(handler)
            logger.setLevel(logging.INFO if name == "webchat_soap" else logging.WARNING)
            logger.propagate = False
