"""DOC, XLS and PPT: OLE compound files, told by the streams in their root. Source: MS-CFB, MS-DOC, MS-XLS, MS-PPT."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from webchat_soap.domain.file import ProvedType
from webchat_soap.files.sniff.catalogue import DOC, PPT, XLS, Found
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import active, broken, cut_short, never_taken

_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LAST_REGULAR = 0xFFFFFFFA
_NO_ENTRY = 0xFFFFFFFF
_MAX_DIRECTORY_BYTES = 2 * 1024 * 1024
"""16,384 entries; a document with a thousand embedded ones has about 10,000."""
_SPARE_TABLES = 256
_STORAGE, _STREAM = 1, 2
_STARTS = {
    "worddocument": (b"\xec\xa5", b"\xdc\xa5"),
    "workbook": (b"\x09\x08",),
    "book": (b"\x09\x08",),
}
"""First two bytes of the main stream: the FIB of Word 97 and of Word 95, and BIFF's BOF."""
_MACRO_STORAGES = ("macros", "_vba_project_cur", "_vba_project", "vba")
_POWERPOINT_MACROS = bytes.fromhex("1f00ff0314000000020000040c000000")
"""VBAInfoContainer with the head of its VBAInfoAtom (MS-PPT 2.4.10, 2.4.11); persistIdRef and fHasMacros follow."""
_RARE_AT = 2
_RARE_LETTERS = _POWERPOINT_MACROS[_RARE_AT : _RARE_AT + 3]
"""What is searched for: a search for something with zeros at its end is slow in zeros, of which documents are full."""
_KINDS = {"worddocument": DOC, "workbook": XLS, "book": XLS, "powerpoint document": PPT}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    kind: int
    start: int
    size: int


class _Broken(Exception):
    """`args[0]` says why; whose kind it is becomes known only with the directory."""


