"""The intake: from what a caller says to bytes that are proved (contract section 5). Implements domain.ports.Intake."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from webchat_soap.domain.chat import FileLimit
from webchat_soap.domain.details import clean_original_name
from webchat_soap.domain.errors import Busy, EmptyFile, FileTooLarge
from webchat_soap.domain.file import CheckedFile, FileDetails, FileType, ProvedType
from webchat_soap.domain.rooms import Place, Room
from webchat_soap.files.disk import busy
from webchat_soap.files.download import Downloader
from webchat_soap.files.guard import UrlGuard
from webchat_soap.files.spool import CHUNK_BYTES, Spool, SpoolFile


class Prove(Protocol):
    """What the bytes are. UnsupportedFileType, FileTypeMismatch, FileTooLarge, Busy.

    `max_bytes` has every family: what is larger may be refused before it is looked through. `deadline` is a
    time.monotonic() value, beyond which the answer is Busy.
    """

    def __call__(
        self,
        path: Path,
        *,
        declared: FileType | None,
        original_name: str | None,
        max_bytes: Mapping[FileType, int],
        deadline: float,
    ) -> ProvedType: ...


_RECEIVED_WAIT_SECONDS = 30.0
"""For the proof of what comes from a stream, whose callers name no deadline; below the 45 s that a call may take."""


class FileIntake:
    """Takes files in by URL and by stream.

    `max_file_bytes` has every family. At most `max_fetches` downloads run side by side, from the first byte asked for
    until the caller has taken the file; beyond them, and beyond what a caller or a file host may have of them
    (domain.rooms), the answer is Busy at once, so that long work never starves short, nor a slow host the others.
    `max_proofs` are looked through side by side: they compute all the time, so that more of them finish no sooner, but
    hold up everything else; the others wait for their turn until their deadline, and then the answer is Busy.
    """

    def __init__(
        self,
        *,
        guard: UrlGuard,
        downloader: Downloader,
        spool: Spool,
        prove: Prove,
        content_types: Callable[[FileType], tuple[str, ...]],
        max_file_bytes: Mapping[FileType, int],
        max_fetches: int = 64,
        max_proofs: int = 1,
    ) -> None:
        self._guard = guard
        self._downloader = downloader
        self._spool = spool
        self._prove = prove
        self._content_types = content_types
        self._max_file_bytes = {file_type: max_file_bytes[file_type] for file_type in FileType}
        self._room = Room(max_fetches)
        self._proofs = threading.BoundedSemaphore(max_proofs)

    def check_url(self, details: FileDetails) -> None:
        """The refusals that need no network: UrlNotAllowed, InvalidRequest."""
        self._guard.check_url(details.url, field=details.field)

    def check_room(self, parties: tuple[str, ...]) -> None:
        """Busy where a fetch for these parties would find no place now."""
        if not self._room.has_place(*parties):
            raise _no_place()

    @contextmanager
    def fetch(
        self,
        details: FileDetails,
        *,
        deadline: float,
        max_bytes: int | None = None,
        parties: tuple[str, ...] = (),
    ) -> Iterator[CheckedFile]:
        """Download into the spool, hash, and prove the type; leaving the context removes what is left in the spool."""
        target = self._guard.check_url(details.url, field=details.field)
        place = self._room.enter(*parties, _host(target.host))
        if place is None:
            raise _no_place()
        with place, self._spool.new_file() as file:
            self._downloader.download(
                target,
                file,
                max_bytes=self._max_bytes(details.declared_type, max_bytes),
                deadline=deadline,
                field=details.field,
                redirected=lambda left, entered: _move(place, left, entered),
            )
            yield self._checked(
                file,
                declared=details.declared_type,
                original_name=details.original_name,
                max_bytes=max_bytes,
                deadline=deadline,
            )

    @contextmanager
    def receive(
        self,
        stream: BinaryIO,
        *,
        original_name: str | None,
        declared_type: FileType | None,
        max_bytes: int | None = None,
    ) -> Iterator[CheckedFile]:
        """The same for bytes that come from a stream; what the stream itself raises goes through unchanged."""
        limit = self._max_bytes(declared_type, max_bytes)
        with self._spool.new_file() as file:
            while chunk := stream.read(min(CHUNK_BYTES, limit - file.size + 1)):
                if file.size + len(chunk) > limit:
                    raise _too_large(limit, file.size + len(chunk))
                file.write(memoryview(chunk))
            yield self._checked(
                file,
                declared=declared_type,
                original_name=clean_original_name(original_name),
                max_bytes=max_bytes,
                deadline=time.monotonic() + _RECEIVED_WAIT_SECONDS,
            )

    def file_limits(self) -> tuple[FileLimit, ...]:
        """One per family, in the contract's order, with the media types it takes."""
        return tuple(
            FileLimit(file_type=file_type, max_bytes=limit, content_types=self._content_types(file_type))
            for file_type, limit in self._max_file_bytes.items()
        )

    def _max_bytes(self, file_type: FileType | None, cap: int | None) -> int:
        """The family's limit; before the family is known, the largest there is."""
        limit = max(self._max_file_bytes.values()) if file_type is None else self._max_file_bytes[file_type]
        return limit if cap is None else max(0, min(limit, cap))

    def _checked(
        self,
        file: SpoolFile,
        *,
        declared: FileType | None,
        original_name: str | None,
        max_bytes: int | None,
        deadline: float,
    ) -> CheckedFile:
        file.close()
        if file.size == 0:
            raise EmptyFile("The file has no bytes; send one that has.")
        limits = {file_type: self._max_bytes(file_type, max_bytes) for file_type in FileType}
        with self._turn(deadline):
            try:
                proved = self._prove(
                    file.path, declared=declared, original_name=original_name, max_bytes=limits, deadline=deadline
                )
            except OSError as error:
                raise busy(error) from error
        limit = limits[proved.file_type]
        if file.size > limit:
            raise _too_large(limit, file.size)
        return CheckedFile(
            path=file.path, size=file.size, sha256=file.sha256(), proved=proved, original_name=original_name
        )

    @contextmanager
    def _turn(self, deadline: float) -> Iterator[None]:
        """One of the proofs that may run. Busy where `deadline` passes before."""
        if not self._proofs.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise Busy(
                "The service is looking through as many files as it may; try again in a few seconds.",
                retry_after_seconds=5,
            )
        try:
            yield
        finally:
            self._proofs.release()


def _host(name: str) -> str:
    return f"host {name}"


def _move(place: Place, left: str, entered: str) -> None:
    """A redirect leads to another host, which is who is waited for from now on."""
    if not place.move(_host(left), _host(entered)):
        raise _no_place()


def _no_place() -> Busy:
    return Busy("The service is fetching as many files as it may; try again in a few seconds.", retry_after_seconds=5)


def _too_large(limit: int, actual: int) -> FileTooLarge:
    return FileTooLarge(f"The file has more than {limit} bytes; send a smaller one.", limit=limit, actual=actual)
