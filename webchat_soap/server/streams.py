"""A long answer on its way, piece by piece: a slow reader is waited for without a thread, but not for ever."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from webchat_soap.server.answers import Answer
from webchat_soap.server.engine import Arrival, Future
from webchat_soap.server.threads import NoRoom

if TYPE_CHECKING:
    from webchat_soap.server.connections import Peer
    from webchat_soap.server.shell import Shell

log = logging.getLogger(__name__)

PIECE_BYTES = 64 * 1024
"""An answer that is longer is streamed, also one that is there as a whole: so it is seen whether it is read."""


class Stream:
    """Sends an answer whose start has been sent. `due` may come at any time."""

    __slots__ = ("_answer", "_arrival", "_gone", "_shell", "_stalled_since", "_unsent_bytes", "peer")

    def __init__(self, shell: Shell, arrival: Arrival, answer: Answer, *, peer: Peer) -> None:
        self._shell = shell
        self._arrival = arrival
        self._answer = answer
        self._gone = False
        self._stalled_since = 0.0
        self._unsent_bytes = 0
        self.peer = peer
        if answer.rest is None:
            self._unsent_bytes = len(answer.body)
            answer.keep(_pieces_of(answer.body), None)
            answer.body = b""

    def begin(self) -> None:
        """In a thread that may wait for the application's next piece."""
        self._shell.streaming[self] = True
        self._shell.unsent.add(self._unsent_bytes)
        self._watch_for_disconnect()
        self._pump(self._answer.body)

    def _pump_on(self) -> None:
        self._pump(b"")

    def _pump(self, piece: bytes | None) -> None:
        """Piece by piece as long as the reader takes them."""
        answer = self._answer
        try:
            while piece is not None and not self._gone:
                if piece:
                    sent = self._send(piece, more=True)
                    wait = getattr(sent, "add_done_callback", None)
                    if wait is not None:
                        self._stalled_since = time.monotonic()
                        with contextlib.suppress(NoRoom):  # then the kernel's own patience is all there is
                            self._shell.deadlines.watch(self, self._shell.limits.hurried_reader_seconds)
                        wait(self._resume)
                        return
                piece = answer.next_piece()
            if piece is None:
                self._send(b"", more=False)
        except BaseException:
            # Without the last piece the engine cuts the connection: the reader must not take the answer for whole.
            log.exception("The application raised in the middle of its answer")
        self._shell.deadlines.forget(self)
        self._shell.streaming.pop(self, None)
        self._shell.unsent.add(-self._unsent_bytes)
        answer.close()
        self._arrival.done()

    def _send(self, body: bytes, *, more: bool) -> object:
        return self._arrival.proto.send({"type": "http.response.body", "body": body, "more_body": more})

    def _resume(self, _: Future) -> None:
        self._stalled_since = 0.0
        self._shell.deadlines.forget(self)
        self._shell.threads.run_later(self._pump_on)

    def due(self) -> None:
        """The reader has not taken a piece for a while: cut it off, or wait on where nobody else is in need."""
        shell = self._shell
        since = self._stalled_since
        if not since or self not in shell.streaming:
            return
        limits = shell.limits
        patience_seconds = limits.hurried_reader_seconds if shell.is_pressed() else limits.reader_seconds
        if time.monotonic() - since < patience_seconds - shell.deadlines.SWEEP_SECONDS:
            shell.deadlines.watch(self, limits.hurried_reader_seconds)
            return
        # The engine holds on to what it has for the reader; only the end of the connection makes it let go.
        shell.tally.cut("slow readers", shell.cut(self.peer))

    def _watch_for_disconnect(self) -> None:
        self._arrival.proto.receive().add_done_callback(self._noticed)

    def _noticed(self, future: Future) -> None:
        if future.cancelled() or future.result()["type"] == "http.disconnect":
            self._gone = True
        else:
            self._watch_for_disconnect()


def _pieces_of(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), PIECE_BYTES):
        yield body[at : at + PIECE_BYTES]
