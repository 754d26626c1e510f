"""Between the HTTP engine and the WSGI application: reads requests under limits, then lends them a thread.

Granian's own WSGI mode enters the application before the body is there (200 half-sent requests hold 200 threads), gives
a malformed chunk as an empty body and knows no limit; its RSGI mode says nothing of a malformed chunk either, and takes
any amount for a slow reader into memory.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from webchat_soap.server.answers import Answer, Call, plain
from webchat_soap.server.engine import Arrival, Future
from webchat_soap.server.options import Application, Environ
from webchat_soap.server.requests import Refused, base_environ, body_length, read_head, set_body
from webchat_soap.server.threads import NoRoom, Threads

log = logging.getLogger(__name__)
request_log = logging.getLogger("webchat_soap.request")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a worker takes."""

    max_request_bytes: int
    request_seconds: float
    """From the head's arrival until the body's last byte."""
    max_held_bytes: int = 128 * 1024 * 1024
    """All bodies together that are not yet in the application; beyond it 503."""
    max_threads: int = 640
    """64 uploads, 500 waiting GetMessages, and some that are told Busy or wait a second because these are all taken."""
    max_in_line: int = 2000
    """Calls that read from the disk; those that wait for others never stand in line."""
    linger_seconds: float = 2.0
    """How long the rest of a refused body is read and dropped, so that the client reads the refusal and not a reset."""

    @property
    def max_pieces(self) -> int:
        """A body of so many pieces is sent byte by byte to keep us busy; networks bring some 1,400 bytes in each."""
        return 8192 + self.max_request_bytes // 256


class Shell:
    """Answers the engine's arrivals with an application. One per worker."""

    def __init__(self, application: Application, *, limits: Limits, many_processes: bool) -> None:
        self.application = application
        self.limits = limits
        self.base = base_environ(many_processes=many_processes)
        self.threads = Threads(few=1, most=limits.max_threads, most_in_line=limits.max_in_line)
        """For what reads from the disk or only computes."""
        self.long_threads = Threads(few=limits.max_threads, most=limits.max_threads, most_in_line=0)
        """For what waits for others."""
        self.held = Held()
        self.deadlines = Deadlines()

    def arrived(self, arrival: Arrival) -> None:
        """For the engine: on its thread, never waits, never raises."""
        try:
            _Exchange(self, arrival).begin()
        except BaseException:
            log.exception("A request could not be taken")
            arrival.done()


