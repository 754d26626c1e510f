"""POST /webchat: HTTP around the transport, the one place that answers faults and writes the request's log line."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from webchat_soap.domain.chat import Caller
from webchat_soap.domain.details import is_chat_id
from webchat_soap.domain.errors import Internal, InvalidRequest, WebchatError
from webchat_soap.domain.identifiers import random_hex
from webchat_soap.domain.outcome import Failed, Outcome
from webchat_soap.soap import compression
from webchat_soap.soap.envelope import Envelope, UnknownCharset, to_utf8
from webchat_soap.soap.faults import EnvelopeFault, status_of, write_fault
from webchat_soap.soap.packaging import UnsupportedMedia, guess_version, unpack
from webchat_soap.soap.protocol import WebchatTransport
from webchat_soap.soap.versions import SOAP12, SoapVersion

log = logging.getLogger("webchat_soap.request")

MAX_PACKED_TIMES = 3
"""How many times the largest envelope a package or an unpacked request may have: UTF-16 takes twice, Base64 more."""

_STATUS_LINES = {
    200: "200 OK",
    400: "400 Bad Request",
    408: "408 Request Timeout",
    413: "413 Content Too Large",
    415: "415 Unsupported Media Type",
    500: "500 Internal Server Error",
}


class _Plain(Exception):
    """A refusal that HTTP answers, with a plain sentence."""

    def __init__(self, status: int, sentence: str, *headers: tuple[str, str]) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers
        self.sentence = sentence


class _RequestRecord(logging.LogRecord):
    """A record of what a line for a call needs, and what handlers ask of any.

    The stock one asks for thread, process and line of code, which costs as much as all the rest of logging.
    """

    def __init__(self, operation: str, fields: dict[str, Any]) -> None:
        self.__dict__.update(_EMPTY_RECORD)
        self.msg = operation
        self.created = time.time()
        self.fields = fields


_EMPTY_RECORD = vars(logging.LogRecord(log.name, logging.INFO, "", 0, "", (), None))


@dataclass(slots=True)
class _LogLine:
    """What the log line of a request says; never bodies, secrets or given file names."""

    started: float
    exchange: Any
    """What the server tells of the request (server.exchange), None where another server runs us."""
    operation: str = "-"
    version: str = "-"
    chat_id: str = "-"
    code: str = "OK"
    outage: str | None = None
    request_bytes: int = 0
    answer_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class _Call:
    """A request from its head to its answer."""

    start_response: StartResponse
    takes_gzip: str
    caller: Caller
    envelope: Envelope
    line: _LogLine
    ctx: Any = None


class Later:
    """The answer to a call that is under way, as WSGI wants it: iterating waits for it and then starts the response.

    A server that need not wait asks `when_ready` first. `is_long` says of a call that is not under way whether it will
    wait for others, the network or a customer, rather than only for the disk.
    """

    __slots__ = ("_call", "_endpoint", "_outcome")

    def __init__(self, endpoint: SoapEndpoint, call: _Call, outcome: Outcome[Any]) -> None:
        self._endpoint = endpoint
        self._call = call
        self._outcome = outcome

    def when_ready(self, callback: Callable[[], object]) -> bool:
        """Call back, once and from any thread, when iterating will not wait; False when only iterating gets it done."""
        try:
            return self._outcome.when_done(callback)
        except Exception as error:
            self._outcome = Failed(error)
        callback()
        return True

    @property
    def is_long(self) -> bool:
        return self._outcome.is_long

    def give_up(self) -> None:
        """The client has gone."""
        self._outcome.give_up()

    def __iter__(self) -> Iterator[bytes]:
        # Not at once: PEP 3333 leaves the application until the first piece to start the response.
        yield from self._endpoint.finish(self._call, self._outcome)


class SoapEndpoint:
    """Answers every POST to the service's address. One object serves all threads."""

    def __init__(
        self,
        *,
        transport: WebchatTransport,
        max_request_bytes: int,
        call_seconds: float,
        soap12_sender_status: int,
    ) -> None:
        self._transport = transport
        self._max_request_bytes = max_request_bytes
        self._max_packed_bytes = min(max_request_bytes, MAX_PACKED_TIMES * transport.bounds.max_bytes)
        self._call_seconds = call_seconds
        self._soap12_sender_status = soap12_sender_status
        self._operation_names = transport.operation_names

    def respond(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        *,
        base_url: str,
        own_base_urls: tuple[str, ...],
        account: str | None = None,
    ) -> Iterable[bytes]:
        """Answer one POST, or begin to and give a Later. Never waits for anything but the body, and never raises:
        whatever is unforeseen becomes Internal, with the trace in the log alone."""
        started = time.monotonic()
        exchange = environ.get("webchat.exchange")
        caller = Caller(
            account=account,
            request_id=random_hex()[:16],
            base_url=base_url,
            own_base_urls=own_base_urls,
            deadline=started + self._call_seconds,
        )
        call = _Call(
            start_response=start_response,
            takes_gzip=environ.get("HTTP_ACCEPT_ENCODING", ""),
            caller=caller,
            envelope=Envelope(version=guess_version(environ.get("CONTENT_TYPE", ""))),
            line=_LogLine(started, exchange),
        )
        try:
            return Later(self, call, self._begin(environ, call))
        except _Plain as refusal:
            call.line.code = str(refusal.status)
            sentence = f"{refusal.sentence}\n".encode()
            return self._send(call, refusal.status, "text/plain; charset=utf-8", sentence, *refusal.headers)
        except Exception as error:
            return self._send_fault(call, error)

    def _begin(self, environ: WSGIEnvironment, call: _Call) -> Outcome[Any]:
        line = call.line
        body = self._read(environ)
        line.request_bytes = len(body)
        try:
            package = unpack(body, environ.get("CONTENT_TYPE", ""), max_bytes=self._max_packed_bytes)
            call.envelope.version = package.hint
            body = to_utf8(package.body, package.charset, self._transport.bounds)
        except (UnsupportedMedia, UnknownCharset) as refusal:
            raise _Plain(415, str(refusal)) from None
        ctx = call.ctx = self._transport.new_call(body, hint=package.hint, caller=call.caller)
        call.envelope = ctx.in_document
        self._transport.read(ctx)
        line.operation, line.version = ctx.descriptor.name, call.envelope.version.name
        self._check_action(environ, package.action, call.envelope.version, line.operation)
        line.chat_id = _chat_id_of(ctx)
        return self._transport.call(ctx)

    def finish(self, call: _Call, outcome: Outcome[Any]) -> list[bytes]:
        """Wait for what the call comes to, and answer it."""
        try:
            result = outcome.result()
            answer = self._transport.write(call.ctx, result)
            # SendMessage may have it in its JSON, and StartChat makes one.
            call.line.chat_id = getattr(result, "chat_id", call.line.chat_id)
        except Exception as error:
            return self._send_fault(call, error)
        return self._send(call, 200, call.envelope.version.media_type, answer)

    def _send_fault(self, call: _Call, error: Exception) -> list[bytes]:
        if not isinstance(error, (WebchatError, EnvelopeFault)):
            log.error("unforeseen in request %s", call.caller.request_id, exc_info=error)
            error = Internal()
        version = call.envelope.version
        line = call.line
        line.code, line.version = error.code, version.name
        line.outage = error.outage if isinstance(error, WebchatError) else None
        blocks = ""
        addressing = call.envelope.addressing
        if addressing is not None:
            operation = None if line.operation == "-" else line.operation
            blocks = addressing.answer_blocks(addressing.fault_action(operation))
        fault = write_fault(error, version=version, request_id=call.caller.request_id, header_blocks=blocks)
        status = status_of(error, version=version, soap12_sender_status=self._soap12_sender_status)
        return self._send(call, status, version.media_type, fault)

    def _send(self, call: _Call, status: int, media_type: str, answer: bytes, *more: tuple[str, str]) -> list[bytes]:
        headers = [
            ("Content-Type", media_type),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *more,
        ]
        if len(answer) >= compression.MIN_BYTES and compression.takes_gzip(call.takes_gzip):
            answer = compression.pack(answer)
            headers.append(("Content-Encoding", "gzip"))
        headers.append(("Content-Length", str(len(answer))))
        call.line.answer_bytes = len(answer)
        self._log(call.line, call.caller, status)
        call.start_response(_STATUS_LINES[status], headers)
        return [answer]

    def _read(self, environ: WSGIEnvironment) -> bytes:
        encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
        if encoding in ("", "identity"):
            return self._read_raw(environ)
        if encoding not in compression.CODINGS:
            raise _Plain(
                415,
                "Send the request plain, or with the Content-Encoding gzip or deflate.",
                ("Accept-Encoding", "gzip, deflate"),
            )
        raw = self._read_raw(environ)
        # A little that grows to much, or much that comes to nothing, costs what no message of the contract does.
        limit = self._max_packed_bytes
        if len(raw) > limit:
            raise _Plain(413, f"Packed, a request may have at most {limit} bytes.")
        try:
            return compression.unpack(raw, encoding, max_bytes=limit)
        except compression.TooLarge:
            raise _Plain(413, f"Unpacked, the request is larger than {limit} bytes.") from None
        except compression.Broken:
            raise _Plain(400, f"The body is not what its Content-Encoding {encoding} says.") from None

    def _read_raw(self, environ: WSGIEnvironment) -> bytes:
        declared = environ.get("CONTENT_LENGTH") or ""
        limit = self._max_request_bytes
        if declared:
            if not (declared.isascii() and declared.isdigit()):
                raise _Plain(400, "Content-Length is not a number.")
            if len(declared) > 18 or int(declared) > limit:
                raise _Plain(413, f"The request is larger than {limit} bytes.")
            body: bytes = environ["wsgi.input"].read(int(declared))
            if len(body) < int(declared):
                raise _Plain(400, "The request broke off before its Content-Length.")
            return body
        if not environ.get("wsgi.input_terminated"):
            return b""
        body = environ["wsgi.input"].read(limit + 1)
        if len(body) > limit:
            raise _Plain(413, f"The request is larger than {limit} bytes.")
        return body

    def _check_action(
        self, environ: WSGIEnvironment, parameter: str | None, version: SoapVersion, operation: str
    ) -> None:
        given = parameter if version is SOAP12 else environ.get("HTTP_SOAPACTION")
        if not given or given == f'"{operation}"':
            return
        # SOAP::Lite writes the namespace, a # and the name; others a URI that ends with the name.
        named = re.split("[#/:]", given.strip().strip('"'))[-1]
        if named != operation and named in self._operation_names:
            raise InvalidRequest(
                f"SOAPAction names {named}, but the Body holds {operation}; send the matching one or none.",
                field="SOAPAction",
            )

    def _log(self, line: _LogLine, caller: Caller, status: int) -> None:
        if log.isEnabledFor(logging.INFO):
            fields = {
                "operation": line.operation,
                "soap": line.version,
                "account": caller.account or "-",
                "chat": line.chat_id,
                "request_bytes": line.request_bytes,
                "answer_bytes": line.answer_bytes,
                "milliseconds": round((time.monotonic() - line.started) * 1000, 1),
                "in_line_milliseconds": round(getattr(line.exchange, "in_line_seconds", 0.0) * 1000, 1),
                "code": line.code,
                "status": status,
                "request_id": caller.request_id,
            }
            if line.outage is not None:
                fields["cause"] = line.outage
            log.handle(_RequestRecord(line.operation, fields))


def _chat_id_of(ctx: Any) -> str:
    """The CHATID parameter, every operation's first. What is none may be anything, and could forge a line."""
    given = (ctx.in_object[0] or "").strip()
    return (given if is_chat_id(given) else "?") if given else "-"
