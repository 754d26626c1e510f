"""One request and its answer: reading (the engine's thread), answering (request threads), and then done."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from webchat_soap.server.answers import Answer, Call
from webchat_soap.server.engine import Arrival, Future
from webchat_soap.server.options import Environ, Pushed
from webchat_soap.server.pushes import Push
from webchat_soap.server.requests import Refused, body_length, read_head, set_body
from webchat_soap.server.streams import PIECE_BYTES, Stream
from webchat_soap.server.threads import NoRoom

if TYPE_CHECKING:
    from webchat_soap.server.connections import Peer
    from webchat_soap.server.shell import Shell

log = logging.getLogger(__name__)
request_log = logging.getLogger("webchat_soap.request")

TELLING_WAIT_SECONDS = 1.0
"""A request that stood in line for longer is told to the operator."""


class Exchange:
    """Made when a head has come. `begin` is the first call, `due` and `give_up` may come at any time after it."""

    __slots__ = (
        "_arrival",
        "_call",
        "_deadline",
        "_environ",
        "_future",
        "_held",
        "_in_line_since",
        "_late",
        "_length",
        "_lingers",
        "_pieces",
        "_seen_bytes",
        "_shell",
        "in_line_seconds",
    )

    def __init__(self, shell: Shell, arrival: Arrival) -> None:
        self._shell = shell
        self._arrival = arrival
        self._environ: Environ = {}
        self._length: int | None = 0
        self._held = 0
        self._pieces: list[bytes] = []
        self._future: Future | None = None
        self._deadline = 0.0
        self._seen_bytes = 0
        self._late = False
        self._lingers = False
        self._in_line_since = 0.0
        self.in_line_seconds = 0.0
        """How long it has waited for threads so far."""
        self._call: Call | None = None

    @property
    def peer(self) -> Peer:
        """The client's end of the connection."""
        host, port = self._arrival.scope["client"]
        return host, int(port)

    # -- reading

    def begin(self) -> None:
        """Look at the head, and read the body or enter the application."""
        limits = self._shell.limits
        try:
            self._environ = read_head(self._arrival.scope, self._shell.base)
            self._length = body_length(self._environ)
            if self._length == 0:
                self._enter(b"")
                return
            if self._length is not None and self._length > limits.max_request_bytes:
                raise _too_large(limits.max_request_bytes, linger="HTTP_EXPECT" not in self._environ)
        except Refused as refused:
            self._refuse(refused)
            return
        self._deadline = time.monotonic() + limits.request_seconds
        try:
            self._shell.deadlines.watch(self, min(limits.request_seconds, limits.rate_seconds))
        except NoRoom:
            self._refuse(_too_busy("thread", linger=False))
            return
        self._shell.reading[self] = True
        self._receive()

    def _receive(self) -> None:
        self._future = self._arrival.proto.receive()
        self._future.add_done_callback(self._received)
        if self._late:  # the time was over between two pieces
            self._future.cancel()

    def _received(self, future: Future) -> None:
        try:
            if self._lingers:
                self._drop(future)
                return
            try:
                whole = self._take(future)
            except Refused as refused:
                self._stop_reading()
                self._let_go()
                self._refuse(refused)
                return
            if not whole:
                self._receive()
                return
            pieces = self._pieces
            self._stop_reading()
            self._enter(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        except BaseException as error:
            self.break_off(error)

    def break_off(self, error: BaseException) -> None:
        """Let go of all and tell the client, after an error that nobody foresaw. Raises nothing."""
        try:
            # First of all what it holds: else what is short now would stay short for ever.
            self._stop_reading()
            self._let_go()
            self._shell.running.pop(self, None)
            if isinstance(error, MemoryError) and not self._lingers:
                log.error("A request could not be taken (out of memory)")
                self._refuse(_too_busy("memory", linger=True))
                return
            log.error("A request could not be taken", exc_info=error)
        except BaseException:  # nobody above would do anything with it
            self._stop_reading()
        self._done()

    def _take(self, future: Future) -> bool:
        """One piece of the body; True when it is whole."""
        shell = self._shell
        limits = shell.limits
        if self._late or future.cancelled():
            if shell.given_up:
                raise Refused(503, _STOPPING, retry_after_seconds=1)
            raise Refused(
                408,
                f"The request did not come within {limits.request_seconds:g} s, or more slowly than "
                f"{limits.least_bytes_per_second} bytes a second; send it again, and faster.",
            )
        message = future.result()
        if message["type"] == "http.disconnect":
            raise Refused(400, "The request's body is malformed or was cut short; send it whole.")
        piece: bytes = message["body"]
        self._pieces.append(piece)
        self._held += len(piece)
        held_by_all = shell.held.add(len(piece))
        if self._held > limits.max_request_bytes:
            raise _too_large(limits.max_request_bytes, linger=True)
        if len(self._pieces) > limits.max_pieces:
            raise Refused(400, "The request's body came in too many pieces; send larger ones.")
        if held_by_all > limits.max_held_bytes:
            raise _too_busy("memory", linger=True)
        if self._held == self._length:
            return True
        if message["more_body"]:
            return False
        if self._length is not None:
            raise Refused(400, "The request's body is not as long as Content-Length says; send it whole.")
        return True

    def _stop_reading(self) -> None:
        self._shell.reading.pop(self, None)
        self._shell.deadlines.forget(self)
        self._pieces = []
        self._future = None  # it refers to this exchange, and the collector does not see through the engine's futures

    def _let_go(self) -> None:
        self._shell.held.add(-self._held)
        self._held = 0

    def due(self) -> None:
        """A time for reading is over: give the body more when it comes fast enough."""
        limits = self._shell.limits
        left = self._deadline - time.monotonic()
        came = self._held - self._seen_bytes
        self._seen_bytes = self._held
        enough = came >= limits.least_bytes_per_second * limits.rate_seconds
        if left > 0 and enough and not self._lingers:
            self._shell.deadlines.watch(self, min(left, limits.rate_seconds))
            if self not in self._shell.reading:  # it came whole in this moment
                self._shell.deadlines.forget(self)
            return
        self._end_reading()

    def _end_reading(self) -> None:
        self._late = True
        future = self._future
        if future is not None:
            future.cancel()

    # -- answering

    def _enter(self, body: bytes) -> None:
        set_body(self._environ, body)
        self._environ["webchat.exchange"] = self
        shell = self._shell
        shell.running[self] = True
        try:
            if not shell.application.only_computes(self._environ):
                self._in_line_since = time.monotonic()
                shell.threads.run(self._run)
                return
            # Here, on the engine's thread: handing it to another one and back costs more than all it does.
            self._call_application(in_thread=False)
        except NoRoom:
            self._refuse_thread()

    def _refuse_thread(self) -> None:
        self._shell.running.pop(self, None)
        self._let_go()
        self._end_call()
        self._refuse(_too_busy("thread", linger=False))

    def _call_application(self, *, in_thread: bool) -> None:
        """Begin the call, and end it where it does not wait or `in_thread` may. NoRoom."""
        shell = self._shell
        self._let_go()
        self._call = call = Call(shell.application, self._environ)
        later = call.later
        if call.pushed is not None:
            self._push(call, call.pushed)
        elif later is None or (in_thread and not later.is_long):
            self._finish()
        elif later.when_ready(self._ready):
            if later.is_long and self in shell.running:
                self._watch_for_disconnect()
        else:
            self._in_line_since = time.monotonic()
            if later.is_long:
                try:
                    shell.long_threads.run(self._finish)
                except NoRoom:
                    pass  # there are as many as places to wait, so that this one can only be told that there is none
                else:
                    return
            shell.threads.run(self._finish, ahead=True)

    def _push(self, call: Call, pushed: Pushed) -> None:
        self._end_call()
        if not self._shell.running.pop(self, False):  # given up: somebody has answered already
            pushed.gone()
            return
        try:
            self._send_start(call.head())
        except BaseException:
            self._done()
            pushed.gone()
            raise
        Push(self._shell, self._arrival, peer=self.peer).begin(pushed)

    def _watch_for_disconnect(self) -> None:
        self._arrival.proto.receive().add_done_callback(self._noticed)

    def _noticed(self, future: Future) -> None:
        """On the engine's thread: the client has gone while it waited, or its answer has been sent."""
        if not (future.cancelled() or future.result()["type"] == "http.disconnect"):
            self._watch_for_disconnect()
        elif self._shell.running.pop(self, False):
            call = self._end_call()
            if call is not None and call.later is not None:
                call.later.give_up()
            self._done()

    def _ready(self) -> None:
        call = self._call
        if call is not None and call.later is not None and not call.later.is_long:
            # Here, in the thread that has written it: nothing waits any more, and another one would only be woken.
            self._finish()
            return
        self._in_line_since = time.monotonic()
        self._shell.threads.run_later(self._finish)

    def _leave_line(self) -> None:
        """In a thread: it has come to this one's turn."""
        if self._in_line_since:
            waited_seconds = time.monotonic() - self._in_line_since
            self._in_line_since = 0.0
            self.in_line_seconds += waited_seconds
            if waited_seconds > TELLING_WAIT_SECONDS:
                self._shell.tally.waited(waited_seconds)

    def _end_call(self) -> Call | None:
        """The call, if there is one yet. The two refer to each other no more: the collector would come late."""
        call, self._call = self._call, None
        self._environ = {}
        return call

    def _refuse(self, refused: Refused) -> None:
        # The application never sees this request, so its log line is written here.
        request_log.info("refused", extra={"fields": {"code": refused.status, "status": refused.status}})
        if refused.status == 503:
            self._shell.tally.refused()
        self._send_whole(refused.answer())
        if refused.linger:
            # Closing with unread bytes in the socket makes the kernel send a reset, which takes the answer away from a
            # client that is still writing (RFC 9112, section 9.6).
            self._lingers = True
            self._late = False
            try:
                self._shell.deadlines.watch(self, self._shell.limits.linger_seconds)
            except NoRoom:
                self._done()
                return
            self._shell.reading[self] = True
            self._receive()
        else:
            self._done()

    def _drop(self, future: Future) -> None:
        if not (self._late or future.cancelled()):
            message = future.result()
            if message["type"] == "http.request" and message["more_body"]:
                self._receive()
                return
        self._stop_reading()
        self._done()

    def _send_whole(self, answer: Answer) -> None:
        self._send_start(answer)
        self._arrival.proto.send({"type": "http.response.body", "body": answer.body, "more_body": False})

    def _send_start(self, answer: Answer) -> None:
        self._arrival.proto.send({"type": "http.response.start", "status": answer.status, "headers": answer.fields})

    def _done(self) -> None:
        self._arrival.done()

    def _run(self) -> None:
        """In a thread: a call that may wait."""
        if self not in self._shell.running:  # given up while it stood in line
            self._let_go()
            self._end_call()
            return
        self._leave_line()
        try:
            self._call_application(in_thread=True)
        except NoRoom:
            self._refuse_thread()

    def _finish(self) -> None:
        """The answer, where it is there as a whole."""
        self._leave_line()
        try:
            call = self._end_call()
            if call is not None:  # else the client has gone
                self._answer_with(call.answer())
        except BaseException as error:
            if self._shell.running.pop(self, False) and isinstance(error, MemoryError):
                with contextlib.suppress(MemoryError):
                    self._refuse(_too_busy("memory", linger=False))
                    return
            self._done()
            raise

    def _answer_with(self, answer: Answer) -> None:
        if not self._shell.running.pop(self, False):  # given up: somebody has answered already
            answer.close()
            return
        size = len(answer.body)
        if answer.rest is None and size <= PIECE_BYTES:
            self._send_whole(answer)
            self._done()
            return
        if answer.rest is None and self._shell.unsent.now + size > self._shell.limits.max_unsent_bytes:
            self._refuse(_too_busy("memory", linger=False))
            return
        self._send_start(answer)
        Stream(self._shell, self._arrival, answer, peer=self.peer).begin()

    def give_up(self) -> None:
        """The process stops and cannot wait: say so. What the application answers later is dropped."""
        if self._shell.running.pop(self, False):
            self._refuse(Refused(503, _STOPPING, retry_after_seconds=1))
        elif self in self._shell.reading:
            self._end_reading()


_STOPPING = (
    "The service is stopping and could not finish this call in time; whether it took effect is not known: try again, "
    "with the same clientToken."
)


def _too_large(most: int, *, linger: bool) -> Refused:
    sentence = f"The request is longer than {most} bytes, the most this service takes; send less at once."
    return Refused(413, sentence, linger=linger)


def _too_busy(what: str, *, linger: bool) -> Refused:
    sentence = f"The service has no {what} free right now; try again in a second."
    return Refused(503, sentence, retry_after_seconds=1, linger=linger)
