"""Between the HTTP engine and the WSGI application: reads requests under limits, then lends them a thread.

Granian's own WSGI mode enters the application before the body is there (200 half-sent requests hold 200 threads), gives
a malformed chunk as an empty body and knows no limit; its RSGI mode says nothing of a malformed chunk either, and takes
any amount for a slow reader into memory.
"""

from __future__ import annotations

import contextlib
import logging
import threading

from webchat_soap.server.connections import Connections, Peer
from webchat_soap.server.deadlines import Deadlines, Held
from webchat_soap.server.engine import Arrival
from webchat_soap.server.exchange import Exchange
from webchat_soap.server.options import Application, Limits
from webchat_soap.server.pressure import Doorkeeper, Tally
from webchat_soap.server.pushes import Push
from webchat_soap.server.requests import base_environ
from webchat_soap.server.streams import Stream
from webchat_soap.server.threads import Threads

log = logging.getLogger(__name__)


class Shell:
    """Answers the engine's arrivals with an application. One per worker."""

    def __init__(
        self, application: Application, *, limits: Limits, connections: Connections, many_processes: bool
    ) -> None:
        self.application = application
        self.limits = limits
        self.base = base_environ(many_processes=many_processes)
        self.threads = Threads(few=1, most=limits.max_threads, most_in_line=limits.max_in_line)
        """For what reads from the disk or only computes."""
        self.long_threads = Threads(few=limits.max_long_threads, most=limits.max_long_threads, most_in_line=0)
        """For what waits for others."""
        self.held = Held()
        self.unsent = Held()
        self.deadlines = Deadlines()
        self.reading: dict[Exchange, bool] = {}
        self.running: dict[Exchange, bool] = {}
        """In the application, in line for it, or waiting. Whoever takes an exchange out of it answers."""
        self.streaming: dict[Stream, bool] = {}
        self.pushing: dict[Push, bool] = {}
        """Answers that go on as long as their readers stay."""
        self.given_up = False
        self.engine_thread: int | None = None
        """Native id of the thread that calls `arrived`, once it has."""
        self.tally = Tally(state=self._state)
        self._connections = connections
        self.doorkeeper = Doorkeeper(
            connections=connections,
            max_connections=limits.max_connections,
            tally=self.tally,
            in_request=self._peers_in_request,
        )

    def arrived(self, arrival: Arrival) -> None:
        """For the engine: on its thread, never waits, never raises."""
        exchange: Exchange | None = None
        if self.engine_thread is None:
            self.engine_thread = threading.get_native_id()
        try:
            exchange = Exchange(self, arrival)
            exchange.begin()
        except BaseException as error:
            if exchange is not None:
                exchange.break_off(error)
                return
            with contextlib.suppress(MemoryError):
                log.exception("A request could not be taken")
            arrival.done()

    def threads_of_every_call(self) -> list[int]:
        """Native ids of the engine's thread and of the application's that say of themselves `every_call = True`."""
        if self.engine_thread is None:
            return []
        found = [thread.native_id for thread in threading.enumerate() if getattr(thread, "every_call", False)]
        return [self.engine_thread, *(number for number in found if number is not None)]

    def is_pressed(self) -> bool:
        """Whether slow readers take what others may need."""
        limits = self.limits
        return len(self.streaming) * 4 > limits.max_streams * 3 or self.unsent.now * 2 > limits.max_unsent_bytes

    def cut(self, peer: Peer) -> int:
        """End the connection from there at once; how many that were."""
        return self._connections.cut((peer,))

    def give_up(self) -> int:
        """Tell all who have no answer yet that they get none; how many that were."""
        self.given_up = True
        unfinished = [*list(self.running), *list(self.reading)]
        for exchange in unfinished:
            exchange.give_up()
        return len(unfinished)

    def _peers_in_request(self) -> frozenset[Peer]:
        under_way: list[Exchange | Stream | Push] = [*list(self.reading), *list(self.running), *list(self.streaming)]
        under_way += list(self.pushing)
        return frozenset(each.peer for each in under_way)

    def _state(self) -> str:
        return (
            f"{self.threads.busy} threads are busy and {self.long_threads.busy} wait for others, "
            f"{self.threads.in_line} requests are in line, {len(self.streaming)} readers, {len(self.pushing)} consoles"
        )
