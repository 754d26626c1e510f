"""DOCX, XLSX, PPTX and ODT, ODS, ODP: Office documents in a ZIP. Source: ECMA-376 part 2, ODF 1.3 part 2."""

from __future__ import annotations

import re
from collections.abc import Iterable

from webchat_soap.domain.errors import UnsupportedFileType
from webchat_soap.domain.file import ProvedType
from webchat_soap.files.sniff.catalogue import DOCX, ODP, ODS, ODT, PPTX, XLSX, Found
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import active, broken, never_taken
from webchat_soap.files.sniff.zip_directory import (
    DEFLATED,
    MAX_ENTRIES,
    STORED,
    BadZip,
    Entry,
    find_end,
    read_entries,
    read_member,
)

_MAX_UNPACKED_BYTES = 1024 * 1024 * 1024
_MAX_RATIO = 200
"""Sheets of repeated XML were seen to pack 1:60; deflate cannot do more than 1:1032, and bombs go near that."""
_RATIO_FREE_BYTES = 16 * 1024 * 1024
"""What unpacks to less than this does no harm, however well it is packed."""
_MAX_CONTENT_TYPES_BYTES = 1024 * 1024
_MAX_TAGS = 2 * MAX_ENTRIES
_MAX_TAG_CHARACTERS = 8 * 1024
"""Tags are searched one by one, so that no search holds the interpreter's lock for long."""

_MAIN_PARTS = {f"{kind.content_type}.main+xml": kind for kind in (DOCX, XLSX, PPTX)}
_OPEN_DOCUMENTS = {kind.content_type: kind for kind in (ODT, ODS, ODP)}
_OVERRIDE = re.compile(r"(?:\w+:)?Override\s[^>]*>")
_CONTENT_TYPE = re.compile(r"""\sContentType\s*=\s*["']([^"'<>]*)["']""")
_PART_NAME = re.compile(r"""\sPartName\s*=\s*["']/?([^"'<>]*)["']""")


def sniff_zip(reader: Reader) -> Found | None:
    """An Office document without macros; every other ZIP is an archive and refused."""
    if reader.at(0, 4) != b"PK\x03\x04":
        return None
    end = find_end(reader)
    if end is None:
        raise UnsupportedFileType(
            "The file begins as a ZIP (Office documents are ZIPs) but looks cut short (its directory is missing); "
            "send the whole file again.",
            detected_type="application/zip",
        )
    if reader.at(end.file_end, 64).strip(b"\0") or reader.size - end.file_end > 64:
        raise never_taken("application/zip", "a ZIP with other bytes behind its end")
    try:
        entries = {entry.name: entry for entry in read_entries(reader, end)}
        if len(entries) != end.entries:
            raise BadZip("two of its entries have one name")
        kind = _kind(reader, entries)
        _check_contents(kind, entries.values(), reader.size)
    except BadZip as bad:
        raise UnsupportedFileType(
            f"The file is a ZIP, but not one to trust as a document ({bad}); save or export it anew and send that.",
            detected_type="application/zip",
        ) from None
    return Found(proved=kind, end=reader.size)


def _kind(reader: Reader, entries: dict[str, Entry]) -> ProvedType:
    if "[Content_Types].xml" in entries:
        return _office(reader, entries)
    if "mimetype" in entries:
        return _open_document(reader, entries)
    if any(name.upper() == "META-INF/MANIFEST.MF" for name in entries):
        raise never_taken("application/java-archive", "a Java archive")
    raise never_taken("application/zip", "an archive")


