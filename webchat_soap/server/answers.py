"""Calls the WSGI application in a thread and shapes what it answers for ASGI.

Source: PEP 3333. A body that is small or of known length within `AT_ONCE_BYTES` is answered in one go; of the rest one
piece at a time is taken in a thread, which is free again while the piece travels to a slow reader.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import cast

from webchat_soap.server.options import Environ, Later, Pushed

log = logging.getLogger(__name__)

Fields = list[tuple[bytes, bytes]]

AT_ONCE_BYTES = 256 * 1024
"""The most that is gathered before the first byte leaves."""


class Answer:
    """`body` is what is there now; `rest`, where it is not None, gives more and must be closed by `close`."""

    __slots__ = ("_close", "body", "fields", "rest", "status")

    def __init__(self, status: int, fields: Fields, body: bytes) -> None:
        self.status = status
        self.fields = fields
        self.body = body
        self.rest: Iterator[bytes] | None = None
        self._close: Callable[[], object] | None = None

    def keep(self, rest: Iterator[bytes], close: Callable[[], object] | None) -> None:
        self.rest = rest
        self._close = close

    def next_piece(self) -> bytes | None:
        """The next non-empty piece, None at the end. Runs in a thread; what the application raises comes through."""
        assert self.rest is not None
        for piece in self.rest:
            if piece:
                return piece
        return None

    def close(self) -> None:
        """Call the iterable's close(), once. Runs in a thread; raises nothing."""
        close, self._close = self._close, None
        self.rest = None
        _close(close)


def plain(status: int, sentence: str, *, more: Fields | None = None) -> Answer:
    """A sentence as text/plain."""
    body = (sentence + "\n").encode()
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"server", b"webchat-soap"),
    ]
    return Answer(status, fields + (more or []), body)


def internal_error() -> Answer:
    """What is said when the application raised: nothing of it."""
    return plain(500, "Something went wrong on the service's side; try again, and tell the operator if it persists.")


class _Response:
    """PEP 3333's start_response and write."""

    __slots__ = ("headers", "status", "written")

    def __init__(self) -> None:
        self.status: str | None = None
        self.headers: list[tuple[str, str]] = []
        self.written: list[bytes] = []

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        if self.status is not None and exc_info is None:
            raise RuntimeError("start_response was called twice without exc_info")
        self.status = status
        self.headers = headers
        return self.written.append


class Call:
    """The application called for one request. Making it runs the application; nothing here raises what that raises."""

    __slots__ = ("_environ", "_failed", "_iterable", "_response", "later", "pushed")

    def __init__(self, application: Callable[..., Iterable[bytes]], environ: Environ) -> None:
        self._environ = environ
        self._response = _Response()
        self._iterable: Iterable[bytes] = ()
        self._failed = False
        self.later: Later | None = None
        """The answer is not there yet: `answer` is to be called when this says so, or in a thread that may wait."""
        self.pushed: Pushed | None = None
        """The answer has no end yet: its `head` is to be sent, and this wants a sink."""
        try:
            self._iterable = application(environ, self._response)
        except Exception:
            log.exception("The application raised")
            self._failed = True
        else:
            if hasattr(self._iterable, "when_ready"):
                self.later = cast("Later", self._iterable)
            elif hasattr(self._iterable, "push_to"):
                self.pushed = cast("Pushed", self._iterable)

    def head(self) -> Answer:
        """How a pushed answer begins."""
        assert self._response.status is not None, "it was started before it was returned"
        return Answer(int(self._response.status[:3]), _fields(self._response.headers)[0], b"")

    def answer(self) -> Answer:
        """What it answers; 500 and a log entry where it raises. The iterable is closed unless `rest` is set."""
        if self._failed:
            return internal_error()
        close: Callable[[], object] | None = getattr(self._iterable, "close", None)
        try:
            answer = _gather(self._response, self._iterable, close, head=self._environ["REQUEST_METHOD"] == "HEAD")
        except Exception:
            log.exception("The application raised")
            _close(close)
            return internal_error()
        if answer.rest is None:
            _close(close)
        return answer


def _gather(
    response: _Response, iterable: Iterable[bytes], close: Callable[[], object] | None, *, head: bool
) -> Answer:
    if isinstance(iterable, (list, tuple)) or hasattr(iterable, "when_ready"):
        body, rest = b"".join(iterable), None
    else:
        rest = iter(iterable)
        body = next(rest, b"")  # start_response may come only now
    if response.status is None:
        raise RuntimeError("the application answered without calling start_response")
    fields, length = _fields(response.headers)
    status = int(response.status[:3])
    if response.written:
        body = b"".join(response.written) + body
    if head or status in (204, 304):
        return Answer(status, fields, b"")
    if rest is not None:
        body, ended = _fill(body, rest, length)
        if not ended:
            answer = Answer(status, fields, body)
            answer.keep(rest, close)
            return answer
    if length is None:
        fields.append((b"content-length", str(len(body)).encode()))
    return Answer(status, fields, body)


def _fill(body: bytes, rest: Iterator[bytes], length: int | None) -> tuple[bytes, bool]:
    """Take on up to the known length; without one, what comes next may be minutes away, so it is left alone."""
    if length is None or length > AT_ONCE_BYTES:
        return body, False
    pieces, size = [body], len(body)
    while size < length:
        piece = next(rest, None)
        if piece is None:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), True


_KEYS = {
    name: name.lower().encode()
    for name in ("Cache-Control", "Content-Length", "Content-Type", "X-Content-Type-Options")
}
"""Of the headers that every answer has."""


def _fields(headers: list[tuple[str, str]]) -> tuple[Fields, int | None]:
    length: int | None = None
    server = False
    fields: Fields = []
    for name, value in headers:
        key = _KEYS.get(name) or name.lower().encode("latin-1")
        if key == b"content-length":
            length = int(value)
        elif key == b"server":
            server = True
        if "\r" in value or "\n" in value:
            raise ValueError(f"the header {name} holds a line break")
        fields.append((key, value.encode("latin-1")))
    if not server:
        fields.append((b"server", b"webchat-soap"))
    return fields, length


def _close(close: Callable[[], object] | None) -> None:
    if close is None:
        return
    try:
        close()
    except Exception:
        log.exception("Closing an answer raised")
