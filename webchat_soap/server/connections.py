"""The worker's connections as the kernel knows them.

The engine tells of requests alone: of a connection that has none it says nothing, and a reader that takes nothing it
keeps until the kernel gives up. Both are reached through the process's own descriptors, on Linux; elsewhere there are
no connections to be seen here, and the engine's own deadlines are all there is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_DESCRIPTORS = "/proc/self/fd"

_INFO_BYTES = 104
_QUIET = 52
_IN_LINE = 24
"""Where tcpi_last_data_recv and tcpi_unacked stand in Linux's struct tcp_info; of a listening socket the latter is how
many connections wait to be accepted."""

Peer = tuple[str, int]
"""A client's address and port."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """An accepted connection, as it was just now."""

    peer: Peer
    quiet_seconds: float
    """Since something came from the client, or since it connected."""


class Connections:
    """Those that came through one listening socket, which is kept open until `close`."""

    def __init__(self, listener: socket.socket) -> None:
        # Not listener.dup(): that sets the mode this process believes in, blocking, and the mode is no descriptor's own
        # but the socket's, which all workers share. One whose engine accepts in this moment would wait there for the
        # next connection, and leave all that it has unanswered.
        self._listener: socket.socket | None = socket.socket(fileno=os.dup(listener.fileno()))
        self._port = listener.getsockname()[1]

    def in_line(self) -> int:
        """How many wait to be accepted; 0 where nobody can tell."""
        if self._listener is None or not hasattr(socket, "TCP_INFO"):
            return 0
        info = self._listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        return int(struct.unpack_from("=I", info, _IN_LINE)[0])

    def all(self) -> list[Connection]:
        """Those of this process."""
        return [connection for connection, _ in self._each()]

    def cut(self, peers: Collection[Peer]) -> int:
        """End the connections from these peers at once, whatever they do; how many that were."""
        count = 0
        for connection, own in self._each():
            if connection.peer in peers:
                with contextlib.suppress(OSError):
                    own.shutdown(socket.SHUT_RDWR)  # the engine sees the end and closes its descriptor
                    count += 1
        return count

    def close(self) -> None:
        """Let go of the listening socket: what is held here still would go on listening."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _each(self) -> Iterator[tuple[Connection, socket.socket]]:
        if not hasattr(socket, "TCP_INFO"):
            return
        try:
            descriptors = os.listdir(_DESCRIPTORS)  # noqa: PTH208 - a Path for each of thousands costs more than the rest
        except OSError:
            return
        for name in descriptors:
            own = _duplicate(int(name))
            if own is None:
                continue
            with own:
                try:
                    if own.family not in (socket.AF_INET, socket.AF_INET6) or own.getsockname()[1] != self._port:
                        continue
                    info = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
                    host, port = own.getpeername()[:2]
                except OSError:
                    continue
                quiet = struct.unpack_from("=I", info, _QUIET)[0] / 1000
                yield Connection(peer=(host.partition("%")[0], port), quiet_seconds=quiet), own


def _duplicate(descriptor: int) -> socket.socket | None:
    """A socket of our own for it: the number may be another's in the next moment. None where it is none, or gone.

    Of anything but a socket no copy may be closed: with any descriptor of a file the process loses all its record locks
    on it, and with them SQLite's, which keep other processes from taking the log away under this one.
    """
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        own = os.dup(descriptor)
        if not stat.S_ISSOCK(os.fstat(own).st_mode):  # another's by now: the copy stays open
            return None
    except OSError:
        return None
    try:
        return socket.socket(fileno=own)
    except OSError:
        os.close(own)
        return None