class _Compound:
    """The sector tables of a compound file: header, FAT, directory. All chains are bounded and seen once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        header = reader.exactly(0, 512)
        _, major, order, shift, _ = struct.unpack_from("<HHHHH", header, 24)
        if order != 0xFFFE or (major, shift) not in ((3, 9), (4, 12)):
            raise _Broken("its header is wrong")
        fat_sectors, self._directory_start = struct.unpack_from("<II", header, 44)
        self.mini_below: int = struct.unpack_from("<I", header, 56)[0]
        next_list, lists = struct.unpack_from("<II", header, 68)
        self._shift: int = shift
        self._per_sector = (1 << shift) // 4
        self._fat = [number for number in struct.unpack_from("<109I", header, 76) if number < _LAST_REGULAR]
        # One table tells of as many sectors as it has numbers; writers keep some tables to spare.
        if (
            fat_sectors > 2 * ((reader.size >> shift) // self._per_sector) + _SPARE_TABLES
            or lists > fat_sectors // (self._per_sector - 1) + 1
        ):
            raise _Broken("its tables are bigger than itself")
        for _ in range(lists):
            if next_list >= _LAST_REGULAR:
                break
            *numbers, next_list = self._numbers(next_list)
            self._fat += [number for number in numbers if number < _LAST_REGULAR]
        self._fat = self._fat[:fat_sectors]

    def offset(self, sector: int) -> int:
        return (sector + 1) << self._shift

    def used_bytes(self) -> int:
        """Where the last sector in use begins."""
        for index in range(len(self._fat) - 1, -1, -1):
            table = self._reader.exactly(self.offset(self._fat[index]), 1 << self._shift)
            used = len(table.rstrip(b"\xff"))
            if used:
                return self.offset(index * self._per_sector + (used - 1) // 4)
        return 0

    def root_entries(self) -> dict[str, _Entry]:
        """Lower-case name -> entry of what stands in the root, the tree walked without its order being believed."""
        table = b"".join(self._directory())
        entries: dict[str, _Entry] = {}
        if len(table) < 128:
            raise _Broken("its directory is missing")
        waiting, seen = [struct.unpack_from("<I", table, 76)[0]], set()
        while waiting:
            number = waiting.pop()
            at = number * 128
            if number == _NO_ENTRY or number in seen or at + 128 > len(table):
                continue
            seen.add(number)
            name_bytes, kind = struct.unpack_from("<HB", table, at + 64)
            name = table[at : at + max(0, min(name_bytes, 64) - 2)].decode("utf-16-le", "replace").lower()
            left, right = struct.unpack_from("<II", table, at + 68)
            start, size = struct.unpack_from("<II", table, at + 116)
            entries[name] = _Entry(kind=kind, start=start, size=size)
            waiting += [left, right]
        return entries

    def _directory(self) -> Iterator[bytes]:
        sector = self._directory_start
        for _ in range(_MAX_DIRECTORY_BYTES >> self._shift):
            if sector >= _LAST_REGULAR:
                return
            yield self._reader.exactly(self.offset(sector), 1 << self._shift)
            table, place = divmod(sector, self._per_sector)
            if table >= len(self._fat):
                raise _Broken("its directory leads outside its tables")
            sector = self._reader_number(self._fat[table], place)

    def _reader_number(self, sector: int, place: int) -> int:
        return int.from_bytes(self._reader.exactly(self.offset(sector) + place * 4, 4), "little")

    def _numbers(self, sector: int) -> tuple[int, ...]:
        return struct.unpack(f"<{self._per_sector}I", self._reader.exactly(self.offset(sector), 1 << self._shift))


def sniff_ole(reader: Reader) -> Found | None:
    """DOC, XLS or PPT without macros; installers, mails, drawings and encrypted packages are refused."""
    if reader.at(0, 8) != _SIGNATURE:
        return None
    try:
        compound = _Compound(reader)
        entries = compound.root_entries()
    except _Broken as bad:
        raise broken(DOC, str(bad)) from None
    name, kind = _kind(entries)
    if compound.used_bytes() >= reader.size:
        raise cut_short(kind, "its sectors reach beyond the end")
    entry = entries[name]
    starts = _STARTS.get(name)
    in_sectors = entry.size >= compound.mini_below
    if starts is not None and in_sectors and reader.exactly(compound.offset(entry.start), 2) not in starts:
        raise broken(kind, "its main stream does not begin as one")
    if kind is PPT and "current user" not in entries:
        raise broken(kind, "its Current User stream is missing")
    if any(macro in entries and entries[macro].kind == _STORAGE for macro in _MACRO_STORAGES):
        raise active(kind, "macros")
    if kind is PPT and _powerpoint_macros(reader):
        raise active(kind, "macros")
    return Found(proved=kind, end=reader.size)


def _kind(entries: dict[str, _Entry]) -> tuple[str, ProvedType]:
    found = [(name, kind) for name, kind in _KINDS.items() if name in entries and entries[name].kind == _STREAM]
    kinds = {kind.content_type for _, kind in found}
    if len(kinds) == 1:
        return found[0]
    if kinds:
        raise never_taken("application/x-ole-storage", "an OLE file that is two kinds of document at once")
    if "encryptedpackage" in entries:
        raise never_taken("application/x-ole-storage", "an Office document locked by a password")
    if "__properties_version1.0" in entries:
        raise never_taken("application/vnd.ms-outlook", "a mail")
    raise never_taken("application/x-ole-storage", "an OLE file (an installer, a drawing) that is no DOC, XLS or PPT")


def _powerpoint_macros(reader: Reader) -> bool:
    length = len(_POWERPOINT_MACROS)
    for _, chunk in reader.chunks(0, reader.size, overlap=length + 8):
        at = chunk.find(_RARE_LETTERS)
        while at >= 0:
            start = at - _RARE_AT
            there = start >= 0 and chunk.startswith(_POWERPOINT_MACROS, start)
            if there and chunk[start + length + 4 : start + length + 8] == b"\1\0\0\0":
                return True
            reader.spend(1)
            at = chunk.find(_RARE_LETTERS, at + 1)
    return False
