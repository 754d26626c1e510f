"""One GET to one checked target: connect to the given addresses, send the request, read the head, hand out the body.

requests and urllib3 write the request and read the answer's head; the sockets under them are ours. Every wait is held
to a deadline without a watchdog thread: the socket's timeout is set to the time that is left before each single
operation, and each of those (connect, TLS handshake, send, one receive) is bounded as a whole by that timeout in
CPython. A host that drips bytes therefore gets no further than the deadline, and no thread has to shut down a socket
whose number another thread may already have got again.
"""

from __future__ import annotations

import errno
import http.client
import io
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.errors import MultipartInvariantViolationDefect, NoBoundaryInMultipartDefect, StartBoundaryNotFoundDefect
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from webchat_soap.domain.errors import Busy, DownloadFailed, WebchatError
from webchat_soap.domain.outages import outage_of
from webchat_soap.files.addresses import IpAddress
from webchat_soap.files.guard import Target

_MAX_HEAD_BYTES = 64 * 1024  # four times what common servers send at most; http.client would take 100 lines of 64 KiB
_READ_BUFFER_BYTES = 16 * 1024  # a TLS record; larger reads go past it into the caller's buffer
_MAX_ADDRESSES_TRIED = 6  # hosts with more are up or down as a whole

_MULTIPART_DEFECTS = (StartBoundaryNotFoundDefect, MultipartInvariantViolationDefect, NoBoundaryInMultipartDefect)

_FOREIGN = (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError)
"""What requests, urllib3, http.client, ssl, socket and idna raise; UnicodeError and ssl.SSLError are among them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer whose head has come. `body` yields the bytes after it, still in their transfer coding."""

    status: int
    headers: http.client.HTTPMessage
    body: io.BufferedReader


