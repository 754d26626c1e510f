"""How many of the conformance cases the service passes, and how many stock Spyne does, side by side.

    make conformance, or: python -m benchmarks.conformance [--list ours|stock] [CASE...]

The cases are the files of tests/contract/envelopes, sent as raw bytes over HTTP: to the service as an operator starts
it, and to Spyne's own WsgiApplication with Soap11 and Soap12 and the lxml validator, over the same types and an
equivalent service in memory; one application per version, told apart by the envelope's namespace, served by werkzeug.
An exception that escapes from it, which a server turns into a page of its own, fails the case.

Stock Spyne is judged more mildly, because it never promised our contract: what stands in a fault's detail and how a
plain refusal reads is not asked of it, nor that a Sender fault of SOAP 1.2 has 500 where the specification has 400.
Exit 1 when the service itself fails a case.
"""

from __future__ import annotations

import webchat_soap.soap  # noqa: F401  (before Spyne)

# isort: split

import argparse
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from spyne import Application, Fault, Int, Long, ServiceBase, Unicode, rpc
from spyne.protocol.soap import Soap11, Soap12
from spyne.server.wsgi import WsgiApplication
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.contract.conformance import ENVELOPES, NAMESPACE, Case, Peer, read_cases
from tests.e2e.console_script import running
from webchat_soap.domain.details import parse_send
from webchat_soap.domain.errors import WebchatError
from webchat_soap.soap import types
from webchat_soap.soap.types import optional, required

MAX_REQUEST_BYTES = 1 << 20
MAX_TEXT_LENGTH = 4096


def _operation(*parameters: Any, returns: Any) -> Any:
    return rpc(*parameters, _returns=required(returns), _throws=[types.WebchatFault])


def make_stock_service() -> type[ServiceBase]:
    """The contract's operations over a dictionary."""
    texts: dict[str, list[str]] = {}
    ended: set[str] = set()

    def chat(chat_id: str, customer_name: str | None = None) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "CHATID": chat_id,
            "status": "ENDED" if chat_id in ended else "OPEN",
            "customerName": customer_name,
            "startedAt": now,
            "endedAt": now if chat_id in ended else None,
            "lastSequence": len(texts[chat_id]),
        }

    def known(chat_id: str) -> str:
        if chat_id not in texts:
            raise Fault("Client.ChatNotFound", "ChatNotFound: There is no such chat.")
        return chat_id

    def message(sequence: int, text: str) -> types.Message:
        return types.Message(
            messageId=str(sequence), sequence=sequence, sender="CUSTOMER", sentAt=datetime.now(UTC), text=text
        )

    class Stock(ServiceBase):
        @_operation(required(Unicode), required(Unicode), optional(Unicode), returns=types.MessageReceipt)
        def UploadFile(ctx, CHATID, fileDetails, clientToken):
            raise Fault("Server.DownloadFailed", "DownloadFailed: This service fetches nothing.")

        @_operation(optional(Unicode), required(Unicode), optional(Unicode), returns=types.MessageReceipt)
        def SendMessage(ctx, CHATID, fileDetails, clientToken):
            try:
                request = parse_send(
                    chat_id=CHATID,
                    file_details=fileDetails,
                    client_token=clientToken,
                    max_text_length=MAX_TEXT_LENGTH,
                )
            except WebchatError as error:
                raise Fault(f"Client.{error.code}", f"{error.code}: {error.message}") from None
            said = texts.setdefault(request.chat_id, [])
            said.append(request.text or "")
            return types.MessageReceipt(
                messageId=str(len(said)),
                CHATID=request.chat_id,
                sequence=len(said),
                sentAt=datetime.now(UTC),
                duplicate=False,
            )

        @_operation(optional(Unicode), optional(Unicode), optional(Unicode), returns=types.Chat)
        def StartChat(ctx, CHATID, customerName, clientToken):
            chat_id = CHATID or f"chat-{len(texts)}"
            texts.setdefault(chat_id, [])
            return types.Chat(**chat(chat_id, customerName))

        @_operation(required(Unicode), optional(Long), optional(Int), optional(Int), returns=types.MessagePage)
        def GetMessages(ctx, CHATID, afterSequence, maxMessages, waitSeconds):
            said = texts[known(CHATID)]
            return types.MessagePage(
                CHATID=CHATID,
                status=chat(CHATID)["status"],
                message=[message(place, text) for place, text in enumerate(said, 1) if place > (afterSequence or 0)],
                lastSequence=len(said),
                hasMore=False,
            )

        @_operation(required(Unicode), returns=types.Chat)
        def EndChat(ctx, CHATID):
            ended.add(known(CHATID))
            return types.Chat(**chat(CHATID))

        @_operation(optional(Unicode), returns=types.Limits)
        def GetLimits(ctx, CHATID):
            limits = [types.FileLimit(fileType="IMAGE", maxSize=10 << 20, contentType=["image/png"])]
            return types.Limits(
                fileLimit=limits, maxTextLength=MAX_TEXT_LENGTH, maxFilesPerChat=50, maxBytesPerChat=500 << 20
            )

    return Stock


