"""Random messages through the whole SOAP face, in process: whatever comes, the answer is one that is prescribed.

Every run of the tests tries some hundred inputs of each kind; `make fuzz` tries 70,000 of each (WEBCHAT_TEST_FUZZ).
"""

from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("WEBCHAT_TEST_FUZZ", "400"))
# A run of 210,000 inputs took 1 MiB; this much is left for another allocator.
WARM_BYTES = 12 << 20
# A leak of 40 bytes a call would be 4 MiB in the long run's second half.
GROWTH_BYTES = 3 << 20

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


class RemoteFace:
    """`tests.fuzz.face` in a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.face"]
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.calls = 0
        self.sizes: list[int] = []

    def ask(self, what: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump(what, self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)

    def post(self, body: bytes, **headers: str) -> None:
        """Assert that the answer is 200, a plain refusal by HTTP, or a valid fault that is not Internal."""
        self.calls += 1
        if self.calls % 500 == 0:
            self.sizes.append(self.ask("resident"))
        problem = self.ask((body, headers))
        assert problem is None, problem

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="module")
def face() -> Iterator[RemoteFace]:
    """The face; at its end its process must not have grown."""
    made = RemoteFace()
    try:
        for number in range(2000):
            made.post(f"<warm>{number}</warm>".encode())
        before = made.ask("resident")
        yield made
        sizes = [before, *made.sizes, made.ask("resident")]
        growth = sizes[-1] - sizes[len(sizes) // 2]
        print(
            f"{made.calls} inputs, memory {[size >> 20 for size in sizes[:: max(1, len(sizes) // 10)]]} MiB, "
            f"answers: {made.ask('faults')}",
            file=sys.stderr,
        )
        assert sizes[-1] - before <= WARM_BYTES
        assert growth <= GROWTH_BYTES, "memory is not flat"
    finally:
        made.close()


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
def test_a_random_envelope_gets_a_prescribed_answer(face: RemoteFace, message: str, media: str) -> None:
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
            ['action="EndChat"', "action=", "boundary=b", 'boundary="b b"', "start=<r>", 'type="text/xml"', "a*0=b", "a*1=c", "a*=''", '"', ";;;", "=;=", "charset*=utf-8''utf-8", "charset*=undefined''utf-8", "a*=idna''b"]
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
    face: RemoteFace, body: bytes, media: str, parameters: list[str], coding: str, codec: str, action: str, accept: str
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
def test_random_json_gets_a_prescribed_answer(face: RemoteFace, text: str, operation: str, chat: str) -> None:
    message = (
        f'<s:Envelope xmlns:s="{SOAP12}"><s:Body><{operation} xmlns="urn:webchat:v1"><CHATID>{chat}</CHATID>'
        f"<fileDetails>{escaped(text)}</fileDetails></{operation}></s:Body></s:Envelope>"
    )
    face.post(message.encode("utf-8", "surrogatepass"), CONTENT_TYPE="application/soap+xml")
