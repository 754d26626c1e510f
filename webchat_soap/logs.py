"""How log lines look: one for each SOAP call, as text or as JSON (WEBCHAT_LOG), with times as everywhere here."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


class _UtcFormatter(logging.Formatter):
    """Times as everywhere here: UTC with milliseconds and a Z."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  (logging's name)
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _TextFormatter(_UtcFormatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        line = super().format(record)
        if fields is None:
            return line
        return f"{self.formatTime(record)} " + " ".join(f"{name}={value}" for name, value in fields.items())


class _JsonFormatter(_UtcFormatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        entry = {"time": self.formatTime(record), "level": record.levelname.lower(), "logger": record.name}
        entry |= {"message": record.getMessage()} if fields is None else fields
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up_logging(form: str) -> None:
    """Log lines to stderr as `text` or `json`, unless whoever embeds the application has set up logging already."""
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    text = _TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonFormatter() if form == "json" else text)
    # Ours, and what the server below says of its processes.
    for name in ("webchat_soap", "_granian"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(handler)
            logger.setLevel(logging.INFO if name == "webchat_soap" else logging.WARNING)
            logger.propagate = False
