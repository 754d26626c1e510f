"""An orderly stop leaves nothing half done, also what nobody waits for any more."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.crash.clients import CALL_SECONDS
from tests.crash.contents import content
from tests.crash.process import spooled
from tests.crash.soap_call import Caller, GaveUp, children
from tests.e2e.console_script import Running, running, until
from tests.file_host import Connection, FileHost, Request, head


def test_sigterm_lets_a_call_end_whose_caller_has_hung_up(tmp_path: Path) -> None:
    body, go_on = content("a", "IMAGE"), threading.Event()

    def send(connection: Connection, request: Request) -> None:
        connection.send(head("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Connection: close") + body[:100])
        connection.wait(go_on)
        connection.send(body[100:])

    with FileHost() as host:
        details = json.dumps({"fileUrl": host.script("/a.png", send)})
        allow = f"127.0.0.1:{host.port}"
        service = Running(tmp_path / "data", FETCH_ALLOW=allow).wait()
        caller = Caller(service.port)
        with pytest.raises(GaveUp):
            caller.call("UploadFile", "1.1", seconds=0.5, CHATID="a", fileDetails=details)
        until(lambda: bool(spooled(tmp_path / "data")), seconds=10, what="no download has begun")
        service.process.terminate()
        # A new connection is refused once the stop is under way.
        until(lambda: not _listens(service), seconds=10, what="it does not stop")
        go_on.set()
        assert service.process.wait(CALL_SECONDS) == 0
        assert not spooled(tmp_path / "data")
        with running(tmp_path / "data", port=service.port, FETCH_ALLOW=allow):
            page = caller.call("GetMessages", "1.1", seconds=CALL_SECONDS, CHATID="a")
            assert len(children(page, "message")) == 1
            caller.close()


def _listens(service: Running) -> bool:
    caller = Caller(service.port)
    try:
        return caller.get("/healthz") != b""
    except Exception:
        return False
    finally:
        caller.close()
