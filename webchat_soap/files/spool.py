"""Where bytes stay until they are proved: written, counted and hashed in one pass.

Each process has a folder of its own under the spool's root, so that what a dead one left is told from what a living one
holds. The file store makes the bytes durable when it takes a file over; of a large file most are sent to the disk while
it comes, so that the disk is at work meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import resource
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webchat_soap.domain.errors import Busy
from webchat_soap.files.disk import Leftovers, busy

CHUNK_BYTES = 256 * 1024
"""Design: bytes are never held whole in memory, up to 256 KiB at a time."""

SYNC_BYTES = 16 * 1024 * 1024
"""A file is synced whenever so many bytes have come; fewer would cost commits of the file system's journal."""


class SpoolFile:
    """A file that grows. `path` belongs to the spool, which removes it unless somebody moved it away."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.size = 0
        """Bytes so far."""
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self._unsynced_bytes = 0
        self._syncing: threading.Thread | None = None
        self._sync_error: OSError | None = None

    def write(self, chunk: memoryview) -> None:
        """Append all of `chunk`. Busy when the disk does not take it, or has not taken what came before."""
        if self._sync_error is not None:
            raise busy(self._sync_error)
        self._hash.update(chunk)
        try:
            at = 0
            while at < len(chunk):
                at += os.write(self._descriptor, chunk[at:])
        except OSError as error:
            raise busy(error) from error
        self.size += len(chunk)
        self._unsynced_bytes += len(chunk)
        if self._unsynced_bytes >= SYNC_BYTES:
            self._sync_meanwhile()

    def _sync_meanwhile(self) -> None:
        if self._syncing is not None and self._syncing.is_alive():
            return
        self._unsynced_bytes = 0
        thread = threading.Thread(target=self._sync, name="spool-sync", daemon=True)
        with contextlib.suppress(RuntimeError, MemoryError):  # without a thread the store's own sync does it all
            thread.start()
            self._syncing = thread

    def _sync(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            # The system tells an error once: a later sync would succeed although the bytes are lost.
            self._sync_error = error

    def sha256(self) -> str:
        """Lower-case hex of what has been written."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """End writing. Idempotent. Busy when the disk tells only now that it has no room (as network disks do)."""
        if self._descriptor == -1:
            return
        if self._syncing is not None:
            self._syncing.join()
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.close(descriptor)
            if self._sync_error is not None:
                raise self._sync_error
        except OSError as error:
            raise busy(error) from error


class Spool:
    """New spool files under `root`, in a folder of this process. May be used from many threads and before a fork."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._folder_pid = -1
        self._leftovers = Leftovers()

    @contextmanager
    def new_file(self) -> Iterator[SpoolFile]:
        """An empty file, readable by this user only; leaving the context closes and removes it, whatever happens."""
        self._leftovers.try_again()
        path, descriptor = self._create()
        file = SpoolFile(path, descriptor)
        try:
            yield file
        finally:
            with contextlib.suppress(Busy, OSError):
                file.close()
            # By now the message may be committed: what cannot be removed must not fail the call.
            self._leftovers.remove(path)

    def _create(self) -> tuple[Path, int]:
        try:
            path = self._own_folder() / secrets.token_hex(16)
            try:
                return path, _open_new(path)
            except FileNotFoundError:  # somebody tidied the folder away
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                return path, _open_new(path)
        except OSError as error:
            raise busy(error) from error

    def _own_folder(self) -> Path:
        pid = os.getpid()
        with self._lock:
            if self._folder is None or self._folder_pid != pid:
                # The random part keeps a process apart from a dead one that had the same number, in a container say.
                folder = self._root / f"{pid}-{secrets.token_hex(4)}"
                folder.mkdir(mode=0o700, parents=True)
                self._folder, self._folder_pid = folder, pid
            return self._folder


def sweep_spool(root: Path) -> int:
    """Remove what dead processes left, all of it; returns how many folders there were.

    Only for the one parent of a data folder, under its lock and before any worker runs.
    """
    folders = [entry for entry in root.iterdir() if entry.is_dir()] if root.is_dir() else []
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return len(folders)


def _open_new(path: Path) -> int:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # Numbers are given from the lowest that is free. The last quarter is for those who send texts: a file may wait.
    if limit != resource.RLIM_INFINITY and descriptor >= limit * 3 // 4:
        os.close(descriptor)
        path.unlink()
        raise OSError(errno.EMFILE, "too few files may be opened for another upload", str(path))
    return descriptor
