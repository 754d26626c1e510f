"""Why the database does not answer, for the operator: callers get one sentence for all of it (see refusals)."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from webchat_soap.domain.outages import Outage, outage_of
from webchat_soap.stores.database import DatabaseGoneError, UnusableDatabaseError

_LEAST_FREE_BYTES: Final = 128 * 1024
"""A new database with its log and the log's shared memory takes about this much."""

_BY_KIND: Final = {
    "SQLITE_FULL": Outage.DISK_FULL,
    "SQLITE_CORRUPT": Outage.UNUSABLE,
    "SQLITE_NOTADB": Outage.UNUSABLE,
    "SQLITE_BUSY": Outage.LOCKED,
    "SQLITE_LOCKED": Outage.LOCKED,
    "SQLITE_PROTOCOL": Outage.LOCKED,
    "SQLITE_NOMEM": Outage.NO_MEMORY,
}
_OTHERWISE: Final = {
    "SQLITE_IOERR": Outage.IO_ERROR,
    "SQLITE_READONLY": Outage.NO_PERMISSION,
    "SQLITE_PERM": Outage.NO_PERMISSION,
    "SQLITE_AUTH": Outage.NO_PERMISSION,
}
"""What these say when a look at the file finds no better reason: SQLite keeps to itself what the system told it."""


def outage_behind(error: BaseException, path: Path) -> Outage:
    """The word for what keeps the database at `path` from its work."""
    if isinstance(error, DatabaseGoneError):
        return Outage.REMOVED
    if isinstance(error, UnusableDatabaseError):
        return Outage.UNUSABLE
    if isinstance(error, PoolTimeoutError):
        return Outage.NO_ANSWER
    if not isinstance(error, sqlite3.Error):
        return outage_of(error)
    kind = _kind(error)
    return _BY_KIND.get(kind) or _seen_at(path) or _OTHERWISE.get(kind, Outage.OTHER)


def operators_reason(error: BaseException, path: Path) -> str | None:
    """A sentence with the reason and what to do; None when the error says nothing about the database at `path`."""
    if isinstance(error, UnusableDatabaseError):
        return str(error)
    if not isinstance(error, sqlite3.Error):
        return None
    name = _name(error)
    match outage_behind(error, path):
        case Outage.DISK_FULL:
            return f"There is no space left on the disk of {path} ({name}); make room and try again."
        case Outage.UNUSABLE:
            return (
                f"The database {path} is damaged ({name}); restore a backup of it (README: Data and backup), or rescue "
                f"what can be read with: sqlite3 {path} .recover"
            )
        case Outage.LOCKED:
            return f"Another program holds the lock of the database {path} ({name}); end it and try again."
        case Outage.READ_ONLY:
            return f"The disk of {path} is mounted read-only ({name}); mount it for writing, then try again."
        case Outage.NO_DESCRIPTORS:
            return f"No more files can be opened ({name}); raise the limit (ulimit -n), then try again."
        case Outage.IO_ERROR:
            return f"The disk of {path} cannot be read or written ({name}); see to the disk, then try again."
        case Outage.OTHER if _kind(error) != "SQLITE_CANTOPEN":
            return f"The database {path} cannot be used ({name}: {error})."
        case _:
            return (
                f"The database {path} cannot be opened for writing ({name}); see to the owner and permissions of file "
                "and folder."
            )


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", None) or type(error).__name__


def _kind(error: sqlite3.Error) -> str:
    return "_".join(_name(error).split("_")[:2])  # SQLITE_IOERR_WRITE is a kind of SQLITE_IOERR


def _seen_at(path: Path) -> Outage | None:
    """What a look finds wrong. The database itself is not opened: closing it would drop the locks of SQLite on it."""
    path = Path(os.path.realpath(path))  # SQLite writes beside the file itself where this is a link to it
    try:
        os.close(os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC))
        disk = os.statvfs(path.parent)
        path.stat()
    except OSError as error:
        return outage_of(error)
    if disk.f_flag & os.ST_RDONLY:
        return Outage.READ_ONLY
    # Some file systems count no inodes, and then have none free.
    if disk.f_bavail * disk.f_frsize < _LEAST_FREE_BYTES or (disk.f_files > 0 and disk.f_favail == 0):
        return Outage.DISK_FULL
    if not (os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
        return Outage.NO_PERMISSION
    return _tried_at(path.parent)


def _tried_at(folder: Path) -> Outage | None:
    """Whether it is room that a write finds missing: what a quota leaves shows in a write alone, and SQLite calls it an
    I/O error. Nothing of it is left in the folder."""
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except (OSError, AttributeError):  # a file system, or a system, that has no files without a name
        return None
    try:
        os.pwrite(fd, bytes(_LEAST_FREE_BYTES), 0)
    except OSError as error:
        return Outage.DISK_FULL if outage_of(error) is Outage.DISK_FULL else None
    finally:
        os.close(fd)
    return None
