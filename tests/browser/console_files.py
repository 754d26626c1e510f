"""Stored files out of nothing but memory, served as the service serves them."""

from __future__ import annotations

import hashlib
import io
import mimetypes
from pathlib import Path
from typing import Any, BinaryIO

from webchat_soap.domain.file import FileType, StoredFile
from webchat_soap.web.public_files import PublicFiles

DATA = Path(__file__).parent / "data"
MAGIC = {
    b"\x89PNG": (FileType.IMAGE, "image/png", "png", (48, 32)),
    b"\xff\xd8\xff": (FileType.IMAGE, "image/jpeg", "jpg", None),
    b"%PDF": (FileType.DOCUMENT, "application/pdf", "pdf", None),
    b"ID3": (FileType.AUDIO, "audio/mpeg", "mp3", None),
    b"\xff\xfb": (FileType.AUDIO, "audio/mpeg", "mp3", None),
    b"\x00\x00\x00": (FileType.VIDEO, "video/mp4", "mp4", (160, 90)),
}


class Fault(Exception):
    """An error as the service writes it."""

    def __init__(self, status: int, code: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message, "retryable": status >= 500, **more}


class FakeFiles:
    """Files by their stored names; also what PublicFiles asks its stores."""

    def __init__(self) -> None:
        self.names: dict[str, StoredFile] = {}
        self.contents: dict[str, bytes] = {}
        self._public_files = PublicFiles(chats=self, files=self)  # type: ignore[arg-type]

    def store(self, data: bytes, original_name: str, **sizes: int) -> dict[str, Any]:
        """Bytes as a stored file; its kind is told by its first bytes."""
        kind = next((kind for magic, kind in MAGIC.items() if data.startswith(magic)), None)
        if kind is None:
            kind = (FileType.DOCUMENT, mimetypes.guess_type(original_name)[0] or "text/plain", "txt", None)
            if data.startswith(b"MZ"):
                raise Fault(
                    422,
                    "UnsupportedFileType",
                    "The file is a program, which is not taken; send a picture, sound, video or document.",
                    detectedType="application/x-dosexec",
                )
        family, content_type, extension, pixels = kind
        name = f"20261122-00000000-0000-4000-8000-{len(self.names):012d}.{extension}"
        file = StoredFile(
            file_id=name[9:45],
            name=name,
            original_name=original_name,
            file_type=family,
            content_type=content_type,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        self.names[name], self.contents[name] = file, data
        told: dict[str, Any] = {
            "fileId": file.file_id,
            "fileUrl": f"/public_files/{name}",
            "fileName": name,
            "originalFileName": original_name,
            "fileType": family.value,
            "contentType": content_type,
            "size": file.size,
            "sha256": file.sha256,
        }
        if pixels and not sizes:
            sizes = {"width": pixels[0], "height": pixels[1]}
        return told | sizes

    def sample(self, name: str, original_name: str | None = None) -> dict[str, Any]:
        return self.store((DATA / name).read_bytes(), original_name or name)

    def find_file(self, name: str) -> StoredFile | None:
        return self.names.get(name)

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self.contents[name])
