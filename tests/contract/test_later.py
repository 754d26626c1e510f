"""An answer that comes later, as a server that does not wait sees it."""

from __future__ import annotations

import io
from typing import Any

from lxml import etree

from benchmarks.in_process import ENVELOPE
from webchat_soap.domain.errors import Busy
from webchat_soap.domain.outcome import Outcome
from webchat_soap.soap.endpoint import Later, SoapEndpoint
from webchat_soap.soap.protocol import make_transport


class Unwilling:
    """A use case that cannot even be begun, as when no thread can be had."""

    is_long = True

    def when_done(self, callback: Any) -> bool:
        raise Busy("no thread", retry_after_seconds=7)

    def result(self) -> Any:
        raise AssertionError("nobody asks for it")

    def give_up(self) -> None:
        pass


class Service:
    def send_message(self, caller: Any, request: Any) -> Outcome[Any]:
        return Unwilling()


def test_what_cannot_be_begun_is_answered_by_its_fault() -> None:
    service: Any = Service()
    endpoint = SoapEndpoint(
        transport=make_transport(service, max_text_length=4096),
        max_request_bytes=1 << 20,
        call_seconds=45,
        soap12_sender_status=500,
    )
    environ: Any = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "text/xml",
        "CONTENT_LENGTH": str(len(ENVELOPE)),
        "wsgi.input": io.BytesIO(ENVELOPE),
    }
    started: list[Any] = []
    bases = ("http://h",)
    later = endpoint.respond(environ, lambda *head: started.append(head), base_url=bases[0], own_base_urls=bases)  # type: ignore[arg-type]
    assert isinstance(later, Later)
    called: list[bool] = []
    assert later.when_ready(lambda: called.append(True))
    assert (called, started) == ([True], [])
    answer = etree.fromstring(b"".join(later))
    assert answer.findtext(".//{urn:webchat:v1}retryAfterSeconds") == "7"
    assert started[0][0] == "500 Internal Server Error"
