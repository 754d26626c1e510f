"""The whole application over real HTTP, and zeep clients made from the WSDL that it serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import zeep
from lxml import etree
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.answers import Checked
from tests.file_host import FileHost
from webchat_soap.app import create_app
from webchat_soap.settings import load_settings

SAMPLES = Path(__file__).parent / "data" / "files"


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *args: object) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running service: `url` is its base, `host` where test files can be fetched from, `data` its folder."""

    url: str
    host: FileHost
    data: Path

    @property
    def address(self) -> str:
        return f"{self.url}/webchat"

    def post(self, body: bytes | str, **headers: str) -> requests.Response:
        """POST raw bytes; headers by name with _ for -."""
        named = {"Content-Type": "text/xml; charset=utf-8"} | {
            key.replace("_", "-"): value for key, value in headers.items()
        }
        data = body.encode() if isinstance(body, str) else body
        return requests.post(self.address, data=data, headers=named, timeout=60)

    def stored_files(self) -> list[Path]:
        return [path for path in (self.data / "files").rglob("*") if path.is_file()]


@contextmanager
def serving(data: Path, **settings: str) -> Iterator[Service]:
    """The application on a free port, with settings of its own (`MAX_TEXT="10"`), until the context is left."""
    with FileHost() as host:
        environ = {
            "WEBCHAT_DATA_DIR": str(data),
            "WEBCHAT_FETCH_ALLOW": f"127.0.0.1:{host.port}",
            **{f"WEBCHAT_{name}": value for name, value in settings.items()},
        }
        app = create_app(load_settings(environ=environ, toml_path=None))
        checked = Checked(app)
        server = make_server("127.0.0.1", 0, checked, threaded=True, request_handler=_QuietHandler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield Service(url=f"http://127.0.0.1:{server.server_port}", host=host, data=data)
        finally:
            app.wake_all()
            server.shutdown()
            thread.join()
            server.server_close()
            app.close()
            # Where the service stops the tests that used it are over, so this fails the last of them.
            assert checked.problems == []


def wait_until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    """Return once the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        threading.Event().wait(0.01)


class Soap:
    """A zeep proxy of one port that turns a fault's detail into its typed value."""

    def __init__(self, wsdl: str, port: str) -> None:
        self.client = zeep.Client(wsdl, settings=zeep.Settings(strict=True))
        self.port = port
        self.proxy = self.client.bind("Webchat", port)

    def __getattr__(self, operation: str) -> Any:
        return getattr(self.proxy, operation)

    def fault(self, operation: str, **parameters: Any) -> Any:
        """Call and return the typed WebchatFault that it must raise."""
        with pytest.raises(zeep.exceptions.Fault) as caught:
            getattr(self.proxy, operation)(**parameters)
        return self.read(caught.value)

    def read(self, fault: zeep.exceptions.Fault) -> Any:
        nodes = fault.detail.findall("{urn:webchat:v1}WebchatFault")
        assert len(nodes) == 1, etree.tostring(fault.detail)
        typed = self.client.get_element("{urn:webchat:v1}WebchatFault").parse(nodes[0], self.client.wsdl.types)
        assert fault.message == f"{typed.code}: {typed.message}"
        side = fault.code.partition(":")[2]
        if self.port == "WebchatSoap12":
            assert [subcode.text for subcode in fault.subcodes] == [f"{{urn:webchat:v1}}{typed.code}"]
            assert side in ("Sender", "Receiver")
        else:
            assert side in ("Client", "Server")
        return typed
