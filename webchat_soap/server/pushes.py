"""An answer that goes on as long as its reader stays: events as they come, without a thread for it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from webchat_soap.server.engine import Arrival, Future
from webchat_soap.server.options import Pushed
from webchat_soap.server.threads import NoRoom

if TYPE_CHECKING:
    from webchat_soap.server.connections import Peer
    from webchat_soap.server.shell import Shell

log = logging.getLogger(__name__)


class Push:
    """The Sink of one answer whose start has been sent. All methods may be called from any thread, and none waits."""

    __slots__ = ("_arrival", "_ended", "_lock", "_pushed", "_sending", "_shell", "_stalled_since", "_to_end", "peer")

    def __init__(self, shell: Shell, arrival: Arrival, *, peer: Peer) -> None:
        self._shell = shell
        self._arrival = arrival
        self._pushed: Pushed | None = None
        self._lock = threading.Lock()
        self._sending = False
        self._to_end = False
        self._ended = False
        self._stalled_since = 0.0
        self.peer = peer

    def begin(self, pushed: Pushed) -> None:
        """Hand this to whoever has something to send."""
        self._pushed = pushed
        self._shell.pushing[self] = True
        self._watch_for_disconnect()
        pushed.push_to(self)

    @property
    def is_free(self) -> bool:
        """Sink.is_free."""
        return not (self._sending or self._to_end or self._ended)

    def send(self, data: bytes) -> bool:
        """Sink.send."""
        with self._lock:
            if not self.is_free:
                return False
            self._sending = True
        try:
            sent = self._arrival.proto.send({"type": "http.response.body", "body": data, "more_body": True})
            wait = getattr(sent, "add_done_callback", None)
            if wait is None:
                self._sent()
            else:
                self._stalled_since = time.monotonic()
                with contextlib.suppress(NoRoom):  # then the kernel's own patience is all there is
                    self._shell.deadlines.watch(self, self._shell.limits.hurried_reader_seconds)
                wait(self._resume)
        except Exception:
            log.exception("An event could not be sent")
            self._close(tell=True)
            return False
        return True

    def end(self) -> None:
        """Sink.end."""
        with self._lock:
            self._to_end = True
            waits = self._sending
        if not waits:
            self._finish()
        elif self._stalled_since:
            # Who does not read now reads no farewell either, and the process may be stopping.
            self._shell.cut(self.peer)

    def due(self) -> None:
        """The reader has not taken what was sent for a while: cut it off, or wait on where nobody else is in need."""
        shell, since = self._shell, self._stalled_since
        if not since or self._ended:
            return
        limits = shell.limits
        patience_seconds = limits.hurried_reader_seconds if shell.is_pressed() else limits.reader_seconds
        if time.monotonic() - since < patience_seconds - shell.deadlines.SWEEP_SECONDS:
            shell.deadlines.watch(self, limits.hurried_reader_seconds)
            return
        shell.tally.cut("slow readers", shell.cut(self.peer))

    def _resume(self, _: Future) -> None:
        self._stalled_since = 0.0
        self._shell.deadlines.forget(self)
        self._sent()

    def _sent(self) -> None:
        with self._lock:
            self._sending = False
            to_end = self._to_end
        if to_end:
            self._finish()

    def _finish(self) -> None:
        try:
            if not self._ended:
                self._arrival.proto.send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._close(tell=False)

    def _close(self, *, tell: bool) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
            pushed, self._pushed = self._pushed, None
        self._shell.pushing.pop(self, None)
        self._shell.deadlines.forget(self)
        self._arrival.done()
        if tell and pushed is not None:
            pushed.gone()

    def _watch_for_disconnect(self) -> None:
        self._arrival.proto.receive().add_done_callback(self._noticed)

    def _noticed(self, future: Future) -> None:
        if future.cancelled() or future.result()["type"] == "http.disconnect":
            self._close(tell=True)
        else:
            self._watch_for_disconnect()
