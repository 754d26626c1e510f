"""TXT, CSV and RTF. Text has no magic: every byte of it must be text.

Source: Microsoft's tables of Windows-1252 and Windows-1254 for the bytes that neither has a letter for.
"""

from __future__ import annotations

import codecs
import re

from webchat_soap.domain.file import ProvedType
from webchat_soap.files.sniff.catalogue import CSV, RTF, TXT, Found
from webchat_soap.files.sniff.markup import holds_markup, refuse_opening, skip_blank
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import cut_short, never_taken

_CONTROLS = bytes((*range(9), *range(14, 32), 127))
"""Tab, line feed, vertical tab (Excel's and FileMaker's line break inside a field), form feed and return may stand."""
_UNDEFINED = b"\x81\x8d\x8f\x90\x9d"
"""What neither Windows-1252 nor Windows-1254 has a letter for."""
_OPENING_CHARACTERS = 1024
_MAX_BLANK_CHARACTERS = 1024 * 1024
"""Browsers look at the first kilobytes for what a text may be; nothing that opens behind this many blanks does harm."""
_MASKS = re.compile(rb"BM|ID3|GIF8|MZ|II\*|MM|RIFF|OggS|fLaC|FORM|ftyp|\xff\xd8")
"""Text that begins like a picture or a sound is a costume when markup follows at once."""
_MASK_BYTES = 1024
_RTF_END_WITHIN_BYTES = 1024


def sniff_rtf(reader: Reader) -> Found | None:
    """RTF from its opening group to a closing brace. Source: RTF 1.9.1."""
    head = reader.at(0, 6)
    if head[:5] != b"{\\rtf" or (head[5:6].isalpha()):
        return None
    tail = reader.at(max(0, reader.size - _RTF_END_WITHIN_BYTES), _RTF_END_WITHIN_BYTES)
    if not tail.rstrip(b"\0\t\n\r\x1a ").endswith(b"}"):
        raise cut_short(RTF, "its closing brace is missing")
    if holds_markup(reader.at(0, 1024)):
        raise never_taken("text/html", "HTML that begins like RTF")
    return Found(proved=RTF, end=reader.size)


def sniff_text(reader: Reader, original_name: str | None) -> Found | None:
    """Text in UTF-8, in UTF-16 with its mark, or in Windows-1252 or 1254; CSV where the name says so.

    None for bytes that are no text; UnsupportedFileType for text that opens with markup or `#!`.
    """
    head = reader.at(0, _MASK_BYTES)
    if _MASKS.match(head) and holds_markup(head):
        raise never_taken("text/html", "HTML that begins like a picture or a sound")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        is_text = _is_utf16(reader, "utf-16-le" if head[0] == 0xFF else "utf-16-be")
    else:
        is_text = _is_bytes_text(reader)
    if not is_text:
        return None
    return Found(proved=_by_name(original_name), end=reader.size)


def _by_name(original_name: str | None) -> ProvedType:
    return CSV if original_name is not None and original_name.strip().lower().endswith(".csv") else TXT


class _Opening:
    """Gathers the first characters that show, over as many chunks as that takes."""

    def __init__(self) -> None:
        self._text = ""
        self._seen = 0

    def add(self, text: str) -> None:
        if len(self._text) < _OPENING_CHARACTERS and self._seen < _MAX_BLANK_CHARACTERS:
            self._seen += len(text)
            self._text = skip_blank(self._text + text[: 2 * _OPENING_CHARACTERS] if self._text else skip_blank(text))
            self._text = self._text[:_OPENING_CHARACTERS]

    def check(self) -> None:
        refuse_opening(self._text)


def _is_utf16(reader: Reader, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    opening = _Opening()
    try:
        for offset, chunk in reader.chunks(2, reader.size):
            text = decoder.decode(chunk, final=offset + len(chunk) >= reader.size)
            if _has_controls(text.encode("utf-8")):
                return False
            opening.add(text)
    except UnicodeError:
        return False
    opening.check()
    return True


def _is_bytes_text(reader: Reader) -> bool:
    """UTF-8, or else Windows-1252 or 1254: a second pass, since nearly all text is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    opening = _Opening()
    try:
        for offset, chunk in reader.chunks(0, reader.size):
            if _has_controls(chunk):
                return False
            opening.add(decoder.decode(chunk, final=offset + len(chunk) >= reader.size))
    except UnicodeError:
        opening = _Opening()
        for _, chunk in reader.chunks(0, reader.size):
            if len(chunk.translate(None, _CONTROLS + _UNDEFINED)) != len(chunk):
                return False
            opening.add(chunk.decode("latin-1"))
    opening.check()
    return True


def _has_controls(data: bytes) -> bool:
    return len(data.translate(None, _CONTROLS)) != len(data)
