"""The SQLite file: made, brought to the newest version, and opened with the settings that make a commit durable."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Final
from urllib.parse import quote

from webchat_soap.stores.acknowledged import Acknowledged
from webchat_soap.stores.schema import NEWEST_VERSION, SQLITE_STEPS
from webchat_soap.stores.turn import Turn

OLDEST_SQLITE: Final = (3, 37, 0)
"""STRICT tables are of 3.37, RETURNING of 3.35."""

_SETTINGS: Final = (
    "PRAGMA synchronous=FULL",  # a commit is on disk when it returns
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-8192",  # KiB a connection at most, taken only as pages are used
    "PRAGMA journal_size_limit=67108864",  # bytes the log keeps after a burst
    "PRAGMA temp_store=MEMORY",  # else what undoes a statement of many rows is written to a file: 37 pages a commit
    "PRAGMA trusted_schema=OFF",
)


_WRITER_SETTINGS: Final = (
    # The inner pages of five million messages and the rows of 100,000 chats are 15 MiB.
    "PRAGMA cache_size=-32768",
    # Pages of the log (16 MiB) after which what is in it is written into the database: with SQLite's own 1,000 nearly
    # each page of messages to 100,000 chats was written twice, and the database synced every 30 commits.
    "PRAGMA wal_autocheckpoint=4000",
)
"""For the one connection that writes."""

_Identity = tuple[int, int]  # device and inode

_IN_USE: dict[Path, _Identity] = {}
"""The file behind each path that this process, or the one it was forked from, has opened. It is never forgotten: a
worker that replaces a dead one would else make a new, empty database where somebody has removed the one in use."""


class UnusableDatabaseError(ValueError):
    """The file is not a database that this version can use; the sentence says why and what to do. For the operator."""


class DatabaseGoneError(UnusableDatabaseError):
    """The file, or its log, was removed or replaced while it was in use."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} was removed or replaced while the service runs; nothing is stored until the service is restarted. "
            "Put the right database there first: a start makes a new one where there is none."
        )


class LostMessagesError(UnusableDatabaseError):
    """The database lacks what it has acknowledged: it is older than it should be."""