def make_stock() -> Callable[..., Iterable[bytes]]:
    """Both versions of stock Spyne behind one address, as a WSGI application."""
    service = make_stock_service()
    applications = {}
    for version, protocol in (("1.1", Soap11), ("1.2", Soap12)):
        application = Application(
            [service],
            tns=NAMESPACE,
            name="Webchat",
            in_protocol=protocol(validator="lxml"),
            out_protocol=protocol(),
        )
        applications[version] = WsgiApplication(application, max_content_length=MAX_REQUEST_BYTES)

    def dispatch(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            version = "1.2" if "application/soap+xml" in environ.get("HTTP_ACCEPT", "") else "1.1"
            return applications[version](environ, start_response)
        # werkzeug ends a chunked input by itself, and reads anything else for ever.
        length = environ.get("CONTENT_LENGTH", "")
        most = MAX_REQUEST_BYTES + 1
        if not environ.get("wsgi.input_terminated"):
            most = min(most, int(length)) if length.isascii() and length.isdigit() else 0
        try:
            body = environ["wsgi.input"].read(most)
        except OSError:
            # A malformed chunk: the server's matter, not Spyne's.
            start_response("400 Bad Request", [("Content-Length", "0")])
            return [b""]
        environ["wsgi.input"] = BytesIO(body)
        # By the bytes, so that an envelope in another charset or inside a package finds its version as well.
        plain = body.replace(b"\x00", b"")
        if ENVELOPES["1.2"].encode() in plain and ENVELOPES["1.1"].encode() in plain:
            first = plain.find(ENVELOPES["1.2"].encode()) < plain.find(ENVELOPES["1.1"].encode())
            version = "1.2" if first else "1.1"
        elif ENVELOPES["1.2"].encode() in plain:
            version = "1.2"
        elif ENVELOPES["1.1"].encode() in plain:
            version = "1.1"
        else:
            version = "1.2" if "application/soap+xml" in environ.get("CONTENT_TYPE", "") else "1.1"
        return applications[version](environ, start_response)

    return dispatch


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *args: object) -> None:
        pass


@contextmanager
def serving_stock() -> Iterator[str]:
    """Stock Spyne on a free port, until the context is left; gives its origin."""
    server = make_server("127.0.0.1", 0, make_stock(), threaded=True, request_handler=_QuietHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def try_all(peer: Peer, cases: list[Case]) -> dict[str, list[str]]:
    """What was wrong with each case, by its id."""
    return {case.id: peer.try_case(case) for case in cases}


def print_table(cases: list[Case], ours: dict[str, list[str]], stock: dict[str, list[str]]) -> None:
    """Passed cases by group and version, of both."""
    print(f"{'':<24}{'cases':>7}{'webchat-soap':>15}{'stock Spyne':>14}")
    rows = [(group, [case for case in cases if case.group == group]) for group in sorted({c.group for c in cases})]
    rows += [(f"SOAP {version}", [case for case in cases if case.version == version]) for version in ENVELOPES]
    rows += [(folder, [c for c in cases if c.path.parent.name == folder]) for folder in ("valid", "invalid")]
    for name, members in [*rows, ("all", cases)]:
        passed = [sum(not found[case.id] for case in members) for found in (ours, stock)]
        print(f"{name:<24}{len(members):>7}{passed[0]:>15}{passed[1]:>14}")


def main() -> int:
    """Run, print, and say by the exit code whether the service passes all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", choices=["ours", "stock"], help="also print what failed at stock Spyne")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="part of a case's name")
    arguments = parser.parse_args()
    cases = [case for case in read_cases() if all(part in case.id for part in arguments.cases)]
    given = os.environ.get("WEBCHAT_TEST_DATA")
    schemas = Path(given) / "schemas" if given else None
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "data") as service:
        ours = try_all(Peer(service.url, soap_schemas=schemas), cases)
    with serving_stock() as url:
        stock = try_all(Peer(url, contract=False, soap_schemas=schemas), cases)
    print_table(cases, ours, stock)
    failed = {name: problems for name, problems in ours.items() if problems}
    listed = {name: problems for name, problems in stock.items() if problems} if arguments.list == "stock" else failed
    for name, problems in listed.items():
        print(f"\n{name}\n  " + "\n  ".join(problem[:600] for problem in problems))
    print(f"\nwebchat-soap fails {len(failed) or 'none'} of {len(cases)}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
