"""MP4, QuickTime, 3GP and M4A: sound or video as the tracks tell, not the brand. Source: ISO/IEC 14496-12, 8.2-8.5."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from webchat_soap.domain.file import ProvedType
from webchat_soap.files.sniff.catalogue import M4A, MP4, QUICKTIME, THREE_GP, Found, milliseconds
from webchat_soap.files.sniff.isobmff import Box, TopLevel, boxes, child, looks_like_isobmff, top_level
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import broken, cut_short, never_taken
from webchat_soap.files.sniff.still import STILL_BRANDS, still

_MAX_TRACKS = 128
_CAMERA_RAW = b"crx "
_AUDIO_BOOKS = (b"M4A ", b"M4B ")
_STILL_CODECS = (b"jpeg", b"png ")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Track:
    handler: bytes
    codec: bytes
    width: int
    height: int


def sniff_isobmff(reader: Reader) -> Found | None:
    """HEIC, HEIF, AVIF by brand and items; else video or sound by the tracks."""
    if not looks_like_isobmff(reader):
        return None
    top = top_level(reader)
    kind = _kind(top)
    if top.major_brand == _CAMERA_RAW:
        raise never_taken("image/x-canon-cr3", "a camera's raw picture")
    if top.major_brand in STILL_BRANDS:
        return still(reader, top)
    if top.cut is not None:
        raise cut_short(kind, f"its {top.cut.decode('latin-1')} box reaches beyond the end")
    if top.moov is None:
        if not top.brands and not top.has_data:
            return None
        raise cut_short(kind, "its moov box, which tells what is in it, is missing")
    tracks = _tracks(reader, top.moov)
    shown = [track for track in tracks if track.handler == b"vide" and not _cover(top, track)]
    length = _length(reader, top.moov)
    if shown:
        width, height = shown[0].width, shown[0].height
        proved = replace(kind, width=width or None, height=height or None, duration_milliseconds=length)
    elif any(track.handler == b"soun" for track in tracks):
        proved = replace(M4A, duration_milliseconds=length)
    else:
        raise broken(kind, "it has neither a picture nor a sound track")
    if not top.has_data:
        raise cut_short(proved, "its mdat box is missing")
    return Found(proved=proved, end=top.end)


def _kind(top: TopLevel) -> ProvedType:
    if top.major_brand in (b"qt  ", b""):
        return QUICKTIME
    if top.major_brand[:3] in (b"3gp", b"3gg", b"3ge", b"3gr", b"3gs", b"3g2"):
        return THREE_GP
    return MP4


def _cover(top: TopLevel, track: _Track) -> bool:
    """Chapter pictures of an audio book are a video track in form only."""
    return top.major_brand in _AUDIO_BOOKS and track.codec in _STILL_CODECS


def _tracks(reader: Reader, moov: Box) -> list[_Track]:
    tracks: list[_Track] = []
    for trak in boxes(reader, moov.start, moov.end):
        if trak.name != b"trak" or len(tracks) >= _MAX_TRACKS:
            continue
        handler = child(reader, trak, b"mdia", b"hdlr")
        if handler is None or handler.end - handler.start < 12:
            continue
        width = height = 0
        codec = b""
        description = child(reader, trak, b"mdia", b"minf", b"stbl", b"stsd")
        if description is not None and description.end - description.start >= 16:
            codec = reader.exactly(description.start + 12, 4)
            entry = reader.at(description.start + 8, 36)
            if len(entry) == 36:
                width, height = struct.unpack_from(">HH", entry, 32)
        header = child(reader, trak, b"tkhd")
        if header is not None and header.end - header.start >= 84:
            shown_width, shown_height = struct.unpack(">II", reader.exactly(header.end - 8, 8))
            # 16.16 fixed point; zero where the writer left it to the codec.
            if shown_width >= 1 << 16 and shown_height >= 1 << 16:
                width, height = shown_width >> 16, shown_height >> 16
        tracks.append(_Track(handler=reader.exactly(handler.start + 8, 4), codec=codec, width=width, height=height))
    return tracks


def _length(reader: Reader, moov: Box) -> int | None:
    header = child(reader, moov, b"mvhd")
    if header is None or header.end - header.start < 32:
        return None
    if reader.exactly(header.start, 1) == b"\1":
        scale, length = struct.unpack(">IQ", reader.exactly(header.start + 20, 12))
    else:
        scale, length = struct.unpack(">II", reader.exactly(header.start + 12, 8))
    if not length:
        # Fragmented files tell their whole length here, if at all.
        extended = child(reader, moov, b"mvex", b"mehd")
        if extended is not None and extended.end - extended.start in (8, 12):
            length = reader.number(extended.start + 4, extended.end - extended.start - 4)
    unknown = length in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
    return None if unknown else milliseconds(length, scale)
