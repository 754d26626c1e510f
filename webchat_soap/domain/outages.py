"""What can be wrong below the service, in fixed words: for the operator, in `/readyz` and in the log."""

from __future__ import annotations

import errno
from enum import StrEnum
from typing import Final


class Outage(StrEnum):
    """Why a store cannot do its work. README (Health) says what to do for each; a test compares the two."""

    DISK_FULL = "disk full"
    READ_ONLY = "read-only"
    NO_PERMISSION = "no permission"
    LOCKED = "locked by another program"
    IO_ERROR = "I/O error"
    NO_DESCRIPTORS = "out of file descriptors"
    NO_MEMORY = "out of memory"
    REMOVED = "removed"
    UNUSABLE = "unusable"
    NO_ANSWER = "no answer"
    OTHER = "see the log"


_BY_NUMBER: Final = {
    errno.ENOSPC: Outage.DISK_FULL,
    errno.EDQUOT: Outage.DISK_FULL,
    errno.EFBIG: Outage.DISK_FULL,  # beyond what the file system, or a limit on the process, lets a file grow to
    errno.EROFS: Outage.READ_ONLY,
    errno.EACCES: Outage.NO_PERMISSION,
    errno.EPERM: Outage.NO_PERMISSION,
    errno.EIO: Outage.IO_ERROR,
    errno.ENXIO: Outage.IO_ERROR,
    errno.ENODEV: Outage.IO_ERROR,
    errno.ESTALE: Outage.IO_ERROR,
    getattr(errno, "EUCLEAN", errno.EIO): Outage.IO_ERROR,  # Linux: the file system has found itself damaged
    errno.EMFILE: Outage.NO_DESCRIPTORS,
    errno.ENFILE: Outage.NO_DESCRIPTORS,
    errno.ENOMEM: Outage.NO_MEMORY,
    errno.ENOENT: Outage.REMOVED,
    errno.ENOTDIR: Outage.REMOVED,
    errno.ETIMEDOUT: Outage.NO_ANSWER,
}


def outage_of(error: BaseException) -> Outage:
    """The word for what the system said; OTHER for what it does not know."""
    if isinstance(error, MemoryError):
        return Outage.NO_MEMORY
    if isinstance(error, TimeoutError) and error.errno is None:
        return Outage.NO_ANSWER
    if isinstance(error, OSError):
        return _BY_NUMBER.get(error.errno or 0, Outage.OTHER)
    return Outage.OTHER
