"""From a database URL to the store behind it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from webchat_soap.stores.acknowledged import Acknowledged
from webchat_soap.stores.inspection import SqliteInspection
from webchat_soap.stores.sqlite import ACKNOWLEDGED, SqliteChatStore

PATIENCE_SECONDS: Final = 5.0
"""Longest honest turn seen is well under a second; a caller with a 45 s budget can still try again after this."""


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def sqlite_url(path: Path) -> str:
    """The URL of a database file, whatever letters its path holds."""
    return f"sqlite:///{quote(str(path))}"


def open_chat_store(
    url: str,
    *,
    lock_folder: Path,
    clock: Callable[[], datetime] = utc_now,
    patience_seconds: float = PATIENCE_SECONDS,
) -> SqliteChatStore:
    """The ChatStore behind `sqlite:///relative.db` or `sqlite:////absolute.db`. ValueError for any other URL.

    The path is percent-encoded where it holds `%` or `?`; see `sqlite_url`.

    Nothing is opened before the first call. The database's folder must exist; `lock_folder`, on a local disk and the
    same for all processes on this database, is made where it is missing. `patience_seconds` bounds how long a call
    waits for a database that is locked or stuck before it is Busy.
    """
    return SqliteChatStore(
        _path_of(url), lock_folder=lock_folder.absolute(), clock=clock, patience_seconds=patience_seconds
    )


def open_inspection(
    url: str, *, lock_folder: Path, for_writing: bool = False, patience_seconds: float = PATIENCE_SECONDS
) -> SqliteInspection:
    """A look at the database behind the URL (as `open_chat_store`) that makes nothing and brings nothing up to date."""
    return SqliteInspection(
        _path_of(url),
        acknowledged=Acknowledged(lock_folder.absolute() / ACKNOWLEDGED),
        patience_seconds=patience_seconds,
        for_writing=for_writing,
    )


def _path_of(url: str) -> Path:
    if url.startswith(("postgresql:", "postgresql+", "postgres:")):
        raise ValueError("postgresql:// is not in this version yet; use sqlite:///PATH.")
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise ValueError("The database URL must be sqlite:///PATH.")
    if parsed.database in (None, "", ":memory:") or parsed.host or parsed.query:
        raise ValueError("The database URL must name a file, as sqlite:///PATH, and nothing else.")
    assert parsed.database is not None
    return Path(parsed.database).absolute()
