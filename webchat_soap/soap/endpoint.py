"""POST /webchat: HTTP around the transport, the one place that answers faults and writes the request's log line."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from webchat_soap.domain.chat import Caller
from webchat_soap.domain.details import is_chat_id
from webchat_soap.domain.errors import Internal, InvalidRequest, WebchatError
from webchat_soap.soap import compression
from webchat_soap.soap.envelope import Envelope, UnknownCharset, to_utf8
from webchat_soap.soap.faults import EnvelopeFault, status_of, write_fault
from webchat_soap.soap.packaging import UnsupportedMedia, guess_version, unpack
from webchat_soap.soap.protocol import WebchatTransport
from webchat_soap.soap.versions import SOAP12, SoapVersion

log = logging.getLogger("webchat_soap.request")

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


@dataclass(slots=True)
class _LogLine:
    """What the log line of a request says; never bodies, secrets or given file names."""

    started: float
    operation: str = "-"
    version: str = "-"
    chat_id: str = "-"
    code: str = "OK"
    request_bytes: int = 0
    answer_bytes: int = 0


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
        """Answer one POST. Never raises: whatever is unforeseen becomes Internal, with the trace in the log alone."""
        started = time.monotonic()
        line = _LogLine(started)
        caller = Caller(
            account=account,
            request_id=secrets.token_hex(8),
            base_url=base_url,
            own_base_urls=own_base_urls,
            deadline=started + self._call_seconds,
        )
        more: tuple[tuple[str, str], ...] = ()
        try:
            status, media_type, answer = self._answer(environ, caller, line)
        except _Plain as refusal:
            line.code, more = str(refusal.status), refusal.headers
            status, media_type, answer = refusal.status, "text/plain; charset=utf-8", f"{refusal.sentence}\n".encode()
        headers = [
            ("Content-Type", media_type),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *more,
        ]
        if len(answer) >= compression.MIN_BYTES and compression.takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
            answer = compression.pack(answer)
            headers.append(("Content-Encoding", "gzip"))
        headers.append(("Content-Length", str(len(answer))))
        line.answer_bytes = len(answer)
        self._log(line, caller, status)
        start_response(_STATUS_LINES[status], headers)
        return [answer]

    def _answer(self, environ: WSGIEnvironment, caller: Caller, line: _LogLine) -> tuple[int, str, bytes]:
        body = self._read(environ)
        line.request_bytes = len(body)
        envelope = Envelope(version=guess_version(environ.get("CONTENT_TYPE", "")))
        try:
            try:
                package = unpack(body, environ.get("CONTENT_TYPE", ""))
                envelope.version = package.hint
                body = to_utf8(package.body, package.charset, self._transport.bounds)
            except (UnsupportedMedia, UnknownCharset) as refusal:
                raise _Plain(415, str(refusal)) from None
            ctx = self._transport.new_call(body, hint=package.hint, caller=caller)
            envelope = ctx.in_document
            self._transport.read(ctx)
            line.operation, line.version = ctx.descriptor.name, envelope.version.name
            self._check_action(environ, package.action, envelope.version, line.operation)
            line.chat_id = _chat_id_of(ctx)
            answer = self._transport.call(ctx)
            # SendMessage may have it in its JSON, and StartChat makes one.
            line.chat_id = getattr(ctx.out_object[0], "chat_id", line.chat_id)
        except (WebchatError, EnvelopeFault) as error:
            return self._fault(error, envelope, caller, line)
        except _Plain:
            raise
        except Exception:
            log.exception("unforeseen in request %s", caller.request_id)
            return self._fault(Internal(), envelope, caller, line)
        return 200, envelope.version.media_type, answer

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
        try:
            return compression.unpack(raw, encoding, max_bytes=self._max_request_bytes)
        except compression.TooLarge:
            raise _Plain(413, f"The request is larger than {self._max_request_bytes} bytes.") from None
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
        if not given:
            return
        # SOAP::Lite writes the namespace, a # and the name; others a URI that ends with the name.
        named = re.split("[#/:]", given.strip().strip('"'))[-1]
        if named != operation and named in self._operation_names:
            raise InvalidRequest(
                f"SOAPAction names {named}, but the Body holds {operation}; send the matching one or none.",
                field="SOAPAction",
            )

    def _fault(
        self, error: WebchatError | EnvelopeFault, envelope: Envelope, caller: Caller, line: _LogLine
    ) -> tuple[int, str, bytes]:
        version = envelope.version
        line.code, line.version = error.code, version.name
        blocks = ""
        if envelope.addressing is not None:
            operation = None if line.operation == "-" else line.operation
            blocks = envelope.addressing.answer_blocks(envelope.addressing.fault_action(operation))
        fault = write_fault(error, version=version, request_id=caller.request_id, header_blocks=blocks)
        return (
            status_of(error, version=version, soap12_sender_status=self._soap12_sender_status),
            version.media_type,
            fault,
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
                "code": line.code,
                "status": status,
                "request_id": caller.request_id,
            }
            # Made by hand: looking for the caller's line of code costs as much as the rest of the record.
            record = logging.LogRecord(log.name, logging.INFO, "", 0, line.operation, (), None)
            record.fields = fields
            log.handle(record)


def _chat_id_of(ctx: Any) -> str:
    """The CHATID parameter, every operation's first. What is none may be anything, and could forge a line."""
    given = (ctx.in_object[0] or "").strip()
    return (given if is_chat_id(given) else "?") if given else "-"
