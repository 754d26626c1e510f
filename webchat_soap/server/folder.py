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

_DYING_SECONDS = 5.0
"""How long the workers of a killed parent are waited for; they end within milliseconds unless the machine is ill."""


class DataFolderInUse(ServeError):
    """Another process of this service holds the data folder."""


@contextmanager
def hold_data_folder(data_dir: Path) -> Iterator[None]:
    """Hold the folder (made when missing) until the context ends. DataFolderInUse, ServeError.

    A living holder refuses at once; the workers of a dead one are waited for.
    """
    try:
        _make(data_dir)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ServeError(
            f"The data folder {data_dir} cannot be used ({error.strerror}); make it writable, or set WEBCHAT_DATA_DIR."
        ) from error
    try:
        _lock(descriptor, data_dir)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


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
