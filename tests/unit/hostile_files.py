"""Files that lie: builders of small hostile bytes, and of honest ones that look odd. Needs no program but Python."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

SAMPLES = Path(__file__).parent.parent / "data" / "files"


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


HTML = b"<html><body><script>alert(1)</script></body></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def elf() -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, 0x3E, 1) + bytes(40)


def pe() -> bytes:
    stub = b"MZ" + bytes(58) + struct.pack("<I", 64)
    return stub + b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x22) + bytes(240 + 40)


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def rezipped(name: str, *, add: dict[str, bytes] | None = None, replace: dict[str, bytes] | None = None) -> bytes:
    """A sample document with entries added or replaced."""
    with zipfile.ZipFile(SAMPLES / name) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    return zipped(entries | (add or {}) | (replace or {}))


def jar() -> bytes:
    return zipped({"META-INF/MANIFEST.MF": b"Main-Class: A\n", "A.class": b"\xca\xfe\xba\xbe\0\0\0\x34"})


def tar_gz() -> bytes:
    return gzip.compress(tar())


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return out.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int = 8, height: int = 8, *extra: bytes) -> bytes:
    """A grey PNG, with further chunks before its data; beyond 1,024 rows the data is left short."""
    rows = zlib.compress(bytes(1 + width) * min(height, 1024))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
            *extra,
            png_chunk(b"IDAT", rows),
            png_chunk(b"IEND", b""),
        )
    )


def jpeg_with_comment(comment: bytes) -> bytes:
    jpeg = sample("image/picture.jpg")
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + jpeg[2:]


def bmp_fake(body: bytes) -> bytes:
    """A one-pixel BMP by its header, whose pixels begin far behind the body."""
    header = b"BM" + struct.pack("<IHHI", 58 + len(body), 0, 0, 54 + len(body))
    return header + struct.pack("<IiiHHIIIIII", 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0) + body + bytes(4)


def id3(body: bytes) -> bytes:
    size = len(body)
    return b"ID3\x04\0\0" + bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127)) + body


def ole(*names: str, storages: tuple[str, ...] = ()) -> bytes:
    """A compound file with empty streams and storages of these names in its root, side by side in the tree."""
    count = len(names) + len(storages)
    entries = [_ole_entry("Root Entry", 5, child=1 if count else None)]
    for number, name in enumerate((*names, *storages), start=1):
        entries.append(_ole_entry(name, 2 if number <= len(names) else 1, right=number + 1 if number < count else None))
    directory = b"".join(entries)
    directory += bytes(-len(directory) % 512)
    sectors = len(directory) // 512
    fat = [0xFFFFFFFD, *range(2, sectors + 1), 0xFFFFFFFE]
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(10)
    header += struct.pack("<IIIIIIII", 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    header += struct.pack("<109I", 0, *[0xFFFFFFFF] * 108)
    return header + struct.pack("<128I", *fat, *[0xFFFFFFFF] * (128 - len(fat))) + directory


def _ole_entry(name: str, kind: int, *, right: int | None = None, child: int | None = None) -> bytes:
    none = 0xFFFFFFFF
    text = name.encode("utf-16-le") + b"\0\0"
    entry = text.ljust(64, b"\0") + struct.pack("<HBB", len(text), kind, 1)
    entry += struct.pack("<III", none, none if right is None else right, none if child is None else child)
    return entry + bytes(36) + struct.pack("<IQ", 0xFFFFFFFE, 0)


def box(name: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", 8 + len(data)) + name + data


def docx_bomb() -> bytes:
    """A DOCX of about 100 KiB that unpacks to 96 MiB."""
    return rezipped("document/text.docx", add={"word/media/image1.bmp": bytes(96 * 1024 * 1024)})


def overlapping_docx() -> bytes:
    """A DOCX in which two directory entries share one place."""
    data = sample("document/text.docx")
    end = data.rfind(b"PK\x05\x06")
    count, size, start = struct.unpack_from("<HII", data, end + 10)
    directory = data[start : start + size]
    names = struct.unpack_from("<H", directory, 28)[0]
    first = directory[: 46 + names + sum(struct.unpack_from("<HH", directory, 30))]
    twin = bytearray(first)
    twin[46] ^= 1
    directory += bytes(twin)
    record = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count + 1, count + 1, len(directory), start, 0)
    return data[:start] + directory + record


def huge_tiff_circle() -> bytes:
    """A TIFF whose second page is followed by its first."""
    data = bytearray(sample("image/picture.tiff"))
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    return bytes(data)


def amr_wide(frames: int = 25) -> bytes:
    """Half a second of AMR-WB silence in its lowest mode."""
    return b"#!AMR-WB\n" + (b"\x04" + bytes(17)) * frames
