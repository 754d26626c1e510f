"""BMP and TIFF: the pictures whose header points at their pixels."""

from __future__ import annotations

import struct

from webchat_soap.files.sniff.catalogue import BMP, TIFF, Found
from webchat_soap.files.sniff.image import sized
from webchat_soap.files.sniff.reader import EndOfFile, Reader
from webchat_soap.files.sniff.refusal import broken, cut_short, never_taken

_BMP_HEADER_BYTES = (12, 16, 40, 52, 56, 64, 108, 124)
_BMP_UNCOMPRESSED = (0, 3, 6)
_BMP_RUN_LENGTHS = (1, 2)


def sniff_bmp(reader: Reader) -> Found | None:
    """BMP of Windows and OS/2, its pixels inside the file. None where only the letters BM agree (text may begin so).

    Source: MS-WMF 2.2.2 and the BITMAPINFOHEADER pages of Windows GDI.
    """
    head = reader.at(0, 54)
    if head[:2] != b"BM" or len(head) < 26:
        return None
    pixels_start, header_bytes = struct.unpack_from("<II", head, 10)
    if header_bytes not in _BMP_HEADER_BYTES:
        return None
    if len(head) < min(14 + header_bytes, 54):
        raise EndOfFile
    compression = image_bytes = 0
    if header_bytes == 12:
        width, height, planes, depth = struct.unpack_from("<HHHH", head, 18)
    else:
        width, height, planes, depth = struct.unpack_from("<iiHH", head, 18)
        if header_bytes >= 40:
            compression, image_bytes = struct.unpack_from("<II", head, 30)
    if planes != 1 or depth not in (1, 2, 4, 8, 16, 24, 32):
        raise broken(BMP, "its planes or bits a pixel are wrong")
    if pixels_start < 14 + header_bytes:
        raise broken(BMP, "its pixels begin inside its header")
    proved = sized(BMP, width, abs(height))
    if compression in _BMP_UNCOMPRESSED:
        # Some writers leave the padding of the last row away.
        image_bytes = (width * depth + 31) // 32 * 4 * abs(height)
        needed = image_bytes - 3
    elif compression in _BMP_RUN_LENGTHS:
        needed = image_bytes
    else:
        raise broken(BMP, "its compression is not one of BMP's own")
    if pixels_start + needed > reader.size or pixels_start >= reader.size:
        raise cut_short(BMP, "its pixels reach beyond the end")
    return Found(proved=proved, end=min(pixels_start + image_bytes, reader.size) if image_bytes else reader.size)


_TIFF_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_TIFF_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_WIDTH, _HEIGHT, _STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES = 256, 257, 273, 279, 324, 325
_DNG_VERSION = 50706
_MAX_TIFF_PAGES = 4_096
_MAX_TIFF_TAGS = 4_096
_MAX_TIFF_STRIPS = 262_144


_Tag = tuple[int, int, bytes]
"""Type, count of values, and the values themselves or their offset."""
_Tags = dict[int, _Tag]


class _TiffLayout:
    """Byte order and field widths: classic TIFF has 32-bit offsets, BigTIFF 64-bit ones."""

    def __init__(self, order: str, big: bool) -> None:
        self.order = order
        self.offset_code = "Q" if big else "I"
        self.count_code = "Q" if big else "H"
        self.offset_bytes = 8 if big else 4
        self.count_bytes = 8 if big else 2
        self.tag_bytes = 20 if big else 12

    def unpack(self, code: str, data: bytes) -> tuple[int, ...]:
        return struct.unpack(self.order + code, data)


