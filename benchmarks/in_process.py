"""b. In-process cost of a SendMessage, split by part, against stock Spyne's no-op.

    python -m benchmarks b

All are called with the same SOAP 1.1 envelope in one thread, in turns within one run, so that a busy machine slows all
alike; the figures to read are the ratios of the medians. The whole is the service's WSGI application with everything
but the store: routes, parse, schema validation, JSON, use case, the answer and the log line (to a null handler). Stock
Spyne (`WsgiApplication`, `Soap11(validator="lxml")`) runs an operation of the same signature that returns a ready
receipt.
"""

from __future__ import annotations

import io
import logging
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.results import Bar, Bound, Chart, Figures, Panel, Part, Table, number, ratio
from benchmarks.without_store import NoStore, create_app, make_service
from webchat_soap.domain.chat import Caller, ChatQuota, NewMessage, Sender
from webchat_soap.domain.details import parse_send
from webchat_soap.settings import Settings, load_settings
from webchat_soap.soap.endpoint import SoapEndpoint
from webchat_soap.soap.protocol import WebchatTransport, make_transport
from webchat_soap.soap.versions import SOAP11
from webchat_soap.stores import open_chat_store

ENVELOPE = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
    b'<SendMessage xmlns="urn:webchat:v1"><CHATID>12345</CHATID>'
    b'<fileDetails>{"CHATID": "12345", "message": {"text": "test message"}}</fileDetails></SendMessage>'
    b"</soap:Body></soap:Envelope>"
)
PARSED_ENVELOPE = ENVELOPE.replace(b"12345</", b"1234&#53;</")
"""The same, but with a reference in a text, so that it is parsed each time, as the first of its kind is."""
DETAILS = '{"CHATID": "12345", "message": {"text": "test message"}}'
BASES = ("http://127.0.0.1:8000",)
MOST_RATIO = 0.35
TOGETHER = 64
_BATCH = 100

PARTS = {
    "http": "HTTP: routes, headers, log line",
    "read": "read: bounds, tags that are known",
    "spyne": "parameters, Spyne's frame",
    "json": "JSON",
    "use_case": "use case",
    "answer": "write the answer",
}


def make_ours() -> Callable[..., Any]:
    """Our endpoint over a store that keeps nothing."""
    endpoint = SoapEndpoint(
        transport=_make_transport(), max_request_bytes=1 << 20, call_seconds=45, soap12_sender_status=500
    )

    def application(environ: Any, start_response: Any) -> Any:
        return endpoint.respond(environ, start_response, base_url=BASES[0], own_base_urls=BASES)

    return application


def _make_transport() -> WebchatTransport:
    return make_transport(make_service(NoStore(), Settings()), max_text_length=4096)


def call(application: Callable[..., Any], envelope: bytes = ENVELOPE) -> bytes:
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
        "CONTENT_LENGTH": str(len(envelope)),
        "wsgi.input": io.BytesIO(envelope),
        "wsgi.url_scheme": "http",
    }
    return b"".join(application(environ, lambda status, headers, exc_info=None: None))


def microseconds(work: Callable[[], object], calls: int = _BATCH) -> float:
    """Mean cost of a call."""
    started = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - started) / calls * 1e6


def measure(*, folder: Path, quick: bool) -> Figures:
    """Run it: all pieces in turns, then the store."""
    from benchmarks.peers.stock_spyne import make_no_op  # here: what of Spyne it needs warns as it is imported

    rounds = 5 if quick else 150
    with _quiet_log():
        application = create_app(load_settings(environ={"WEBCHAT_DATA_DIR": str(folder / "data")}, toml_path=None))
        stock = make_no_op()
        assert b"<sequence>1</sequence>" in call(application)
        assert b"sequence>1</" in call(stock)
        work = {
            "stock": lambda: call(stock),
            "whole": lambda: call(application),
            "parsed": lambda: call(application, PARSED_ENVELOPE),
        } | _pieces()
        costs: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(rounds):
            for name, one in work.items():
                costs[name].append(microseconds(one))
    pieces = {name: statistics.median(seen) for name, seen in costs.items()}
    inside = sum(pieces[name] for name in ("read", "json", "use_case", "answer"))
    return {
        "rounds": rounds,
        "calls": _BATCH,
        "stock_us": round(pieces["stock"], 1),
        "whole_us": round(pieces["whole"], 1),
        "parsed_us": round(pieces["parsed"], 1),
        "best_ratio": round(min(costs["whole"]) / min(costs["stock"]), 3),
        "parts_us": {
            "http": round(pieces["whole"] - pieces["soap"], 1),
            "spyne": round(pieces["soap"] - inside, 1),
            **{name: round(pieces[name], 1) for name in ("read", "json", "use_case", "answer")},
        },
        "store_us": _store_microseconds(folder, calls=20 if quick else 1000, threads=1),
        "store_together_us": _store_microseconds(folder, calls=5 if quick else 300, threads=TOGETHER),
    }


