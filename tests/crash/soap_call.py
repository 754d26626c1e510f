"""SOAP calls over a connection of one's own, that tell an answer from none at all: what a caller must know to retry."""

from __future__ import annotations

import http.client
import socket
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree

NAMESPACE = "urn:webchat:v1"
ENVELOPES = {
    "1.1": ("http://schemas.xmlsoap.org/soap/envelope/", "text/xml; charset=utf-8"),
    "1.2": ("http://www.w3.org/2003/05/soap-envelope", "application/soap+xml; charset=utf-8"),
}


class Unanswered(Exception):
    """The connection ended, or there was none: nobody knows what became of the call."""


class GaveUp(Exception):
    """The caller's own time was over and it closed the connection; the call may still run."""


class Fault(Exception):
    """The service refused. `code` is the contract's, or the HTTP status where HTTP refused."""

    def __init__(self, code: str, sentence: str, *, retryable: bool) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.retryable = retryable


class Caller:
    """One thread's connection, kept alive while it lives."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def call(self, operation: str, version: str, *, seconds: float, **parameters: object) -> Any:
        """The result's element. Unanswered, GaveUp (after `seconds` without a byte), Fault."""
        namespace, media_type = ENVELOPES[version]
        inner = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in parameters.items())
        body = (
            f'<s:Envelope xmlns:s="{namespace}"><s:Body><{operation} xmlns="{NAMESPACE}">{inner}</{operation}>'
            "</s:Body></s:Envelope>"
        )
        status, answer = self._exchange("POST", "/webchat", body.encode(), {"Content-Type": media_type}, seconds)
        if status == 503:
            raise Fault("503", answer.decode(), retryable=True)
        if status not in (200, 500):
            raise Fault(str(status), answer.decode(), retryable=False)
        root = etree.fromstring(answer)
        if status == 200:
            (result,) = root.iter(f"{{{NAMESPACE}}}{operation}Result")
            return result
        (detail,) = root.iter(f"{{{NAMESPACE}}}WebchatFault")
        raise Fault(field(detail, "code"), field(detail, "message"), retryable=field(detail, "retryable") == "true")

    def get(self, path: str, *, seconds: float = 30) -> bytes:
        """The body of a GET that must be answered with 200."""
        status, body = self._exchange("GET", path, None, {}, seconds)
        assert status == 200, (path, status)
        return body

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> tuple[int, bytes]:
        try:
            connection = self._connected()
            assert connection.sock is not None
            connection.sock.settimeout(seconds)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except TimeoutError:
            self.close()
            raise GaveUp from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unanswered(f"{type(error).__name__}: {error}") from None
        if answer.will_close:
            self.close()
        return answer.status, content

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            connection.connect()
            assert connection.sock is not None
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection = connection
        return self._connection


def field(element: Any, name: str) -> str:
    """The text of a child that must be there."""
    found = field_or_none(element, name)
    assert found is not None, (name, etree.tostring(element))
    return found


def field_or_none(element: Any, name: str) -> str | None:
    text: str | None = element.findtext(f"{{{NAMESPACE}}}{name}")
    return text


def children(element: Any, name: str) -> list[Any]:
    return list(element.findall(f"{{{NAMESPACE}}}{name}"))
