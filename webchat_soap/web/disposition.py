"""Content-Disposition for stored files: what a browser shows, what it saves, and under which name (RFC 6266, 8187)."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from webchat_soap.domain.file import FileType, StoredFile

MAX_NAME_BYTES = 255
"""UTF-8 bytes of a name in the header. No file system that a browser saves to takes longer names, and 255 emoji
percent-encoded would fill the 4 KiB that proxies commonly keep for a response's whole head."""

_SHOWN = (FileType.IMAGE, FileType.AUDIO, FileType.VIDEO)

# Names that people give a type besides the stored extension. What stands nowhere gets the stored extension appended.
_OTHER_EXTENSIONS = {
    "jpg": {"jpeg", "jpe", "jfif", "mpo"},
    "jpeg": {"jpg", "jpe", "jfif", "mpo"},
    "tif": {"tiff"},
    "tiff": {"tif"},
    "heic": {"heif", "hif"},
    "heif": {"heic", "hif"},
    "bmp": {"dib"},
    "wav": {"wave"},
    "ogg": {"oga", "opus", "ogv", "spx"},
    "oga": {"ogg", "opus", "spx"},
    "opus": {"ogg", "oga"},
    "ogv": {"ogg"},
    "m4a": {"aac", "mp4", "m4b"},
    "aac": {"m4a"},
    "mp4": {"m4v"},
    "mov": {"qt"},
    "webm": {"weba"},
    "weba": {"webm"},
    "mkv": {"mka"},
    "3gp": {"3gpp", "3g2"},
    "txt": {"text", "log", "md"},
    "csv": {"tsv"},
}

_NOT_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff]")
_FALLBACK_LETTERS = str.maketrans(
    {"ı": "i", "İ": "I", "ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L"}
)


def content_disposition(file: StoredFile) -> str:
    """The header's value: inline for images, sound, video and PDF, attachment for the rest. Contract: section 5.

    `filename` is ASCII for old clients; `filename*` carries the name itself where ASCII cannot.
    """
    shown = file.file_type in _SHOWN or file.content_type == "application/pdf"
    name = saved_name(file)
    fallback = _ascii(name)
    value = f'{"inline" if shown else "attachment"}; filename="{fallback}"'
    if fallback != name:
        value += f"; filename*=UTF-8''{quote(name, safe='!#$&+-.^_`|~')}"
    return value


def saved_name(file: StoredFile) -> str:
    """The name to save under: the original one, its extension one that the proved type may have.

    A text named `run.bat` is proved to be text/plain and becomes `run.bat.txt`: saved as it came, a double click in
    the downloads folder would run it.
    """
    name = _NOT_IN_A_NAME.sub("_", file.original_name).strip(" ")
    # Lone surrogates cannot be encoded; Windows drops trailing dots and blanks, which would bring back `run.bat`.
    name = name.encode("utf-8", "replace").decode("utf-8").rstrip(". ")
    proved = file.name.rpartition(".")[2]
    stem, dot, extension = name.rpartition(".")
    known = extension.lower() == proved or extension.lower() in _OTHER_EXTENSIONS.get(proved, ())
    if not dot or not stem or not known:
        stem, extension = name or "file", proved
    room = MAX_NAME_BYTES - len(extension.encode()) - 1
    return f"{_cut(stem, room)}.{extension}"


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def _ascii(name: str) -> str:
    """Letters without their marks, `_` for what is left. Quotes, backslashes and `%` are read differently by different
    clients (RFC 6266 appendix D), so they are replaced as well."""
    letters = unicodedata.normalize("NFKD", name.translate(_FALLBACK_LETTERS))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r'[^ -~]|["\\/%]', "_", plain)
