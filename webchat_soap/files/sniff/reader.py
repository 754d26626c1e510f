"""Bounded random access to a file: sniffers read through this, so that none can take much memory or run off the end."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator

CHUNK_BYTES = 64 * 1024
"""Searches hold the interpreter's lock for a whole chunk: at 64 KiB that is well below a millisecond."""
MAX_READ_BYTES = 4 * 1024 * 1024
"""The most that one read returns: above the biggest table that a sniffer takes whole (a ZIP's central directory)."""
_WINDOW_BYTES = 4 * 1024
"""Small reads close to one another are served from one system call; a bigger window makes far jumps dearer."""
_SPARE_READS = 48_000
_BYTES_PER_READ = 4 * 1024
"""A read is 2 to 4 microseconds of work, so a tenth of a second is free and 25 more milliseconds for each 30 MiB.
The most splintered honest files are GIFs (10 MiB are 41,000 blocks) and PNGs in chunks of 8 KiB."""
_SPARE_BYTES = 64 * 1024 * 1024
_MAX_PASSES = 4
"""Bytes read may be these passes over the file and some to spare; honest files need two passes."""
_READS_PER_LOOK = 256
"""Between two looks at the clock: half a millisecond."""
_STRETCH_SECONDS = 0.003
_PAUSE_SECONDS = 0.0002
"""A thread that computes gives the interpreter's lock away only when asked, 5 ms later, to each that waits for it. So
it steps aside by itself, and short calls beside it stay short; it costs a tenth of its time."""


class EndOfFile(Exception):
    """A structure says that there is more than the file holds. `prove` makes the caller's fault of it."""


class TooManyParts(Exception):
    """A file made of countless tiny or overlapping parts, which would cost more to walk than any honest file."""


class OutOfTime(Exception):
    """The deadline passed while the file was read."""


class Reader:
    """A file of `size` bytes, read by position, with a budget that no file can exceed: TooManyParts from every read.

    `deadline` is a time.monotonic() value: OutOfTime from a read behind it. Not for sharing between threads.
    """

    def __init__(self, descriptor: int, *, deadline: float = math.inf) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self._window = b""
        self._window_start = 0
        self._reads_left = _SPARE_READS + self.size // _BYTES_PER_READ
        self._next_look = self._reads_left - _READS_PER_LOOK
        self._deadline = deadline
        self._stretch_end = time.monotonic() + _STRETCH_SECONDS
        self._bytes_left = _MAX_PASSES * self.size + _SPARE_BYTES

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`; fewer, or none, where the file ends before."""
        self._reads_left -= 1
        if self._reads_left < self._next_look:
            self._look()
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

    def spend(self, reads: int) -> None:
        """Take work that is no read off the budget, in reads' worth (2 to 4 microseconds each). TooManyParts."""
        self._reads_left -= reads
        if self._reads_left < self._next_look:
            self._look()

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
            self._look()
            data = self._read(start, min(CHUNK_BYTES, stop - start))
            if not data:
                return
            yield start, data
            if start + len(data) >= stop:
                return
            start += max(len(data) - overlap, 1)

    def _look(self) -> None:
        """At the budget and at the clock."""
        if self._reads_left < 0:
            raise TooManyParts
        # Never below zero, so that the read that ends the budget comes here.
        self._next_look = max(0, self._reads_left - _READS_PER_LOOK)
        now = time.monotonic()
        if now > self._deadline:
            raise OutOfTime
        if now > self._stretch_end:
            time.sleep(_PAUSE_SECONDS)
            self._stretch_end = time.monotonic() + _STRETCH_SECONDS

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
