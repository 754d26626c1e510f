"""A small file of each family for a name, other bytes for every name, and the same ones whenever asked."""

from __future__ import annotations

import random
import struct
import zlib

from tests.serving import SAMPLES

EXTENSIONS = {"IMAGE": "png", "AUDIO": "wav", "VIDEO": "mp4", "DOCUMENT": "txt"}
FAMILIES = tuple(EXTENSIONS)

_CLIP = (SAMPLES / "video" / "faststart.mp4").read_bytes()


def content(name: str, family: str) -> bytes:
    """The whole file: 1 to some 200 KiB."""
    source = random.Random(f"{name} {family}")
    return {"IMAGE": _picture, "AUDIO": _sound, "VIDEO": _video, "DOCUMENT": _document}[family](source)


def _picture(source: random.Random) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = b"".join(b"\0" + source.randbytes(96) for _ in range(32))
    head = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(pixels, 1)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _sound(source: random.Random) -> bytes:
    samples = source.randbytes(2 * source.randrange(500, 100_000))
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + fmt + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _video(source: random.Random) -> bytes:
    more = source.randbytes(source.randrange(1000, 50_000))
    return _CLIP + struct.pack(">I", len(more) + 8) + b"mdat" + more


def _document(source: random.Random) -> bytes:
    return f"Günaydın\n{source.randbytes(source.randrange(500, 5_000)).hex()}\n".encode()
