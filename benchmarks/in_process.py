"""In-process cost of a call, without HTTP server and without the store: ours against stock Spyne's no-op.

    python -m benchmarks.in_process [--seconds 3]

Both are called as WSGI applications with the same SOAP 1.1 envelope of a SendMessage, in turns within one run, so that
a busy machine slows both alike; the figure to read is the ratio of the medians. Ours does everything but the store:
parse, schema validation, JSON, use case, writing the answer and the log line (to a null handler). Stock Spyne
(`WsgiApplication`, `Soap11(validator="lxml")`) runs an operation of the same signature that returns a ready receipt.
"""

from __future__ import annotations

import webchat_soap.soap  # noqa: F401  (before Spyne)

# isort: split

import argparse
import io
import logging
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from spyne import Application, Boolean, ComplexModel, DateTime, Long, ServiceBase, Unicode, rpc
from spyne.protocol.soap import Soap11
from spyne.server.wsgi import WsgiApplication

from webchat_soap.domain.chat import ChatQuota, MessageReceipt, NewMessage
from webchat_soap.domain.outcome import Done
from webchat_soap.service import ChatService, ServiceRules
from webchat_soap.soap.endpoint import SoapEndpoint
from webchat_soap.soap.protocol import make_transport

ENVELOPE = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
    b'<SendMessage xmlns="urn:webchat:v1"><CHATID>12345</CHATID>'
    b'<fileDetails>{"CHATID": "12345", "message": {"text": "test message"}}</fileDetails></SendMessage>'
    b"</soap:Body></soap:Envelope>"
)
SENT_AT = datetime(2026, 1, 1, tzinfo=UTC)
BASES = ("http://127.0.0.1:8000",)


class _NoStore:
    """Takes every message and keeps none."""

    def append(self, message: NewMessage, **limits: Any) -> Done[MessageReceipt]:
        receipt = MessageReceipt(message_id=message.message_id, chat_id=message.chat_id, sequence=1, sent_at=SENT_AT)
        return Done(receipt)


def make_ours() -> Callable[..., Any]:
    """Our endpoint over a store that keeps nothing."""
    rules = ServiceRules(
        open_unknown_chats=True,
        max_text_length=4096,
        quota=ChatQuota(max_files=50, max_bytes=500 << 20),
        max_waiting=1,
    )
    nothing: Any = None
    store: Any = _NoStore()
    service = ChatService(chats=store, files=nothing, intake=nothing, rules=rules)
    endpoint = SoapEndpoint(
        transport=make_transport(service, max_text_length=4096),
        max_request_bytes=1 << 20,
        call_seconds=45,
        soap12_sender_status=500,
    )

    def application(environ: Any, start_response: Any) -> Any:
        return endpoint.respond(environ, start_response, base_url=BASES[0], own_base_urls=BASES)

    return application


def make_stock() -> Callable[..., Any]:
    """Stock Spyne with an operation that does nothing."""

    class Receipt(ComplexModel):
        _type_info = [
            ("messageId", Unicode),
            ("CHATID", Unicode),
            ("sequence", Long),
            ("sentAt", DateTime),
            ("duplicate", Boolean),
        ]

    receipt = Receipt(
        messageId="0f8fad5b-d9cb-469f-a165-70867728950e", CHATID="12345", sequence=1, sentAt=SENT_AT, duplicate=False
    )

    class Webchat(ServiceBase):
        @rpc(Unicode, Unicode, Unicode(min_occurs=0), _returns=Receipt)
        def SendMessage(ctx, CHATID, fileDetails, clientToken):
            return receipt

    return WsgiApplication(
        Application([Webchat], tns="urn:webchat:v1", in_protocol=Soap11(validator="lxml"), out_protocol=Soap11())
    )


def call(application: Callable[..., Any]) -> bytes:
    """One SendMessage."""
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/webchat",
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_SOAPACTION": '"SendMessage"',
        "CONTENT_TYPE": "text/xml; charset=utf-8",
        "CONTENT_LENGTH": str(len(ENVELOPE)),
        "wsgi.input": io.BytesIO(ENVELOPE),
        "wsgi.url_scheme": "http",
    }
    return b"".join(application(environ, lambda status, headers, exc_info=None: None))


def microseconds(application: Callable[..., Any], calls: int) -> float:
    """Mean cost of a call."""
    started = time.perf_counter()
    for _ in range(calls):
        call(application)
    return (time.perf_counter() - started) / calls * 1e6


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to measure, about (default 3)")
    seconds = parser.parse_args(argv).seconds
    logger = logging.getLogger("webchat_soap")
    logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.INFO)
    logger.propagate = False
    ours, stock = make_ours(), make_stock()
    assert b"<sequence>1</sequence>" in call(ours)
    assert b"sequence>1</" in call(stock)
    batch = 200
    rounds = max(5, int(seconds / (batch * (microseconds(ours, batch) + microseconds(stock, batch)) / 1e6)))
    ours_costs, stock_costs = [], []
    for _ in range(rounds):
        ours_costs.append(microseconds(ours, batch))
        stock_costs.append(microseconds(stock, batch))
    ratio = statistics.median(ours_costs) / statistics.median(stock_costs)
    print(f"In-process cost of a call, {rounds} rounds of {batch}; Python {platform.python_version()}")
    print(f"{'':34}{'median us':>10}{'best us':>10}")
    print(f"{'stock Spyne 2.14, no-op':34}{statistics.median(stock_costs):10.1f}{min(stock_costs):10.1f}")
    print(f"{'SendMessage without the store':34}{statistics.median(ours_costs):10.1f}{min(ours_costs):10.1f}")
    print(f"ratio of the medians: {ratio:.2f} (bound: 0.4)")


if __name__ == "__main__":
    main()
