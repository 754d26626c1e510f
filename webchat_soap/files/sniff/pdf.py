"""PDF: header near the beginning, end mark near the end. Source: ISO 32000-1, 7.5 and the notes of annex H."""

from __future__ import annotations

import re

from webchat_soap.files.sniff.catalogue import PDF, Found
from webchat_soap.files.sniff.markup import holds_markup
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import active, cut_short

_HEADER = re.compile(rb"%PDF-\d\.\d")
HEADER_WITHIN_BYTES = 1024
_END_WITHIN_BYTES = 2048
"""Readers look for the end mark in the last 1,024 bytes; the pointer to the cross references stands before it."""
_MAX_PADDING_BYTES = 64 * 1024
_LINEARIZED_LENGTH = re.compile(rb"/Linearized[^<>]{0,200}?/L\s+(\d{1,12})")


def sniff_pdf(reader: Reader) -> Found | None:
    """PDF of any version, also encrypted or updated, with some junk before or behind; not one that opens as markup."""
    head = reader.at(0, HEADER_WITHIN_BYTES + 8)
    header = _HEADER.search(head)
    if header is None:
        return None
    padding = reader.at(max(0, reader.size - _MAX_PADDING_BYTES), _MAX_PADDING_BYTES)
    end = reader.size - (len(padding) - len(padding.rstrip(b"\0\t\n\f\r ")))
    tail = reader.at(max(0, end - _END_WITHIN_BYTES), min(end, _END_WITHIN_BYTES))
    whole = tail.rfind(b"%%EOF") >= 0 and tail.rfind(b"startxref") >= 0
    if header.start() and not whole:
        return None
    if holds_markup(head) or head.lstrip()[:2] == b"#!" or head[:2] == b"MZ":
        raise active(PDF, "HTML, a script or a program at its beginning")
    if not whole:
        raise cut_short(PDF, "its startxref and %%EOF are missing")
    linearized = _LINEARIZED_LENGTH.search(head)
    if linearized and int(linearized[1]) > reader.size:
        raise cut_short(PDF, f"it says that it has {int(linearized[1])} bytes")
    return Found(proved=PDF, end=reader.size)
