"""A message whose tags were seen before is read without a parser, and must come out as the parser would have it."""

from __future__ import annotations

import random
import time

import pytest

from benchmarks.without_store import NoStore, make_service
from webchat_soap.domain.chat import Caller
from webchat_soap.domain.errors import InvalidRequest
from webchat_soap.settings import Settings
from webchat_soap.soap.faults import EnvelopeFault
from webchat_soap.soap.protocol import WebchatTransport, make_transport
from webchat_soap.soap.versions import SOAP11, SOAP12

CALLER = Caller(
    account=None, request_id="r", base_url="http://h", own_base_urls=("http://h",), deadline=time.monotonic() + 1e6
)
FRAMES = (
    (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><SendMessage xmlns="urn:webchat:v1">'
        "<CHATID>{0}</CHATID><fileDetails>{1}</fileDetails></SendMessage></e:Body></e:Envelope>"
    ),
    (
        "<?xml version='1.0' encoding='utf-8'?>\n"
        '<soap:Envelope xmlns:soap="http://www.w3.org/2003/05/soap-envelope">\n <soap:Body>\n  '
        '<w:SendMessage xmlns:w="urn:webchat:v1">\n   <w:CHATID>{0}</w:CHATID>\n   <w:fileDetails>{1}</w:fileDetails>\n'
        "   <w:clientToken></w:clientToken>\n  </w:SendMessage>\n </soap:Body>\n</soap:Envelope>\n"
    ),
)
TEXTS = (
    "a", "12345", " a ", "şğıİ 😀", "\t\n", " ", "", "a\rb", "a\r\nb", "&lt;", "&#65;", "&", "]]>", ">", "a>b", "<",
    "<b/>", "<!-- c -->", "<![CDATA[x]]>", "<?p?>", "\x00", "\x0b", "\x1f", "\x7f", "\x85", "\ufffe", "\uffff",
    "\ufffd", "nil", "xsi:nil", "encodingStyle", ":type", "Header", "</CHATID>", "</fileDetails><fileDetails>",
    '"', "'", "\\", "-->", "</CHATID><fileDetails>x</fileDetails></SendMessage></e:Body></e:Envelope>", "x" * 5000,
)  # fmt: skip
ODD_BYTES = (
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x28\xa1",
    b"\xef\xbb\xbf",
    b"\xef\xbf\xbe",
)


@pytest.fixture
def transport() -> WebchatTransport:
    return _transport()


def _transport() -> WebchatTransport:
    return make_transport(make_service(NoStore(), Settings()), max_text_length=4096)


def _read(transport: WebchatTransport, body: bytes) -> object:
    """What comes of a message: its arguments, or the words of its refusal."""
    call = transport.new_call(body, hint=SOAP11, caller=CALLER)
    try:
        transport.read(call)
    except (InvalidRequest, EnvelopeFault) as refusal:
        return type(refusal), str(refusal)
    return call.descriptor.name, call.in_document.version.name, list(call.in_object)


def _is_known(transport: WebchatTransport, body: bytes) -> bool:
    return transport._forms.read(body) is not None


@pytest.mark.parametrize("frame", FRAMES)
def test_the_second_message_of_a_client_is_read_without_a_parser(transport: WebchatTransport, frame: str) -> None:
    first, second = frame.format("1", "{}").encode(), frame.format("chat-2", '{"text": "ağ"}').encode()
    assert not _is_known(transport, second)
    _read(transport, first)
    assert _is_known(transport, second)
    version = (SOAP11, SOAP12)[FRAMES.index(frame)].name
    assert _read(transport, second)[:2] == ("SendMessage", version)
    assert _read(transport, second)[2][:2] == ["chat-2", '{"text": "ağ"}']


@pytest.mark.parametrize("frame", FRAMES)
def test_whatever_stands_in_a_text_a_known_form_says_what_the_parser_says(frame: str) -> None:
    taught = _transport()
    _read(taught, frame.format("1", "{}").encode())
    assert _is_known(taught, frame.format("2", "[]").encode())
    bodies = [frame.format(*pair).encode() for text in TEXTS for pair in ((text, "{}"), ("1", text), (text, text))]
    head, _, tail = frame.format("1", "{}").encode().partition(b"{}")
    bodies += [head + odd + tail for odd in ODD_BYTES]
    for body in bodies:
        assert _read(taught, body) == _read(_transport_that_parses, body), body


def test_bytes_that_are_cut_doubled_or_swapped_anywhere_are_judged_as_by_the_parser() -> None:
    chance = random.Random(20261122)
    taught = _transport()
    sound = [frame.format("12345", '{"text": "hello"}').encode() for frame in FRAMES]
    for body in sound:
        _read(taught, body)
    for _ in range(1500):
        body = bytearray(chance.choice(sound))
        for _ in range(chance.randint(1, 3)):
            at, to = sorted((chance.randrange(len(body)), chance.randrange(len(body))))
            match chance.randrange(4):
                case 0:
                    del body[at : at + chance.randint(1, 4)]
                case 1:
                    body[at:at] = chance.choice((b"<", b">", b"&", b'"', b"\x00", b"]]>", b"<!--", b"\xc3", b" ", b"/"))
                case 2:
                    body[at:at] = body[at : at + chance.randint(1, 30)]
                case 3:
                    body[at], body[to] = body[to], body[at]
        _read(taught, bytes(body))  # it may learn from what is valid
        assert _read(taught, bytes(body)) == _read(_transport_that_parses, bytes(body)), bytes(body)


@pytest.mark.parametrize(
    "body",
    [
        FRAMES[0].format("1", "&#123;}"),
        FRAMES[0].format("1", "<![CDATA[{}]]>"),
        FRAMES[0].format("1", "{}").replace("<e:Body>", "<!-- c --><e:Body>"),
        FRAMES[0].format("1", "{}").replace("<e:Body>", "<e:Header/><e:Body>"),
        FRAMES[0].format("1", "{}").replace("<e:Body>", '<e:Body note:a="a>b" xmlns:note="urn:x">'),
        (
            '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
            '<GetMessages xmlns="urn:webchat:v1">'
            "<CHATID>1</CHATID><afterSequence>0</afterSequence></GetMessages></e:Body></e:Envelope>"
        ),
    ],
)
def test_what_could_mean_more_than_its_texts_is_parsed_each_time(transport: WebchatTransport, body: str) -> None:
    first = _read(transport, body.encode())
    assert first[0] in ("SendMessage", "GetMessages")
    assert not _is_known(transport, body.encode())
    assert _read(transport, body.encode()) == first


def test_forms_are_bounded(transport: WebchatTransport) -> None:
    for number in range(100):
        frame = FRAMES[0].replace("e:", f"p{number}:").replace("xmlns:e=", f"xmlns:p{number}=")
        _read(transport, frame.format("1", "{}").encode())
    assert len(transport._forms._forms) == 16
    long = FRAMES[0].replace("<e:Body>", "<e:Body>" + " " * 5000)
    _read(transport, long.format("1", "{}").encode())
    assert not _is_known(transport, long.format("1", "{}").encode())


class _NeverLearns:
    def read(self, body: bytes) -> None:
        return None

    def learn(self, body: bytes, **_: object) -> None:
        return None


_transport_that_parses = _transport()
_transport_that_parses._forms = _NeverLearns()  # type: ignore[assignment]
