"""Marks of what is never taken, or not on the list: they only give the refusal a name. Contract: section 5."""

from __future__ import annotations

import struct

from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import never_taken

_PROGRAM, _ARCHIVE, _OTHER = "a program", "an archive", "of a type outside the list"

_MARKS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x7fELF", "application/x-executable", _PROGRAM),
    (0, b"\xfe\xed\xfa\xce", "application/x-mach-binary", _PROGRAM),
    (0, b"\xfe\xed\xfa\xcf", "application/x-mach-binary", _PROGRAM),
    (0, b"\xce\xfa\xed\xfe", "application/x-mach-binary", _PROGRAM),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary", _PROGRAM),
    (0, b"\xca\xfe\xba\xbe", "application/java-vm", _PROGRAM),
    (0, b"dex\n0", "application/x-dex", _PROGRAM),
    (0, b"\0asm", "application/wasm", _PROGRAM),
    (0, b"L\0\0\0\x01\x14\x02\0", "application/x-ms-shortcut", _PROGRAM),
    (0, b"ITSF", "application/vnd.ms-htmlhelp", _PROGRAM),
    (0, b"CWS", "application/x-shockwave-flash", _PROGRAM),
    (0, b"FWS", "application/x-shockwave-flash", _PROGRAM),
    (0, b"ZWS", "application/x-shockwave-flash", _PROGRAM),
    (0, b"PK\x03\x04", "application/zip", _ARCHIVE),
    (0, b"PK\x05\x06", "application/zip", _ARCHIVE),
    (0, b"PK\x07\x08", "application/zip", _ARCHIVE),
    (0, b"Rar!\x1a\x07", "application/vnd.rar", _ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed", _ARCHIVE),
    (0, b"\x1f\x8b\x08", "application/gzip", _ARCHIVE),
    (0, b"BZh", "application/x-bzip2", _ARCHIVE),
    (0, b"\xfd7zXZ\0", "application/x-xz", _ARCHIVE),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd", _ARCHIVE),
    (0, b"\x04\x22\x4d\x18", "application/x-lz4", _ARCHIVE),
    (0, b"MSCF\0\0\0\0", "application/vnd.ms-cab-compressed", _ARCHIVE),
    (0, b"!<arch>\n", "application/x-archive", _ARCHIVE),
    (0, b"\xed\xab\xee\xdb", "application/x-rpm", _ARCHIVE),
    (257, b"ustar", "application/x-tar", _ARCHIVE),
    (2, b"-lh", "application/x-lzh-compressed", _ARCHIVE),
    (0x8001, b"CD001", "application/x-iso9660-image", _ARCHIVE),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf", _OTHER),
    (0, b"FLV\x01", "video/x-flv", _OTHER),
    (0, b"\0\0\x01\xba", "video/mpeg", _OTHER),
    (0, b"\0\0\x01\xb3", "video/mpeg", _OTHER),
    (0, b"MThd\0\0\0\x06", "audio/midi", _OTHER),
    (0, b"caff\0\x01", "audio/x-caf", _OTHER),
    (8, b"AIFF", "audio/aiff", _OTHER),
    (8, b"AIFC", "audio/aiff", _OTHER),
    (0, b".snd\0", "audio/basic", _OTHER),
    (0, b"8BPS\0", "image/vnd.adobe.photoshop", _OTHER),
    (0, b"\0\0\x01\0", "image/vnd.microsoft.icon", _OTHER),
    (0, b"\0\0\0\x0cJXL ", "image/jxl", _OTHER),
    (0, b"\xff\x0a", "image/jxl", _OTHER),
    (0, b"\0\0\0\x0cjP  ", "image/jp2", _OTHER),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3", _OTHER),
    (0, b"!BDN", "application/vnd.ms-outlook-pst", _OTHER),
)
_TEXT_LIKE = (b"CWS", b"FWS", b"ZWS", b"BZh", b"-lh", b"ITSF", b"AIFF", b"AIFC", b"CD001", b"ustar")
"""Marks that a text may hold in this place: they count only where a zero byte or the like says that it is none."""
_PRINTABLE = bytes((9, 10, 12, 13, *range(32, 127)))


def refuse_known(reader: Reader) -> None:
    """Refuse by name what begins with a mark of something that is not taken."""
    _refuse(reader, 0, (_PROGRAM, _ARCHIVE, _OTHER))


def refuse_hidden(reader: Reader, offset: int) -> None:
    """Refuse a program or an archive that begins at `offset`, as behind the end of a picture."""
    _refuse(reader, offset, (_PROGRAM, _ARCHIVE))


def _refuse(reader: Reader, offset: int, kinds: tuple[str, ...]) -> None:
    head = reader.at(offset, 512)
    if head[:2] == b"MZ" and not _reads_as_text(head):
        raise never_taken("application/vnd.microsoft.portable-executable", _PROGRAM)
    for place, mark, media_type, what in _MARKS:
        found = head[place : place + len(mark)] if place < 512 else reader.at(offset + place, len(mark))
        if found == mark and what in kinds and not (mark in _TEXT_LIKE and _reads_as_text(head)):
            raise never_taken(media_type, what)


def _reads_as_text(head: bytes) -> bool:
    return not head.translate(None, _PRINTABLE)


_MACHINES = frozenset((0x14C, 0x8664, 0x1C0, 0x1C4, 0xAA64, 0x200, 0xEBC))


def is_pe_header(data: bytes) -> bool:
    """Whether `data`, from `PE` on, is a COFF header of a known machine. Source: Microsoft PE format, section 3.3."""
    if len(data) < 24 or data[:4] != b"PE\0\0":
        return False
    machine, sections = struct.unpack_from("<HH", data, 4)
    (optional_bytes,) = struct.unpack_from("<H", data, 20)
    return machine in _MACHINES and 0 < sections <= 96 and 96 <= optional_bytes <= 4096
