"""An agent's file on its way in pieces: who may begin one, and where the pieces are kept until the file is posted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from webchat_soap.domain.chat import FileLimit
from webchat_soap.domain.errors import EmptyFile, FileTooLarge, InvalidRequest, SenderError
from webchat_soap.domain.file import FileType

MAX_UPLOADS: Final = 20
"""Under way at once, for each agent."""

MAX_PIECE_BYTES: Final = 512 * 1024
"""What a piece should have at most: two or three a second come through on a telephone's network."""

ABANDONED_SECONDS: Final = 24 * 3600
"""After so long without a piece an upload is taken away."""

_EXTENSIONS: Final = {
    FileType.IMAGE: "png jpg jpeg jpe jfif gif webp bmp dib tif tiff heic heif hif avif",
    FileType.AUDIO: "wav wave mp3 oga opus flac m4a aac amr awb weba",
    FileType.VIDEO: "mp4 m4v mov qt mkv avi 3gp 3g2 ogv",
    FileType.DOCUMENT: "pdf doc docx xls xlsx ppt pptx odt ods odp rtf txt csv",
}
_FAMILIES: Final = {extension: family for family, names in _EXTENSIONS.items() for extension in names.split()}
"""By a name's extension, where it leaves no doubt (webm and ogg hold sound or pictures)."""

_is_token = re.compile(r"[A-Za-z0-9_-]{1,100}").fullmatch


class WrongOffset(SenderError):
    """The piece does not begin where the pieces end; `actual` says where that is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadKey:
    """Whose upload it is, for which chat, under which mark of the page's."""

    agent_id: str
    chat_id: str
    token: str

    def __post_init__(self) -> None:
        if not _is_token(self.token):
            raise InvalidRequest("TOKEN must be 1 to 100 of the letters A-Z, a-z, 0-9, _ and -.", field="TOKEN")


class PieceStore(Protocol):
    """Pieces, shared by all processes of a host. Errors: Busy (a full disk too), and as told below.

    What is there is always the beginning of the file, also after a crash in the middle of a piece.
    """

    def offset(self, key: UploadKey) -> int:
        """How many bytes are there; 0 where there is nothing."""

    def append(self, key: UploadKey, piece: bytes, *, offset: int, size: int) -> int:
        """Append a piece and return the new offset. `size` is the whole file's, and always the same.

        WrongOffset when the pieces end elsewhere; InvalidRequest for another size than the first piece said, or a
        piece beyond it; Busy for one upload too many.
        """

    def open(self, key: UploadKey) -> AbstractContextManager[BinaryIO]:
        """The whole file, from its beginning, kept from others until the context is left. WrongOffset when pieces are
        missing (`actual` 0 when there is nothing)."""

    def remove(self, key: UploadKey) -> None:
        """Take the pieces away; none is fine."""


def check_first_piece(*, size: int, name: str, limits: Sequence[FileLimit]) -> None:
    """What the size and the name tell before a byte has come. EmptyFile, FileTooLarge."""
    if size == 0:
        raise EmptyFile("The file has no bytes; send one that has.", field="size")
    extension = name.rpartition(".")[2].lower()
    family = _FAMILIES.get(extension)
    of_family = [limit.max_bytes for limit in limits if limit.file_type is family]
    limit = of_family[0] if of_family else max(limit.max_bytes for limit in limits)
    if size > limit:
        what = f"{family} files" if family else "Files"
        raise FileTooLarge(
            f"The file has {size} bytes; {what} may have {limit}. Send a smaller one.",
            field="size",
            limit=limit,
            actual=size,
            declared_type=family,
        )