class Held:
    """Counts bytes from many threads."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._bytes = 0

    def add(self, size: int) -> int:
        """What is held with these; a negative size lets go."""
        with self._mutex:
            self._bytes += size
            return self._bytes


class Deadlines:
    """Cancels reads that take too long: one thread for all, asleep while there is nothing to watch."""

    SWEEP_SECONDS = 0.2

    def __init__(self) -> None:
        self._watched: dict[_Exchange, float] = {}
        self._needed = threading.Event()
        self._sweeper: threading.Thread | None = None

    def watch(self, exchange: _Exchange, seconds: float) -> None:
        """Call `exchange.late()` from another thread after so long, unless it is forgotten before. NoRoom."""
        if self._sweeper is None:
            sweeper = threading.Thread(target=self._sweep, name="deadlines", daemon=True)
            try:
                sweeper.start()
            except (RuntimeError, MemoryError) as error:
                raise NoRoom from error
            self._sweeper = sweeper
        self._watched[exchange] = time.monotonic() + seconds
        if not self._needed.is_set():
            self._needed.set()

    def forget(self, exchange: _Exchange) -> None:
        """Idempotent."""
        self._watched.pop(exchange, None)

    def _sweep(self) -> None:
        while True:
            self._needed.wait()
            time.sleep(self.SWEEP_SECONDS)
            self._end_late()
            if not self._watched:
                self._needed.clear()
                if self._watched:  # one came in between
                    self._needed.set()

    def _end_late(self) -> None:
        # A method of its own, so that no variable keeps the last exchange: the engine ends a connection with an unread
        # body when the last reference to it is gone.
        now = time.monotonic()
        for exchange, deadline in list(self._watched.items()):
            if deadline <= now and self._watched.pop(exchange, None) is not None:
                try:
                    exchange.late()
                except Exception:
                    log.exception("A late request could not be ended")


class _Exchange:
    """One request and its answer: reading (engine's thread), then answering (request threads), then done."""

    __slots__ = (
        "_answer",
        "_arrival",
        "_call",
        "_environ",
        "_future",
        "_gone",
        "_held",
        "_late",
        "_length",
        "_lingers",
        "_pieces",
        "_shell",
    )

    def __init__(self, shell: Shell, arrival: Arrival) -> None:
        self._shell = shell
        self._arrival = arrival
        self._environ: Environ = {}
        self._length: int | None = 0
        self._held = 0
        self._pieces: list[bytes] = []
        self._future: Future | None = None
        self._late = False
        self._lingers = False
        self._call: Call | None = None
        self._answer: Answer | None = None
        self._gone = False

    def begin(self) -> None:
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
        try:
            self._shell.deadlines.watch(self, limits.request_seconds)
        except NoRoom:
            self._refuse(_too_busy("thread"))
            return
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
            # First of all what it holds: else what is short now would stay short for ever.
            self._stop_reading()
            self._let_go()
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        try:
            if isinstance(error, MemoryError) and not self._lingers:
                log.error("A request's body could not be taken (out of memory)")
                self._refuse(_too_busy("memory"))
                return
            log.error("A request's body could not be taken", exc_info=error)
        except BaseException:  # nobody above would do anything with it
            self._stop_reading()
        self._arrival.done()

    def _take(self, future: Future) -> bool:
        """One piece of the body; True when it is whole."""
        shell = self._shell
        limits = shell.limits
        if self._late or future.cancelled():
            raise Refused(
                408, f"The request did not come within {limits.request_seconds:g} s; send it again, and faster."
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
            raise _too_busy("memory")
        if self._held == self._length:
            return True
        if message["more_body"]:
            return False
        if self._length is not None:
            raise Refused(400, "The request's body is not as long as Content-Length says; send it whole.")
        return True

    def _stop_reading(self) -> None:
        self._shell.deadlines.forget(self)
        self._pieces = []
        self._future = None  # it refers to this exchange, and the collector does not see through the engine's futures

    def _let_go(self) -> None:
        self._shell.held.add(-self._held)
        self._held = 0

    def late(self) -> None:
        """The time for reading is over. From the thread of the deadlines."""
        self._late = True
        future = self._future
        if future is not None:
            future.cancel()

    def _enter(self, body: bytes) -> None:
        set_body(self._environ, body)
        shell = self._shell
        try:
            if not shell.application.only_computes(self._environ):
                shell.threads.run(self._run)
                return
            # Here, on the engine's thread: handing it to another one and back costs more than all it does.
            self._let_go()
            self._call = call = Call(shell.application, self._environ)
            if call.later is None:
                self._finish()
            elif not call.later.when_ready(self._ready):
                (shell.long_threads if call.later.is_long else shell.threads).run(self._finish)
        except NoRoom:
            self._let_go()
            self._refuse(_too_busy("thread"))

    def _ready(self) -> None:
        self._shell.threads.run_later(self._finish)

    def _refuse(self, refused: Refused) -> None:
        # The application never sees this request, so its log line is written here.
        request_log.info("refused", extra={"fields": {"code": refused.status, "status": refused.status}})
        more = [(b"connection", b"close")]
        if refused.retry_after_seconds is not None:
            more.append((b"retry-after", str(refused.retry_after_seconds).encode()))
        answer = plain(refused.status, refused.sentence, more=more)
        self._send_start(answer)
        self._send(answer.body)
        if refused.linger:
            # Closing with unread bytes in the socket makes the kernel send a reset, which takes the answer away from a
            # client that is still writing (RFC 9112, section 9.6).
            self._lingers = True
            self._late = False
            try:
                self._shell.deadlines.watch(self, self._shell.limits.linger_seconds)
            except NoRoom:
                self._arrival.done()
                return
            self._receive()
        else:
            self._arrival.done()

    def _drop(self, future: Future) -> None:
        if not (self._late or future.cancelled()):
            message = future.result()
            if message["type"] == "http.request" and message["more_body"]:
                self._receive()
                return
        self._stop_reading()
        self._arrival.done()

    def _send_start(self, answer: Answer) -> None:
        self._arrival.proto.send({"type": "http.response.start", "status": answer.status, "headers": answer.fields})

    def _send(self, body: bytes, *, more: bool = False) -> object:
        return self._arrival.proto.send({"type": "http.response.body", "body": body, "more_body": more})

    def _run(self) -> None:
        """In a thread: the call, and the answer where it is there as a whole."""
        self._let_go()
        try:
            self._call = Call(self._shell.application, self._environ)
        except BaseException:
            self._arrival.done()
            raise
        self._finish()

    def _finish(self) -> None:
        """The answer, where it is there as a whole."""
        call, self._call = self._call, None
        assert call is not None
        try:
            answer = call.answer()
            self._send_start(answer)
            if answer.rest is None:
                self._send(answer.body)
                self._arrival.done()
                return
        except BaseException:
            self._arrival.done()
            raise
        self._answer = answer
        self._watch_for_disconnect()
        self._pump(answer.body)

    def _pump_on(self) -> None:
        self._pump(b"")

    def _pump(self, piece: bytes | None) -> None:
        """In a thread: piece by piece as long as the reader takes them; a slow one is waited for without a thread."""
        answer = self._answer
        assert answer is not None
        try:
            while piece is not None and not self._gone:
                if piece:
                    sent = self._send(piece, more=True)
                    wait = getattr(sent, "add_done_callback", None)
                    if wait is not None:
                        wait(self._resume)
                        return
                piece = answer.next_piece()
            if piece is None:
                self._send(b"")
        except Exception:
            # Without the last piece the engine cuts the connection: the reader must not take the answer for whole.
            log.exception("The application raised in the middle of its answer")
        answer.close()
        self._arrival.done()

    def _resume(self, _: Future) -> None:
        self._shell.threads.run_later(self._pump_on)

    def _watch_for_disconnect(self) -> None:
        self._arrival.proto.receive().add_done_callback(self._noticed)

    def _noticed(self, future: Future) -> None:
        if future.cancelled() or future.result()["type"] == "http.disconnect":
            self._gone = True
        else:
            self._watch_for_disconnect()


def _too_large(most: int, *, linger: bool) -> Refused:
    sentence = f"The request is longer than {most} bytes, the most this service takes; send less at once."
    return Refused(413, sentence, linger=linger)


def _too_busy(what: str) -> Refused:
    sentence = f"The service has no {what} free right now; try again in a second."
    return Refused(503, sentence, retry_after_seconds=1, linger=True)
