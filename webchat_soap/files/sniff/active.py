"""Two types at once: a picture, sound, video or PDF that also holds a program, an archive, HTML or a PDF.

Pictures are searched whole (browsers and unpackers were fooled by every part of them); the rest at its beginning and
end, where other programs look for their own marks. Marks of four bytes turn up by chance, so each is checked for what
must follow it. Contract: section 5.
"""

from __future__ import annotations

import re

from webchat_soap.domain.file import FileType, ProvedType
from webchat_soap.files.sniff.catalogue import PDF, Found
from webchat_soap.files.sniff.hidden import LOOK_AHEAD_BYTES, find_hidden
from webchat_soap.files.sniff.markup import holds_markup
from webchat_soap.files.sniff.never import refuse_hidden
from webchat_soap.files.sniff.pdf import HEADER_WITHIN_BYTES
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import active
from webchat_soap.files.sniff.zip_directory import find_end

_EDGE_BYTES = 64 * 1024
_PDF_HEADER = re.compile(rb"%PDF-\d\.\d")


_BEHIND_BYTES = 4096


def refuse_active(reader: Reader, found: Found) -> None:
    """UnsupportedFileType where the proved file is also something else. Office documents and text have own rules."""
    proved = found.proved
    if proved.file_type is FileType.IMAGE:
        for _, chunk in reader.chunks(0, reader.size, overlap=LOOK_AHEAD_BYTES):
            _refuse_hidden_in(reader, proved, chunk, pdf=True)
        if found.end < reader.size:
            refuse_hidden(reader, found.end)
            behind = reader.at(found.end, _BEHIND_BYTES)
            if holds_markup(behind) or behind.lstrip()[:2] == b"#!":
                raise active(proved, "HTML or a script")
    elif proved.file_type is not FileType.DOCUMENT:
        for start in {0, max(0, reader.size - _EDGE_BYTES)}:
            _refuse_hidden_in(reader, proved, reader.at(start, _EDGE_BYTES), pdf=False)
        # Readers look for a PDF's header in the first 1,024 bytes (ISO 32000-1, annex H.3.4.1), so one that is appended
        # to sound or video opens nowhere.
        if _PDF_HEADER.search(reader.at(0, HEADER_WITHIN_BYTES + 8)):
            raise active(proved, "a PDF")
    elif proved == PDF:
        # A PDF's own streams may hold anything, and its header may stand behind other bytes.
        refuse_hidden(reader, 0)
    else:
        return
    if find_end(reader) is not None:
        raise active(proved, "a ZIP")


def _refuse_hidden_in(reader: Reader, proved: ProvedType, data: bytes, *, pdf: bool) -> None:
    what = find_hidden(reader, data, pdf=pdf)
    if what is not None:
        raise active(proved, what)
