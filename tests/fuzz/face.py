"""The SOAP face in a process of its own, so that its memory is told apart from that of whoever makes the inputs.

Reads pickled calls from stdin and answers each with a pickled problem, or None.
"""

from __future__ import annotations

import gzip
import io
import logging
import pickle
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

from lxml import etree

from tests.answers import check_answer
from tests.fakes import FakeChatStore, FakeFileStore, FakeIntake
from webchat_soap.domain.chat import ChatQuota, FileLimit
from webchat_soap.domain.errors import UrlNotAllowed
from webchat_soap.domain.file import FileType
from webchat_soap.files.guard import AddressPolicy, UrlGuard
from webchat_soap.service import ChatService, ServiceRules
from webchat_soap.soap.endpoint import SoapEndpoint
from webchat_soap.soap.protocol import make_transport

SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
BASES = ("http://127.0.0.1:8000",)


class _GuardedIntake(FakeIntake):
    """Looks at URLs as the real one does, and fetches none."""

    def __init__(self) -> None:
        limit = FileLimit(file_type=FileType.IMAGE, max_bytes=1, content_types=("image/png",))
        super().__init__(limits=(limit,))
        self._guard = UrlGuard(AddressPolicy())

    def check_url(self, details: Any) -> None:
        self._guard.check_url(details.url, field=details.field)
        raise UrlNotAllowed("Nothing is fetched here.", field=details.field)


class Face:
    """The SOAP face over ports in memory, which forget from time to time what was stored."""

    def __init__(self) -> None:
        self.calls = 0
        self.faults: dict[str, int] = {}
        self._chats = FakeChatStore()
        rules = ServiceRules(
            open_unknown_chats=True,
            max_text_length=4096,
            quota=ChatQuota(max_files=50, max_bytes=500 << 20),
            max_waiting=0,
        )
        service = ChatService(chats=self._chats, files=FakeFileStore(), intake=_GuardedIntake(), rules=rules)
        self._endpoint = SoapEndpoint(
            transport=make_transport(service, max_text_length=4096),
            max_request_bytes=64 << 10,
            call_seconds=0.0,
            soap12_sender_status=500,
        )

    def post(self, body: bytes, **headers: str) -> None:
        """Send, and assert that the answer is 200, a plain refusal by HTTP, or a valid fault that is not Internal."""
        self.calls += 1
        if self.calls % 5000 == 0:
            self._chats.forget_all()
        started: list[Any] = []
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/webchat",
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "text/xml; charset=utf-8",
            "wsgi.input": io.BytesIO(body),
            **headers,
        }
        answer = b"".join(
            self._endpoint.respond(
                environ,
                lambda status, fields, exc_info=None: started.append((status, dict(fields))),  # type: ignore[arg-type]
                base_url=BASES[0],
                own_base_urls=BASES,
            )
        )
        ((status, fields),) = started
        if fields.get("Content-Encoding") == "gzip":
            answer = gzip.decompress(answer)
        assert b"Traceback" not in answer
        if fields["Content-Type"].startswith("text/plain"):
            assert status[:3] in ("400", "413", "415")
            assert len(answer) < 300
            return
        check_answer(int(status[:3]), answer)
        code = etree.fromstring(answer).findtext(".//{urn:webchat:v1}code") or "none"
        self.faults[code] = self.faults.get(code, 0) + 1
        assert code != "Internal", answer


def resident() -> int:
    """Bytes of this process in memory now; the peak where the system does not tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(statm.read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    """Serve calls until stdin ends."""
    unforeseen: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = unforeseen.append  # type: ignore[method-assign]
    logging.getLogger("webchat_soap").addHandler(handler)
    face = Face()
    calls, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            asked: Any = pickle.load(calls)
        except EOFError:
            return
        answer: Any = None
        if asked == "resident":
            answer = resident()
        elif asked == "faults":
            answer = dict(face.faults)
        else:
            body, headers = asked
            try:
                face.post(body, **headers)
                assert unforeseen == [], unforeseen
            except Exception:
                answer = traceback.format_exc()
                unforeseen.clear()
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
