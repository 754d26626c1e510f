"""The last acknowledged message, noted beside the database, so that an opening notices when its log is gone.

After a kill the newest messages are in SQLite's log (`webchat.db-wal`) alone. Whoever takes that file away, or copies
the database without it, has a database that is whole and older: SQLite cannot tell, and sequences that callers hold
receipts for would be given a second time. So each commit notes one message of it in a small file, and an opening asks
the database for it. The note comes after the commit and is not synced: it can be older than the database, which is
fine, and never newer. It costs a write of 128 bytes a commit (1.5 µs). A process that stops in order and leaves no log
behind clears it: what is in the database itself can be replaced by an older backup on purpose.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NOTE_BYTES: Final = 128
"""Of a fixed length, so that one write replaces all: an id (32), a sequence (19), a CHATID (64), three separators."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LostMessage:
    """A message that was acknowledged and is not in the database."""

    chat_id: str
    sequence: int
    noted_in: Path

    def sentence(self, database: Path) -> str:
        """For the operator."""
        return (
            f"The database {database} lacks message {self.sequence} of chat {self.chat_id}, which was acknowledged "
            f"before the service was killed: its log {database}-wal was removed or replaced, or {database} by an older "
            f"copy. Put the files back that belong together; to go on without what is lost, remove {self.noted_in}."
        )


class Acknowledged:
    """The note of one database's processes. For one thread at a time; nothing is opened before the first call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._store_id: str | None = None
        self._may_clear = False

    def find_lost(self, connection: sqlite3.Connection) -> LostMessage | None:
        """The noted message, if this database gave it and does not have it. sqlite3.Error."""
        (store_id,) = connection.execute("SELECT store_id FROM identity").fetchone()
        try:
            # Before the database is asked: what is noted then was committed then.
            noted_id, sequence, chat_id = self._path.read_text("ascii").split()
        except (OSError, ValueError):
            noted_id, sequence, chat_id = "", "0", ""
        if noted_id == store_id and sequence.isdecimal():
            row = connection.execute("SELECT last_sequence FROM chats WHERE chat_id = ?", (chat_id,)).fetchone()
            if row is None or row[0] < int(sequence):
                return LostMessage(chat_id=chat_id, sequence=int(sequence), noted_in=self._path)
        self._store_id = store_id
        self._may_clear = True
        return None

    def note(self, moved: Mapping[str, tuple[int, bool]]) -> None:
        """Note one of the chats that moved (their last sequences) in a commit. A note that fails is left out."""
        if not moved or self._store_id is None:
            return
        chat_id, (sequence, _) = next(iter(moved.items()))
        line = f"{self._store_id} {sequence} {chat_id}"
        with contextlib.suppress(OSError):
            if self._fd is None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._fd, f"{line:<{_NOTE_BYTES - 1}}\n".encode("ascii"), 0)

    def close(self, *, log: Path) -> None:
        """Let go of the file, and clear it when there is no log any more: everything is in the database then."""
        fd, self._fd = self._fd, None
        with contextlib.suppress(OSError):
            if fd is not None:
                os.close(fd)
        with contextlib.suppress(OSError):
            if self._may_clear and not log.exists():
                os.truncate(self._path, 0)  # not removed: another process may have it open