class Hop:
    """The state of one exchange: its socket, its deadlines, and why it failed."""

    def __init__(
        self,
        target: Target,
        addresses: Sequence[IpAddress],
        *,
        field: str,
        connect_seconds: float,
        head_deadline: float,
        deadline: float,
    ) -> None:
        self._target = target
        self._addresses = addresses[:_MAX_ADDRESSES_TRIED]
        self._field = field
        self._connect_seconds = connect_seconds
        self._head_deadline = min(head_deadline, deadline)
        self._deadline = deadline
        self._socket: socket.socket | None = None
        self._failure: WebchatError | None = None
        self._phase = "connect"
        self._received_bytes = 0
        self.response: http.client.HTTPResponse | None = None

    # The way out: what the connection classes below call.

    def connect(self) -> socket.socket:
        """A socket to the first address that answers; the others share what is left of the time to connect."""
        connect_deadline = min(time.monotonic() + self._connect_seconds, self._head_deadline)
        last_error: OSError | None = None
        for at, address in enumerate(self._addresses):
            share = (connect_deadline - time.monotonic()) / (len(self._addresses) - at)
            if share <= 0:
                break
            try:
                return self._connect_to(address, timeout_seconds=share)
            except OSError as error:
                last_error = error
        if last_error is not None and last_error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            self._failure = Busy("The service has no room for another download; try again.", retry_after_seconds=5)
            self._failure.outage = outage_of(last_error)
        elif last_error is None or isinstance(last_error, TimeoutError):
            self._failure = self._failed("could not be reached in time")
        else:
            self._failure = self._failed("refuses the connection or cannot be reached")
        # Not the error itself: urllib3 passes over a reset while it sends, and would go on without a socket.
        raise http.client.NotConnected from last_error

    def use(self, connected: socket.socket) -> BoundedSocket:
        """Take the socket, its handshake done, and give http.client one that keeps to the deadlines."""
        self._socket = connected
        self._phase = "head"
        return BoundedSocket(self)

    def fail_tls(self, error: Exception) -> None:
        """Keep why the TLS handshake failed, in words a caller can act on."""
        if isinstance(error, TimeoutError):
            self._failure = self._failed("did not finish the TLS handshake in time")
        elif isinstance(error, ssl.SSLCertVerificationError):
            self._failure = self._failed(
                f"has a certificate that is not trusted for its name ({error.verify_message.rstrip('.')})",
                advice="correct the host or its certificate, or have the operator trust its issuer by "
                "WEBCHAT_FETCH_CA_FILE",
            )
        elif isinstance(error, ssl.SSLError):
            self._failure = self._failed("did not complete a TLS handshake; it may not speak https on this port")

    def make_response(self, sock: Any, *arguments: Any, **named: Any) -> http.client.HTTPResponse:  # noqa: ANN401
        """Stands in for http.client's response_class, to keep the response that reads from our socket."""
        self.response = _Response(sock, *arguments, **named)
        return self.response

    def send(self, data: Any) -> None:  # noqa: ANN401
        """All of `data`, within the head's deadline."""
        try:
            self._armed().sendall(data)
        except TimeoutError:
            self._failure = self._failure_in_time()
            raise

    def receive_into(self, buffer: memoryview) -> int:
        """One receive; 0 at the end. TimeoutError at the deadline, OSError for a head that is too large or cut off."""
        if self._phase == "head" and self._received_bytes > _MAX_HEAD_BYTES:
            self._failure = self._failed(f"sent more than {_MAX_HEAD_BYTES} bytes of headers")
            raise OSError(errno.EMSGSIZE, "head too large")
        try:
            received_bytes = self._armed().recv_into(buffer)
        except TimeoutError:
            self._failure = self._failure_in_time()
            raise
        if received_bytes == 0 and self._phase == "head":
            # http.client takes the end of the connection for the end of the headers.
            self._failure = self._failed("closed the connection without a whole answer")
            raise OSError(errno.ECONNRESET, "head cut off")
        self._received_bytes += received_bytes
        return received_bytes

    # The way in.

    def begin_body(self) -> None:
        """From here on only the whole download's deadline counts."""
        self._phase = "body"

    def close(self) -> None:
        """Let go of the connection, which is never used again."""
        if self._socket is not None:
            self._socket.close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Foreign errors inside become the one fault that says what the host did."""
        try:
            yield
        except _FOREIGN as error:
            raise self._translate(error) from error

    def _translate(self, error: Exception) -> WebchatError:
        if self._failure is not None:
            return self._failure
        if self._phase == "body":
            return self._failed("broke off the file in the middle", http_status=self._status())
        if isinstance(_root(error), OSError):
            return self._failed("closed the connection without a whole answer")
        return self._failed("gave an answer that is not proper HTTP")

    def _failure_in_time(self) -> WebchatError:
        if self._phase == "body":
            return self._failed("did not send the whole file in time", http_status=self._status())
        return self._failed("did not begin to answer in time")

    def _status(self) -> int | None:
        return None if self.response is None else self.response.status

    def _failed(self, what: str, *, advice: str = "try again later", http_status: int | None = None) -> DownloadFailed:
        return DownloadFailed(
            f"fileUrl's host {self._target.host!r} {what}; {advice}.", field=self._field, http_status=http_status
        )

    def _connect_to(self, address: IpAddress, *, timeout_seconds: float) -> socket.socket:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        connected = socket.socket(family, socket.SOCK_STREAM)
        try:
            connected.settimeout(timeout_seconds)
            connected.connect((str(address), self._target.port))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.settimeout(max(0.001, self._head_deadline - time.monotonic()))  # for a TLS handshake
        except BaseException:
            connected.close()
            raise
        return connected

    def _armed(self) -> socket.socket:
        deadline = self._deadline if self._phase == "body" else self._head_deadline
        remaining_seconds = deadline - time.monotonic()
        if self._socket is None or remaining_seconds <= 0:
            raise TimeoutError
        self._socket.settimeout(remaining_seconds)
        return self._socket


class BoundedSocket:
    """As much of a socket as http.client and urllib3 use. Closing it is left to the hop, which outlives the head."""

    def __init__(self, hop: Hop) -> None:
        self._hop = hop

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self._hop), _READ_BUFFER_BYTES)

    def sendall(self, data: Any) -> None:  # noqa: ANN401
        self._hop.send(data)

    def settimeout(self, seconds: float | None) -> None:
        """Not heard: the deadlines rule."""

    def close(self) -> None:
        """Left to the hop."""


class _BoundedReader(io.RawIOBase):
    def __init__(self, hop: Hop) -> None:
        self._hop = hop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        return self._hop.receive_into(buffer)


class _Response(http.client.HTTPResponse):
    def begin(self) -> None:
        super().begin()
        # The parser stops at a line it cannot read, and the headers after it, lengths too, would be lost. It also looks
        # for the parts of a multipart body, which says nothing of the headers.
        if not all(isinstance(defect, _MULTIPART_DEFECTS) for defect in self.headers.defects):
            raise http.client.HTTPException("a header line that is none")


class _PlainConnection(HTTPConnection):
    def __init__(self, *arguments: Any, hop: Hop, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self._hop = hop
        self.response_class = hop.make_response  # type: ignore[assignment]  # http.client only calls it

    def _new_conn(self) -> socket.socket:
        return self._hop.connect()

    def connect(self) -> None:
        super().connect()
        self.sock = self._hop.use(self.sock)


class _TlsConnection(HTTPSConnection):
    def __init__(self, *arguments: Any, hop: Hop, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self._hop = hop
        self.response_class = hop.make_response  # type: ignore[assignment]  # http.client only calls it

    def _new_conn(self) -> socket.socket:
        return self._hop.connect()

    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:
            self._hop.fail_tls(error)
            raise
        if isinstance(self.sock, ssl.SSLSocket):
            # Without this a connection cut by somebody on the way looks like the end of a file of unknown length.
            self.sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]  # typeshed has it not
        self.sock = self._hop.use(self.sock)


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _HopAdapter(HTTPAdapter):
    """Sends over the hop's own pool of one connection. No session around it: no cookies, proxies, .netrc, redirects."""

    def __init__(self, pool: urllib3.HTTPConnectionPool) -> None:
        super().__init__(max_retries=0)
        self._pool = pool

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> urllib3.HTTPConnectionPool:  # noqa: ANN401
        return self._pool

    def cert_verify(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        """The pool's TLS context has our certificates and verifies."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:  # noqa: ANN401
        """The status and headers; what requests would do besides is to read the host's cookies."""
        response = requests.Response()
        response.status_code = resp.status
        response.headers = CaseInsensitiveDict(resp.headers)
        response.raw = resp
        response.request = req
        return response


@contextmanager
def open_hop(
    target: Target,
    addresses: Sequence[IpAddress],
    *,
    field: str,
    user_agent: str,
    tls: ssl.SSLContext | None,
    connect_seconds: float,
    head_deadline: float,
    deadline: float,
) -> Iterator[tuple[Answer, Hop]]:
    """Ask for `target` at one of `addresses` and wait for the head of the answer; leaving closes the connection.

    `tls` is needed for https alone; the deadlines are time.monotonic() values. DownloadFailed; Busy when the process
    has no socket left.
    """
    hop = Hop(
        target,
        addresses,
        field=field,
        connect_seconds=connect_seconds,
        head_deadline=head_deadline,
        deadline=deadline,
    )
    pool: urllib3.HTTPConnectionPool
    if target.scheme == "https":
        pool = _TlsPool(target.host, target.port, retries=False, hop=hop, ssl_context=tls)
    else:
        pool = _PlainPool(target.host, target.port, retries=False, hop=hop)
    try:
        with hop.translated():
            request = requests.PreparedRequest()
            request.prepare(
                method="GET",
                url=target.url,
                headers={
                    "Accept": "*/*",
                    "Accept-Encoding": "identity",
                    "User-Agent": user_agent,
                    "Connection": "close",
                },
            )
            answered = _HopAdapter(pool).send(request, stream=True)
            response = hop.response
            if response is None:
                raise http.client.ResponseNotReady
        hop.begin_body()
        yield Answer(status=response.status, headers=response.headers, body=response.fp), hop
        answered.close()  # kept until here: urllib3's response closes the body when nobody holds it any more
    finally:
        pool.close()
        hop.close()


def _root(error: BaseException) -> BaseException:
    """The first cause: requests wraps urllib3, which wraps http.client."""
    seen = 0
    while (inner := error.__cause__ or error.__context__) is not None and seen < 20:
        error, seen = inner, seen + 1
    return error
