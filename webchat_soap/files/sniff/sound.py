"""FLAC and AMR: sound in frames of its own. Source: RFC 9639 (FLAC), RFC 4867 section 5 (AMR)."""

from __future__ import annotations

from dataclasses import replace

from webchat_soap.domain.file import ProvedType
from webchat_soap.files.sniff.catalogue import AMR, AMR_WB, FLAC, Found, milliseconds
from webchat_soap.files.sniff.reader import EndOfFile, Reader
from webchat_soap.files.sniff.refusal import broken, cut_short

_MAX_ID3_TAGS = 8
_ID3_VERSIONS = (2, 3, 4)


def after_id3(reader: Reader) -> int:
    """Where the sound starts: 0, or behind the ID3v2 tags. EndOfFile where a tag reaches beyond the end."""
    offset = 0
    for _ in range(_MAX_ID3_TAGS):
        head = reader.at(offset, 10)
        if len(head) < 10 or head[:3] != b"ID3" or head[3] not in _ID3_VERSIONS or max(head[6:10]) > 0x7F:
            break
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        offset += 10 + size + (10 if head[5] & 0x10 else 0)
        if offset > reader.size:
            raise EndOfFile
    return offset


def sniff_flac(reader: Reader) -> Found | None:
    """FLAC from STREAMINFO over all metadata to the first frame."""
    offset = after_id3(reader) if reader.at(0, 3) == b"ID3" else 0
    if reader.at(offset, 4) != b"fLaC":
        return None
    if reader.exactly(offset + 4, 1)[0] & 0x7F or reader.number(offset + 5, 3) != 34:
        raise broken(FLAC, "its first block is not STREAMINFO")
    packed = reader.number(offset + 18, 8)
    rate, samples = packed >> 44, packed & 0xFFFFFFFFF
    if not rate:
        raise broken(FLAC, "its rate is zero")
    offset += 4
    last = False
    while not last:
        head = reader.number(offset, 4)
        last = bool(head >> 31)
        offset += 4 + (head & 0xFFFFFF)
        if offset > reader.size:
            raise cut_short(FLAC, "a metadata block reaches beyond the end")
    if reader.exactly(offset, 2) not in (b"\xff\xf8", b"\xff\xf9"):
        raise broken(FLAC, "no frame follows its metadata")
    return Found(proved=replace(FLAC, duration_milliseconds=milliseconds(samples, rate)), end=reader.size)


_FRAME_MILLISECONDS = 20
_NARROW_FRAME_BYTES = {0: 13, 1: 14, 2: 16, 3: 18, 4: 20, 5: 21, 6: 27, 7: 32, 8: 6, 15: 1}
_WIDE_FRAME_BYTES = {0: 18, 1: 24, 2: 33, 3: 37, 4: 41, 5: 47, 6: 51, 7: 59, 8: 61, 9: 6, 14: 1, 15: 1}
_MAX_WALKED_FRAMES = 15_000
"""Five minutes; of longer recordings the rest is taken to be like it."""


def sniff_amr(reader: Reader) -> Found | None:
    """AMR and AMR-WB, one channel, frame by frame. Must come before scripts: the mark begins with `#!`."""
    if reader.at(0, 6) == b"#!AMR\n":
        return _amr(reader, AMR, 6, _NARROW_FRAME_BYTES)
    if reader.at(0, 9) == b"#!AMR-WB\n":
        return _amr(reader, AMR_WB, 9, _WIDE_FRAME_BYTES)
    return None


def _amr(reader: Reader, kind: ProvedType, start: int, frame_bytes: dict[int, int]) -> Found:
    offset, frames = start, 0
    while offset < reader.size and frames < _MAX_WALKED_FRAMES:
        head = reader.exactly(offset, 1)[0]
        length = frame_bytes.get(head >> 3 & 15)
        if head & 0x83 or length is None:
            raise broken(kind, "a frame has a wrong header")
        offset += length
        frames += 1
    if not frames:
        raise cut_short(kind, "it has no frames")
    if offset > reader.size:
        raise cut_short(kind, "its last frame is not whole")
    duration = frames * _FRAME_MILLISECONDS * (reader.size - start) / (offset - start)
    return Found(proved=replace(kind, duration_milliseconds=milliseconds(duration, 1000)), end=reader.size)
