"""A chat as a file to keep: a page in a ZIP that opens offline with its files beside it, or JSON.

Both are written while they are sent, page by page of messages and piece by piece of files; nothing is held whole.
"""

from __future__ import annotations

import json
import threading
import time
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from io import RawIOBase
from typing import TYPE_CHECKING, Final

from werkzeug.wrappers import Response

from webchat_soap.domain.chat import Message
from webchat_soap.domain.console import ChatSummary
from webchat_soap.domain.errors import Busy
from webchat_soap.domain.file import FileType, StoredFile
from webchat_soap.domain.ports import FileStore
from webchat_soap.service_agents import AgentService
from webchat_soap.web.console_json import Shapes, summary, time_of
from webchat_soap.web.disposition import saved_name
from webchat_soap.web.render import templates
from webchat_soap.web.words import Words, words_in

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAX_TRANSCRIPTS: Final = 8
"""Side by side in a process: each takes a thread while its next piece is made."""

_PIECE_BYTES: Final = 128 * 1024
_MAX_NAME_BYTES: Final = 150
"""Of a name in the ZIP: unpacked into a folder somewhere, all of the path should stay below 255."""


class Transcripts:
    """Writes transcripts. One object serves all threads."""

    def __init__(self, *, agents: AgentService, files: FileStore) -> None:
        self._agents = agents
        self._files = files
        self._places = threading.BoundedSemaphore(MAX_TRANSCRIPTS)

    def as_zip(self, found: ChatSummary, languages: str) -> Response:
        """The page in `index.html`, its files in `files/`. `languages` is the request's Accept-Language. Busy."""
        words = words_in(languages)
        return self._response(self._zip(found, words), found, "application/zip", "zip")

    def as_json(self, found: ChatSummary, shapes: Shapes) -> Response:
        """ChatSummary and all messages. Busy."""
        return self._response(self._json(found, shapes), found, "application/json", "json")

    def _response(self, pieces: Iterator[bytes], found: ChatSummary, content_type: str, extension: str) -> Response:
        if not self._places.acquire(blocking=False):
            raise Busy("Too many transcripts are being written; try again in a moment.", retry_after_seconds=5)
        response = Response(_Closing(pieces, self._places.release), content_type=content_type, direct_passthrough=True)
        # A CHATID holds no quotes; the colon is none of a file's name everywhere.
        name = f"chat-{found.chat.chat_id.replace(':', '_')}.{extension}"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def _json(self, found: ChatSummary, shapes: Shapes) -> Iterator[bytes]:
        head = json.dumps({"chat": summary(found), "savedAt": time_of(datetime.now(UTC))}, ensure_ascii=False)
        yield (head[:-1] + ', "message": [').encode("utf-8", "replace")
        separator = "\n"
        for message in self._messages(found):
            text = json.dumps(shapes.message(message), ensure_ascii=False)
            yield (separator + text).encode("utf-8", "replace")
            separator = ",\n"
        yield b"\n]}\n"

    def _zip(self, found: ChatSummary, words: Words) -> Iterator[bytes]:
        written = _Written()
        names = _Names()
        kept: list[tuple[StoredFile, str]] = []
        with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
            with archive.open(_entry("index.html"), "w") as entry:
                for piece in self._page(found, words, names, kept):
                    entry.write(piece)
                    yield from written.taken()
            for file, name in kept:
                try:
                    stream = self._files.open(file.name)
                except FileNotFoundError:  # between the look and now
                    continue
                with stream, archive.open(_entry(f"files/{name}", file.size), "w") as entry:
                    while piece := stream.read(_PIECE_BYTES):
                        entry.write(piece)
                        yield from written.taken()
        yield from written.taken()

    def _page(
        self, found: ChatSummary, words: Words, names: _Names, kept: list[tuple[StoredFile, str]]
    ) -> Iterator[bytes]:
        def shown_file(file: StoredFile) -> dict[str, object]:
            name = names.give(file) if self._is_there(file) else None
            if name is not None:
                kept.append((file, name))
            return {"file": file, "name": name, "kind": file.file_type.value.lower(), "size": _size(file.size)}

        def shown(messages: Iterable[Message]) -> Iterator[dict[str, object]]:
            for message in messages:
                who = (
                    message.agent_name
                    or (found.chat.customer_name if message.sender == "CUSTOMER" else None)
                    or words(f"saved.{message.sender.value.lower()}")
                )
                yield {
                    "message": message,
                    "who": who,
                    "at": time_of(message.sent_at),
                    "files": [shown_file(file) for file in message.files],
                }

        page = templates().get_template("agent/transcript.html")
        pieces = page.generate(
            chat=found.chat,
            words=words,
            started=time_of(found.chat.started_at),
            ended=found.chat.ended_at and time_of(found.chat.ended_at),
            saved=time_of(datetime.now(UTC)),
            messages=shown(self._messages(found)),
            FileType=FileType,
        )
        gathered: list[str] = []
        for piece in pieces:
            gathered.append(piece)
            if len(gathered) >= 200:
                yield "".join(gathered).encode("utf-8", "replace")
                gathered.clear()
        yield "".join(gathered).encode("utf-8", "replace")

    def _messages(self, found: ChatSummary) -> Iterator[Message]:
        return self._agents.all_messages(found.chat.chat_id, last_sequence=found.chat.last_sequence)

    def _is_there(self, file: StoredFile) -> bool:
        if file.removed_at is not None:
            return False
        try:
            self._files.open(file.name).close()
        except FileNotFoundError:
            return False
        return True


class _Closing:
    """Pieces that give their place back when they are closed, also when they were never begun."""

    def __init__(self, pieces: Iterator[bytes], on_close: Callable[[], object]) -> None:
        self._pieces = pieces
        self._on_close: Callable[[], object] | None = on_close

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        on_close, self._on_close = self._on_close, None
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
        if on_close is not None:
            on_close()


class _Written(RawIOBase):
    """What zipfile has written and nobody has taken yet. It cannot seek, so that sizes follow each file."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        return len(piece)

    def taken(self) -> Iterator[bytes]:
        """All of it, once."""
        pieces, self._pieces = self._pieces, []
        if pieces:
            yield b"".join(pieces)


class _Names:
    """Names in `files/`: the original ones where they can be, none twice, also where case does not count."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def give(self, file: StoredFile) -> str:
        """A name for this file."""
        composed = unicodedata.normalize("NFC", saved_name(file))  # to some systems é and e with an accent are one name
        name = "".join("_" if char in '<>:"|?*' else char for char in composed).lstrip(".")
        stem, _, extension = name.rpartition(".")
        stem = stem.encode()[: _MAX_NAME_BYTES - len(extension.encode()) - 8].decode("utf-8", "ignore").rstrip(" .")
        # Names of devices, whatever they end with, cannot be files on Windows.
        if not stem or stem.upper() in _DEVICES or stem.upper().split(".")[0] in _DEVICES:
            stem = f"file {stem}".strip()
        name, number = f"{stem}.{extension}", 1
        while name.casefold() in self._used:
            number += 1
            name = f"{stem} ({number}).{extension}"
        self._used.add(name.casefold())
        return name


_DEVICES: Final = frozenset(
    ("CON", "PRN", "AUX", "NUL", *(f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"))
)


def _entry(name: str, size: int = 0) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=time.gmtime()[:6])
    entry.compress_type = zipfile.ZIP_STORED
    entry.external_attr = 0o644 << 16
    entry.file_size = size  # tells zipfile whether 32 bits are enough for it
    return entry


def _size(size: int) -> str:
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError
