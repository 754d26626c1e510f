"""Pieces of agents' files in the data folder, one file an upload. Implements domain.uploads.PieceStore.

`uploads/AGENT/UPLOAD.SIZE`: the names are hashes, so that nothing that a caller says becomes a path, and the declared
size is in the name, so that it is there with the first piece or not at all. A piece is written behind the others under
a lock; one that a crash cuts short leaves a shorter beginning of the same file, and the page goes on from there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from webchat_soap.domain.errors import Busy, InvalidRequest
from webchat_soap.domain.uploads import ABANDONED_SECONDS, MAX_UPLOADS, UploadKey, WrongOffset
from webchat_soap.files.disk import busy

_SWEEP_SECONDS: Final = 3600.0

_LOG = logging.getLogger(__name__)


class UploadFolder:
    """May be made before a fork; nothing is touched before the first piece."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._sweep_at = time.monotonic() + _SWEEP_SECONDS

    def offset(self, key: UploadKey) -> int:
        """PieceStore.offset."""
        try:
            found = self._find(key)
            return 0 if found is None else found[0].stat().st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise busy(error) from error

    def append(self, key: UploadKey, piece: bytes, *, offset: int, size: int) -> int:
        """PieceStore.append."""
        if offset + len(piece) > size:
            raise InvalidRequest(
                f"The piece ends at {offset + len(piece)}, beyond the file's {size} bytes; send the file's own pieces.",
                field="size",
                limit=size,
                actual=offset + len(piece),
            )
        self._sweep_now_and_then()
        try:
            with self._locked(key, size=size, makes=offset == 0) as (descriptor, _):
                there = os.fstat(descriptor).st_size
                if there != offset:
                    raise _wrong_offset(there)
                _write(descriptor, piece, offset)
                return offset + len(piece)
        except FileNotFoundError:
            raise _wrong_offset(0) from None
        except OSError as error:
            raise busy(error) from error

    @contextmanager
    def open(self, key: UploadKey) -> Iterator[BinaryIO]:
        """PieceStore.open."""
        with contextlib.ExitStack() as stack:
            try:
                descriptor, size = stack.enter_context(self._locked(key))
                there = os.fstat(descriptor).st_size
                if there != size:
                    raise _wrong_offset(there)
                stream = stack.enter_context(os.fdopen(os.dup(descriptor), "rb"))
                stream.seek(0)
            except FileNotFoundError:
                raise _wrong_offset(0) from None
            except OSError as error:
                raise busy(error) from error
            yield stream

    def remove(self, key: UploadKey) -> None:
        """PieceStore.remove. Waits for nobody: who writes a piece just now finds the file gone, and says so."""
        try:
            found = self._find(key)
            if found is not None:
                found[0].unlink(missing_ok=True)
        except OSError as error:
            raise busy(error) from error

    @contextmanager
    def _locked(self, key: UploadKey, *, size: int | None = None, makes: bool = False) -> Iterator[tuple[int, int]]:
        """The upload's file, held against all processes, and its size. Where there is none it is made or, as for a
        piece that comes after a cancel, FileNotFoundError."""
        path, declared = self._find(key) or (None, size)
        if path is None and makes and size is not None:
            path = self._new_path(key, size)
        if path is None or declared is None:
            raise FileNotFoundError
        if size is not None and declared != size:
            raise InvalidRequest(
                f"The first piece said that the file has {declared} bytes, this one {size}; begin anew with another "
                "TOKEN.",
                field="size",
                limit=declared,
                actual=size,
            )
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if makes else 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            _lock(descriptor)
            if os.fstat(descriptor).st_nlink == 0:  # taken away in between
                raise _wrong_offset(0)
            yield descriptor, declared
        finally:
            os.close(descriptor)

    def _find(self, key: UploadKey) -> tuple[Path, int] | None:
        stem = _hash(key.agent_id, key.chat_id, key.token) + "."
        try:
            names = os.listdir(self._folder(key))  # noqa: PTH208 - names are all that is wanted
        except FileNotFoundError:
            return None
        for name in names:
            if name.startswith(stem):
                return self._folder(key) / name, int(name.removeprefix(stem))
        return None

    def _new_path(self, key: UploadKey, size: int) -> Path:
        folder = self._folder(key)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Two at the same moment may both find the last place; one more than that does no harm.
        if len(os.listdir(folder)) >= MAX_UPLOADS:  # noqa: PTH208
            raise Busy(
                f"{MAX_UPLOADS} of your files are being uploaded already; wait until one is done, or cancel one.",
                retry_after_seconds=5,
            )
        return folder / f"{_hash(key.agent_id, key.chat_id, key.token)}.{size}"

    def _folder(self, key: UploadKey) -> Path:
        return self._root / _hash(key.agent_id)

    def _sweep_now_and_then(self) -> None:
        with self._lock:
            now = time.monotonic()
            if now < self._sweep_at:
                return
            self._sweep_at = now + _SWEEP_SECONDS
        sweep_uploads(self._root)


def sweep_uploads(root: Path, *, now: float | None = None) -> int:
    """Take away what got no piece for a day; how many that were. May run beside working processes."""
    oldest = (time.time() if now is None else now) - ABANDONED_SECONDS
    count = 0
    for path in [*root.glob("*/*")]:
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
                count += 1
    for folder in [*root.glob("*")]:
        with contextlib.suppress(OSError):  # there are others in it
            folder.rmdir()
    if count:
        _LOG.info("%d abandoned uploads were removed", count)
    return count


def _write(descriptor: int, piece: bytes, offset: int) -> None:
    """All of it or nothing, unless the process dies."""
    left, at = memoryview(piece), offset
    try:
        while left:
            written = os.pwrite(descriptor, left, at)
            left, at = left[written:], at + written
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, offset)
        raise


def _lock(descriptor: int) -> None:
    """For a second at most: a piece takes milliseconds, and a post that is under way is no time for another piece."""
    give_up = time.monotonic() + 1.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise Busy(
                    "This upload is in use by another call; try again in a moment.", retry_after_seconds=1
                ) from None
            time.sleep(0.01)
        else:
            return


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _wrong_offset(there: int) -> WrongOffset:
    return WrongOffset(f"The pieces end at {there}; go on from there.", field="offset", actual=there)
