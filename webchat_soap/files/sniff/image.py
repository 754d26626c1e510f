"""PNG, JPEG and GIF: walked from the signature to the end mark."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import replace

from webchat_soap.domain.file import ProvedType
from webchat_soap.files.sniff.catalogue import GIF, JPEG, PNG, Found
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import broken, cut_short, too_many_pixels

MAX_PIXELS = 16_384 * 16_384
"""Above what phones shoot (200 megapixels); shown, it takes 1 GiB at four bytes a pixel, and a browser no more."""

_MAX_PNG_CHUNKS = 250_000
"""1 GiB in chunks of 8 KiB, which is what encoders write, are 131,072."""
_MAX_JPEG_SEGMENTS = 20_000
_MAX_GIF_BLOCKS = 45_000
"""Blocks hold up to 255 bytes, so 10 MiB are about 41,000. Beyond it only the end mark is looked at."""
_FFS_PER_READ = 32
"""Looking behind an FF costs a thirtieth of a read. Coded pixels hold one in 256 bytes, a hostile scan nothing else."""
_SHORT_SCAN_BYTES = 2 * 1024


def sized(kind: ProvedType, width: int, height: int) -> ProvedType:
    """The type with its size in pixels. UnsupportedFileType for no pixels or more than MAX_PIXELS."""
    if width <= 0 or height <= 0:
        raise broken(kind, "its width or height is zero")
    if width * height > MAX_PIXELS:
        raise too_many_pixels(kind, width, height, MAX_PIXELS)
    return replace(kind, width=width, height=height)


def sniff_png(reader: Reader) -> Found | None:
    """PNG and APNG, from IHDR (its checksum too) to IEND. Source: W3C PNG, sections 5 and 11.2.1."""
    if reader.at(0, 8) != b"\x89PNG\r\n\x1a\n":
        return None
    length, name, width, height = struct.unpack(">I4sII", reader.exactly(8, 16))
    if length != 13 or name != b"IHDR":
        raise broken(PNG, "its first chunk is not IHDR")
    if zlib.crc32(reader.exactly(12, 17)) != reader.number(29, 4):
        raise broken(PNG, "the checksum of its header is wrong")
    proved = sized(PNG, width, height)
    offset, has_data = 8, False
    for _ in range(_MAX_PNG_CHUNKS):
        length, name = struct.unpack(">I4s", reader.exactly(offset, 8))
        if not name.isalpha():
            raise broken(PNG, "a chunk has no proper name")
        offset += 12 + length
        if offset > reader.size:
            raise cut_short(PNG, f"its {name.decode('ascii')} chunk reaches beyond the end")
        has_data = has_data or name == b"IDAT"
        if name == b"IEND":
            if not has_data:
                raise broken(PNG, "it has no picture data")
            return Found(proved=proved, end=offset)
    raise broken(PNG, f"it has more than {_MAX_PNG_CHUNKS} chunks")


_JPEG_MARKER_AFTER_SCAN = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
"""In a scan, FF is followed by 00 (a stuffed FF), D0..D7 (restart) or FF (fill)."""


def sniff_jpeg(reader: Reader) -> Found | None:
    """JPEG in any process, from SOI to EOI; what follows (motion photos, gain maps) is not looked at here.

    Source: ITU-T T.81, annex B.
    """
    if reader.at(0, 3) != b"\xff\xd8\xff":
        return None
    proved: ProvedType | None = None
    offset = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        mark, marker = reader.exactly(offset, 2)
        if mark != 0xFF:
            raise broken(JPEG, "a segment does not begin with a marker")
        if marker == 0xFF:
            offset += 1
        elif marker == 0xD9:
            if proved is None:
                raise broken(JPEG, "it has no frame")
            return Found(proved=proved, end=offset + 2)
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            offset += 2
        else:
            length = reader.number(offset + 2, 2)
            if length < 2 or marker < 0xC0:
                raise broken(JPEG, "a segment has a wrong marker or length")
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack(">HH", reader.exactly(offset + 5, 4))
                proved = sized(JPEG, width, height)
            offset += 2 + length
            if marker == 0xDA:
                offset = _end_of_scan(reader, offset)
    raise broken(JPEG, f"it has more than {_MAX_JPEG_SEGMENTS} segments")


def _end_of_scan(reader: Reader, start: int) -> int:
    # A file may have thousands of tiny scans: they are not to cost a chunk each.
    found = _JPEG_MARKER_AFTER_SCAN.search(reader.at(start, _SHORT_SCAN_BYTES))
    if found:
        return start + found.start()
    for offset, chunk in reader.chunks(start, reader.size, overlap=1):
        reader.spend(chunk.count(b"\xff") // _FFS_PER_READ)
        found = _JPEG_MARKER_AFTER_SCAN.search(chunk)
        if found:
            return offset + found.start()
    raise cut_short(JPEG, "the mark of its end is missing")


def sniff_gif(reader: Reader) -> Found | None:
    """GIF from the screen descriptor over all blocks to the trailer. Source: GIF89a specification, appendix A."""
    if reader.at(0, 6) not in (b"GIF87a", b"GIF89a"):
        return None
    width, height, flags = struct.unpack("<HHB", reader.exactly(6, 5))
    proved = sized(GIF, width, height)
    offset = 13 + _colour_table_bytes(flags)
    blocks = pictures = 0
    while blocks < _MAX_GIF_BLOCKS:
        if offset == reader.size and pictures:
            # Seen in the wild (Python's own IDLE icons): all pictures whole, but no trailer.
            return Found(proved=proved, end=offset)
        blocks += 1
        introducer = reader.exactly(offset, 1)
        if introducer == b";":
            return Found(proved=proved, end=offset + 1)
        if introducer == b"!":
            offset += 2
        elif introducer == b",":
            offset += 11 + _colour_table_bytes(reader.exactly(offset + 9, 1)[0])
            pictures += 1
        elif introducer == b"\0":  # Stray empty blocks are common, and every decoder skips them.
            offset += 1
            continue
        else:
            raise broken(GIF, "a block is of no known kind")
        while blocks < _MAX_GIF_BLOCKS:
            blocks += 1
            length = reader.exactly(offset, 1)[0]
            offset += 1 + length
            if not length:
                break
    if reader.at(reader.size - 64, 64).rstrip(b"\0").endswith(b";"):
        return Found(proved=proved, end=reader.size)
    raise cut_short(GIF, "the mark of its end is missing")


def _colour_table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
