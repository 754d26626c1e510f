"""From an ASGI scope to PEP 3333's environ, and what is refused on the way.

Sources: PEP 3333; RFC 9110 and RFC 9112 (framing: sections 6.1 to 6.3; Host: section 3.2).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from io import BytesIO
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

from webchat_soap.server.answers import Answer, plain
from webchat_soap.server.options import Environ

Scope = dict[str, Any]
"""ASGI's connection scope as Granian fills it (header names are lower case)."""

_ENVIRON_NAMES: dict[bytes, str] = {
    name: "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
    for name in (
        b"accept",
        b"accept-encoding",
        b"authorization",
        b"cache-control",
        b"connection",
        b"cookie",
        b"expect",
        b"host",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"origin",
        b"range",
        b"referer",
        b"soapaction",
        b"user-agent",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
    )
}
_ENVIRON_NAMES[b"content-type"] = "CONTENT_TYPE"
_ENVIRON_NAMES[b"content-length"] = "CONTENT_LENGTH"

_SINGLE = frozenset(
    ("HTTP_HOST", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_AUTHORIZATION", "HTTP_TRANSFER_ENCODING", "HTTP_SOAPACTION")
)
"""Fields that stand once: of two, another server in the chain might believe the other one."""


class Refused(Exception):
    """The request is answered by the shell itself, with a plain sentence, and its connection is closed."""

    def __init__(
        self, status: int, sentence: str, *, retry_after_seconds: int | None = None, linger: bool = False
    ) -> None:
        """`linger`: the client is writing its body still, and reads the answer only if it is let."""
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.retry_after_seconds = retry_after_seconds
        self.linger = linger

    def answer(self) -> Answer:
        """What the client is told."""
        more = [(b"connection", b"close")]
        if self.retry_after_seconds is not None:
            more.append((b"retry-after", str(self.retry_after_seconds).encode()))
        return plain(self.status, self.sentence, more=more)


class PublicFileWrapper:
    """PEP 3333's wsgi.file_wrapper: blocks of our size, whatever the caller asks for (werkzeug says 8 KiB)."""

    BLOCK_BYTES = 128 * 1024
    """Of 64, 128 and 256 KiB, 128 was as fast as 256; four blocks wait for a slow reader."""

    def __init__(self, file: BinaryIO, block_bytes: int = 0) -> None:
        self._file = file
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> PublicFileWrapper:
        return self

    def __next__(self) -> bytes:
        block = self._file.read(self.BLOCK_BYTES)
        if not block:
            raise StopIteration
        return block

    def seekable(self) -> bool:
        """As the file; werkzeug's ranges ask."""
        seekable = getattr(self._file, "seekable", None)
        return bool(seekable()) if seekable is not None else hasattr(self._file, "seek")

    def seek(self, *arguments: int) -> None:
        """As the file."""
        self._file.seek(*arguments)

    def tell(self) -> int | None:
        """As the file."""
        return int(self._file.tell()) if hasattr(self._file, "tell") else None


def base_environ(*, many_processes: bool) -> Environ:
    """What every request of a worker shares."""
    return {
        "SCRIPT_NAME": "",
        "SERVER_SOFTWARE": "webchat-soap",
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": many_processes,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": PublicFileWrapper,
    }


def read_head(scope: Scope, base: Environ) -> Environ:
    """The environ without `wsgi.input`. Refused (400) for what two servers could read in two ways.

    `CONTENT_LENGTH` is digits or missing; `HTTP_TRANSFER_ENCODING` is `chunked` or missing, and never both stand there.
    """
    environ = base.copy()
    raw_path: bytes = scope["raw_path"]
    environ["REQUEST_METHOD"] = scope["method"]
    environ["PATH_INFO"] = (unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path).decode("latin-1")
    environ["QUERY_STRING"] = scope["query_string"].decode("latin-1")
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if scope["http_version"] == "1.1" else "HTTP/1.0"
    environ["wsgi.url_scheme"] = scope["scheme"]
    environ["SERVER_NAME"], environ["SERVER_PORT"] = scope["server"]
    environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = scope["client"]
    _read_fields(scope["headers"], environ)
    if not environ.get("HTTP_HOST"):
        if environ["SERVER_PROTOCOL"] == "HTTP/1.1":
            raise Refused(400, "An HTTP/1.1 request must have a Host header; send one.")
        environ.pop("HTTP_HOST", None)
    transfer_encoding = environ.get("HTTP_TRANSFER_ENCODING")
    if transfer_encoding is not None:
        if "CONTENT_LENGTH" in environ:
            # Today's engine drops the length before us and closes the connection afterwards; another one may not.
            raise Refused(400, "Content-Length and Transfer-Encoding contradict each other; send one of them.")
        if transfer_encoding.lower() != "chunked":
            raise Refused(400, "Of Transfer-Encodings only chunked is taken; send the body so, or with its length.")
    return environ


def _read_fields(fields: Iterable[tuple[bytes, bytes]], environ: Environ) -> None:
    names = _ENVIRON_NAMES
    for name, value in fields:
        key = names.get(name)
        if key is None:
            if b"_" in name:
                continue  # X_Name would become the same environ key as X-Name, which a proxy may have vouched for
            key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        text = value.decode("latin-1")
        if key not in environ:
            environ[key] = text
        elif key in _SINGLE:
            raise Refused(400, f"The header {name.decode('latin-1')} stands twice; send it once.")
        else:
            environ[key] += ("; " if key == "HTTP_COOKIE" else ", ") + text


def body_length(environ: Environ) -> int | None:
    """Bytes the head announces: 0 for no body, None for chunked. Refused (400) when it is no number."""
    length = environ.get("CONTENT_LENGTH")
    if length is None:
        return None if "HTTP_TRANSFER_ENCODING" in environ else 0
    if not (length.isascii() and length.isdigit() and len(length) <= 19):
        raise Refused(400, "Content-Length is not a number of bytes; send the body's length.")
    return int(length)


def set_body(environ: Environ, body: bytes) -> None:
    """The whole body; a chunked one gets the length it turned out to have."""
    environ["wsgi.input"] = BytesIO(body)
    if environ.pop("HTTP_TRANSFER_ENCODING", None) is not None:
        environ["CONTENT_LENGTH"] = str(len(body))
