"""Matroska and WebM: told by DocType and tracks. Source: RFC 8794 (EBML), RFC 9559 (Matroska)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from webchat_soap.files.sniff.catalogue import MATROSKA, WEBM, WEBM_AUDIO, Found, milliseconds
from webchat_soap.files.sniff.reader import EndOfFile, Reader
from webchat_soap.files.sniff.refusal import broken, cut_short, never_taken

_EBML, _DOCTYPE = 0x1A45DFA3, 0x4282
_SEGMENT, _INFO, _TRACKS, _CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
_TIMESTAMP_SCALE, _DURATION = 0x2AD7B1, 0x4489
_TRACK, _TRACK_TYPE, _VIDEO, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0xAE, 0x83, 0xE0, 0xB0, 0xBA
_PICTURE, _SOUND = 1, 2


@dataclass(frozen=True, kw_only=True, slots=True)
class _Element:
    id: int
    start: int
    """Of its content."""
    end: int | None
    """None for an element of unknown size, as live recordings have them."""


@dataclass(kw_only=True, slots=True)
class _Seen:
    scale_nanoseconds: int = 1_000_000
    duration: float = 0.0
    kinds: frozenset[int] | None = None
    width: int | None = None
    height: int | None = None


def sniff_matroska(reader: Reader) -> Found | None:
    """WebM or Matroska with a picture track, or WebM with sound only; sound in Matroska alone is refused."""
    if reader.at(0, 4) != b"\x1a\x45\xdf\xa3":
        return None
    header = _element(reader, 0)
    if header.end is None:
        raise broken(MATROSKA, "its header has no size")
    doctype = b""
    for child in _children(reader, header.start, header.end):
        if child.id == _DOCTYPE:
            doctype = _content(reader, child, 16).rstrip(b"\0")
    if doctype not in (b"matroska", b"webm"):
        raise never_taken("application/x-ebml", "an EBML file of another kind")
    segment = _element(reader, header.end)
    kind = WEBM if doctype == b"webm" else MATROSKA
    if segment.id != _SEGMENT:
        raise broken(kind, "its segment is missing")
    end = reader.size if segment.end is None else segment.end
    if end > reader.size:
        raise cut_short(kind, "its segment reaches beyond the end")
    seen = _Seen()
    for child in _children(reader, segment.start, end):
        if child.end is not None and child.end > reader.size:
            raise cut_short(kind, "an element reaches beyond the end")
        if child.id == _INFO:
            _read_info(reader, child, seen)
        elif child.id == _TRACKS:
            _read_tracks(reader, child, seen)
        elif child.id == _CLUSTER and seen.kinds is not None and segment.end is not None:
            break
    if seen.kinds is None:
        raise cut_short(kind, "it does not tell its tracks")
    length = milliseconds(seen.duration * seen.scale_nanoseconds, 1_000_000_000)
    if _PICTURE in seen.kinds:
        proved = replace(kind, width=seen.width, height=seen.height, duration_milliseconds=length)
    elif _SOUND not in seen.kinds:
        raise broken(kind, "it has neither a picture nor a sound track")
    elif kind is MATROSKA:
        raise never_taken("audio/x-matroska", "a Matroska file with sound only")
    else:
        proved = replace(WEBM_AUDIO, duration_milliseconds=length)
    return Found(proved=proved, end=end)


def _read_info(reader: Reader, info: _Element, seen: _Seen) -> None:
    for child in _children(reader, info.start, _known_end(reader, info)):
        if child.id == _TIMESTAMP_SCALE:
            seen.scale_nanoseconds = int.from_bytes(_content(reader, child, 8), "big")
        elif child.id == _DURATION:
            data = _content(reader, child, 8)
            if len(data) in (4, 8):
                (seen.duration,) = struct.unpack(">f" if len(data) == 4 else ">d", data)


def _read_tracks(reader: Reader, tracks: _Element, seen: _Seen) -> None:
    kinds = set()
    for track in _children(reader, tracks.start, _known_end(reader, tracks)):
        if track.id != _TRACK:
            continue
        for child in _children(reader, track.start, _known_end(reader, track)):
            if child.id == _TRACK_TYPE:
                kinds.add(int.from_bytes(_content(reader, child, 8), "big"))
            elif child.id == _VIDEO and seen.width is None:
                for size in _children(reader, child.start, _known_end(reader, child)):
                    pixels = int.from_bytes(_content(reader, size, 8), "big") if size.id != 0 else 0
                    if not 0 < pixels <= 0xFFFF:
                        continue
                    if size.id == _PIXEL_WIDTH:
                        seen.width = pixels
                    elif size.id == _PIXEL_HEIGHT:
                        seen.height = pixels
    seen.kinds = frozenset(kinds)


def _known_end(reader: Reader, element: _Element) -> int:
    if element.end is None or element.end > reader.size:
        raise EndOfFile
    return element.end


def _content(reader: Reader, element: _Element, max_bytes: int) -> bytes:
    return reader.exactly(element.start, min(_known_end(reader, element) - element.start, max_bytes))


def _children(reader: Reader, start: int, end: int) -> Iterator[_Element]:
    """Elements side by side; one of unknown size is the last, since only its own content could tell its end."""
    while start < end:
        element = _element(reader, start)
        yield element
        if element.end is None:
            return
        start = element.end


def _element(reader: Reader, offset: int) -> _Element:
    first = reader.exactly(offset, 1)[0]
    id_bytes = 9 - first.bit_length()
    if id_bytes > 4:
        raise broken(MATROSKA, "an element has no proper name")
    name = reader.number(offset, id_bytes)
    offset += id_bytes
    first = reader.exactly(offset, 1)[0]
    size_bytes = 9 - first.bit_length()
    if size_bytes > 8:
        raise broken(MATROSKA, "an element has no proper size")
    mask = (1 << 7 * size_bytes) - 1
    size = reader.number(offset, size_bytes) & mask
    start = offset + size_bytes
    return _Element(id=name, start=start, end=None if size == mask else start + size)
