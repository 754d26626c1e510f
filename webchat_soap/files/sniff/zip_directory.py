"""A ZIP's central directory, read within bounds and without unpacking. Source: PKWARE APPNOTE 6.3, section 4.3."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from webchat_soap.files.sniff.reader import MAX_READ_BYTES, Reader

MAX_ENTRIES = 20_000
"""A slide deck with a thousand pictures has about 3,000."""
_END, _ENTRY, _LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
_LONG_END, _LONG_END_LOCATOR = b"PK\x06\x06", b"PK\x06\x07"
_END_BYTES = 22
_TAIL_BYTES = _END_BYTES + 0xFFFF
STORED, DEFLATED = 0, 8


class BadZip(Exception):
    """Not a ZIP that can be trusted to be what its directory says; `args[0]` says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A file in the ZIP, as the directory tells of it."""

    name: str
    encrypted: bool
    method: int
    packed_bytes: int
    unpacked_bytes: int
    header: int
    """Offset of its local header."""


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """Where the directory stands, as the end record tells."""

    offset: int
    """Of the end record, or of the ZIP64 one before it."""
    directory: int
    directory_bytes: int
    entries: int
    file_end: int
    """Behind the end record and its comment."""


def find_end(reader: Reader) -> End | None:
    """The last end record whose comment fits and whose directory begins with an entry; None where there is none.

    The directory is looked for before the record, so a ZIP behind other bytes is found too.
    """
    start = max(0, reader.size - _TAIL_BYTES)
    tail = reader.at(start, _TAIL_BYTES)
    at = len(tail)
    while (at := tail.rfind(_END, 0, at)) >= 0:
        if at + _END_BYTES > len(tail):
            continue
        entries, directory_bytes, directory, comment_bytes = struct.unpack_from("<HIIH", tail, at + 10)
        offset = start + at
        if at + _END_BYTES + comment_bytes > len(tail):
            continue
        file_end = offset + _END_BYTES + comment_bytes
        locator = reader.at(offset - 20, 20)
        if locator[:4] == _LONG_END_LOCATOR:
            (long_end,) = struct.unpack_from("<Q", locator, 8)
            record = reader.at(long_end, 56)
            if record[:4] == _LONG_END and len(record) == 56:
                offset = long_end
                entries, directory_bytes, directory = struct.unpack_from("<QQQ", record, 32)
        if reader.at(offset - directory_bytes, 4) == _ENTRY:
            return End(
                offset=offset, directory=directory, directory_bytes=directory_bytes, entries=entries, file_end=file_end
            )
    return None


def read_entries(reader: Reader, end: End) -> list[Entry]:
    """All entries. BadZip where the directory is too big, does not parse, or does not stand where it says."""
    if end.directory + end.directory_bytes != end.offset:
        raise BadZip("its directory does not stand where it says")
    if end.directory_bytes > MAX_READ_BYTES or end.entries > MAX_ENTRIES:
        raise BadZip(f"it has more than {MAX_ENTRIES} entries or a directory above {MAX_READ_BYTES} bytes")
    data = reader.exactly(end.directory, end.directory_bytes)
    entries: list[Entry] = []
    at = 0
    while at < len(data):
        if data[at : at + 4] != _ENTRY or at + 46 > len(data) or len(entries) > MAX_ENTRIES:
            raise BadZip("its directory is damaged")
        flags, method = struct.unpack_from("<HH", data, at + 8)
        packed, unpacked, name_bytes, extra_bytes, comment_bytes = struct.unpack_from("<IIHHH", data, at + 20)
        (header,) = struct.unpack_from("<I", data, at + 42)
        extra_start = at + 46 + name_bytes
        name = data[at + 46 : extra_start].decode("utf-8", "replace")
        if 0xFFFFFFFF in (packed, unpacked, header):
            extra = data[extra_start : extra_start + extra_bytes]
            unpacked, packed, header = _long_numbers(extra, unpacked, packed, header)
        entries.append(
            Entry(
                name=name,
                encrypted=bool(flags & 1),
                method=method,
                packed_bytes=packed,
                unpacked_bytes=unpacked,
                header=header,
            )
        )
        at = extra_start + extra_bytes + comment_bytes
    if len(entries) != end.entries:
        raise BadZip("its directory has another number of entries than it says")
    _check_places(entries, end)
    return entries


def read_member(reader: Reader, entry: Entry, *, max_bytes: int) -> bytes:
    """The content of one entry, never more than `max_bytes` unpacked. BadZip where it is more or does not unpack."""
    head = reader.exactly(entry.header, 30)
    if head[:4] != _LOCAL:
        raise BadZip("an entry does not stand where the directory says")
    name_bytes, extra_bytes = struct.unpack_from("<HH", head, 26)
    if reader.exactly(entry.header + 30, name_bytes).decode("utf-8", "replace") != entry.name:
        raise BadZip("an entry has another name than the directory says")
    if entry.unpacked_bytes > max_bytes or entry.packed_bytes > max_bytes:
        raise BadZip(f"its {entry.name} is above {max_bytes} bytes")
    data = reader.exactly(entry.header + 30 + name_bytes + extra_bytes, entry.packed_bytes)
    if entry.method == STORED:
        return data
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(data, max_bytes + 1)
    except zlib.error:
        raise BadZip(f"its {entry.name} does not unpack") from None
    if len(content) > max_bytes or len(content) != entry.unpacked_bytes:
        raise BadZip(f"its {entry.name} unpacks to another size than it says")
    return content


def _long_numbers(extra: bytes, *numbers: int) -> tuple[int, ...]:
    """The numbers, those that are FFFFFFFF taken in order from the ZIP64 extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            content = extra[at + 4 : at + 4 + length]
            found = [int.from_bytes(content[place : place + 8], "little") for place in range(0, len(content), 8)]
            return tuple(found.pop(0) if number == 0xFFFFFFFF and found else number for number in numbers)
        at += 4 + length
    return numbers


def _check_places(entries: list[Entry], end: End) -> None:
    """Entries share no bytes (the trick of the worst ZIP bombs), and the first stands at the file's beginning."""
    places = sorted((entry.header, entry.packed_bytes) for entry in entries)
    if not places or places[0][0] != 0:
        raise BadZip("its first entry does not stand at the beginning")
    following = [header for header, _ in places[1:]] + [end.directory]
    if any(header + 30 + packed > after for (header, packed), after in zip(places, following, strict=True)):
        raise BadZip("its entries overlap")
