"""Names to addresses within a deadline. getaddrinfo takes none, so each lookup has a thread that nobody waits for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from webchat_soap.domain.errors import Busy, DownloadFailed, UrlNotAllowed
from webchat_soap.files.addresses import IpAddress, parse_address

Resolve = Callable[[str, int], Sequence[str]]
"""Host name and port to addresses in text, best first. Raises socket.gaierror as getaddrinfo does."""

_WAIT_FOR_ROOM_SECONDS = 1.0  # evens out a burst of lookups of milliseconds each; a hung resolver is told soon

_NO_SUCH_NAME = frozenset(
    number
    for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY")
    if (number := getattr(socket, name, None)) is not None
)


def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says (hosts file, search domains, DNS), in its order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for family, _, _, _, sockaddr in found if family in (socket.AF_INET, socket.AF_INET6)]


class Lookups:
    """Lookups side by side, at most `max_running`: a resolver that hangs costs that many sleeping threads, no more."""

    def __init__(self, resolve: Resolve = resolve_by_system, *, max_running: int = 16) -> None:
        self._resolve = resolve
        self._room = threading.BoundedSemaphore(max_running)

    def find(self, host: str, port: int, *, deadline: float, field: str) -> tuple[IpAddress, ...]:
        """All addresses of `host`, at least one, by `deadline` (time.monotonic()).

        DownloadFailed when the name does not exist (not retryable) or the answer does not come; Busy when too many
        lookups are waiting for theirs.
        """
        remaining_seconds = deadline - time.monotonic()
        if not self._room.acquire(timeout=max(0.0, min(_WAIT_FOR_ROOM_SECONDS, remaining_seconds))):
            raise Busy(
                "Too many lookups of host names are waiting for an answer; try again in a few seconds.",
                retry_after_seconds=5,
            )
        answer: Future[Sequence[str]] = Future()
        thread = threading.Thread(target=self._look_up, args=(host, port, answer), name="lookup", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no more threads
            self._room.release()
            raise Busy("The service has no room for another download; try again.", retry_after_seconds=5) from error
        try:
            texts = answer.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError as error:
            raise DownloadFailed(
                f"The name of fileUrl's host {host!r} was not resolved in time; try again later.", field=field
            ) from error
        except socket.gaierror as error:
            raise _unresolved(host, field, no_such_name=error.errno in _NO_SUCH_NAME) from error
        except OSError as error:
            raise _unresolved(host, field, no_such_name=False) from error
        except UnicodeError as error:
            raise UrlNotAllowed(
                f"fileUrl's host {host!r} cannot be a host name; correct the URL.", field=field
            ) from error
        if not texts:
            raise _unresolved(host, field, no_such_name=True)
        return tuple(dict.fromkeys(parse_address(text) for text in texts))

    def _look_up(self, host: str, port: int, answer: Future[Sequence[str]]) -> None:
        try:
            answer.set_result(self._resolve(host, port))
        except Exception as error:  # handed to the waiting caller, who tells what it knows from what is a bug
            answer.set_exception(error)
        finally:
            self._room.release()


def _unresolved(host: str, field: str, *, no_such_name: bool) -> DownloadFailed:
    if no_such_name:
        return DownloadFailed(
            f"fileUrl's host {host!r} does not exist in the DNS; correct the URL.", field=field, retryable=False
        )
    return DownloadFailed(
        f"The name of fileUrl's host {host!r} could not be resolved just now; try again later.", field=field
    )
