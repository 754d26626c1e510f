"""Fetch a file over HTTP into the spool: our own redirects, every hop guarded, every byte counted (contract section 2).

A body arrives as it is or chunked; nothing is ever decompressed, so nothing can expand.
"""

from __future__ import annotations

import http.client
import importlib.metadata
import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Protocol

import certifi

from webchat_soap.domain.errors import DownloadFailed, FileTooLarge, UrlNotAllowed
from webchat_soap.files.guard import Target, UrlGuard
from webchat_soap.files.hop import Answer, Hop, open_hop
from webchat_soap.files.spool import CHUNK_BYTES

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRYABLE_CLIENT_STATUSES = frozenset({408, 425, 429})  # contract section 6
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?\n", re.DOTALL)
_MAX_CHUNK_LINE_BYTES = 4096  # size and extensions; RFC 9112 section 7.1.1 asks receivers for a limit
_MAX_TRAILER_LINES = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchPolicy:
    """How long a download may take (contract section 2), and what it trusts."""

    connect_seconds: float = 3.0
    first_byte_seconds: float = 10.0
    """From the beginning of a hop, its lookup included, to the end of its answer's head."""
    total_seconds: float = 40.0
    """All hops and the body."""
    max_redirects: int = 5
    ca_file: Path | None = None
    """PEM certificates to trust besides the system's."""


class Sink(Protocol):
    """Where the bytes go."""

    def write(self, chunk: memoryview) -> None:
        """Take the chunk before returning: its memory is used again."""


class Downloader:
    """Downloads, any number side by side."""

    def __init__(self, guard: UrlGuard, policy: FetchPolicy) -> None:
        self._guard = guard
        self._policy = policy
        self._user_agent = f"webchat-soap/{_own_version()}"
        self._tls: ssl.SSLContext | None = None
        self._tls_lock = threading.Lock()

    def download(
        self,
        target: Target,
        into: Sink,
        *,
        max_bytes: int,
        deadline: float,
        field: str,
        redirected: Callable[[str, str], None] = lambda left, entered: None,
    ) -> None:
        """Write the file behind `target` to `into`.

        `deadline` is a time.monotonic() value that caps the policy's total time. `redirected` is told each host that
        is left and the one that is asked next; what it raises ends the download. UrlNotAllowed at any hop,
        DownloadFailed, FileTooLarge (`max_bytes`), Busy. On an error some bytes may have been written.
        """
        deadline = min(deadline, time.monotonic() + self._policy.total_seconds)
        for _ in range(self._policy.max_redirects + 1):
            if time.monotonic() >= deadline:
                raise DownloadFailed("No time was left to download fileUrl; try again.", field=field)
            head_deadline = min(deadline, time.monotonic() + self._policy.first_byte_seconds)
            addresses = self._guard.find_addresses(target, deadline=head_deadline, field=field)
            with open_hop(
                target,
                addresses,
                field=field,
                user_agent=self._user_agent,
                tls=self._tls_context() if target.scheme == "https" else None,
                connect_seconds=self._policy.connect_seconds,
                head_deadline=head_deadline,
                deadline=deadline,
            ) as (answer, hop):
                if answer.status not in _REDIRECTS:
                    _take_file(answer, hop, into, max_bytes=max_bytes, field=field)
                    return
                source, target = (
                    target,
                    self._guard.check_redirect(target, _location(answer, field=field), field=field),
                )
            redirected(source.host, target.host)
        raise DownloadFailed(
            f"fileUrl leads through more than {self._policy.max_redirects} redirects; give the URL of the file itself.",
            field=field,
            http_status=answer.status,
        )

    def load_certificates(self) -> None:
        """Read what https trusts now, which else happens at the first https URL. ValueError with a sentence."""
        self._tls_context()

    def _tls_context(self) -> ssl.SSLContext:
        with self._tls_lock:  # made once and late: it reads files, and only workers need it
            if self._tls is None:
                self._tls = _make_tls_context(self._policy.ca_file)
            return self._tls


def _make_tls_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if context.cert_store_stats()["x509_ca"] == 0 and not paths.cafile and not paths.capath:
        context.load_verify_locations(certifi.where())  # a system without certificates, such as a slim container
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ValueError(
                f"WEBCHAT_FETCH_CA_FILE: {ca_file} is no readable file of PEM certificates ({error})"
            ) from error
    return context


