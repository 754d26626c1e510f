"""Random identifiers, made by the dozen: the system call for one costs as much as a tenth of reading its message."""

from __future__ import annotations

import os
from typing import Final

_BYTES: Final = 16
_AT_ONCE: Final = 64


class _Pool:
    """Hex digits that nobody has got yet. For all threads; a forked process makes its own."""

    def __init__(self) -> None:
        self._made_by = 0
        self._ready: list[str] = []

    def take(self) -> str:
        if self._made_by != os.getpid():
            self._ready = []
            self._made_by = os.getpid()
        try:
            return self._ready.pop()
        except IndexError:
            digits = os.urandom(_BYTES * _AT_ONCE).hex()
            pieces = [digits[at : at + 2 * _BYTES] for at in range(0, len(digits), 2 * _BYTES)]
            first = pieces.pop()
            self._ready.extend(pieces)
            return first


_POOL = _Pool()


def random_hex() -> str:
    """32 hex digits that nobody can guess and nobody had before (128 bits of the system's randomness)."""
    return _POOL.take()
