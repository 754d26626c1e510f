"""Between Granian and the WSGI application: reads requests under limits, then lends them a thread.

Granian's own WSGI mode enters the application before the body is there (200 half-sent requests hold 200 threads), gives
a malformed chunk as an empty body and knows no limit. Its RSGI mode says nothing of a malformed chunk and takes any
amount for a slow reader into memory; its ASGI mode reports the first as http.disconnect and makes the second wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from webchat_soap.server.answers import Answer, call, plain
from webchat_soap.server.options import Application, Environ
from webchat_soap.server.requests import Refused, Scope, base_environ, body_length, read_head, set_body
from webchat_soap.server.threads import NoRoom, Threads

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a worker takes."""

    max_request_bytes: int
    request_seconds: float
    """From the head's arrival until the body's last byte."""
    max_held_bytes: int = 128 * 1024 * 1024
    """All bodies together that are here but not yet in the application; beyond it 503."""
    max_threads: int = 640
    """64 uploads, 500 waiting GetMessages, and room for text."""
    max_in_line: int = 2000
    linger_seconds: float = 2.0
    """How long the rest of a refused body is read and dropped, so that the client reads the refusal and not a reset."""


class Shell:
    """The ASGI application for `http` scopes. One per worker, on one event loop."""

    def __init__(self, application: Application, *, limits: Limits, many_processes: bool) -> None:
        self._application = application
        self._limits = limits
        self._base = base_environ(many_processes=many_processes)
        self._threads = Threads(most=limits.max_threads, most_in_line=limits.max_in_line)
        self._held_bytes = 0
        self._deadlines: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._watching = False

    @property
    def busy(self) -> int:
        """Calls that are in the application now."""
        return self._threads.busy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            environ = read_head(scope, self._base)
            length = body_length(environ)
            if length == 0:
                set_body(environ, b"")
                answer = await self._threads.run(call, self._application, environ)
            else:
                answer = await self._call_with_body(environ, length, receive)
        except Refused as refused:
            await self._refuse(refused, receive, send)
            return
        except NoRoom:
            await self._refuse(_too_busy("threads"), receive, send)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.fields})
        if answer.rest is None:
            await send({"type": "http.response.body", "body": answer.body})
        else:
            await self._stream(answer, receive, send)

    async def _call_with_body(self, environ: Environ, length: int | None, receive: Receive) -> Answer:
        held = 0
        pieces: list[bytes] = []
        most = self._limits.max_request_bytes
        if length is not None and length > most:
            raise _too_large(most)
        task = asyncio.current_task()
        assert task is not None
        self._deadlines[task] = asyncio.get_running_loop().time() + self._limits.request_seconds
        if not self._watching:
            self._watch_deadlines()
        try:
            while held != length:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "The request's body is malformed or was cut short; send it whole.")
                piece: bytes = message["body"]
                held += len(piece)
                self._held_bytes += len(piece)
                if held > most:
                    raise _too_large(most)
                if self._held_bytes > self._limits.max_held_bytes:
                    raise _too_busy("memory")
                pieces.append(piece)
                if not message["more_body"]:
                    break
            del self._deadlines[task]
            if length is not None and held != length:
                raise Refused(400, "The request's body is not as long as Content-Length says; send it whole.")
            set_body(environ, pieces[0] if len(pieces) == 1 else b"".join(pieces))
            return await self._threads.run(call, self._application, environ)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            self._late.discard(task)
            task.uncancel()
            raise Refused(
                408, f"The request did not come within {self._limits.request_seconds:g} s; send it again, and faster."
            ) from None
        finally:
            self._held_bytes -= held
            self._deadlines.pop(task, None)

    def _watch_deadlines(self) -> None:
        """One timer for all: every request has the same time, so the dict is in the order of the deadlines."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task, deadline in list(self._deadlines.items()):
            if deadline > now:
                break
            del self._deadlines[task]
            self._late.add(task)
            task.cancel()
        self._watching = bool(self._deadlines)
        if self._watching:
            loop.call_later(min(0.5, self._limits.request_seconds / 4), self._watch_deadlines)

    async def _refuse(self, refused: Refused, receive: Receive, send: Send) -> None:
        more = [(b"connection", b"close")]
        if refused.retry_after_seconds is not None:
            more.append((b"retry-after", str(refused.retry_after_seconds).encode()))
        answer = plain(refused.status, refused.sentence, more=more)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.fields})
        await send({"type": "http.response.body", "body": answer.body})
        if refused.status in (413, 503):
            await self._linger(receive)

    async def _linger(self, receive: Receive) -> None:
        # Closing with unread bytes in the socket makes the kernel send a reset, which takes the answer away from a
        # client that is still writing (RFC 9112, section 9.6).
        try:
            async with asyncio.timeout(self._limits.linger_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect" or not message["more_body"]:
                        return
        except TimeoutError:
            return

    async def _stream(self, answer: Answer, receive: Receive, send: Send) -> None:
        """Piece by piece; the send waits while four pieces are on their way, so memory stays bounded."""
        gone = asyncio.ensure_future(_wait_for_disconnect(receive))
        try:
            piece: bytes | None = answer.body
            while piece is not None:
                if piece:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                if gone.done():
                    return
                piece = await self._threads.run(answer.next_piece)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except Exception:
            # Returning without the last piece makes Granian cut the connection: the reader must not take it for whole.
            log.exception("The application raised in the middle of its answer")
        finally:
            gone.cancel()
            await self._threads.run(answer.close)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _too_large(most: int) -> Refused:
    return Refused(413, f"The request is longer than {most} bytes, the most this service takes; send less at once.")


def _too_busy(what: str) -> Refused:
    return Refused(503, f"The service has no {what} free right now; try again in a second.", retry_after_seconds=1)