class Database:
    """One SQLite file. Nothing is touched before the first `connect`, which also brings it to the newest version.

    Errors of `connect`: UnusableDatabaseError; sqlite3.Error and OSError when the file cannot be reached right now.
    """

    def __init__(self, path: Path, *, turn_path: Path, patience_seconds: float, acknowledged: Acknowledged) -> None:
        self.path = path
        self._log_names = ("", "")
        self._log: list[_Identity] | None = None
        self._acknowledged = acknowledged
        self._name = str(path)  # os.stat takes it in two thirds of the time
        self._gone = False
        self._turn_path = turn_path
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._prepared = False

    @property
    def log_path(self) -> Path:
        """Of the log of what is not in the database itself yet."""
        return log_of(self.path)

    def is_unmade(self) -> bool:
        """Whether there is no database yet, so that the first `connect` would make it. OSError."""
        try:
            return self.path.stat().st_size == 0  # empty: whoever made it did not get to the schema
        except FileNotFoundError:
            return True

    def connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        """A connection in autocommit mode, usable from any one thread at a time; the caller closes it."""
        if not self._prepared:
            if not self._lock.acquire(timeout=self._patience_seconds):
                raise TimeoutError("the database is still being prepared")
            try:
                if not self._prepared:
                    self._prepare()
                    self._prepared = True
            finally:
                self._lock.release()
        self._check_file()
        if not read_only:
            log_name = str(self.log_path)
            self._log_names = (log_name, f"{log_name.removesuffix('-wal')}-shm")
            self._log = None
        return self._open(read_only=read_only)

    def check_in_place(self) -> None:
        """Raise DatabaseGoneError once the path leads to another file than the one in use, or to none, or those of the
        log and its shared memory to others than those of the writable connection, which has begun a transaction.
        OSError.

        A commit to a file that has no name any more succeeds, and is lost with the process; asking costs 2 µs a file.
        Two processes with a shared memory each do not see where the other writes, and overwrite its commits in the log.
        It stays so until a restart, also when the file comes back: what happened to its log meanwhile nobody knows, and
        one that is new would silently begin without the old messages. Only a start can tell whether it fits the files.
        """
        self._check_file()
        try:
            found = [os.stat(name) for name in self._log_names]  # noqa: PTH116 - see _name
        except FileNotFoundError:
            found = []
        identities = [(file.st_dev, file.st_ino) for file in found]
        # SQLite removes them with the last connection only, so as long as this one lives they are the same.
        if self._log is None:
            self._log = identities
        if not identities or identities != self._log:
            self._gone = True
            raise DatabaseGoneError(Path(self._log_names[0]))

    def _check_file(self) -> None:
        if not self._gone:
            try:
                found = os.stat(self._name)  # noqa: PTH116 - see _name
            except FileNotFoundError:
                self._gone = True
            else:
                self._gone = (found.st_dev, found.st_ino) != _IN_USE[self.path]
        if self._gone:
            raise DatabaseGoneError(self.path)

    def _prepare(self) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            needed = ".".join(map(str, OLDEST_SQLITE))
            raise UnusableDatabaseError(f"SQLite {sqlite3.sqlite_version} is too old; {needed} or newer is needed.")
        if self.path in _IN_USE:
            self._check_file()
        else:
            self._create()
        connection = None
        try:
            connection = self._open(read_only=False)
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            if version_of(connection, self.path) < NEWEST_VERSION or mode != "wal":  # VACUUM INTO makes it another
                self._migrate(connection)
            self._sync_log()
            lost = self._acknowledged.find_lost(connection)
            if lost is not None:
                raise LostMessagesError(lost.sentence(self.path))
            # After it was opened for writing: a layered file system gives a file its number only then.
            found = self.path.stat()
            _IN_USE.setdefault(self.path, (found.st_dev, found.st_ino))
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
                raise UnusableDatabaseError(
                    f"{self.path} is not an SQLite database; move it away or name another file."
                ) from error
            raise
        finally:
            if connection is not None:
                connection.close()

    def _create(self) -> None:
        path = _behind_links(self.path)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return  # opening and closing it here would drop the locks of SQLite connections of this process
        os.close(fd)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _sync_log(self) -> None:
        """Put on disk what is in the log, before anybody is told of it.

        A process that died between writing a commit and its sync leaves it in the log, and whoever opens the file
        first after it takes it for committed. Its caller comes again with the same token and is told that it is stored.
        """
        try:
            fd = os.open(self.log_path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)  # no lock of SQLite's is on this file, so none is lost by closing it

    def _open(self, *, read_only: bool) -> sqlite3.Connection:
        # mode=rw: a file that is gone is an error and not an empty database. Readers open it like writers, since only
        # so can they make the shared memory of the log when they come first; query_only keeps them from writing.
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=self._patience_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            for setting in (*_SETTINGS, *(("PRAGMA query_only=ON",) if read_only else _WRITER_SETTINGS)):
                connection.execute(setting)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        turn = Turn(self._turn_path)
        try:
            turn.take_within(self._patience_seconds)
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                raise UnusableDatabaseError(
                    f"{self.path} cannot use a write-ahead log (its journal mode stays {mode}); put it on a local disk."
                )
            connection.execute("BEGIN IMMEDIATE")
            try:
                version = version_of(connection, self.path)  # another process may have come first
                if version == 0:
                    connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT")
                    connection.execute("INSERT INTO schema_version VALUES (0)")
                for step in SQLITE_STEPS[version:]:
                    for statement in step:
                        connection.execute(statement)
                connection.execute("UPDATE schema_version SET version = ?", (NEWEST_VERSION,))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        finally:
            turn.close()


def log_of(path: Path) -> Path:
    """The log of the database at `path`, which SQLite keeps beside the file itself where `path` is a link to it."""
    behind = _behind_links(path)
    return behind.with_name(f"{behind.name}-wal")


def _behind_links(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises for links in a circle, differently in each Python


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The number of the schema's last step; 0 for an empty database. UnusableDatabaseError for one that is not ours."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return 0
    if "schema_version" not in tables:
        raise UnusableDatabaseError(f"{path} is a database of another program; name another file.")
    (version,) = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    if version > NEWEST_VERSION:
        raise UnusableDatabaseError(
            f"{path} was made by a newer version of this program (its schema is {version}, this version knows "
            f"up to {NEWEST_VERSION}); run that version again, or restore a backup from before the change."
        )
    return int(version)
