"""The sentences of refusal: what is wrong with the file, and what to do. Contract: section 6."""

from __future__ import annotations

from webchat_soap.domain.errors import FileTooLarge, FileTypeMismatch, UnsupportedFileType
from webchat_soap.domain.file import FileType, ProvedType


def cut_short(kind: ProvedType, why: str) -> UnsupportedFileType:
    """The file begins as `kind`, but its end is missing."""
    return UnsupportedFileType(
        f"The file begins as {kind.content_type} but looks cut short ({why}); send the whole file again.",
        detected_type=kind.content_type,
    )


def broken(kind: ProvedType, why: str) -> UnsupportedFileType:
    """The file carries the mark of `kind`, but what follows is not built like it."""
    return UnsupportedFileType(
        f"The file begins as {kind.content_type} but is not built like one ({why}); "
        f"save or export it anew and send that.",
        detected_type=kind.content_type,
    )


def active(kind: ProvedType, what: str) -> UnsupportedFileType:
    """The file is `kind` and also something that can run or be opened as something else."""
    return UnsupportedFileType(
        f"The file is {kind.content_type} but also holds {what}, which is never taken; save or export it anew "
        f"without that and send the result.",
        detected_type=kind.content_type,
    )


def never_taken(detected_type: str, what: str) -> UnsupportedFileType:
    """The file is something outside the list."""
    return UnsupportedFileType(
        f"The file is {what} ({detected_type}), which this service does not take; "
        f"send one of the types that GetLimits lists.",
        detected_type=detected_type,
    )


def unknown() -> UnsupportedFileType:
    """The bytes prove nothing on the list."""
    return UnsupportedFileType(
        "The file's bytes prove none of the types that this service takes; send one of the types that GetLimits lists "
        "(and text in UTF-8)."
    )


def too_many_pixels(kind: ProvedType, width: int, height: int, limit: int) -> UnsupportedFileType:
    """A picture that would take gigabytes to show."""
    return UnsupportedFileType(
        f"The picture has {width} x {height} = {width * height} pixels and at most {limit} are taken; make it smaller.",
        limit=limit,
        actual=width * height,
        detected_type=kind.content_type,
    )


def too_large(limit: int, actual: int) -> FileTooLarge:
    """More bytes than the family may have."""
    return FileTooLarge(f"The file has more than {limit} bytes; send a smaller one.", limit=limit, actual=actual)


def mismatch(declared: FileType, proved: ProvedType) -> FileTypeMismatch:
    """Another family than declared."""
    return FileTypeMismatch(
        f"Declared {declared}, but the bytes are {proved.content_type} ({proved.file_type}): send fileType "
        f"{proved.file_type}, or leave fileType away.",
        declared_type=str(declared),
        detected_type=f"{proved.file_type} ({proved.content_type})",
    )
