"""Random messages through the whole SOAP face, in process: whatever comes, the answer is one that is prescribed.

Every run of the tests tries some hundred inputs of each kind; `make fuzz` tries 70,000 of each (WEBCHAT_TEST_FUZZ).
"""

from __future__ import annotations

import gzip
import io
import logging
import os
import resource
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
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

EXAMPLES = int(os.environ.get("WEBCHAT_TEST_FUZZ", "400"))
GROWTH_BYTES = 32 << 20

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=EXAMPLES < 10_000,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
pytestmark = pytest.mark.timeout(3600)

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
    """The SOAP face over ports in memory, made anew from time to time, so that what is stored does not pile up."""

    def __init__(self) -> None:
        self.calls = 0
        self.faults: dict[str, int] = {}
        self._make()

    def _make(self) -> None:
        rules = ServiceRules(
            open_unknown_chats=True,
            max_text_length=4096,
            quota=ChatQuota(max_files=50, max_bytes=500 << 20),
            max_waiting=0,
        )
        service = ChatService(chats=FakeChatStore(), files=FakeFileStore(), intake=_GuardedIntake(), rules=rules)
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
            self._make()
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


@pytest.fixture(scope="module")
def face() -> Iterator[Face]:
    """The face; at its end: nothing unforeseen was logged, and the process has not grown."""
    unforeseen: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = unforeseen.append  # type: ignore[method-assign]
    logger = logging.getLogger("webchat_soap")
    logger.addHandler(handler)
    made = Face()
    for _ in range(300):
        made.post(b"<warm/>")
    before = resident()
    yield made
    logger.removeHandler(handler)
    assert unforeseen == []
    growth = resident() - before
    print(f"{made.calls} inputs, memory grew by {growth / 2**20:.1f} MiB, answers: {made.faults}", file=sys.stderr)
    assert growth <= GROWTH_BYTES + EXAMPLES * 100, "memory is not flat"


def resident() -> int:
    """Bytes of this process in memory now; the peak where the system does not tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(statm.read_text().split()[1]) * resource.getpagesize()


OPERATIONS = {
    "UploadFile": ["CHATID", "fileDetails", "clientToken"],
    "SendMessage": ["CHATID", "fileDetails", "clientToken"],
    "StartChat": ["CHATID", "customerName", "clientToken"],
    "GetMessages": ["CHATID", "afterSequence", "maxMessages", "waitSeconds"],
    "EndChat": ["CHATID"],
    "GetLimits": ["CHATID"],
}
ODD = st.sampled_from(
    [
        "", " ", "\n", "<!-- c -->", "<![CDATA[x]]>", "&amp;", "&lt;", "&#0;", "&#x1F600;", "&#xFFFE;", "&b;", "<?pi x?>",
        "<a/>", '<a xmlns="u"/>', "<b>", "</b>", "text", "\u0000", "\ufffe", "\U0001f600", "ş", "1_0", "-1", "9" * 40,
        "0x1", "+5", " 7 ", "true", "<!DOCTYPE a>", "]]>", "{", "}", '{"text": "a"}', "demo", "a b", "ü",
        "<s:Header/>", "<s:Body/>", "<s:Fault/>", "<CHATID/>", "<CHATID>a</CHATID>", "x" * 70, "x" * 600,
    ]
)  # fmt: skip
TEXT = st.one_of(ODD, st.text(max_size=20), st.lists(ODD, max_size=4).map("".join))
ATTRIBUTE = st.sampled_from(
    [
        "", "", "", ' id="a"', ' href="#a"', ' xsi:nil="true"', ' xsi:nil="0"', ' xsi:type="xs:string"', ' xsi:type="x"',
        ' s:mustUnderstand="1"', ' s:mustUnderstand="x"', ' s:encodingStyle="u"', ' xmlns=""', ' xmlns:s="u"', " a",
        ' xsi:schemaLocation="urn:webchat:v1 file:///etc/passwd"', ' s:role="u"', ' s:actor="u"', ' xml:lang="tr"',
    ]
)  # fmt: skip
JSON_KEY = st.sampled_from(
    ["CHATID", "message", "text", "fileDetails", "fileUrl", "fileName", "fileType", " text ", "Text", "x", ""]
)
JSON_LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["IMAGE", "audıo", "http://h/a.png", "http: // 127.1 /x", "https://u:p@h", "a.png", "../x", "x" * 5000]
    ),
)
JSON = st.recursive(
    JSON_LEAF,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(JSON_KEY, inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def json_texts(draw: Callable[..., Any]) -> str:
    """JSON near what the door takes, and near JSON."""
    import json

    text = json.dumps(draw(JSON), ensure_ascii=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(ODD) + text[place + draw(st.integers(0, 3)) :]
    return text


DECLARATION = st.sampled_from(["", "", '<?xml version="1.0"?>', '<?xml version="1.0" encoding="utf-16"?>'])


@st.composite
def envelopes(draw: Callable[..., Any]) -> str:
    """Text near an envelope."""
    namespace = draw(st.sampled_from([SOAP11, SOAP11, SOAP12, SOAP12, "urn:x", ""]))
    operation = draw(st.sampled_from([*OPERATIONS, *OPERATIONS, "Other"]))
    names = OPERATIONS.get(operation, ["CHATID"])
    chosen = draw(st.one_of(st.just(names), st.lists(st.sampled_from([*names, "x"]), max_size=4)))
    inside = ""
    for name in chosen:
        value = draw(TEXT) if name != "fileDetails" else draw(st.one_of(TEXT, json_texts().map(escaped)))
        inside += f"<{name}{draw(ATTRIBUTE)}>{value}</{name}>{draw(st.sampled_from(['', '', ' ', 'x']))}"
    blocks = draw(st.sampled_from(["", "", '<h xmlns="u"/>', '<h s:mustUnderstand="1"/>'])) + draw(
        st.sampled_from(
            ["", "", '<a:MessageID xmlns:a="http://www.w3.org/2005/08/addressing">' + "i&#10;&lt;" + "</a:MessageID>"]
        )
    )
    header = f"<s:Header{draw(ATTRIBUTE)}>{blocks}</s:Header>" if draw(st.booleans()) else ""
    return (
        f"{draw(DECLARATION)}"
        f'<s:Envelope xmlns:s="{namespace}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        f' xmlns:xs="http://www.w3.org/2001/XMLSchema"{draw(ATTRIBUTE)}>{header}'
        f"<s:Body{draw(ATTRIBUTE)}>{draw(st.sampled_from(['', '', '', 'x', '<a/>']))}"
        f'<{operation} xmlns="urn:webchat:v1"{draw(ATTRIBUTE)}>{inside}</{operation}></s:Body></s:Envelope>'
    )


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


@st.composite
def damaged(draw: Callable[..., Any]) -> bytes:
    """An envelope's bytes with up to three of them changed, and sometimes anything at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    body = draw(envelopes()).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(body)))
        body = body[:place] + draw(st.binary(max_size=3)) + body[place + draw(st.integers(0, 3)) :]
    return body


