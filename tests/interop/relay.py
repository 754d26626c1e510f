"""A relay between a client and the service that loses an answer, and says Busy once, as a bad day's network would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

BUSY_SECONDS = 2
_BUSY = f"""<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>
<faultcode>soap:Server</faultcode><faultstring>Busy: No room now; try again.</faultstring>
<detail><WebchatFault xmlns="urn:webchat:v1"><code>Busy</code><message>No room now; try again.</message>
<retryable>true</retryable><requestId>relay</requestId><retryAfterSeconds>{BUSY_SECONDS}</retryAfterSeconds>
</WebchatFault></detail></soap:Fault></soap:Body></soap:Envelope>""".encode()


@dataclass(frozen=True, kw_only=True)
class Relay:
    """`bodies` are the calls that came, in order, also those that were not answered."""

    url: str
    bodies: list[bytes] = field(default_factory=list)

    def calls(self, operation: str) -> list[bytes]:
        return [body for body in self.bodies if f"{operation}>".encode() in body]


@contextmanager
def relaying(url: str) -> Iterator[Relay]:
    """Relay to `url`: the first SendMessage works, but its answer is lost; the first UploadFile is Busy."""
    bodies: list[bytes] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._forward(None)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                bodies.append(body)
                first_text = b"SendMessage>" in body and relay.calls("SendMessage") == [body]
                first_file = b"UploadFile>" in body and relay.calls("UploadFile") == [body]
            if first_file:
                self._answer(500, "text/xml; charset=utf-8", _BUSY)
            else:
                self._forward(body, lose=first_text)

        def _forward(self, body: bytes | None, *, lose: bool = False) -> None:
            # The Host stays, so the WSDL's address is the relay's.
            kept = {name: self.headers[name] for name in ("Host", "Content-Type", "SOAPAction") if name in self.headers}
            method = "GET" if body is None else "POST"
            answer = requests.request(method, url + self.path, data=body, headers=kept, timeout=60)
            if lose:
                self.close_connection = True
            else:
                self._answer(answer.status_code, answer.headers["Content-Type"], answer.content)

        def _answer(self, status: int, content_type: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        relay = Relay(url=f"http://127.0.0.1:{server.server_port}", bodies=bodies)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield relay
        finally:
            server.shutdown()
            thread.join()
