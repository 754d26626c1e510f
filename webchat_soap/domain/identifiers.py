"""Random identifiers, made by the dozen: the system call for one costs as much as a tenth of reading its message."""

from __future__ import annotations

import os
from typing import Final

_BYTES: Final = 16
_AT_ONCE: Final = 64


class _Pool:
    """Hex digits that nobody has got yet. For all threads; a forked process makes its own."""

    def __init__(self) -> None:
        self._ready: list[str] = []
        self._forgets_at_fork = False

    def _forget(self) -> None:
        """In a forked process: what is ready is its parent's."""
        self._ready = []

    def take(self) -> str:
        try:
            return self._ready.pop()
        except IndexError:
            if not self._forgets_at_fork:
                os.register_at_fork(after_in_child=self._forget)
                self._forgets_at_fork = True
            digits = os.urandom(_BYTES * _AT_ONCE).hex()
            pieces = [digits[at : at + 2 * _BYTES] for at in range(0, len(digits), 2 * _BYTES)]
            first = pieces.pop()
            self._ready.extend(pieces)
            return first


_POOL = _Pool()


def random_hex() -> str:
    """32 hex digits that nobody can guess and nobody had before (128 bits of the system's randomness)."""
    return _POOL.take()
