"""Who holds which clientToken, over all threads of this process and all processes on one lock folder.

Among threads: a queue of waiters per token, each let go by its predecessor. Among processes: a POSIX record lock on
one byte of one file, which the kernel takes back when the process dies, however it dies.

Two facts of record locks shape this file. They belong to the process, so threads need the queue besides. And closing
any descriptor of the file drops all of the process's locks on it, so each process opens it once and never closes it:
the open files stand in a table of the module, filled on first use and keyed by process, since a child made by fork
inherits the descriptor, but neither the locks nor the waiters.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from webchat_soap.domain.chat import ClientToken
from webchat_soap.domain.outages import outage_of
from webchat_soap.stores import refusals

_POLL_SECONDS: Final = 0.025
"""Between two tries for a token held by another process: record locks have no wait with a bound. A rare wait, since
both calls must carry the same token in different processes at the same time."""

MAX_WAITING: Final = 64
"""Calls that wait for a token in this process. Each takes a thread for up to 45 s that texts need too."""

MAX_WAITING_PER_TOKEN: Final = 8
"""Of them for the same token: a client that retries has one or two calls under way, not more."""

_BY_PROCESS: dict[tuple[int, Path], TokenClaims] = {}
_BY_PROCESS_LOCK: Final = threading.Lock()


def claims_in(lock_folder: Path) -> TokenClaims:
    """This process's claims on the folder, always the same object. OSError when the file cannot be opened."""
    key = (os.getpid(), lock_folder)
    with _BY_PROCESS_LOCK:
        claims = _BY_PROCESS.get(key)
        if claims is None:
            claims = _BY_PROCESS[key] = TokenClaims(lock_folder / "tokens.lock")
        return claims


def stop_waiting(lock_folder: Path, stopping: threading.Event) -> None:
    """Set the event and dismiss who waits with it in this process; nothing is opened for that."""
    with _BY_PROCESS_LOCK:
        claims = _BY_PROCESS.get((os.getpid(), lock_folder))
    if claims is None:
        stopping.set()
    else:
        claims.dismiss(stopping)


class _Follower:
    __slots__ = ("dismissed", "stopping", "turn")

    def __init__(self, stopping: threading.Event) -> None:
        self.stopping = stopping
        self.dismissed = False
        self.turn = threading.Lock()
        self.turn.acquire()


class TokenClaims:
    """Use `claims_in`: two of these on one file in one process would drop each other's locks."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        self._queues: dict[int, deque[_Follower]] = {}
        """By place: its holder's followers, in order of coming. A place without an entry is free."""
        self._waiting = 0

    @property
    def held(self) -> int:
        """Tokens held or waited for in this process."""
        return len(self._queues)

    @contextmanager
    def hold(self, token: ClientToken, *, deadline: float, stopping: threading.Event) -> Iterator[None]:
        """ChatStore.claim. Once `stopping` is set (by `dismiss`) the call no longer waits, but Busy."""
        place = _place(token)
        self._enter(place, deadline, stopping)
        try:
            self._lock_file(place, deadline, stopping)
            try:
                yield
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, place)
        finally:
            self._leave(place)

    def dismiss(self, stopping: threading.Event) -> None:
        """Set the event, and let those go with Busy who wait with it."""
        with self._lock:
            stopping.set()
            for followers in self._queues.values():
                for follower in [follower for follower in followers if follower.stopping is stopping]:
                    followers.remove(follower)
                    follower.dismissed = True
                    follower.turn.release()

    def _enter(self, place: int, deadline: float, stopping: threading.Event) -> None:
        with self._lock:
            followers = self._queues.get(place)
            if followers is None:
                self._queues[place] = deque()
                return
            if len(followers) >= MAX_WAITING_PER_TOKEN:
                raise refusals.busy_token()
            self._begin_to_wait(stopping)
            mine = _Follower(stopping)
            followers.append(mine)
        mine.turn.acquire(timeout=max(0.0, min(deadline - time.monotonic(), threading.TIMEOUT_MAX)))
        with self._lock:
            self._waiting -= 1
            if mine.dismissed:
                raise refusals.stopping()
            if mine in followers:
                followers.remove(mine)
                raise refusals.busy_token()
        # It was handed over, perhaps in the moment the wait ran out: it is held now.

    def _begin_to_wait(self, stopping: threading.Event) -> None:
        """Under the lock. Busy where no more may wait."""
        if stopping.is_set():
            raise refusals.stopping()
        if self._waiting >= MAX_WAITING:
            raise refusals.busy_token()
        self._waiting += 1

    def _leave(self, place: int) -> None:
        with self._lock:
            followers = self._queues[place]
            if followers:
                followers.popleft().turn.release()
            else:
                del self._queues[place]

    def _lock_file(self, place: int, deadline: float, stopping: threading.Event) -> None:
        if self._try_to_lock(place):
            return
        with self._lock:
            self._begin_to_wait(stopping)
        try:
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise refusals.busy_token()
                if stopping.wait(min(_POLL_SECONDS, left)):
                    raise refusals.stopping()
                if self._try_to_lock(place):
                    return
        finally:
            with self._lock:
                self._waiting -= 1

    def _try_to_lock(self, place: int) -> bool:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as POSIX lets systems choose
            return False
        except OSError as error:  # the kernel has no room for another lock
            raise refusals.busy(outage_of(error)) from error
        return True


def _place(token: ClientToken) -> int:
    """The byte that stands for the token. Two tokens on one byte (1 in 2^62) would only wait for each other."""
    digest = hashlib.blake2b(f"{token.scope}\0{token.token}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2
