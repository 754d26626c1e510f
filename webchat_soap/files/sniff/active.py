"""Two types at once: a picture, sound, video or PDF that also holds a program, an archive, HTML or a PDF.

Pictures are searched whole (browsers and unpackers were fooled by every part of them); the rest at its beginning and
end, where other programs look for their own marks. Marks of four bytes turn up by chance, so each is checked for what
must follow it. Contract: section 5.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from webchat_soap.domain.file import FileType, ProvedType
from webchat_soap.files.sniff.catalogue import PDF, Found
from webchat_soap.files.sniff.markup import MARKUP, holds_markup
from webchat_soap.files.sniff.never import is_pe_header, refuse_hidden
from webchat_soap.files.sniff.pdf import HEADER_WITHIN_BYTES
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import active
from webchat_soap.files.sniff.zip_directory import find_end

_EDGE_BYTES = 64 * 1024
_LOOK_AHEAD_BYTES = 64
"""The longest check of what follows a mark; chunks overlap by it."""
_PDF_HEADER = re.compile(rb"%PDF-\d\.\d")


def _local_zip_header(data: bytes) -> bool:
    """A ZIP entry of a known method with a printable name."""
    if len(data) < 31:
        return False
    version, _, method = struct.unpack_from("<HHH", data, 4)
    (name_bytes,) = struct.unpack_from("<H", data, 26)
    name = data[30 : 30 + min(name_bytes, 16)]
    return (
        (version & 0xFF) <= 63
        and method in (0, 8, 9, 12, 14, 93, 95, 98, 99)
        and 0 < name_bytes <= 1024
        and min(name) >= 32
    )


def _always(_: bytes) -> bool:
    return True


def _elf_header(data: bytes) -> bool:
    return len(data) > 6 and data[4] in (1, 2) and data[5] in (1, 2) and data[6] == 1


def _java_class(data: bytes) -> bool:
    return len(data) >= 8 and data[4:6] == b"\0\0" and 45 <= int.from_bytes(data[6:8], "big") <= 80


def _mach_header(data: bytes) -> bool:
    return len(data) >= 8 and data[4] in (7, 12) and data[5:8] in (b"\0\0\0", b"\0\0\x01")


def _pdf_header(data: bytes) -> bool:
    return _PDF_HEADER.match(data) is not None


_Mark = tuple[re.Pattern[bytes], Callable[[bytes], bool], str]
# Patterns and not bytes.find: with a plain first letter they are nearly twice as fast (0.3 against 0.6 ms a MiB).
_HIDDEN: tuple[_Mark, ...] = (
    (re.compile(rb"PK\x03\x04"), _local_zip_header, "a ZIP"),
    (re.compile(rb"Rar!\x1a\x07"), _always, "a RAR archive"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), _always, "a 7z archive"),
    (re.compile(rb"PE\x00\x00"), is_pe_header, "a program"),
    (re.compile(rb"\x7fELF"), _elf_header, "a program"),
    (re.compile(rb"\xcf\xfa\xed\xfe"), _mach_header, "a program"),
    (re.compile(rb"\xca\xfe\xba\xbe"), _java_class, "a program"),
    (MARKUP, _always, "HTML or a script"),
)
_HIDDEN_IN_PICTURES: tuple[_Mark, ...] = (*_HIDDEN, (re.compile(rb"%PDF-"), _pdf_header, "a PDF"))
_BEHIND_BYTES = 4096


def refuse_active(reader: Reader, found: Found) -> None:
    """UnsupportedFileType where the proved file is also something else. Office documents and text have own rules."""
    proved = found.proved
    if proved.file_type is FileType.IMAGE:
        for _, chunk in reader.chunks(0, reader.size, overlap=_LOOK_AHEAD_BYTES):
            _search(proved, chunk, _HIDDEN_IN_PICTURES)
        if found.end < reader.size:
            refuse_hidden(reader, found.end)
            behind = reader.at(found.end, _BEHIND_BYTES)
            if holds_markup(behind) or behind.lstrip()[:2] == b"#!":
                raise active(proved, "HTML or a script")
    elif proved.file_type is not FileType.DOCUMENT:
        _search(proved, reader.at(0, _EDGE_BYTES), _HIDDEN)
        _search(proved, reader.at(max(0, reader.size - _EDGE_BYTES), _EDGE_BYTES), _HIDDEN)
        if _PDF_HEADER.search(reader.at(0, HEADER_WITHIN_BYTES + 8)):
            raise active(proved, "a PDF")
    elif proved == PDF:
        # A PDF's own streams may hold anything, and its header may stand behind other bytes.
        refuse_hidden(reader, 0)
    else:
        return
    if find_end(reader) is not None:
        raise active(proved, "a ZIP")


def _search(proved: ProvedType, data: bytes, marks: tuple[_Mark, ...]) -> None:
    for mark, follows, what in marks:
        for found in mark.finditer(data):
            if follows(data[found.start() : found.start() + _LOOK_AHEAD_BYTES]):
                raise active(proved, what)
