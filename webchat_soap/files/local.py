"""FileStore over a folder: one folder a day, since names begin with the date and folders should stay small.

A name appears only by linking a file that is whole and on disk, so what is there under a name is always complete, and
a name that is taken is never written again. Links also make a copy cost nothing: bytes never change once saved.

Beside the days lies an empty folder `store-ID` that names the database whose files these are. It is a folder, as no
other file than those of messages shall lie in the store, and its name is not hidden, so that copying takes it along.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from webchat_soap.domain.file import CheckedFile
from webchat_soap.domain.links import is_stored_name
from webchat_soap.domain.sweep import FilesOfDay
from webchat_soap.files.disk import Leftovers, busy

COPY_BYTES: Final = 256 * 1024
"""At a time: enough to keep a disk busy, little enough for fifty at once."""

_TEMPORARY = ".tmp-"
_DAY = re.compile(r"[0-9]{8}")
_UNSETTLED_NANOSECONDS: Final = 2_000_000_000
"""A name that comes within the same tick of the file system's clock leaves the ctime as it is; ticks are 1 to 10 ms
here and 2 s on the coarsest file systems."""
_MARK = re.compile(r"store-([0-9a-f]{32})")
_PROBE_BYTES: Final = 160 * 1024
"""What a first start takes on the disk, about: a new database with its log."""
_NO_LINKS: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})
"""Another file system, one without hard links, or (EMLINK) a file that has as many as it can."""


class LocalFileStore:
    """Bytes in `folder/YYYYMMDD/YYYYMMDD-UUID.ext`, modes 0700 and 0600. Nothing is touched before the first call.

    A name of any other form is not there (FileNotFoundError), so that no name can lead out of the folder.
    `aside` takes, in the same order of folders, what no message names. `now_ns` is the clock of the file system.
    """

    def __init__(self, folder: Path, *, aside: Path, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._folder = folder
        self._aside = aside
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._durable_days: set[str] = set()
        self._leftovers = Leftovers()

    def save(self, checked: CheckedFile, *, name: str) -> None:
        """FileStore.save. FileExistsError when the name is taken."""
        target = self._path(name)
        self._leftovers.try_again()
        with _translated(also_missing=True):
            self._make_day(target.parent)
            with checked.path.open("rb") as spool:
                os.fchmod(spool.fileno(), 0o600)
                # Once and never again: after a sync that failed the kernel forgets what it could not write, and the
                # next one is fine with that. The intake throws the file away then.
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
            # No link is ever made here, so one that is found was not made by us; and whoever opens a pipe waits for its
            # writer, for ever.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise OSError(errno.EINVAL, "what lies in its place is no file")
            return os.fdopen(descriptor, "rb")

    def remove(self, name: str) -> None:
        """FileStore.remove. Not made durable: a name that comes back after a power cut has no row and is swept."""
        with suppress(FileNotFoundError):
            self._leftovers.remove(self._path(name))

    def names(self) -> Iterator[str]:
        """FileStore.names. Whatever else lies in the folders is passed over."""
        for day in _days(self._folder):
            with _translated(), suppress(FileNotFoundError), os.scandir(day) as entries:
                yield from (entry.name for entry in entries if _is_stored_file(entry, day.name))

    def ping(self) -> None:
        """FileStore.ping: writes and removes a file."""
        self._leftovers.try_again()
        probe = self._folder / f"{_TEMPORARY}{uuid.uuid4()}"
        with _translated():
            _make_folder(self._folder)
            try:
                with _created(probe) as file:
                    file.write(b"ping")
                probe.unlink()
            except OSError:
                self._leftovers.remove(probe)
                raise

    def probe(self) -> None:
        """Prove that the store could be written, as `ping`, but make no folder: where there is none yet, beside it."""
        with _translated():
            place = self._folder
            while not place.is_dir() and place != place.parent:
                place = place.parent
            probe = place / f"{_TEMPORARY}{uuid.uuid4()}"
            try:
                with _created(probe) as file:
                    file.write(bytes(_PROBE_BYTES))
            finally:
                probe.unlink(missing_ok=True)

    def is_aside(self, name: str) -> bool:
        """AuditableFileStore.is_aside."""
        return is_stored_name(name) and (self._aside / name[:8] / name).is_file()

    def seconds_since_change(self, name: str) -> float | None:
        """AuditableFileStore.seconds_since_change: of the bytes' inode, whose ctime every new name moves."""
        with _translated():
            try:
                found = self._path(name).lstat()
            except FileNotFoundError:
                return None
        return max(0.0, (self._now_ns() - found.st_ctime_ns) / 1e9)

    def sweep_temporary(self) -> int:
        """SweepableFileStore.sweep_temporary."""
        return _sweep_temporary(self._folder)

    def days(self) -> Mapping[str, str | None]:
        """SweepableFileStore.days. A folder's inode and ctime: every link and unlink moves the ctime, nobody can set
        it, and a folder that was restored or copied has another one."""
        stamps: dict[str, str | None] = {}
        settled_ns = self._now_ns() - _UNSETTLED_NANOSECONDS
        for day in _days(self._folder):
            try:
                found = day.stat()
            except FileNotFoundError:
                continue
            except OSError:  # a link to a disk that does not answer, say: `sweep_day` tells, of this day alone
                stamps[day.name] = None
                continue
            is_settled = found.st_ctime_ns < settled_ns
            stamps[day.name] = f"{found.st_ino}-{found.st_ctime_ns}" if is_settled else None
        return stamps

    def sweep_day(self, day: str) -> FilesOfDay:
        """SweepableFileStore.sweep_day. Whatever else lies in the folder is passed over."""
        names: frozenset[str] = frozenset()
        has_temporary = False
        with _translated(), suppress(FileNotFoundError), os.scandir(self._folder / day) as entries:
            found = []
            for entry in entries:
                if _is_stored_file(entry, day):
                    found.append(entry.name)
                elif entry.name.startswith(_TEMPORARY):
                    has_temporary = True
            names = frozenset(found)
        removed = _sweep_temporary(self._folder / day) if has_temporary else 0
        return FilesOfDay(names=names, removed_unfinished=removed)

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
                _sweep_temporary(target / day)
                for name in of_day:
                    # FileExistsError: left by a move that a crash cut short, a name has one content. FileNotFoundError:
                    # somebody else has taken it away meanwhile.
                    with suppress(FileExistsError, FileNotFoundError):
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
            try:
                _sync_folder(self._folder.parent)
                _sync_folder(self._folder)
            except OSError:
                with suppress(OSError):  # made anew the next time, unless somebody uses it: see the sync in `save`
                    day.rmdir()
                raise
            self._durable_days.add(day.name)

    def _place(self, source: Path, target: Path) -> None:
        """Give the durable bytes of `source` the name `target`, durably, or leave nothing there."""
        try:
            self._name(source, target)
            _sync_folder(target.parent)
        except FileExistsError:
            raise
        except OSError:
            self._leftovers.remove(target)  # an I/O error leaves open whether the name was given
            raise

    def _name(self, source: Path, target: Path) -> None:
        """The same, but durable only with the folder's next sync."""
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._copy_and_place(source, target)

    def _copy_and_place(self, source: Path, target: Path) -> None:
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
            self._leftovers.remove(temporary)


def _days(folder: Path) -> list[Path]:
    with _translated(), suppress(FileNotFoundError), os.scandir(folder) as entries:
        return [
            Path(entry.path)
            for entry in entries
            # A link to a folder too: an operator may move old days to another disk, and `open` reads them there.
            if _DAY.fullmatch(entry.name) and _is_folder(entry)
        ]
    return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # whoever opens it is told why
        return True


def _is_stored_file(entry: os.DirEntry[str], day: str) -> bool:
    """Whether `open` would find bytes there: the right name in the right folder, and no link or folder."""
    name = entry.name
    return name.startswith(day) and is_stored_name(name) and entry.is_file(follow_symlinks=False)


def _sweep_temporary(folder: Path) -> int:
    removed = 0
    with _translated(), suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in [entry for entry in entries if entry.name.startswith(_TEMPORARY)]:
            if not entry.is_dir(follow_symlinks=False):
                Path(entry.path).unlink(missing_ok=True)
                removed += 1
    return removed


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
def _translated(*, also_missing: bool = False) -> Iterator[None]:
    """What the disk says, as Busy; that a name is taken or (but for `also_missing`) not there stays as it is."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not also_missing:
            raise
        raise busy(error) from error
