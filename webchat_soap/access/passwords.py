"""Passwords hashed by Argon2id, a few at a time.

Sources: RFC 9106 (Argon2), and the least parameters that OWASP's Password Storage Cheat Sheet takes (19 MiB, two
passes, one lane), here with a third pass: about 50 ms of one core.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import HashingError, InvalidHashError, VerificationError, VerifyMismatchError

from webchat_soap.domain.errors import Busy

_PASSES: Final = 3
_MEMORY_KIB: Final = 19 * 1024
_LANES: Final = 1

_NOBODYS: Final = "$argon2id$v=19$m=19456,t=3,p=1$2W5M3P4wL12c33y7uORlAQ$lOV4Sab44tJgrDzHksHSgqNR4owtEMXM5rRzfdnrWRE"
"""The hash of 32 random bytes that were thrown away, with the parameters above: what an unknown name is compared with,
so that it takes as long as a known one."""

MAX_AT_ONCE: Final = 2
"""Hashes computed at once in a process: two cores, and 38 MiB."""
MAX_IN_LINE: Final = 8
"""Those who wait for that, each in a thread of its own, for a quarter of a second at most; one more is Busy."""

log = logging.getLogger(__name__)


class Passwords:
    """Hashes and compares. Used by many threads at once; Argon2 runs without the interpreter's lock."""

    def __init__(self, *, max_at_once: int = MAX_AT_ONCE, max_in_line: int = MAX_IN_LINE) -> None:
        self._hasher = PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES)
        self._places = threading.BoundedSemaphore(max_at_once)
        self._admitted = threading.BoundedSemaphore(max_at_once + max_in_line)

    @contextmanager
    def room(self) -> Iterator[None]:
        """A place to compute one hash in. Busy when too many wait for one."""
        if not self._admitted.acquire(blocking=False):
            raise Busy("Too many people sign in right now; try again in a moment.", retry_after_seconds=2)
        try:
            with self._places:
                yield
        finally:
            self._admitted.release()

    def hash(self, password: str) -> str:
        """The hash, with its parameters and a salt of its own. In a `room`. Busy without memory for it."""
        try:
            return self._hasher.hash(_bytes(password))
        except HashingError as error:
            raise _no_memory() from error

    def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password; None, where there is none, takes as long and is False. In a `room`. Busy."""
        try:
            self._hasher.verify(_NOBODYS if password_hash is None else password_hash, _bytes(password))
        except VerifyMismatchError:
            return False
        except InvalidHashError:
            log.error("A password's hash in the database is none; set that agent's password anew")
            return False
        except VerificationError as error:
            raise _no_memory() from error
        return password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than now."""
        return self._hasher.check_needs_rehash(password_hash)


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def _no_memory() -> Busy:
    return Busy("There is no memory for this right now; try again in a moment.", retry_after_seconds=2)
