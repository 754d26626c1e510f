"""Why the database does not answer, for the operator: callers get one sentence for all of it (see refusals)."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from webchat_soap.stores.database import UnusableDatabaseError

_LEAST_FREE_BYTES: Final = 128 * 1024
"""A new database with its log and the log's shared memory takes about this much."""


def operators_reason(error: BaseException, path: Path) -> str | None:
    """A sentence with the reason and what to do; None when the error says nothing about the database at `path`."""
    if isinstance(error, UnusableDatabaseError):
        return str(error)
    if not isinstance(error, sqlite3.Error):
        return None
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    kind = "_".join(name.split("_")[:2])  # SQLITE_IOERR_WRITE is a kind of SQLITE_IOERR
    if kind == "SQLITE_FULL" or (kind in ("SQLITE_CANTOPEN", "SQLITE_IOERR") and _is_full(path.parent)):
        return f"There is no space left on the disk of {path} ({name}); make room and try again."
    if kind in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
        return (
            f"The database {path} is damaged ({name}); restore a backup of it (README: Data and backup), or rescue "
            f"what can be read with: sqlite3 {path} .recover"
        )
    if kind in ("SQLITE_BUSY", "SQLITE_LOCKED"):
        return f"Another program holds the lock of the database {path} ({name}); end it and try again."
    if kind in ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH"):
        return (
            f"The database {path} cannot be opened for writing ({name}); see to the owner and permissions of file and "
            "folder."
        )
    if kind == "SQLITE_IOERR":
        return f"The disk of {path} cannot be read or written ({name}); see to the disk, then try again."
    return f"The database {path} cannot be used ({name}: {error})."


def _is_full(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    # Some file systems count no inodes, and then have none free.
    return disk.f_bavail * disk.f_frsize < _LEAST_FREE_BYTES or (disk.f_files > 0 and disk.f_favail == 0)