def _pieces() -> dict[str, Callable[[], object]]:
    """What a call is made of, each to be run alone; `soap` is all of it but HTTP."""
    transport = _make_transport()
    service = make_service(NoStore(), Settings())
    caller = Caller(account=None, request_id="0", base_url=BASES[0], own_base_urls=BASES, deadline=float("inf"))
    request = parse_send(chat_id="12345", file_details=DETAILS, client_token=None)
    done = transport.new_call(ENVELOPE, hint=SOAP11, caller=caller)
    transport.read(done)
    receipt = transport.call(done).result()
    transport.write(done, receipt)

    def soap() -> None:
        context = transport.new_call(ENVELOPE, hint=SOAP11, caller=caller)
        transport.read(context)
        transport.write(context, transport.call(context).result())

    def read() -> None:
        transport.read(transport.new_call(ENVELOPE, hint=SOAP11, caller=caller))

    return {
        "soap": soap,
        "read": read,
        "json": lambda: parse_send(chat_id="12345", file_details=DETAILS, client_token=None),
        "use_case": lambda: service.send_message(caller, request).result(),
        "answer": lambda: transport.write(done, receipt),
    }


def _store_microseconds(folder: Path, *, calls: int, threads: int) -> float:
    """What a durable append takes, on the clock, for each of so many threads' messages."""
    place = folder / f"store-{threads}"
    place.mkdir()
    quota = ChatQuota(max_files=50, max_bytes=500 << 20)
    with closing(open_chat_store(f"sqlite:///{place}/webchat.db", lock_folder=place / "locks")) as store:

        def append(chat: int, count: int) -> None:
            for number_ in range(count):
                message = NewMessage(
                    message_id=f"{chat}-{number_}",
                    chat_id=f"chat-{chat}",
                    sender=Sender.CUSTOMER,
                    text="test message",
                    files=(),
                    token=None,
                    account=None,
                )
                store.append(message, open_unknown=True, quota=quota).result()

        append(0, 10)
        running = [threading.Thread(target=append, args=(chat, calls)) for chat in range(threads)]
        started = time.perf_counter()
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return round((time.perf_counter() - started) / (calls * threads) * 1e6, 1)


@contextmanager
def _quiet_log() -> Iterator[None]:
    """Log lines are made, and go nowhere."""
    logger = logging.getLogger("webchat_soap")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers[:] = [logging.NullHandler()]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.handlers[:], logger.propagate = before[0], before[2]
        logger.setLevel(before[1])


def tables(figures: Figures) -> list[Table]:
    def row(name: str, cost: float) -> list[str]:
        return [name, number(cost), number(ratio(cost, figures["stock_us"]))]

    return [
        Table(
            title="One thread, microseconds a call (and times stock Spyne's whole no-op)",
            columns=["", "µs", "times stock"],
            rows=[
                row("stock Spyne, no-op, the whole call", figures["stock_us"]),
                row("SendMessage without the store, the whole call", figures["whole_us"]),
                row("the same, the first of a client's messages", figures["parsed_us"]),
                *(row(f"· {name}", figures["parts_us"][part]) for part, name in PARTS.items()),
                row("store: a durable append alone (one fsync)", figures["store_us"]),
                row(f"store: of {TOGETHER} at once, each", figures["store_together_us"]),
            ],
        )
    ]


def bounds(figures: Figures) -> list[Bound]:
    return [
        Bound(
            what="a SendMessage without the store, times stock Spyne's no-op",
            value=ratio(figures["whole_us"], figures["stock_us"]),
            at_most=MOST_RATIO,
        ),
        Bound(
            what="the same, parsed as the first of a client's messages is",
            value=ratio(figures["parsed_us"], figures["stock_us"]),
            at_most=MOST_RATIO,
        ),
    ]


def chart(figures: Figures) -> Chart:
    stock, whole = figures["stock_us"], figures["whole_us"]

    def bar(label: str, cost: float, kind: str) -> Bar:
        return Bar(
            label=label, value=max(cost, 0), text=f"{number(cost)} µs · {number(ratio(cost, stock))}×", kind=kind
        )

    return Chart(
        title="A call in process, one thread (× stock Spyne's no-op)",
        description=(
            f"A SendMessage with all but its store costs {number(ratio(whole, stock))} of what stock Spyne takes to do "
            "nothing."
        ),
        panels=[
            Panel(
                title="Whole calls",
                bars=[
                    bar("stock Spyne, no-op", stock, "plain"),
                    bar("SendMessage without store", whole, "ours"),
                    bar("its first, parsed", figures["parsed_us"], "ours"),
                    bar("a durable append alone", figures["store_us"], "other"),
                    bar(f"of {TOGETHER} at once, each", figures["store_together_us"], "other"),
                ],
                mark=stock * MOST_RATIO,
                mark_text=f"{MOST_RATIO} × stock",
            ),
            Panel(
                title="What a SendMessage is made of",
                bars=[bar(name.partition(":")[0], figures["parts_us"][part], "ours") for part, name in PARTS.items()],
            ),
        ],
    )


PART = Part(
    letter="b",
    title="In-process cost of a call, by part",
    measure=measure,
    tables=tables,
    bounds=bounds,
    chart=chart,
)