@given(message=envelopes(), media=st.sampled_from(["text/xml; charset=utf-8", "application/soap+xml"]))
@fuzz
def test_a_random_envelope_gets_a_prescribed_answer(face: Face, message: str, media: str) -> None:
    face.post(message.encode("utf-8", "surrogatepass"), CONTENT_TYPE=media)


CHARSETS = st.sampled_from(
    [
        "utf-8",
        "UTF8",
        "utf-16",
        "utf-16le",
        "utf-16be",
        "iso-8859-1",
        "windows-1254",
        "rot13",
        "zlib",
        "idna",
        "",
        "x" * 90,
    ]
)
MEDIA = st.one_of(
    st.sampled_from(["text/xml", "application/soap+xml", "multipart/related", "application/xop+xml", "text/plain", ""]),
    st.text(st.characters(max_codepoint=255), max_size=30),
)
PARAMETERS = st.lists(
    st.one_of(
        CHARSETS.map(lambda name: f"charset={name}"),
        CHARSETS.map(lambda name: f'charset="{name}"'),
        st.sampled_from(
            ['action="EndChat"', "action=", "boundary=b", 'boundary="b b"', "start=<r>", 'type="text/xml"', "a*0=b", "a*1=c", "a*=''", '"', ";;;", "=;=", "charset*=utf-8''utf-8"]
        ),
        st.text(st.characters(max_codepoint=255), max_size=15),
    ),
    max_size=4,
)  # fmt: skip
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "x-gzip": bytes,
    "br": bytes,
}


@given(
    body=damaged(),
    media=MEDIA,
    parameters=PARAMETERS,
    coding=st.sampled_from([*CODINGS]),
    codec=st.sampled_from(["", "", "", "utf-16", "utf-16-le", "part"]),
    action=st.one_of(st.sampled_from(["", '"EndChat"', "x#SendMessage", '""']), st.text(st.characters(max_codepoint=255), max_size=10)),
    accept=st.sampled_from(["", "gzip", "gzip;q=", "*;q=1", ",,;;==", "x" * 2000]),
)  # fmt: skip
@fuzz
def test_random_headers_get_a_prescribed_answer(
    face: Face, body: bytes, media: str, parameters: list[str], coding: str, codec: str, action: str, accept: str
) -> None:
    if codec == "part":
        body = b"--b\r\nContent-Type: text/xml\r\n\r\n" + body + b"\r\n--b--"
    elif codec:
        body = body.decode("utf-8", "replace").encode(codec, "replace")
    face.post(
        CODINGS[coding](body),
        CONTENT_TYPE="; ".join([media, *parameters]),
        HTTP_CONTENT_ENCODING=coding,
        HTTP_SOAPACTION=action,
        HTTP_ACCEPT_ENCODING=accept,
    )


@given(text=json_texts(), operation=st.sampled_from(["SendMessage", "UploadFile"]), chat=st.sampled_from(["a", ""]))
@fuzz
def test_random_json_gets_a_prescribed_answer(face: Face, text: str, operation: str, chat: str) -> None:
    message = (
        f'<s:Envelope xmlns:s="{SOAP12}"><s:Body><{operation} xmlns="urn:webchat:v1"><CHATID>{chat}</CHATID>'
        f"<fileDetails>{escaped(text)}</fileDetails></{operation}></s:Body></s:Envelope>"
    )
    face.post(message.encode("utf-8", "surrogatepass"), CONTENT_TYPE="application/soap+xml")