def _take_file(answer: Answer, hop: Hop, into: Sink, *, max_bytes: int, field: str) -> None:
    if answer.status != 200:
        raise _refused_status(answer.status, field)
    length = _content_length(answer, field)
    chunked = _is_chunked(answer, field)
    coding = ", ".join(answer.headers.get_all("Content-Encoding", ())).strip().lower()
    if coding not in ("", "identity"):
        raise DownloadFailed(
            "fileUrl's host sent the file compressed although it was asked not to; have it send the file as it is.",
            field=field,
            http_status=200,
        )
    if length is not None and not chunked and length > max_bytes:
        raise _too_large(max_bytes, length, field)
    source = _ChunkedBody(answer.body) if chunked else answer.body
    buffer = memoryview(bytearray(CHUNK_BYTES))
    taken = 0
    while True:
        wanted = min(CHUNK_BYTES, max_bytes - taken + 1)
        if length is not None and not chunked:
            wanted = min(wanted, length - taken)
        with hop.translated():
            got = source.readinto(buffer[:wanted]) if wanted else 0
        if not got:
            break
        taken += got
        if taken > max_bytes:
            raise _too_large(max_bytes, taken, field)
        into.write(buffer[:got])
    if length is not None and not chunked and taken < length:
        raise DownloadFailed(
            f"fileUrl's host announced {length} bytes and sent {taken}; try again later.", field=field, http_status=200
        )


class _ChunkedBody:
    """The chunked transfer coding (RFC 9112 section 7.1), read strictly: http.client takes -1 and 0x10 for sizes."""

    def __init__(self, source: BufferedReader) -> None:
        self._source = source
        self._left = 0
        self._ended = False
        self._begun = False

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` as far as the body goes; 0 at its end. HTTPException where the coding is broken."""
        filled = 0
        while filled < len(buffer) and not self._ended:
            if self._left == 0:
                self._next_chunk()
                continue
            part = buffer[filled : filled + self._left]
            got = self._source.readinto(part)
            if got < len(part):
                raise http.client.IncompleteRead(b"")
            filled += got
            self._left -= got
        return filled

    def _next_chunk(self) -> None:
        if self._begun and self._line() not in (b"\r\n", b"\n"):
            raise http.client.HTTPException("no line end after a chunk")
        self._begun = True
        match = _CHUNK_SIZE.fullmatch(self._line())
        if match is None:
            raise http.client.HTTPException("no chunk size")
        self._left = int(match[1], 16)
        if self._left == 0:
            self._read_trailer()

    def _read_trailer(self) -> None:
        for _ in range(_MAX_TRAILER_LINES):
            if self._line() in (b"\r\n", b"\n"):
                self._ended = True
                return
        raise http.client.HTTPException("too long a trailer")

    def _line(self) -> bytes:
        line = self._source.readline(_MAX_CHUNK_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise http.client.IncompleteRead(b"")
        return line


def _content_length(answer: Answer, field: str) -> int | None:
    values = {part.strip() for value in answer.headers.get_all("Content-Length", ()) for part in value.split(",")}
    if not values:
        return None
    value = values.pop()
    if values or not _LENGTH.fullmatch(value):
        raise DownloadFailed(
            "fileUrl's host announced a length that has no meaning (Content-Length); try again later.",
            field=field,
            http_status=answer.status,
        )
    return int(value)


def _is_chunked(answer: Answer, field: str) -> bool:
    coding = ", ".join(answer.headers.get_all("Transfer-Encoding", ())).strip().lower()
    if coding not in ("", "identity", "chunked"):
        raise DownloadFailed(
            "fileUrl's host sent the file in a transfer coding that nobody asked for; try again later.",
            field=field,
            http_status=answer.status,
        )
    return coding == "chunked"


def _location(answer: Answer, *, field: str) -> str:
    values = {value.strip() for value in answer.headers.get_all("Location", ())}
    if len(values) != 1 or "" in values:
        raise DownloadFailed(
            f"fileUrl's host answered {answer.status} without one place to go on (Location); give the URL of the file "
            "itself.",
            field=field,
            http_status=answer.status,
        )
    location = values.pop()
    try:
        # http.client reads headers as Latin-1, most hosts mean UTF-8 where they send more than ASCII.
        location = location.encode("latin-1").decode("utf-8")
    except UnicodeError as error:
        raise UrlNotAllowed(
            "A redirect from fileUrl leads to something that is not UTF-8; give the URL of the file itself.",
            field=field,
        ) from error
    return location.replace(" ", "%20")  # browsers follow these, so hosts send them


def _refused_status(status: int, field: str) -> DownloadFailed:
    retryable = not 400 <= status <= 499 or status in _RETRYABLE_CLIENT_STATUSES
    advice = "try again later" if retryable else "give a URL that answers 200 with the file"
    return DownloadFailed(
        f"fileUrl's host answered with HTTP status {status}; {advice}.",
        field=field,
        http_status=status,
        retryable=retryable,
    )


def _too_large(max_bytes: int, actual: int, field: str) -> FileTooLarge:
    return FileTooLarge(
        f"The file behind fileUrl has more than {max_bytes} bytes; send a smaller one.",
        field=field,
        limit=max_bytes,
        actual=actual,
    )


def _own_version() -> str:
    try:
        return importlib.metadata.version("webchat-soap")
    except importlib.metadata.PackageNotFoundError:
        return "0"
