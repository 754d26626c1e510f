"""RIFF and its forms: WAV (also RF64 and BW64), AVI and WebP."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from webchat_soap.files.sniff.catalogue import AVI, WAV, WEBP, Found, milliseconds
from webchat_soap.files.sniff.image import sized
from webchat_soap.files.sniff.reader import EndOfFile, Reader
from webchat_soap.files.sniff.refusal import broken, cut_short, never_taken

_STREAMED_FROM = 0x7FFF0000
"""Writers that cannot seek back leave about 2 GiB, 4 GiB or zero as length: ffmpeg FFFFFFFF, sox 7FFFF000 and up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chunk:
    name: bytes
    start: int
    """Of its content."""
    end: int


def sniff_riff(reader: Reader) -> Found | None:
    """WAV, AVI or WebP; other forms are refused by name. Source: Microsoft RIFF; EBU Tech 3306 for RF64."""
    head = reader.at(0, 12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64", b"BW64"):
        return None
    form, size = head[8:12], struct.unpack_from("<I", head, 4)[0]
    if form == b"WAVE":
        return _wave(reader)
    if head[:4] == b"RIFF" and form == b"AVI ":
        return _avi(reader, size)
    if head[:4] == b"RIFF" and form == b"WEBP":
        return _webp(reader, size)
    if all(32 <= byte < 127 for byte in head) and not reader.at(0, 4096).count(b"\0"):
        return None
    raise never_taken("application/x-riff", "a RIFF file of another form")


def _streamed(size: int) -> bool:
    return size == 0 or size >= _STREAMED_FROM


def _chunks(reader: Reader, start: int, end: int) -> Iterator[_Chunk]:
    """Chunks side by side, until no whole chunk header is left; the last one's end may lie beyond `end`."""
    while start + 8 <= end:
        name, size = struct.unpack("<4sI", reader.exactly(start, 8))
        yield _Chunk(name=name, start=start + 8, end=start + 8 + size)
        start += 8 + size + (size & 1)


def _wave(reader: Reader) -> Found:
    bytes_per_second = 0
    long_data_bytes: int | None = None
    for chunk in _chunks(reader, 12, reader.size):
        if chunk.name == b"ds64":
            (long_data_bytes,) = struct.unpack("<Q", reader.exactly(chunk.start + 8, 8))
        elif chunk.name == b"fmt ":
            _, channels, rate, bytes_per_second, _ = struct.unpack("<HHIIH", reader.exactly(chunk.start, 14))
            if not channels or not rate:
                raise broken(WAV, "it has no channels or no rate")
        elif chunk.name == b"data":
            if not bytes_per_second:
                raise broken(WAV, "its format is missing before its data")
            length = chunk.end - chunk.start
            if length == 0xFFFFFFFF and long_data_bytes:
                length = long_data_bytes
            elif _streamed(length):
                length = reader.size - chunk.start
            if chunk.start + length > reader.size:
                raise cut_short(WAV, "its data reaches beyond the end")
            proved = replace(WAV, duration_milliseconds=milliseconds(length, bytes_per_second))
            return Found(proved=proved, end=chunk.start + length)
    raise cut_short(WAV, "its data is missing")


def _avi(reader: Reader, size: int) -> Found:
    if not _streamed(size) and 8 + size > reader.size:
        raise cut_short(AVI, "its length reaches beyond the end")
    header: _Chunk | None = None
    has_movie = False
    for chunk in _chunks(reader, 12, reader.size):
        if chunk.name != b"LIST":
            continue
        kind = reader.exactly(chunk.start, 4)
        if kind == b"hdrl":
            header = chunk
        elif kind == b"movi":
            has_movie = True
            break
    if header is None or not has_movie:
        raise cut_short(AVI, "its header or its frames are missing")
    microseconds = frames = width = height = 0
    streams = set()
    for chunk in _chunks(reader, header.start + 4, min(header.end, reader.size)):
        if chunk.name == b"avih":
            values = struct.unpack("<10I", reader.exactly(chunk.start, 40))
            microseconds, frames, width, height = values[0], values[4], values[8], values[9]
        elif chunk.name == b"LIST" and reader.exactly(chunk.start, 4) == b"strl":
            first = next(_chunks(reader, chunk.start + 4, min(chunk.end, reader.size)), None)
            if first is not None and first.name == b"strh":
                streams.add(reader.exactly(first.start, 4))
    if b"vids" not in streams:
        raise broken(AVI, "it has no picture stream")
    length = milliseconds(frames * microseconds, 1_000_000)
    shown = 0 < width <= 0xFFFF and 0 < height <= 0xFFFF
    proved = replace(
        AVI, width=width if shown else None, height=height if shown else None, duration_milliseconds=length
    )
    return Found(proved=proved, end=reader.size if _streamed(size) else 8 + size)


def _webp(reader: Reader, size: int) -> Found:
    """Source: RFC 9649."""
    end = 8 + size
    if end > reader.size:
        raise cut_short(WEBP, "its length reaches beyond the end")
    first = next(_chunks(reader, 12, end), None)
    if first is None or first.end > end:
        raise broken(WEBP, "its first chunk does not fit")
    try:
        width, height = _webp_size(reader, first)
    except EndOfFile:
        raise broken(WEBP, "its first chunk is too short") from None
    proved = sized(WEBP, width, height)
    if first.name == b"VP8X" and not any(
        chunk.name in (b"VP8 ", b"VP8L", b"ANMF") and chunk.end <= end for chunk in _chunks(reader, 12, end)
    ):
        raise broken(WEBP, "it has no picture data")
    return Found(proved=proved, end=end + (end & 1))


def _webp_size(reader: Reader, chunk: _Chunk) -> tuple[int, int]:
    if chunk.name == b"VP8X":
        data = reader.exactly(chunk.start + 4, 6)
        return 1 + int.from_bytes(data[:3], "little"), 1 + int.from_bytes(data[3:], "little")
    if chunk.name == b"VP8L":
        signature, bits = struct.unpack("<BI", reader.exactly(chunk.start, 5))
        if signature != 0x2F:
            raise broken(WEBP, "its lossless data has no signature")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk.name == b"VP8 ":
        start_code, width, height = struct.unpack("<3sHH", reader.exactly(chunk.start + 3, 7))
        if start_code != b"\x9d\x01\x2a":
            raise broken(WEBP, "its lossy data has no start code")
        return width & 0x3FFF, height & 0x3FFF
    raise broken(WEBP, "its first chunk is of no known kind")
