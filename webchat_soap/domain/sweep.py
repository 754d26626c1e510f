"""What a crash left behind: bytes without a row go, rows without bytes are told.

Bytes are stored before their row, so a sweep beside a working process would delete what is about to be acknowledged:
run it under the data folder's lock, before any worker starts (design: Processes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from webchat_soap.domain.ports import ChatStore, FileStore


class SweepableFileStore(FileStore, Protocol):
    """A file store that can also clear what its own interrupted saves left."""

    def sweep_temporary(self) -> int:
        """Remove unfinished files, whoever began them; the number removed. Only while nobody saves. Busy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepReport:
    """What a sweep did and found."""

    removed_files: int
    """Stored files without a row and unfinished ones."""
    missing_files: tuple[str, ...]
    """Stored names that have a row but no bytes, sorted: for the operator, nothing is changed for them."""


def sweep(*, chats: ChatStore, files: SweepableFileStore) -> SweepReport:
    """Remove every file that no committed message names, and every unfinished one. Busy when a store does not answer.

    Holds the names of all committed files in memory, about 100 bytes each.
    """
    missing = set(chats.file_names())
    removed = files.sweep_temporary()
    orphans = []
    for name in files.names():
        if name in missing:
            missing.discard(name)
        else:
            orphans.append(name)
    for name in orphans:
        files.remove(name)
    return SweepReport(removed_files=removed + len(orphans), missing_files=tuple(sorted(missing)))
