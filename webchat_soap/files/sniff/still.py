"""HEIC, HEIF and AVIF: told by their items' coding, sized by the primary one's properties. Source: ISO/IEC 23008-12."""

from __future__ import annotations

import struct

from webchat_soap.domain.file import ProvedType
from webchat_soap.files.sniff.catalogue import AVIF, HEIC, HEIF, Found
from webchat_soap.files.sniff.image import sized
from webchat_soap.files.sniff.isobmff import Box, TopLevel, boxes, child
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import broken, cut_short

_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
STILL_BRANDS = _HEIC_BRANDS | _AVIF_BRANDS | {b"mif1", b"mif2", b"msf1", b"avci", b"jpeg", b"miaf"}
"""Major brands that make the file a picture, whatever tracks it has besides (live photos, bursts)."""
_MAX_ITEMS = 4_096
_MAX_ASSOCIATION_BYTES = 256 * 1024
"""A picture of 4,096 tiles, each with eight properties, has 64 KiB."""


def still(reader: Reader, top: TopLevel) -> Found:
    """The picture in a file whose major brand is one of STILL_BRANDS."""
    kind = _kind_by_brand(top)
    if top.cut is not None:
        raise cut_short(kind, f"its {top.cut.decode('latin-1')} box reaches beyond the end")
    if top.meta is None:
        raise cut_short(kind, "its meta box, which tells what is in it, is missing")
    inside = Box(name=b"meta", start=top.meta.start + 4, end=top.meta.end)
    handler = child(reader, inside, b"hdlr")
    if handler is None or reader.exactly(handler.start + 8, 4) != b"pict":
        raise broken(kind, "its meta box does not describe a picture")
    codings = _codings(reader, inside)
    if b"av01" in codings:
        kind = AVIF
    elif codings & {b"hvc1", b"hev1"}:
        kind = HEIC
    elif not codings:
        raise broken(kind, "it has no items")
    else:
        kind = HEIF
    if not top.has_data and child(reader, inside, b"idat") is None:
        raise cut_short(kind, "its mdat box is missing")
    width, height = _size(reader, inside)
    return Found(proved=sized(kind, width, height), end=top.end)


def _kind_by_brand(top: TopLevel) -> ProvedType:
    if top.major_brand in _AVIF_BRANDS:
        return AVIF
    return HEIC if top.major_brand in _HEIC_BRANDS else HEIF


def _codings(reader: Reader, meta: Box) -> set[bytes]:
    information = child(reader, meta, b"iinf")
    if information is None:
        return set()
    version = reader.exactly(information.start, 1)[0]
    codings = set()
    for count, item in enumerate(boxes(reader, information.start + (8 if version else 6), information.end)):
        if count >= _MAX_ITEMS:
            break
        if item.name == b"infe":
            version = reader.exactly(item.start, 1)[0]
            if version in (2, 3):
                codings.add(reader.exactly(item.start + (8 if version == 2 else 10), 4))
    return codings


def _size(reader: Reader, meta: Box) -> tuple[int, int]:
    """Pixels of the primary item; (0, 0) where it has no ispe property."""
    primary = _primary(reader, meta)
    properties = child(reader, meta, b"iprp", b"ipco")
    association = child(reader, meta, b"iprp", b"ipma")
    if properties is None or association is None:
        return 0, 0
    wanted = _associated(reader, association, primary)
    for index, box in enumerate(boxes(reader, properties.start, properties.end), start=1):
        if index > 0x7FFF:
            break
        if box.name == b"ispe" and index in wanted:
            width, height = struct.unpack(">II", reader.exactly(box.start + 4, 8))
            return width, height
    return 0, 0


def _primary(reader: Reader, meta: Box) -> int:
    box = child(reader, meta, b"pitm")
    if box is None:
        return 0
    return reader.number(box.start + 4, 4 if reader.exactly(box.start, 1)[0] else 2)


def _associated(reader: Reader, box: Box, item: int) -> set[int]:
    """Numbers, from 1, of the item's properties."""
    data = reader.exactly(box.start, min(box.end - box.start, _MAX_ASSOCIATION_BYTES))
    if len(data) < 8:
        return set()
    id_bytes = 4 if data[0] else 2
    wide = data[3] & 1
    offset = 8
    for _ in range(int.from_bytes(data[4:8], "big")):
        if offset + id_bytes >= len(data):
            break
        this = int.from_bytes(data[offset : offset + id_bytes], "big")
        count = data[offset + id_bytes]
        offset += id_bytes + 1
        entries = data[offset : offset + count * (2 if wide else 1)]
        if this == item:
            if wide:
                return {int.from_bytes(entries[at : at + 2], "big") & 0x7FFF for at in range(0, len(entries), 2)}
            return {entry & 0x7F for entry in entries}
        offset += len(entries)
    return set()
