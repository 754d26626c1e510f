"""How log lines look: one for each SOAP call, as text or as JSON (WEBCHAT_LOG), with times as everywhere here.

A line for a call is written by a thread of its own, together with those of other calls: written at once it cost a call
as much as reading its XML. All else is written at once, with what came before it.
"""

from __future__ import annotations

import json
import logging
import os
import select
import stat
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
    """A stream that takes nothing more must neither fill the memory nor hold up a call: further lines of calls are lost
    then, and are counted."""
    PATIENCE_SECONDS: Final = 1.0
    """How long somebody may wait for a stream that takes nothing."""
    _AT_ONCE_CHARACTERS: Final = 3_000
    """A pipe that takes something takes 4,096 bytes."""
    _FILE_AT_ONCE_CHARACTERS: Final = 300_000
    """Of a file none waits for a reader, and each write more is a fight for the interpreter's lock."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A new process has neither the other's thread nor its lines."""
        self._lines: deque[str] = deque()
        self._lost = 0
        self._is_stuck = False
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
        # Also what is no line of a call: the parent logs nothing else, and a fork beside a thread is not safe.
        is_urgent = record.levelno >= logging.WARNING or not hasattr(record, "fields")
        if len(self._lines) >= self.MOST_GATHERED * (2 if is_urgent else 1):
            self._lost += 1
            return
        # Here and not later, all at once: kept records would be so much memory that no cache holds the next calls'.
        try:
            self._lines.append(self.format(record))
        except Exception:
            self.handleError(record)
            return
        if is_urgent:
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
        """Write what was gathered; what a stream does not take within a second or two stays for the next time."""
        # Once only: of many who log, each would wait anew.
        patience_seconds = 0.0 if self._is_stuck else self.PATIENCE_SECONDS
        if not self._writing.acquire(timeout=patience_seconds):
            self._is_stuck = True
            self._needed.set()
            return
        try:
            while self._lines:
                most = self._taken(patience_seconds)
                self._is_stuck = most == 0
                if self._is_stuck:
                    return
                self._write_some(most)
        finally:
            self._writing.release()

    def _write_some(self, most: int) -> None:
        text: list[str] = []
        size = 0
        while self._lines and size < most:
            line = self._lines.popleft()
            size += len(line) + 1
            text.append(line)
        lost, self._lost = self._lost, 0
        if lost:
            sentence = f"{lost} lines of the log are lost: whoever takes them was too slow"
            told = logging.LogRecord(__name__, logging.WARNING, __file__, 0, sentence, None, None)
            text.append(self.format(told))
        try:
            self._stream.write("\n".join(text) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads it any more; a call must not fail for that
            pass

    def _taken(self, patience_seconds: float) -> int:
        """How many characters are taken now, about; 0: who reads a pipe or a terminal may have stopped."""
        try:
            descriptor = self._stream.fileno()
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return self._FILE_AT_ONCE_CHARACTERS
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            return self._AT_ONCE_CHARACTERS if poll.poll(patience_seconds * 1000) else 0
        except (AttributeError, OSError, ValueError):  # no file, or closed
            return self._FILE_AT_ONCE_CHARACTERS

    def _gather(self) -> None:
        while True:
            self._needed.wait()
            time.sleep(self.GATHER_SECONDS)
            self._needed.clear()
            self.flush()
            if self._lines:
                self._needed.set()


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
