"""Bounded random access to a file: sniffers read through this, so that none can take much memory or run off the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

CHUNK_BYTES = 256 * 1024
MAX_READ_BYTES = 4 * 1024 * 1024
"""The most that one read returns: above the biggest table that a sniffer takes whole (a ZIP's central directory)."""
_WINDOW_BYTES = 4 * 1024
"""Small reads close to one another are served from one system call; a bigger window makes far jumps dearer."""
_MAX_READS = 400_000
"""About half a second of work. A GIF or PNG of a hundred MiB, the most splintered honest files, needs less."""
_SPARE_BYTES = 256 * 1024 * 1024
_MAX_PASSES = 8
"""Bytes read may be these passes over the file and some to spare; honest files need two passes."""


class EndOfFile(Exception):
    """A structure says that there is more than the file holds. `prove` makes the caller's fault of it."""


class TooManyParts(Exception):
    """A file made of countless tiny or overlapping parts, which would cost more to walk than any honest file."""


class Reader:
    """A file of `size` bytes, read by position, with a budget that no file can exceed: TooManyParts from every read.

    Not for sharing between threads.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self._window = b""
        self._window_start = 0
        self._reads_left = _MAX_READS
        self._bytes_left = _MAX_PASSES * self.size + _SPARE_BYTES

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`; fewer, or none, where the file ends before."""
        self._reads_left -= 1
        if self._reads_left < 0:
            raise TooManyParts
        inside = offset - self._window_start
        if inside >= 0 and inside + count <= len(self._window):
            return self._window[inside : inside + count]
        if offset < 0 or offset >= self.size or count <= 0:
            return b""
        count = min(count, MAX_READ_BYTES, self.size - offset)
        if count >= _WINDOW_BYTES:
            return self._read(offset, count)
        self._window = self._read(offset, _WINDOW_BYTES)
        self._window_start = offset
        return self._window[:count]

    def exactly(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`. EndOfFile where the file ends before."""
        data = self.at(offset, count)
        if len(data) != count:
            raise EndOfFile
        return data

    def number(self, offset: int, count: int) -> int:
        """An unsigned big-endian number of `count` bytes. EndOfFile."""
        return int.from_bytes(self.exactly(offset, count), "big")

    def chunks(self, start: int, stop: int, *, overlap: int = 0) -> Iterator[tuple[int, bytes]]:
        """The bytes from `start` to `stop` with their offsets, each chunk repeating the last `overlap` bytes."""
        stop = min(stop, self.size)
        while start < stop:
            data = self._read(start, min(CHUNK_BYTES, stop - start))
            if not data:
                return
            yield start, data
            if start + len(data) >= stop:
                return
            start += max(len(data) - overlap, 1)

    def _read(self, offset: int, count: int) -> bytes:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise TooManyParts
        parts = []
        while count > 0:
            part = os.pread(self._descriptor, count, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)
