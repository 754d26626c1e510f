"""From bytes to a proved type, or to the fault that says why not. Contract: section 5."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from webchat_soap.domain.errors import Busy, EmptyFile, UnsupportedFileType
from webchat_soap.domain.file import FileType, ProvedType
from webchat_soap.files.sniff.active import refuse_active
from webchat_soap.files.sniff.bitmap import sniff_bmp, sniff_tiff
from webchat_soap.files.sniff.catalogue import TYPES, Found
from webchat_soap.files.sniff.image import sniff_gif, sniff_jpeg, sniff_png
from webchat_soap.files.sniff.markup import refuse_markup
from webchat_soap.files.sniff.matroska import sniff_matroska
from webchat_soap.files.sniff.movie import sniff_isobmff
from webchat_soap.files.sniff.mpeg_audio import refuse_bare_id3, sniff_aac, sniff_mp3
from webchat_soap.files.sniff.never import refuse_known
from webchat_soap.files.sniff.ogg import sniff_ogg
from webchat_soap.files.sniff.ole import sniff_ole
from webchat_soap.files.sniff.pdf import sniff_pdf
from webchat_soap.files.sniff.reader import EndOfFile, OutOfTime, Reader, TooManyParts
from webchat_soap.files.sniff.refusal import mismatch, too_large, unknown
from webchat_soap.files.sniff.riff import sniff_riff
from webchat_soap.files.sniff.second_opinion import refuse_on_second_opinion
from webchat_soap.files.sniff.sound import sniff_amr, sniff_flac
from webchat_soap.files.sniff.text import sniff_rtf, sniff_text
from webchat_soap.files.sniff.zip_office import sniff_zip

_SNIFFERS: tuple[tuple[str, Callable[[Reader], Found | None]], ...] = (
    ("PNG", sniff_png),
    ("JPEG", sniff_jpeg),
    ("GIF", sniff_gif),
    ("RIFF (WAV, AVI, WebP)", sniff_riff),
    ("TIFF", sniff_tiff),
    ("MP4, QuickTime, 3GP, HEIC or AVIF", sniff_isobmff),
    ("WebM or Matroska", sniff_matroska),
    ("Ogg", sniff_ogg),
    ("FLAC", sniff_flac),
    ("AMR", sniff_amr),
    ("ZIP", sniff_zip),
    ("OLE (DOC, XLS, PPT)", sniff_ole),
    ("RTF", sniff_rtf),
    ("BMP", sniff_bmp),
    ("MP3", sniff_mp3),
    ("AAC", sniff_aac),
    # Last, since its mark may stand behind other bytes.
    ("PDF", sniff_pdf),
)
"""Each returns None for bytes without its mark; strong marks come before weak ones."""


def prove(
    path: Path,
    *,
    declared: FileType | None,
    original_name: str | None,
    max_bytes: Mapping[FileType, int] | None = None,
    deadline: float = math.inf,
) -> ProvedType:
    """Prove the type of a whole file from its bytes, in bounded memory and time.

    `declared` None takes the proved family. `original_name` only tells CSV from other text. What is above its family's
    `max_bytes` is refused before it is searched. Raises EmptyFile, UnsupportedFileType (outside the list, active,
    damaged, cut short, above MAX_PIXELS), FileTypeMismatch, FileTooLarge, or Busy where `deadline` (time.monotonic())
    passes, and for no bytes anything else; OSError where the file cannot be read. Contract: section 5.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _prove(Reader(descriptor, deadline=deadline), declared, original_name, max_bytes or {})
    except OutOfTime:
        raise Busy(
            "The service could not look through the file in time; try again in a few seconds.", retry_after_seconds=5
        ) from None
    finally:
        os.close(descriptor)


def content_types(file_type: FileType) -> tuple[str, ...]:
    """The media types that are taken in a family, in the order of the contract's table."""
    return tuple(dict.fromkeys(kind.content_type for kind in TYPES if kind.file_type is file_type))


def _prove(
    reader: Reader, declared: FileType | None, original_name: str | None, max_bytes: Mapping[FileType, int]
) -> ProvedType:
    if reader.size == 0:
        raise EmptyFile("The file has no bytes; send one that has content.")
    try:
        found = _sniff(reader, original_name)
        proved = found.proved
        limit = max_bytes.get(proved.file_type, reader.size)
        if reader.size > limit and declared in (None, proved.file_type):
            raise too_large(limit, reader.size)
        if reader.size <= limit:
            refuse_active(reader, found)
            refuse_on_second_opinion(reader, found)
    except TooManyParts:
        raise UnsupportedFileType(
            "The file is made of more parts than any program writes; save or export it anew and send that."
        ) from None
    if declared is not None and declared is not proved.file_type:
        raise mismatch(declared, proved)
    return proved


def _sniff(reader: Reader, original_name: str | None) -> Found:
    for name, sniff in _SNIFFERS:
        try:
            found = sniff(reader)
        except EndOfFile:
            raise UnsupportedFileType(
                f"The file begins as {name} but looks cut short; send the whole file again."
            ) from None
        if found is not None:
            return found
    refuse_known(reader)
    refuse_markup(reader)
    refuse_bare_id3(reader)
    found = sniff_text(reader, original_name)
    if found is None:
        raise unknown()
    return found
