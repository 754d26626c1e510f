"""FileStore over a folder: one folder a day, since names begin with the date and folders should stay small.

A name appears only by linking a file that is whole and on disk, so what is there under a name is always complete, and
a name that is taken is never written again. Links also make a copy cost nothing: bytes never change once saved.

Beside the days lies an empty folder `store-ID` that names the database whose files these are. It is a folder, as no
other file than those of messages shall lie in the store, and its name is not hidden, so that copying takes it along.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from webchat_soap.domain.errors import Busy
from webchat_soap.domain.file import CheckedFile
from webchat_soap.domain.links import is_stored_name

COPY_BYTES: Final = 256 * 1024
"""At a time: enough to keep a disk busy, little enough for fifty at once."""

RETRY_AFTER_SECONDS: Final = 10
"""A full disk takes an operator; sooner retries would only load it."""

_TEMPORARY = ".tmp-"
_MARK = re.compile(r"store-([0-9a-f]{32})")
_NO_LINKS: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})
"""Another file system, one without hard links, or (EMLINK) a file that has as many as it can."""

_LOG = logging.getLogger(__name__)


class LocalFileStore:
    """Bytes in `folder/YYYYMMDD/YYYYMMDD-UUID.ext`, modes 0700 and 0600. Nothing is touched before the first call.

    A name of any other form is not there (FileNotFoundError), so that no name can lead out of the folder.
    `aside` takes, in the same order of folders, what no message names.
    """

    def __init__(self, folder: Path, *, aside: Path) -> None:
        self._folder = folder
        self._aside = aside
        self._lock = threading.Lock()
        self._durable_days: set[str] = set()

    def save(self, checked: CheckedFile, *, name: str) -> None:
        """FileStore.save. FileExistsError when the name is taken."""
        target = self._path(name)
        with _translated():
            self._make_day(target.parent)
            with checked.path.open("rb") as spool:
                os.fchmod(spool.fileno(), 0o600)
                os.fdatasync(spool.fileno())
            self._place(checked.path, target)
            with suppress(OSError):  # stored is stored; the intake clears its spool
                checked.path.unlink()

    def copy(self, *, source: str, name: str) -> None:
        """FileStore.copy. FileExistsError when the name is taken."""
        target = self._path(name)
        bytes_there = self._path(source)
        with _translated():
            if not bytes_there.exists():
                raise FileNotFoundError(errno.ENOENT, "no such stored file", source)
            self._make_day(target.parent)
            self._place(bytes_there, target)

    def open(self, name: str) -> BinaryIO:
        """FileStore.open. The caller closes it."""
        path = self._path(name)
        with _translated():
            # No link is ever made here, so one that is found was not made by us.
            return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb")

    def remove(self, name: str) -> None:
        """FileStore.remove. Not made durable: a name that comes back after a power cut has no row and is swept."""
        with _translated(), suppress(FileNotFoundError):
            self._path(name).unlink()

    def names(self) -> Iterator[str]:
        """FileStore.names. Other files in the folder are passed over."""
        for day in _days(self._folder):
            with _translated(), os.scandir(day) as entries:
                yield from [entry.name for entry in entries if is_stored_name(entry.name)]

    def ping(self) -> None:
        """FileStore.ping: writes and removes a file."""
        probe = self._folder / f"{_TEMPORARY}{uuid.uuid4()}"
        with _translated():
            _make_folder(self._folder)
            try:
                with _created(probe) as file:
                    file.write(b"ping")
            finally:
                probe.unlink(missing_ok=True)

    def sweep_temporary(self) -> int:
        """SweepableFileStore.sweep_temporary."""
        removed = 0
        for folder in (self._folder, *_days(self._folder), *_days(self._aside)):
            with _translated(), suppress(FileNotFoundError), os.scandir(folder) as entries:
                for entry in [entry for entry in entries if entry.name.startswith(_TEMPORARY)]:
                    Path(entry.path).unlink(missing_ok=True)
                    removed += 1
        return removed

    def owners(self) -> frozenset[str]:
        """SweepableFileStore.owners."""
        return frozenset(mark.name.removeprefix("store-") for mark in self._marks())

    def mark(self, store_id: str) -> None:
        """SweepableFileStore.mark."""
        new = self._folder / f"store-{store_id}"
        with _translated():
            _make_folder(self._folder)
            new.mkdir(mode=0o700, exist_ok=True)
            for old in self._marks():
                if old != new:
                    old.rmdir()
            _sync_folder(self._folder)

    def set_aside(self, names: Iterable[str]) -> None:
        """SweepableFileStore.set_aside."""
        self._move(names, self._folder, self._aside)

    def bring_back(self, names: Iterable[str]) -> frozenset[str]:
        """SweepableFileStore.bring_back."""
        there = frozenset(name for name in names if is_stored_name(name) and (self._aside / name[:8] / name).exists())
        self._move(there, self._aside, self._folder)
        return there

    def _marks(self) -> list[Path]:
        with _translated(), suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            return [Path(entry.path) for entry in entries if _MARK.fullmatch(entry.name) and entry.is_dir()]
        return []

    def _move(self, names: Iterable[str], source: Path, target: Path) -> None:
        """Every name is in one of both places at any time, durably: it leaves `source` when it is safe in `target`."""
        by_day: dict[str, list[str]] = {}
        for name in names:
            by_day.setdefault(name[:8], []).append(name)
        if not by_day:
            return
        with _translated():
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(target.parent)
            for day, of_day in by_day.items():
                (target / day).mkdir(mode=0o700, exist_ok=True)
                for name in of_day:
                    with suppress(FileExistsError):  # left by a move that a crash cut short: a name has one content
                        self._name(source / day / name, target / day / name)
                _sync_folder(target / day)  # once a day: one fsync a file would make a start take minutes
                _sync_folder(target)
                for name in of_day:
                    (source / day / name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        if not is_stored_name(name):
            raise FileNotFoundError(errno.ENOENT, "no such stored file", name)
        return self._folder / name[:8] / name

    def _make_day(self, day: Path) -> None:
        """The day's folder, durable. Synced once by every process, as the one around it: another one may have made it
        without having got to its sync yet."""
        if day.name in self._durable_days and day.exists():
            return
        with self._lock:
            _make_folder(self._folder)
            day.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(self._folder.parent)
            _sync_folder(self._folder)
            self._durable_days.add(day.name)

    def _place(self, source: Path, target: Path) -> None:
        """Give the durable bytes of `source` the name `target`, durably, or leave nothing there."""
        self._name(source, target)
        try:
            _sync_folder(target.parent)
        except OSError:
            target.unlink(missing_ok=True)
            raise

    def _name(self, source: Path, target: Path) -> None:
        """The same, but durable only with the folder's next sync."""
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._copy_and_place(source, target)

    @staticmethod
    def _copy_and_place(source: Path, target: Path) -> None:
        temporary = target.parent / f"{_TEMPORARY}{uuid.uuid4()}"
        try:
            with source.open("rb") as original, _created(temporary) as copy:
                shutil.copyfileobj(original, copy, COPY_BYTES)
                copy.flush()
                os.fdatasync(copy.fileno())
            try:
                os.link(temporary, target)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                # Without links there is no way to take a name only if it is free, but names hold a fresh UUID.
                if target.exists():
                    raise FileExistsError(errno.EEXIST, "stored name is taken", target.name) from None
                temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)


def _days(folder: Path) -> list[Path]:
    with _translated(), suppress(FileNotFoundError), os.scandir(folder) as entries:
        return [
            Path(entry.path)
            for entry in entries
            if len(entry.name) == 8 and entry.name.isdecimal() and entry.is_dir(follow_symlinks=False)
        ]
    return []


def _make_folder(folder: Path) -> None:
    """With those around it; what is made is durable on return: without its name all in it would be lost."""
    missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in missing:
        _sync_folder(made.parent)


def _created(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _translated() -> Iterator[None]:
    """What the disk says, as Busy; that a name is not there or is taken stays as it is."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        _LOG.warning("the file store cannot be used: %s", error.strerror)
        raise Busy(
            "The file cannot be stored or read right now and nothing of it was kept; try again, with the same "
            "clientToken where there is one.",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        ) from error
