"""One parent per data folder, held by flock(2) on its `lock` file.

Workers inherit the lock on purpose: after a kill -9 of the parent it is free only when the last of them is gone, so
that no sweep of a new start runs beside a worker that still writes. The kernel frees it with the last process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webchat_soap.server.options import ServeError

_LOCK = "lock"

_DYING_SECONDS = 5.0
"""How long the workers of a killed parent are waited for; they end within milliseconds unless the machine is ill."""


class DataFolderInUse(ServeError):
    """Another process of this service holds the data folder."""


@contextmanager
def hold_data_folder(data_dir: Path) -> Iterator[None]:
    """Hold the folder (made when missing) until the context ends. DataFolderInUse, ServeError.

    A living holder refuses at once; the workers of a dead one are waited for. A folder that was made here, and into
    which nothing came, is taken away again: a start that is refused leaves nothing behind.
    """
    made = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    descriptor = None
    try:
        descriptor = _open_held(data_dir)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        if made:
            _take_back(data_dir, made)
        if descriptor is not None:
            os.close(descriptor)


def probe_data_folder(data_dir: Path) -> None:
    """Return when `serve` could hold the folder now, and make nothing. DataFolderInUse, ServeError."""
    try:
        descriptor = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(data_dir, error) from error
    try:
        _lock(descriptor, data_dir)
    finally:
        os.close(descriptor)


def _open_held(data_dir: Path) -> int:
    """The descriptor of the lock that lies in the folder, held."""
    while True:
        try:
            _make(data_dir)
            descriptor = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(data_dir, error) from error
        try:
            _lock(descriptor, data_dir)
            if _is_at(descriptor, data_dir / _LOCK):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has taken back the folder that it had made


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def _take_back(data_dir: Path, made: list[Path]) -> None:
    """Remove folders that hold nothing but our lock, the innermost first."""
    try:
        if [entry.name for entry in data_dir.iterdir()] == [_LOCK]:
            (data_dir / _LOCK).unlink()
        for folder in made:
            folder.rmdir()
    except OSError:
        return  # something came into it, or was never made


def _unusable(data_dir: Path, error: OSError) -> ServeError:
    return ServeError(
        f"The data folder {data_dir} cannot be used ({error.strerror}); make it writable, or set WEBCHAT_DATA_DIR."
    )


def _make(folder: Path) -> None:
    """With those around it; what is made is durable on return: without its name all that is kept would be lost."""
    missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        around = os.open(made.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(around)
        finally:
            os.close(around)


def _lock(descriptor: int, data_dir: Path) -> None:
    give_up = time.monotonic() + _DYING_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            if (holder is not None and _lives(holder)) or time.monotonic() > give_up:
                raise DataFolderInUse(_in_use(data_dir, holder)) from None
            time.sleep(0.02)
        except OSError as error:
            raise ServeError(
                f"The data folder {data_dir} cannot be locked ({error.strerror}); put it on a local disk."
            ) from error
        else:
            return


def _in_use(data_dir: Path, holder: int | None) -> str:
    process = "another process" if holder is None else f"process {holder}"
    return (
        f"The data folder {data_dir} is in use by {process}; stop that one first, "
        "or give this one a folder of its own (WEBCHAT_DATA_DIR)."
    )


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 20, 0).strip()
    return int(text) if text.isdigit() else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True
