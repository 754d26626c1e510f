"""Marks of programs, archives, PDFs and markup anywhere in a chunk of other bytes, found in about one pass over it.

Searching for sixteen marks one by one costs 6 to 8 ms a MiB. Instead each byte is mapped to a class, such that three
letters of every mark, side by side, fall into the classes A, B, C; one search for ABC then finds them all, and about
150 places in a MiB of random bytes, which are looked at (1.5 ms a MiB in all). Bytes that hold ABC everywhere (a flat
colour may) fall back to the search one by one. Marks that are no marks after all cost from the reader's budget.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from webchat_soap.files.sniff.markup import MARKUP
from webchat_soap.files.sniff.never import is_pe_header
from webchat_soap.files.sniff.reader import Reader

LOOK_AHEAD_BYTES = 64
"""The longest check of what follows a mark; chunks overlap by it."""


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


_PDF_HEADER = re.compile(rb"%PDF-\d\.\d")


def _pdf_header(data: bytes) -> bool:
    return _PDF_HEADER.match(data) is not None


_Mark = tuple[bytes, Callable[[bytes], bool], str]
_MARKS: tuple[_Mark, ...] = (
    (b"PK\x03\x04", _local_zip_header, "a ZIP"),
    (b"Rar!\x1a\x07", _always, "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", _always, "a 7z archive"),
    (b"PE\x00\x00", is_pe_header, "a program"),
    (b"\x7fELF", _elf_header, "a program"),
    (b"\xcf\xfa\xed\xfe", _mach_header, "a program"),
    (b"\xca\xfe\xba\xbe", _java_class, "a program"),
    (b"%PDF-", _pdf_header, "a PDF"),
)
_A_PDF = "a PDF"
_MARKUP_OPENINGS = (b"<script", b"<html", b"<iframe", b"<body", b"<svg", b"<!doctype", b"<?php")
"""What MARKUP begins with, in lower case."""
_AT_MARK = re.compile(b"|".join(b"(" + re.escape(mark) + b")" for mark, _, _ in _MARKS))

_A = b"PR7\x7f\xcf\xca<!"
_B = b"KazE\xfa\xfeDdsShHiIbB?"
_C = b"\x03r\xbc\0L\xed\xbaFfcCtToOvVp"
"""PK3 Rar 7z. PE0 .EL ... PDF <sc <ht <if <bo <sv !do <?p: the mark or its second letter on; a letter has one class."""
_CLASSES = bytes(65 if byte in _A else 66 if byte in _B else 67 if byte in _C else 0 for byte in range(256))
_LEFT_OUT = b"<?P"
"""P can be in one class only; so PHP in capitals is searched for by itself."""
_MAX_PLACES = 64
"""In a chunk; random bytes have ten. Above it the search one by one costs no more."""
_PLACES_PER_READ = 4
_READS_PER_FALSE_MARK = 8
"""Dearer than it is, since honest files have next to none: after some thousands the file is made to cost."""


def find_hidden(reader: Reader, chunk: bytes, *, pdf: bool) -> str | None:
    """What stands in the chunk, in words; None for nothing. A PDF counts where `pdf`.

    TooManyParts where the chunks of one file hold tens of thousands of marks that are none.
    """
    classes = chunk.translate(_CLASSES)
    places = 0
    at = classes.find(b"ABC")
    while at >= 0:
        places += 1
        if places > _MAX_PLACES:
            return _find_one_by_one(reader, chunk, pdf=pdf)
        # The classes of %PDF and <!doctype begin at their second letter.
        what = _mark_at(reader, chunk, at, pdf=pdf) or (_mark_at(reader, chunk, at - 1, pdf=pdf) if at else None)
        if what is not None:
            return what
        at = classes.find(b"ABC", at + 1)
    reader.spend(places // _PLACES_PER_READ)
    return _find_php_in_capitals(reader, chunk)


def _mark_at(reader: Reader, chunk: bytes, at: int, *, pdf: bool) -> str | None:
    found = _AT_MARK.match(chunk, at)
    if found is None:
        return "HTML or a script" if MARKUP.match(chunk, at) else None
    assert found.lastindex is not None
    _, follows, what = _MARKS[found.lastindex - 1]
    if (pdf or what is not _A_PDF) and follows(chunk[at : at + LOOK_AHEAD_BYTES]):
        return what
    reader.spend(_READS_PER_FALSE_MARK)
    return None


def _find_one_by_one(reader: Reader, chunk: bytes, *, pdf: bool) -> str | None:
    lowered = chunk.lower()
    for text, openings in ((chunk, tuple(mark for mark, _, _ in _MARKS)), (lowered, _MARKUP_OPENINGS)):
        for opening in openings:
            at = text.find(opening)
            while at >= 0:
                reader.spend(1)
                what = _mark_at(reader, chunk, at, pdf=pdf)
                if what is not None:
                    return what
                at = text.find(opening, at + 1)
    return None


def _find_php_in_capitals(reader: Reader, chunk: bytes) -> str | None:
    at = chunk.find(_LEFT_OUT)
    while at >= 0:
        reader.spend(1)
        if MARKUP.match(chunk, at):
            return "HTML or a script"
        at = chunk.find(_LEFT_OUT, at + 1)
    return None
