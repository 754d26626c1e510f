"""The listening sockets. They are made here, before there are workers, so that a port in use is an error and not a
silent neighbour (Granian's own listens with SO_REUSEPORT), and that connections wait while a dead worker is replaced.
"""

from __future__ import annotations

import errno
import socket
import sys
import time

from webchat_soap.server.engine import BACKLOG
from webchat_soap.server.options import ServeError

SILENT_READER_MILLISECONDS = 60_000
"""After this long without taking a byte of its answer a client is cut off by the kernel; no other layer notices it."""

_LETTING_GO_SECONDS = 0.5


class PortInUse(ServeError):
    """Something else listens on the port."""


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    """The family and address to bind. ServeError for a name that does not resolve."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ServeError(f"The host {host} to listen on is not known ({error}); set WEBCHAT_BIND.") from error
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, str(address[0])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that never blocks. PortInUse, or ServeError when the address cannot be had for another reason.

    Whether it blocks is one for all processes that share it, so it is settled before there is a second one.
    """
    family, address = resolve(host, port)
    listener = _open(family)
    try:
        _bind(listener, address, port)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _refusal(host, port, error) from error
    return listener


def _open(family: socket.AddressFamily) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    # Without it, connections of an earlier run in TIME_WAIT refuse a restart for a minute; a listener still does.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    user_timeout = getattr(socket, "TCP_USER_TIMEOUT", None)
    if user_timeout is not None:  # accepted sockets inherit it, on Linux
        listener.setsockopt(socket.IPPROTO_TCP, user_timeout, SILENT_READER_MILLISECONDS)
    listener.setblocking(False)
    return listener


def _bind(listener: socket.socket, address: str, port: int) -> None:
    # A killed process lets go of its files one by one: the folder's lock may be free a moment before the port.
    give_up = time.monotonic() + _LETTING_GO_SECONDS
    while True:
        try:
            listener.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        else:
            return


def listen_apart(host: str, port: int, count: int) -> list[socket.socket]:
    """So many listening sockets on one port, among which the kernel spreads connections evenly; else as from `listen`.

    Where workers share one socket, whichever wakes first accepts all that waits: of 64 connections opened at once one
    worker of two got 40 to 64. Only Linux spreads so; elsewhere it is one socket so many times. Who listened before us
    refuses us as ever; a later program of the same user that asks to share the port, too, gets a part of it.
    """
    first = listen(host, port)
    if count == 1 or not sys.platform.startswith("linux"):
        return [first] * count
    # Set only now: a neighbour that listens with it too would not have refused us.
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listeners = [first]
    try:
        while len(listeners) < count:
            listeners.append(_open(first.family))
            listeners[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listeners[-1].bind(first.getsockname())
            listeners[-1].listen(BACKLOG)
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise _refusal(host, port, error) from error
    return listeners


def rest(listener: socket.socket) -> None:
    """Have the kernel give new connections to the other sockets of `listen_apart`, until this one listens again."""
    # Once only: a second time it would not end the listening, but what is accepted ever after.
    if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.shutdown(socket.SHUT_RDWR)


def probe_port(host: str, port: int) -> None:
    """Return when `serve` could listen there now; PortInUse or ServeError as from `listen`."""
    listen(host, port).close()


def _refusal(host: str, port: int, error: OSError) -> ServeError:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"Port {port} on {host} is in use by another program; stop that one, or set another port in WEBCHAT_BIND."
        )
    if error.errno == errno.EACCES:
        return ServeError(
            f"Port {port} on {host} may not be used by this user; set a port from 1024 on in WEBCHAT_BIND."
        )
    return ServeError(f"Port {port} on {host} cannot be listened on ({error.strerror}); set WEBCHAT_BIND.")
