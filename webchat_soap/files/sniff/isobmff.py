"""ISO base media files: boxes, brands, and which of sound, video and picture they hold. Source: ISO/IEC 14496-12."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from webchat_soap.files.sniff.reader import Reader

_TOP_LEVEL = frozenset(
    b"ftyp moov mdat moof mfra sidx styp free skip wide meta idat uuid udta pnot PICT prft emsg ssix pdin mpvd".split()
)
_OLD_QUICKTIME = frozenset((b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))
"""QuickTime files older than ftyp begin with one of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A box: its four letters, and where its content starts and ends (`end` may lie beyond the file)."""

    name: bytes
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TopLevel:
    """What stands side by side in the file."""

    major_brand: bytes
    """Empty for QuickTime files older than brands."""
    brands: frozenset[bytes]
    moov: Box | None
    meta: Box | None
    has_data: bool
    cut: bytes | None
    """Name of a box that reaches beyond the end of the file."""
    end: int
    """Where the boxes end; what follows is not part of the structure."""


def boxes(reader: Reader, start: int, end: int) -> Iterator[Box]:
    """Boxes side by side inside another. Ends silently at the first that does not fit, as players do."""
    while start + 8 <= end:
        box = _box(reader, start, end)
        if box is None or box.end > end:
            return
        yield box
        start = box.end


def child(reader: Reader, parent: Box, *path: bytes) -> Box | None:
    """The first box under `parent` along `path`."""
    found: Box | None = parent
    for name in path:
        if found is None:
            return None
        found = next((box for box in boxes(reader, found.start, found.end) if box.name == name), None)
    return found


def looks_like_isobmff(reader: Reader) -> bool:
    """Whether the file begins with ftyp, or as a QuickTime file older than that."""
    head = reader.at(0, 16)
    if len(head) < 16:
        return False
    size, name = int.from_bytes(head[:4], "big"), head[4:8]
    if name == b"ftyp":
        return 16 <= size <= 4096
    return name in _OLD_QUICKTIME and (size >= 8 or size in (0, 1))


def top_level(reader: Reader) -> TopLevel:
    """Walk the file's own boxes. EndOfFile where ftyp is not whole."""
    major, brands = b"", frozenset[bytes]()
    moov = meta = None
    has_data, cut, offset = False, None, 0
    while offset + 8 <= reader.size:
        box = _box(reader, offset, reader.size)
        if box is None or (box.name not in _TOP_LEVEL and box.end > reader.size):
            # Recorders append notes of their own; they are no boxes, and players stop here.
            break
        if box.end > reader.size:
            cut, offset = box.name, reader.size
            break
        if box.name == b"ftyp" and not brands:
            content = reader.exactly(box.start, min(box.end - box.start, 4096))
            major = content[:4]
            brands = frozenset(content[at : at + 4] for at in (0, *range(8, len(content) - 3, 4)))
        elif box.name == b"moov" and moov is None:
            moov = box
        elif box.name == b"meta" and meta is None:
            meta = box
        has_data = has_data or box.name in (b"mdat", b"moof", b"idat")
        offset = box.end
    return TopLevel(
        major_brand=major, brands=brands, moov=moov, meta=meta, has_data=has_data, cut=cut, end=min(offset, reader.size)
    )


def _box(reader: Reader, offset: int, end: int) -> Box | None:
    """The box at `offset`, None where no size and name can stand; size 0 reaches to `end`."""
    head = reader.at(offset, 16)
    if len(head) < 8:
        return None
    size, name = struct.unpack_from(">I4s", head)
    start = offset + 8
    if size == 1:
        if len(head) < 16:
            return None
        (size,) = struct.unpack_from(">Q", head, 8)
        start += 8
    elif size == 0:
        if name not in _TOP_LEVEL:
            return None
        size = end - offset
    if size < start - offset:
        return None
    return Box(name=name, start=start, end=offset + size)