def _office(reader: Reader, entries: dict[str, Entry]) -> ProvedType:
    data = read_member(reader, entries["[Content_Types].xml"], max_bytes=_MAX_CONTENT_TYPES_BYTES)
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    if text.count("<") > _MAX_TAGS:
        raise BadZip("its list of content types is too long")
    macros = False
    found: dict[str, ProvedType] = {}
    for tag in text.split("<"):
        if len(tag) > _MAX_TAG_CHARACTERS:
            raise BadZip("its list of content types is not one")
        content_type = _CONTENT_TYPE.search(tag)
        if content_type is None:
            continue
        macros = macros or any(
            "macro" in said or "vbaproject" in said for said in map(str.lower, _CONTENT_TYPE.findall(tag))
        )
        if content_type[1] in _MAIN_PARTS and _OVERRIDE.match(tag):
            part = _PART_NAME.search(tag)
            if part and part[1] in entries:
                found[content_type[1]] = _MAIN_PARTS[content_type[1]]
    if macros:
        raise never_taken("application/vnd.ms-office.macroEnabled", "an Office document with macros")
    if len(found) != 1:
        raise never_taken("application/zip", "an Office package that is no DOCX, XLSX or PPTX")
    return found.popitem()[1]


def _open_document(reader: Reader, entries: dict[str, Entry]) -> ProvedType:
    content_type = read_member(reader, entries["mimetype"], max_bytes=256).decode("ascii", "replace").strip()
    kind = _OPEN_DOCUMENTS.get(content_type)
    if kind is None:
        if re.fullmatch(r"[\w.+-]+/[\w.+-]+", content_type):
            raise never_taken(content_type, "a document of another kind")
        raise never_taken("application/zip", "an archive")
    if "content.xml" not in entries or "META-INF/manifest.xml" not in entries:
        raise broken(kind, "its content is missing or hidden by a password")
    return kind


_MACRO_FOLDERS = re.compile(r"xl/macrosheets/|scripts/.|basic/[^/]+/(?!script-l[bc]\.xml$).")
"""Excel 4 macro sheets, and OpenDocument's scripts and Basic modules (empty libraries are harmless)."""
_VBA_NAMES = ("vbaproject", "vbadata")
_PROGRAM_NAMES = ("meta-inf/manifest.mf", "androidmanifest.xml")
_PROGRAM_ENDINGS = (
    *(".class", ".dex", ".jar", ".exe", ".dll", ".scr", ".com", ".msi", ".lnk"),
    *(".bat", ".cmd", ".ps1", ".vbs", ".js", ".jse", ".wsf", ".hta"),
)


def _holds_macros(name: str) -> bool:
    """By the entry's name in lower case. No search: names may have 64 KiB each."""
    return _MACRO_FOLDERS.match(name) is not None or name[name.rfind("/") + 1 :].startswith(_VBA_NAMES)


def _is_program(name: str) -> bool:
    return name in _PROGRAM_NAMES or name.endswith(_PROGRAM_ENDINGS)


def _check_contents(kind: ProvedType, entries: Iterable[Entry], file_bytes: int) -> None:
    unpacked = 0
    for entry in entries:
        if entry.encrypted:
            raise broken(kind, "it is encrypted")
        if entry.method not in (STORED, DEFLATED):
            raise broken(kind, "it is packed in a way that no Office program uses")
        # Deflate adds a few bytes at most, so a smaller claim hides what will come out.
        if entry.packed_bytes > entry.unpacked_bytes + entry.unpacked_bytes // 100 + 64:
            raise BadZip("an entry unpacks to more than it says")
        name = entry.name.lower().rstrip()
        if _holds_macros(name):
            raise active(kind, "macros")
        if _is_program(name):
            raise active(kind, "a program")
        unpacked += entry.unpacked_bytes
    if unpacked > _MAX_UNPACKED_BYTES or (unpacked > _RATIO_FREE_BYTES and unpacked > file_bytes * _MAX_RATIO):
        raise UnsupportedFileType(
            f"The file is {kind.content_type} but unpacks from {file_bytes} to {unpacked} bytes, and at most "
            f"{_MAX_UNPACKED_BYTES} and {_MAX_RATIO} times its size are taken; make it smaller.",
            limit=min(_MAX_UNPACKED_BYTES, file_bytes * _MAX_RATIO),
            actual=unpacked,
            detected_type=kind.content_type,
        )
