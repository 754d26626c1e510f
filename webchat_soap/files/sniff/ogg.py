"""Ogg: told by the first page of each stream, sized and timed by the last. Source: RFC 3533, RFC 7845, Theora I 6.2."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from webchat_soap.domain.file import ProvedType
from webchat_soap.files.sniff.catalogue import OGG_AUDIO, OGG_VIDEO, Found, milliseconds
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import broken, cut_short, never_taken

_MAX_STREAMS = 64
_MAX_PAGE_BYTES = 27 + 255 + 255 * 255
_TAIL_BYTES = 2 * _MAX_PAGE_BYTES
"""The last page of a video may be of its sound: two page lengths nearly always hold one of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Page:
    flags: int
    granule: int
    serial: int
    body: int
    end: int


def sniff_ogg(reader: Reader) -> Found | None:
    """Theora makes a video, else Vorbis or Opus a sound; other streams alone are refused."""
    if reader.at(0, 4) != b"OggS":
        return None
    if reader.at(4, 1) not in (b"\0", b""):
        return None
    streams: dict[int, bytes] = {}
    offset = 0
    while len(streams) < _MAX_STREAMS:
        page = _page(reader, offset)
        if page is None:
            raise broken(OGG_AUDIO, "a page does not begin with its mark")
        if not page.flags & 2:
            break
        streams[page.serial] = reader.at(page.body, 64)
        offset = page.end
    for serial, head in streams.items():
        if head[:7] == b"\x80theora" and len(head) >= 42:
            width, height = struct.unpack(">HH", head[10:14])
            shown_width, shown_height = (int.from_bytes(head[start : start + 3], "big") for start in (14, 17))
            proved = replace(
                OGG_VIDEO, width=shown_width or width * 16 or None, height=shown_height or height * 16 or None
            )
            return _ended(reader, proved, serial, head)
    for serial, head in streams.items():
        if (head[:7] == b"\x01vorbis" and len(head) >= 30) or (head[:8] == b"OpusHead" and len(head) >= 19):
            return _ended(reader, OGG_AUDIO, serial, head)
    raise never_taken("application/ogg", "an Ogg file without Vorbis, Opus or Theora")


def _page(reader: Reader, offset: int) -> _Page | None:
    mark, version, flags, granule, serial, _, _, segments = struct.unpack("<4sBBqIIIB", reader.exactly(offset, 27))
    if mark != b"OggS" or version:
        return None
    lengths = reader.exactly(offset + 27, segments)
    body = offset + 27 + segments
    return _Page(flags=flags, granule=granule, serial=serial, body=body, end=body + sum(lengths))


def _ended(reader: Reader, proved: ProvedType, serial: int, head: bytes) -> Found:
    """Check that the last page is whole, and take the length from the stream's last time mark."""
    start = max(0, reader.size - _TAIL_BYTES)
    tail = reader.at(start, _TAIL_BYTES)
    end: int | None = None
    at = len(tail)
    while (at := tail.rfind(b"OggS", 0, at)) >= 0:
        if len(tail) - at < 27:
            raise cut_short(proved, "its last page is not whole")
        page = _page(reader, start + at)
        if page is None:
            continue
        if page.end > reader.size:
            raise cut_short(proved, "its last page is not whole")
        end = end or page.end
        if page.serial == serial and page.granule >= 0:
            length = _length(head, page.granule)
            return Found(proved=replace(proved, duration_milliseconds=length), end=end)
    if end is None:
        raise cut_short(proved, "no page stands near its end")
    return Found(proved=proved, end=end)


def _length(head: bytes, granule: int) -> int | None:
    if head[:7] == b"\x01vorbis":
        return milliseconds(granule, int.from_bytes(head[12:16], "little"))
    if head[:8] == b"OpusHead":
        return milliseconds(granule - int.from_bytes(head[10:12], "little"), 48_000)
    frames_numerator, frames_denominator = struct.unpack(">II", head[22:30])
    shift = int.from_bytes(head[40:42], "big") >> 5 & 31
    frames = (granule >> shift) + (granule & ((1 << shift) - 1))
    return milliseconds(frames * frames_denominator, frames_numerator)
