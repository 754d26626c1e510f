"""A data folder as full as one likes, in seconds: `python -m tests.full_folder FOLDER --files 100000`.

Rows go in through the schema in bulk. Files are hard links to a few small ones, so that a hundred thousand take seconds
and hardly any room; every row tells the right size and sha256. With `--log-mib` the process ends as if it was killed:
the database's log then holds so many MiB of committed messages that the next start has to recover.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sqlite3
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from webchat_soap.stores.open import open_chat_store

LINKS = 30_000
"""To one file; ext4 takes 65,000."""

NOW = 1_790_000_000_000


@dataclass(frozen=True, kw_only=True)
class Full:
    """What a folder holds. Files are dealt round over the chats, and to `days` up to and with `last_day`."""

    messages: int
    files: int = 0
    chats: int = 1000
    days: int = 1
    last_day: str = "20261105"
    text: str = "a text as people write it, not long and not short, and then some more of it"


def fill(data: Path, full: Full) -> None:
    """Make the folder, with a database as a service leaves it that stopped. The names are random."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = data / "webchat.db"
    with closing(open_chat_store(f"sqlite:///{database}", lock_folder=data / "locks")) as chats:
        chats.ping()
        store_id = chats.store_id()
    (data / "files" / f"store-{store_id}").mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    _insert(connection, data / "files", full)
    connection.execute("COMMIT")
    connection.close()


def grow_log(data: Path, log_mib: int) -> None:
    """Commit messages into the log alone until it has this size, in a process that ends without closing."""
    pid = os.fork()
    if pid == 0:
        try:
            _grow_log(data / "webchat.db", log_mib * 1024 * 1024)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def _insert(connection: sqlite3.Connection, folder: Path, full: Full) -> None:
    per_chat = full.messages // full.chats
    files_of = [full.files // full.chats + (key < full.files % full.chats) for key in range(full.chats)]
    if max(files_of) > per_chat:
        raise ValueError("a message takes one file here: have more messages")
    stored = _link_files(folder, full)
    for key in range(1, full.chats + 1):
        mine = list(islice(stored, files_of[key - 1]))
        connection.execute(
            "INSERT INTO chats VALUES (?, ?, 'OPEN', NULL, NULL, ?, NULL, NULL, NULL, ?, ?, ?, ?, 0, 0)",
            (key, f"chat-{key}", NOW, per_chat, NOW, len(mine), sum(size for _, size, _ in mine)),
        )
        connection.executemany(
            "INSERT INTO messages VALUES (?, ?, ?, 'CUSTOMER', NULL, ?, ?, ?, NULL, NULL)",
            (
                (key, sequence, str(uuid.UUID(int=key << 64 | sequence)), NOW, full.text, int(sequence <= len(mine)))
                for sequence in range(1, per_chat + 1)
            ),
        )
        connection.executemany(
            "INSERT INTO files VALUES (?, ?, 0, ?, ?, 'a.txt', 'DOCUMENT', 'text/plain', ?, ?, NULL, NULL, NULL, NULL)",
            (
                (key, sequence, name[9:45], name, size, sha256)
                for sequence, (name, size, sha256) in enumerate(mine, start=1)
            ),
        )


def _link_files(folder: Path, full: Full) -> Iterator[tuple[str, int, str]]:
    """Name, size and sha256 of each new file."""
    last = datetime.strptime(full.last_day, "%Y%m%d").replace(tzinfo=UTC)
    days = [f"{last - timedelta(days=back):%Y%m%d}" for back in range(full.days)]
    for day in days:
        (folder / day).mkdir(mode=0o700, parents=True, exist_ok=True)
    source, content = "", b""
    for number in range(full.files):
        day = days[number % len(days)]
        name = f"{day}-{uuid.uuid4()}.txt"
        path = f"{folder}/{day}/{name}"
        if number % LINKS == 0:
            source, content = path, f"bytes {number}".encode()
            Path(source).write_bytes(content)
        else:
            os.link(source, path)
        yield name, len(content), hashlib.sha256(content).hexdigest()


def _grow_log(database: Path, log_bytes: int) -> None:
    log = database.with_name(database.name + "-wal")
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA synchronous=OFF")
    (chats,) = connection.execute("SELECT max(chat_key) FROM chats").fetchone()
    key = 0
    while not log.exists() or log.stat().st_size < log_bytes:
        key = key % chats + 1
        connection.execute("BEGIN")
        (sequence,) = connection.execute(
            "UPDATE chats SET last_sequence = last_sequence + 1 WHERE chat_key = ? RETURNING last_sequence", (key,)
        ).fetchall()[0]
        connection.execute(
            "INSERT INTO messages VALUES (?, ?, ?, 'CUSTOMER', NULL, ?, 'in the log', 0, NULL, NULL)",
            (key, sequence, str(uuid.uuid4()), NOW),
        )
        connection.execute("COMMIT")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.full_folder", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--chats", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--log-mib", type=int, default=0)
    given = parser.parse_args()
    fill(given.folder, Full(messages=given.messages, files=given.files, chats=given.chats, days=given.days))
    if given.log_mib:
        grow_log(given.folder, given.log_mib)
    return 0


if __name__ == "__main__":
    sys.exit(main())
