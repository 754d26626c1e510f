"""MP3 and AAC in ADTS: no signature worth the name, so a chain of frames that agree is the proof.

Source: ISO/IEC 11172-3 and 13818-3 (MPEG audio), ISO/IEC 13818-7 (ADTS); the Xing and VBRI headers are conventions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from webchat_soap.files.sniff.catalogue import AAC, MP3, Found, milliseconds
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import cut_short
from webchat_soap.files.sniff.sound import after_id3

_BIT_RATES = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Kilobits a second of layer III by version (2 holds for 2.5 too) and index."""
_MPEG_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_AAC_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_SAMPLES_PER_AAC_FRAME = 1024

_PROVING_FRAMES = 4
"""Four frames that agree are about 90 bits in place; random bytes do that once in 10^27."""
_MAX_WALKED_FRAMES = 2_000
"""Under a minute; of longer recordings the rest is taken to be like it."""
_MAX_PADDING_BYTES = 64 * 1024
_MAX_JUNK_BYTES = 4 * 1024
"""Behind a tag that says less than its true length, and only there."""
_END_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frame:
    length: int
    samples: int
    rate: int
    family: int
    """What all frames of a stream share: version, layer and rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chain:
    start: int
    first: _Frame
    frames: int
    end: int


_Parse = Callable[[bytes], _Frame | None]


def sniff_mp3(reader: Reader) -> Found | None:
    """MPEG audio layer III, with or without ID3 tags, padding before it and a Xing or VBRI header."""
    chain = _find_chain(reader, _mp3_frame)
    if chain is None:
        return None
    length = _told_length(reader, chain) or _estimated_length(reader, chain)
    return Found(proved=replace(MP3, duration_milliseconds=length), end=reader.size)


def sniff_aac(reader: Reader) -> Found | None:
    """AAC in ADTS frames, with or without ID3 tags."""
    chain = _find_chain(reader, _aac_frame)
    if chain is None:
        return None
    return Found(proved=replace(AAC, duration_milliseconds=_estimated_length(reader, chain)), end=reader.size)


def refuse_bare_id3(reader: Reader) -> None:
    """Refuse what has an ID3 tag but no sound behind it. To be asked after all sniffers of sound."""
    if reader.at(0, 3) == b"ID3" and after_id3(reader):
        raise cut_short(MP3, "no sound follows its ID3 tag")


def _mp3_frame(head: bytes) -> _Frame | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, bit_rate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bit_rate in (0, 15) or rate == 3:
        return None
    first = version == 3
    hertz = _MPEG_RATES[version][rate]
    bits = _BIT_RATES[1 if first else 2][bit_rate] * 1000
    samples = 1152 if first else 576
    length = samples // 8 * bits // hertz + (head[2] >> 1 & 1)
    return _Frame(length=length, samples=samples, rate=hertz, family=(head[1] & 0xFE) << 2 | rate)


def _aac_frame(head: bytes) -> _Frame | None:
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    rate = head[2] >> 2 & 15
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if rate >= len(_AAC_RATES) or length < 8:
        return None
    return _Frame(
        length=length, samples=_SAMPLES_PER_AAC_FRAME, rate=_AAC_RATES[rate], family=head[1] << 8 | head[2] & 0xFD
    )


def _find_chain(reader: Reader, parse: _Parse) -> _Chain | None:
    start = after_id3(reader)
    tagged = start > 0
    padding = reader.at(start, _MAX_PADDING_BYTES)
    start += len(padding) - len(padding.lstrip(b"\0"))
    chain = _chain(reader, start, parse)
    if chain is None and tagged:
        junk = reader.at(start, _MAX_JUNK_BYTES)
        at = junk.find(b"\xff", 1)
        while chain is None and at >= 0:
            chain = _chain(reader, start + at, parse)
            at = junk.find(b"\xff", at + 1)
    return chain


def _chain(reader: Reader, start: int, parse: _Parse) -> _Chain | None:
    """Frames from `start` that agree: enough of them, or at least two whole ones and then the end of the file."""
    first = parse(reader.at(start, 8))
    if first is None:
        return None
    offset, frames, frame = start, 0, first
    while offset + frame.length <= reader.size:
        offset += frame.length
        frames += 1
        if frames >= _MAX_WALKED_FRAMES:
            break
        following = parse(reader.at(offset, 8))
        if following is None or following.family != first.family:
            break
        frame = following
    if frames < _PROVING_FRAMES and (frames < 2 or not _ends(reader, offset, parse)):
        return None
    return _Chain(start=start, first=first, frames=frames, end=offset)


def _ends(reader: Reader, offset: int, parse: _Parse) -> bool:
    rest = reader.at(offset, 16)
    if not rest.strip(b"\0") or rest.startswith(_END_TAGS):
        return True
    frame = parse(rest)
    return frame is not None and offset + frame.length > reader.size


def _told_length(reader: Reader, chain: _Chain) -> int | None:
    """From the Xing, Info or VBRI header in the first frame."""
    head = reader.at(chain.start, 64)
    mono, first_version = head[3] >> 6 == 3, chain.first.samples == 1152
    side = (17 if mono else 32) if first_version else (9 if mono else 17)
    frames = 0
    if head[4 + side : 8 + side] in (b"Xing", b"Info") and head[11 + side : 12 + side] != b"":
        if head[11 + side] & 1:
            frames = int.from_bytes(head[12 + side : 16 + side], "big")
    elif head[36:40] == b"VBRI":
        frames = int.from_bytes(head[50:54], "big")
    return milliseconds(frames * chain.first.samples, chain.first.rate)


def _estimated_length(reader: Reader, chain: _Chain) -> int | None:
    frames = float(chain.frames)
    if chain.frames >= _MAX_WALKED_FRAMES:
        frames *= (reader.size - chain.start) / (chain.end - chain.start)
    return milliseconds(frames * chain.first.samples, chain.first.rate)
