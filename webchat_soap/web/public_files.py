"""`GET /public_files/NAME`: stored bytes for anybody who holds the link (contract section 5, last paragraph)."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO

from werkzeug.http import http_date
from werkzeug.wrappers import Response

from webchat_soap.domain.errors import WebchatError
from webchat_soap.domain.file import FileType, StoredFile
from webchat_soap.domain.ports import ChatStore, FileStore
from webchat_soap.web.answers import method_not_allowed, plain
from webchat_soap.web.conditional import judge
from webchat_soap.web.disposition import content_disposition

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PIECE_BYTES = 64 * 1024
"""How much of a file is read at a time. The server keeps up to nine pieces for a reader that does not take them: with
256 KiB such a reader cost 2.3 MiB, with 64 KiB 0.6 MiB at 0.85 of the speed (1.9 GB/s over loopback)."""

MAX_STREAMS = 200
"""Files on their way out at the same time, in this process; one more is told to come again."""

_NAME = re.compile(r"[0-9]{8}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.[a-z0-9]{1,8}")

_log = logging.getLogger(__name__)


class PublicFiles:
    """Serves files by their stored names, and nothing else: no listing, no folders, GET and HEAD only."""

    def __init__(self, *, chats: ChatStore, files: FileStore, max_streams: int = MAX_STREAMS) -> None:
        self._chats = chats
        self._files = files
        self._streams = threading.BoundedSemaphore(max_streams)

    def respond(self, environ: WSGIEnvironment, name: str) -> Response:
        """The answer for the path below `/public_files/`, percent-decoded once (as PATH_INFO is).

        200, 206, 304, 404, 405, 410, 412, 416, or 503 when a store does not answer. A name that could never be one and
        a name that nobody has get the same 404. The caller closes the response, as WSGI servers do.
        """
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return method_not_allowed(("GET", "HEAD"))
        # fullmatch, and only then a question to the stores: no spelling of a path gets near them.
        if _NAME.fullmatch(name) is None:
            return _no_such_file()
        try:
            return self._respond(environ, name)
        except WebchatError as error:
            wait = {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}
            return plain(503, "The file cannot be read right now; try again in a moment.", wait)

    def _respond(self, environ: WSGIEnvironment, name: str) -> Response:
        file = self._chats.find_file(name)
        if file is None:
            return _no_such_file()
        if file.removed_at is not None:
            return plain(410, "This file has been removed; ask who sent it for another copy.")
        etag, last_modified = f'"{file.sha256}"', _day_of(name)
        verdict = judge(environ, etag=etag, last_modified=last_modified, size=file.size)
        if verdict.status == 412:
            return plain(412, "The file is not the one that the request's conditions name; ask again without them.")
        if verdict.status == 416:
            sentence = f"The range lies beyond the file's {file.size} bytes; ask for one within them."
            return plain(416, sentence, {"Content-Range": f"bytes */{file.size}", "Accept-Ranges": "bytes"})

        response = Response(status=verdict.status, content_type=file.content_type, direct_passthrough=True)
        headers = response.headers
        headers["ETag"] = etag
        if last_modified is not None:
            headers["Last-Modified"] = http_date(last_modified)
        # The bytes under a name never change. `private`: they are one customer's, and after a removal no shared cache
        # should go on handing them out.
        headers["Cache-Control"] = "private, max-age=31536000, immutable"
        headers["Accept-Ranges"] = "bytes"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Content-Security-Policy"] = _policy(file)
        # Chat pages of any origin show these links in img, video and a; a page that isolates itself (COEP) could not
        # embed them without this. The name is the secret, so it gives away nothing that the link did not.
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        headers["Referrer-Policy"] = "no-referrer"
        # A link that has leaked into a public page must not make the file findable.
        headers["X-Robots-Tag"] = "noindex"
        headers["Content-Disposition"] = content_disposition(file)
        if verdict.status == 304:
            return response

        try:
            stream = self._files.open(name)
        except FileNotFoundError:
            _log.warning("public file %s has a row but no bytes", name)
            return _lost_file()
        there = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        if there != file.size:
            # Sent as it is, it would end as a broken connection, or as another file than the one that was proved.
            stream.close()
            _log.warning("public file %s has %d bytes where its row says %d", name, there, file.size)
            return _lost_file()
        headers["Content-Length"] = str(verdict.stop - verdict.start)
        if verdict.status == 206:
            headers["Content-Range"] = f"bytes {verdict.start}-{verdict.stop - 1}/{file.size}"
        if environ["REQUEST_METHOD"] == "HEAD":
            stream.close()
            return response
        if not self._streams.acquire(blocking=False):
            stream.close()
            return plain(503, "Too many files are being read at once; try again in a moment.", {"Retry-After": "2"})
        response.response = _Slice(
            stream, name=name, start=verdict.start, stop=verdict.stop, on_close=self._streams.release
        )
        return response


class _Slice:
    """Bytes `start` to `stop` of a stream in pieces; closes the stream when it is closed, also when never begun.

    Not a generator: closing one that was never started does not run its `finally`.
    """

    def __init__(self, stream: BinaryIO, *, name: str, start: int, stop: int, on_close: Callable[[], object]) -> None:
        self._stream = stream
        self._on_close = on_close
        self._name = name
        self._start = start
        self._left = stop - start
        self._begun = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._left == 0:
            raise StopIteration
        if not self._begun:
            self._begun = True
            if self._start:
                self._stream.seek(self._start)
        piece = self._stream.read(min(PIECE_BYTES, self._left))
        if not piece:
            # Content-Length is out already: only breaking the connection tells the client that bytes are missing.
            raise OSError(f"public file {self._name} is {self._left} bytes shorter than its row says")
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        if not self._stream.closed:
            self._stream.close()
            self._on_close()


def _no_such_file() -> Response:
    return plain(404, "There is no such file; check that the link is complete.")


def _lost_file() -> Response:
    """404 and not 410: an operator may bring the bytes back."""
    return plain(404, "This file was lost on the server; ask who sent it for another copy, or tell the operator.")


def _day_of(name: str) -> datetime | None:
    """Midnight UTC of the date in the name, never later than the bytes; for clients that know dates and no ETags."""
    try:
        return datetime.strptime(name[:8], "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _policy(file: StoredFile) -> str:
    """The sandbox that a browser opens the file in: no scripts, forms or plugins, an origin of its own.

    What browsers need to show a file by itself, seen in Chromium 156 and Firefox 153: the document they make up around
    a picture or a video has inline styles and loads the file again (img-src, media-src). Chromium fetches sound and
    video in it with CORS, so an origin of its own would have to be allowed by Access-Control-Allow-Origin;
    `allow-same-origin`, harmless as long as scripts are not allowed, keeps that to ourselves. The PDF viewers of both
    open inside the sandbox. `allow-downloads` is for the viewers' save buttons.
    """
    same_origin = " allow-same-origin" if file.file_type in (FileType.AUDIO, FileType.VIDEO) else ""
    return (
        "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; "
        f"form-action 'none'; sandbox allow-downloads{same_origin}"
    )