def sniff_tiff(reader: Reader) -> Found | None:
    """TIFF and BigTIFF: every page's directory and the first page's pixels inside the file.

    Source: TIFF 6.0, section 2.
    """
    head = reader.at(0, 16)
    if head[:4] in (b"II*\0", b"II+\0"):
        order = "<"
    elif head[:4] in (b"MM\0*", b"MM\0+"):
        order = ">"
    else:
        return None
    layout = _TiffLayout(order, big=b"+" in head[2:4])
    if layout.offset_bytes == 8:
        if head[4:8] != struct.pack(order + "HH", 8, 0):
            raise broken(TIFF, "its header is wrong")
        (offset,) = layout.unpack("Q", reader.exactly(8, 8))
    else:
        (offset,) = layout.unpack("I", reader.exactly(4, 4))
    if head[8:11] == b"CR\x02":
        raise never_taken("image/x-canon-cr2", "a camera's raw picture")
    first = _tiff_tags(reader, layout, offset)
    if _DNG_VERSION in first:
        raise never_taken("image/x-adobe-dng", "a camera's raw picture")
    width, height = _first_value(reader, layout, first, _WIDTH), _first_value(reader, layout, first, _HEIGHT)
    if width is None or height is None:
        raise broken(TIFF, "it does not say its width and height")
    proved = sized(TIFF, width, height)
    _check_tiff_pixels(reader, layout, first)
    seen: set[int] = set()
    while offset:
        if offset in seen or len(seen) >= _MAX_TIFF_PAGES:
            raise broken(TIFF, "its pages go round in a circle or are too many")
        seen.add(offset)
        offset = _next_page(reader, layout, offset)
    return Found(proved=proved, end=reader.size)


def _tag_count(reader: Reader, layout: _TiffLayout, page: int) -> int:
    if page >= reader.size:
        raise cut_short(TIFF, "a page's directory lies beyond the end")
    (count,) = layout.unpack(layout.count_code, reader.exactly(page, layout.count_bytes))
    if not 0 < count <= _MAX_TIFF_TAGS:
        raise broken(TIFF, "a page has no tags or too many")
    return count


def _tiff_tags(reader: Reader, layout: _TiffLayout, page: int) -> _Tags:
    table = reader.exactly(page + layout.count_bytes, _tag_count(reader, layout, page) * layout.tag_bytes)
    tags: _Tags = {}
    for start in range(0, len(table), layout.tag_bytes):
        entry = table[start : start + layout.tag_bytes]
        tag, kind = layout.unpack("HH", entry[:4])
        (values,) = layout.unpack(layout.offset_code, entry[4 : 4 + layout.offset_bytes])
        tags[tag] = (kind, values, entry[4 + layout.offset_bytes :])
    return tags


def _next_page(reader: Reader, layout: _TiffLayout, page: int) -> int:
    end = page + layout.count_bytes + _tag_count(reader, layout, page) * layout.tag_bytes
    if end > reader.size:
        raise cut_short(TIFF, "a page's directory reaches beyond the end")
    # The last directory of a file may leave its closing zero away.
    after = reader.at(end, layout.offset_bytes)
    return layout.unpack(layout.offset_code, after)[0] if len(after) == layout.offset_bytes else 0


def _values(reader: Reader, layout: _TiffLayout, entry: _Tag) -> tuple[int, ...]:
    kind, count, inline = entry
    code = _TIFF_CODES.get(kind)
    if code is None or not 0 < count <= _MAX_TIFF_STRIPS:
        raise broken(TIFF, "a tag has a wrong type or count")
    length = struct.calcsize(f"={count}{code}")
    if length <= layout.offset_bytes:
        data = inline[:length]
    else:
        (where,) = layout.unpack(layout.offset_code, inline)
        data = reader.exactly(where, length)
    return layout.unpack(f"{count}{code}", data)


def _first_value(reader: Reader, layout: _TiffLayout, tags: _Tags, tag: int) -> int | None:
    return _values(reader, layout, tags[tag])[0] if tag in tags else None


def _check_tiff_pixels(reader: Reader, layout: _TiffLayout, tags: _Tags) -> None:
    """The values of all tags, and the pixels that they point at, stand inside the file."""
    for kind, count, inline in tags.values():
        length = count * _TIFF_BYTES.get(kind, 0)
        if length > layout.offset_bytes and layout.unpack(layout.offset_code, inline)[0] + length > reader.size:
            raise cut_short(TIFF, "the values of a tag reach beyond the end")
    for offsets_tag, bytes_tag in ((_STRIP_OFFSETS, _STRIP_BYTES), (_TILE_OFFSETS, _TILE_BYTES)):
        if offsets_tag in tags:
            offsets = _values(reader, layout, tags[offsets_tag])
            counts = _values(reader, layout, tags[bytes_tag]) if bytes_tag in tags else (1,) * len(offsets)
            if any(offset + count > reader.size for offset, count in zip(offsets, counts, strict=False)):
                raise cut_short(TIFF, "its pixels reach beyond the end")
            return
    raise broken(TIFF, "it has no pixels")
