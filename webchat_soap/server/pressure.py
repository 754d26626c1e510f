"""What becomes of connections that nobody uses while others wait for one, and what the operator learns of a full house.

The engine accepts only so many connections. When more come than it takes, those go that are in no request, the longest
quiet first: silent and dripping clients, and idle ones, which a client must be ready to lose at any time (RFC 9112,
section 9.5). Without need nobody is sent away before the engine's own deadline.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from webchat_soap.server.connections import Connections, Peer

log = logging.getLogger(__name__)


class Tally:
    """Counts what an operator should know, and tells it in one line now and then."""

    TELL_SECONDS = 10.0

    def __init__(self, *, state: Callable[[], str]) -> None:
        """`state` says how full the house is now, for the end of the line."""
        self._state = state
        self._mutex = threading.Lock()
        self._told = -self.TELL_SECONDS
        self._waited = 0
        self._longest_seconds = 0.0
        self._refused = 0
        self._cut: dict[str, int] = {}

    def waited(self, seconds: float) -> None:
        """A request stood in line for a thread for so long."""
        with self._mutex:
            self._waited += 1
            self._longest_seconds = max(self._longest_seconds, seconds)

    def refused(self) -> None:
        """A request was answered 503."""
        with self._mutex:
            self._refused += 1

    def cut(self, what: str, count: int = 1) -> None:
        """Connections were ended because of what they are: `silent`, `slow readers`."""
        with self._mutex:
            self._cut[what] = self._cut.get(what, 0) + count

    def tell(self, now: float) -> None:
        """Log what was counted since the last line, at most every ten seconds."""
        with self._mutex:
            if now - self._told < self.TELL_SECONDS:
                return
            parts = []
            if self._waited:
                parts.append(f"{self._waited} requests waited for a thread, the longest {self._longest_seconds:.1f} s")
            if self._refused:
                parts.append(f"{self._refused} were refused with 503")
            parts += [f"{count} connections of {what} were cut" for what, count in self._cut.items()]
            if not parts:
                return
            self._told = now
            self._waited = self._refused = 0
            self._longest_seconds = 0.0
            self._cut.clear()
        log.warning("The service is under pressure: %s (%s)", ", ".join(parts), self._state())


class Doorkeeper:
    """Looks after connections and the tally."""

    KEEP = 0.75
    """Of the most connections so many may stay when others wait, or fewer when more wait: a look costs some 10 µs for
    each, so they should be few."""

    def __init__(
        self,
        *,
        connections: Connections,
        max_connections: int,
        tally: Tally,
        in_request: Callable[[], Collection[Peer]],
    ) -> None:
        """The engine accepts `max_connections`; `in_request` gives the peers whose request is under way."""
        self._connections = connections
        self._keep_connections = int(max_connections * self.KEEP)
        self._tally = tally
        self._in_request = in_request
        self._idle: set[Peer] = set()

    def look(self) -> None:
        """One look; to be had twice a second. Raises nothing."""
        try:
            in_line = self._connections.in_line()
            if in_line:
                self._make_room(in_line)
            elif self._idle:
                self._idle = set()
            self._tally.tell(time.monotonic())
        except Exception:
            log.exception("A look at the connections failed")

    def close(self) -> None:
        """Let go of the listening socket."""
        self._connections.close()

    def _make_room(self, in_line: int) -> None:
        there = self._connections.all()
        over = len(there) - self._keep_connections
        if over <= 0:  # a burst that the engine has not come to yet
            return
        busy = self._in_request()
        idle = [connection for connection in there if connection.peer not in busy]
        # Those alone that were idle at the last look too: a head that is just coming is none of them.
        longest = sorted(
            (connection for connection in idle if connection.peer in self._idle),
            key=lambda connection: -connection.quiet_seconds,
        )
        self._idle = {connection.peer for connection in idle}
        going = longest[: max(over, in_line)]
        if going:
            self._tally.cut("silent clients", self._connections.cut({connection.peer for connection in going}))
