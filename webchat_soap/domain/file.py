"""A file on its way: FileDetails (said) -> CheckedFile (seen) -> StoredFile (kept). Trust is in the types."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path


class FileType(StrEnum):
    """The four families of the contract."""

    IMAGE = "IMAGE"
    AUDIO = "AUDIO"
    VIDEO = "VIDEO"
    DOCUMENT = "DOCUMENT"


@dataclass(frozen=True, kw_only=True, slots=True)
class FileDetails:
    """What a caller says of a file: trimmed and of the right type, nothing of it proved."""

    url: str
    original_name: str | None
    """The given fileName, or the last path segment of the URL; None where there is neither."""
    declared_type: FileType | None
    field: str = "fileUrl"
    """Path of the URL in the JSON as given, for faults: `fileUrl` or `message.fileDetails.fileUrl`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProvedType:
    """What the bytes prove."""

    file_type: FileType
    content_type: str
    """Media type without parameters, such as `image/png`."""
    extension: str
    """Without the dot, lower case, such as `png`."""
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""
    duration_milliseconds: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedFile:
    """A whole file in the spool whose type is proved and whose size is within its family's limit."""

    path: Path
    """The spool file; it belongs to the intake, which removes it unless the file store has taken it over."""
    size: int
    sha256: str
    """Lower-case hex."""
    proved: ProvedType
    original_name: str | None
    """Free of path parts and of bidirectional and control characters, at most 255 code points; None when unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A file in the store, as its row has it. The public URL is made when an answer is written."""

    file_id: str
    """UUID, lower case with dashes."""
    name: str
    """Stored name, `YYYYMMDD-UUID.ext`: the contract's fileName."""
    original_name: str
    file_type: FileType
    content_type: str
    size: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_milliseconds: int | None = None
    removed_at: datetime | None = None
