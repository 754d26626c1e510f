"""The closed list of types that are taken, each with its one media type and extension. Contract: section 5."""

from __future__ import annotations

from dataclasses import dataclass

from webchat_soap.domain.file import FileType, ProvedType


def _type(file_type: FileType, content_type: str, extension: str) -> ProvedType:
    return ProvedType(file_type=file_type, content_type=content_type, extension=extension)


PNG = _type(FileType.IMAGE, "image/png", "png")
JPEG = _type(FileType.IMAGE, "image/jpeg", "jpg")
GIF = _type(FileType.IMAGE, "image/gif", "gif")
WEBP = _type(FileType.IMAGE, "image/webp", "webp")
BMP = _type(FileType.IMAGE, "image/bmp", "bmp")
TIFF = _type(FileType.IMAGE, "image/tiff", "tiff")
HEIC = _type(FileType.IMAGE, "image/heic", "heic")
HEIF = _type(FileType.IMAGE, "image/heif", "heif")
AVIF = _type(FileType.IMAGE, "image/avif", "avif")

WAV = _type(FileType.AUDIO, "audio/wav", "wav")
MP3 = _type(FileType.AUDIO, "audio/mpeg", "mp3")
OGG_AUDIO = _type(FileType.AUDIO, "audio/ogg", "ogg")
FLAC = _type(FileType.AUDIO, "audio/flac", "flac")
M4A = _type(FileType.AUDIO, "audio/mp4", "m4a")
AAC = _type(FileType.AUDIO, "audio/aac", "aac")
AMR = _type(FileType.AUDIO, "audio/amr", "amr")
AMR_WB = _type(FileType.AUDIO, "audio/amr-wb", "awb")
WEBM_AUDIO = _type(FileType.AUDIO, "audio/webm", "weba")

MP4 = _type(FileType.VIDEO, "video/mp4", "mp4")
QUICKTIME = _type(FileType.VIDEO, "video/quicktime", "mov")
WEBM = _type(FileType.VIDEO, "video/webm", "webm")
MATROSKA = _type(FileType.VIDEO, "video/x-matroska", "mkv")
AVI = _type(FileType.VIDEO, "video/x-msvideo", "avi")
THREE_GP = _type(FileType.VIDEO, "video/3gpp", "3gp")
OGG_VIDEO = _type(FileType.VIDEO, "video/ogg", "ogv")

_OOXML = "application/vnd.openxmlformats-officedocument"
_ODF = "application/vnd.oasis.opendocument"
PDF = _type(FileType.DOCUMENT, "application/pdf", "pdf")
DOC = _type(FileType.DOCUMENT, "application/msword", "doc")
DOCX = _type(FileType.DOCUMENT, f"{_OOXML}.wordprocessingml.document", "docx")
XLS = _type(FileType.DOCUMENT, "application/vnd.ms-excel", "xls")
XLSX = _type(FileType.DOCUMENT, f"{_OOXML}.spreadsheetml.sheet", "xlsx")
PPT = _type(FileType.DOCUMENT, "application/vnd.ms-powerpoint", "ppt")
PPTX = _type(FileType.DOCUMENT, f"{_OOXML}.presentationml.presentation", "pptx")
ODT = _type(FileType.DOCUMENT, f"{_ODF}.text", "odt")
ODS = _type(FileType.DOCUMENT, f"{_ODF}.spreadsheet", "ods")
ODP = _type(FileType.DOCUMENT, f"{_ODF}.presentation", "odp")
RTF = _type(FileType.DOCUMENT, "application/rtf", "rtf")
TXT = _type(FileType.DOCUMENT, "text/plain", "txt")
CSV = _type(FileType.DOCUMENT, "text/csv", "csv")

TYPES: tuple[ProvedType, ...] = (
    *(PNG, JPEG, GIF, WEBP, BMP, TIFF, HEIC, HEIF, AVIF),
    *(WAV, MP3, OGG_AUDIO, FLAC, M4A, AAC, AMR, AMR_WB, WEBM_AUDIO),
    *(MP4, QUICKTIME, WEBM, MATROSKA, AVI, THREE_GP, OGG_VIDEO),
    *(PDF, DOC, DOCX, XLS, XLSX, PPT, PPTX, ODT, ODS, ODP, RTF, TXT, CSV),
)
"""Every type that is taken, in the order of the contract's table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a sniffer proved, and where the structure that it read ends (the file's size where that is not known)."""

    proved: ProvedType
    end: int


MAX_DURATION_MILLISECONDS = 10 * 365 * 24 * 3600 * 1000
"""Headers can claim anything; what is longer than ten years is a wrong header, not a recording."""


def milliseconds(units: float, units_per_second: float) -> int | None:
    """A length in milliseconds, or None where the header's numbers make no sense."""
    if not 0 < units < float("inf") or not 0 < units_per_second < float("inf"):
        return None
    length = units * 1000 / units_per_second
    return max(1, round(length)) if length <= MAX_DURATION_MILLISECONDS else None
