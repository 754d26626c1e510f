"""What the worst messages cost, as multiples of a normal call, in process and without the store.

    python -m benchmarks.hostile [--seconds 0.4]

Each message is as large or as rich as the service takes, or a little beyond, and is called in turns with a SendMessage
of a short text, one that is parsed as the first of a client's messages is (later ones cost half). The figure to read is
the ratio of the best times, which a busy machine disturbs least.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import platform
import time
from collections.abc import Callable
from typing import Any

from benchmarks.in_process import ENVELOPE, PARSED_ENVELOPE, make_ours
from webchat_soap.soap.envelope import bounds_for

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
BOUND = 20
MAX_TEXT = 4096
# Just within what is parsed at all; what is larger, up to 1 MiB, is refused by its size.
LARGEST = bounds_for(MAX_TEXT).max_bytes - 2000

_serial = iter(range(1 << 60))


def message(body: str = '<GetLimits xmlns="urn:webchat:v1"/>', *, header: str = "", attributes: str = "") -> bytes:
    head = f"<s:Header>{header}</s:Header>" if header else ""
    return f'<s:Envelope xmlns:s="{SOAP}"{attributes}>{head}<s:Body>{body}</s:Body></s:Envelope>'.encode()


def send(details: str) -> bytes:
    escaped = details.replace("&", "&amp;").replace("<", "&lt;")
    return message(
        f'<SendMessage xmlns="urn:webchat:v1"><CHATID>a</CHATID><fileDetails>{escaped}</fileDetails></SendMessage>'
    )


def fill(piece: str) -> str:
    return piece * (LARGEST // len(piece))


def many(pattern: str, count: int) -> str:
    """The pattern with a number in it that is new in every message."""
    start = next(_serial) * count
    return "".join(pattern.format(start + number) for number in range(count))


def package(heads: str) -> bytes:
    parts = "".join(f"--b\r\n{heads}\r\n\r\nx\r\n" for _ in range(15))
    return f"{parts}--b--\r\n".encode()


LATIN = "text/xml; charset=iso-8859-1"
UTF16 = "text/xml; charset=utf-16"
RELATED = 'multipart/related; boundary=b; start="<none>"'

# By their Content-Type, where it is not that of all others.
WRAPPED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "Latin-1: 1 MiB of blanks": (LATIN, lambda: b" " * (1 << 20)),
    "Latin-1: as many blanks as are taken": (LATIN, lambda: b" " * LARGEST + b"<"),
    "Latin-1: full of declarations": (LATIN, lambda: b"<?xml" * (LARGEST // 5)),
    "UTF-16: full text": (UTF16, lambda: ("<a>" + "x" * LARGEST).encode("utf-16")),
    "package: heads of many lines": (RELATED, lambda: package("a:b\r\n" * 100)),
    "package: heads of 100 KiB": (RELATED, lambda: package("a:b\r\n" * 1300)),
    "package: folded heads": (RELATED, lambda: package("a:b" + "\r\n " * 150)),
    "package: 1 MiB of boundaries": (RELATED, lambda: b"\r\n--b" * 200_000),
    "a Content-Type of many semicolons": ("text/xml" + ";" * 19, lambda: ENVELOPE),
    "package: boundaries that nearly are": (
        f'multipart/related; boundary="{"-" * 69}x"',
        lambda: b"-" * (3 * LARGEST),
    ),
    "a Content-Type of many parameters": ("text/xml" + ";a*1=b" * 150, lambda: ENVELOPE),
}

WORST: dict[str, Callable[[], bytes]] = {
    "1 MiB": lambda: message(header=" " * ((1 << 20) - 500)),
    "as many attributes as are taken": lambda: message(header="<a " + many('a{}="" ', 990) + "/>"),
    "as many parameters as one likes": lambda: message(
        '<GetLimits xmlns="urn:webchat:v1" nil="">' + "<CHATID/>" * 490 + "</GetLimits>"
    ),
    "elements and blanks": lambda: message(header="<x/>                   " * 490),
    "hidden attributes": lambda: b"<!-- ' -->" + message(header='<h x="\'" ' + many("a{}='' ", 9_000) + "/>"),
    "entities that are none": lambda: message(header=many("&n{};", 9_000)),
    "content models": lambda: ("<!DOCTYPE a [<!ELEMENT a (" + many("n{}|", 9_000) + "b)>]>").encode() + message(),
    "full of empty elements": lambda: message(header=fill("<a/>")),
    "as many elements as are taken": lambda: message(header="<a></a>" * 240),
    "as many new names as are taken": lambda: message(header=many("<n{}/>", 490)),
    "full of attributes on a header block": lambda: message(header="<a " + many('a{}="" ', 9_000) + "/>"),
    "full of attributes on the Envelope": lambda: message(attributes=" " + many('a{}="" ', 9_000)),
    "full of attributes on a parameter": lambda: message(
        '<GetLimits xmlns="urn:webchat:v1"><CHATID ' + many('a{}="" ', 9_000) + ">a</CHATID></GetLimits>"
    ),
    "full of namespaces": lambda: message(attributes=" " + many('xmlns:a{}="u" ', 6_000)),
    "as deep as it goes": lambda: message("<a>" * 400 + "</a>" * 400),
    "full of text in CHATID": lambda: message(
        f'<EndChat xmlns="urn:webchat:v1"><CHATID>{"a" * LARGEST}</CHATID></EndChat>'
    ),
    "full of character references": lambda: message(
        f'<EndChat xmlns="urn:webchat:v1"><CHATID>{fill("&#97;")}</CHATID></EndChat>'
    ),
    "full of comments": lambda: message(fill("<!---->")),
    "full of CDATA": lambda: message(
        f'<EndChat xmlns="urn:webchat:v1"><CHATID>{fill("<![CDATA[a]]>")}</CHATID></EndChat>'
    ),
    "full of white space": lambda: message(header=" " * LARGEST),
    "full header": lambda: message(header=f"<a>{'x' * LARGEST}</a>"),
    "entities in entities": lambda: (
        (
            "<!DOCTYPE a [<!ENTITY a0 'aaaaaaaaaa'>"
            + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
            + "]>"
        ).encode()
        + message('<GetLimits xmlns="urn:webchat:v1"><CHATID>&a9;</CHATID></GetLimits>')
    ),
    "full of entity declarations": lambda: (
        ("<!DOCTYPE a [" + many('<!ENTITY e{} "x">', 6_000) + "]>").encode() + message()
    ),
    "JSON: full of brackets": lambda: send(fill("[")),
    "JSON: full of values": lambda: send("[" + fill("1,") + "1]"),
    "JSON: full of names": lambda: send("{" + many('"k{}":1,', 9_000) + '"z":1}'),
    "JSON: full of text": lambda: send(json.dumps({"text": "a" * (LARGEST - 100)})),
    "JSON: full of escapes": lambda: send('{"text": "' + "\\u0061" * (LARGEST // 6 - 20) + '"}'),
    "JSON: full of broken text": lambda: send('{"text": "' + "\t" * (LARGEST - 100)),
    "JSON: an endless number": lambda: send('{"CHATID": ' + "9" * (LARGEST - 100) + "}"),
    "an endless number": lambda: message(
        '<GetMessages xmlns="urn:webchat:v1"><CHATID>a</CHATID>'
        f"<afterSequence>{'0' * LARGEST}</afterSequence></GetMessages>"
    ),
    "JSON: full of line breaks": lambda: send("\n" * (LARGEST - 100) + "x"),
    "JSON: full of line breaks of Windows": lambda: send("&#13;\n" * (LARGEST // 6) + "x"),
    "JSON: full of escapes, never closed": lambda: send('{"text": "' + "\\n" * (LARGEST // 2 - 50)),
    "JSON: a URL of blanks": lambda: send(
        '{"message": {"fileDetails": {"fileUrl": "' + "- " * (LARGEST // 2 - 50) + '"}}}'
    ),
    "entities without end": lambda: message(header=fill("&a;")),
    "as many entities as are taken": lambda: message(header="&a;" * 7000),
    "an instruction with a quote": lambda: message(header="<?x '?>" + many("<n{}/>", 4_500) + "'"),
    "comments in a parameter": lambda: message(
        '<EndChat xmlns="urn:webchat:v1"><CHATID>' + "a<!---->" * 480 + "</CHATID></EndChat>"
    ),
    "an endless namespace": lambda: message(header=f'<a xmlns="{"a " * (LARGEST // 2)}"/>'),
    "the word xmlns in a value": lambda: message(header=f'<a b="{"xmlns" * (LARGEST // 5)}"/>'),
    "the word xmlns in a text": lambda: message(header=f"<a>={'xmlns' * (LARGEST // 5)}</a>"),
    "names without a value": lambda: message(header=many("<x a{}/>", 240)),
    "a namespace that is no URI": lambda: message(header='<x xmlns="a b"/>' + many("<n{}/>", 450)),
    "comments in front": lambda: b"<!--<-->" * (LARGEST // 10) + b"<!DOCTYPE a>" + message(),
    "an endless name": lambda: message(f"<{'a' * (LARGEST // 2)}></{'a' * (LARGEST // 2)}>"),
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.4, help="how long to try each message, about (default 0.4)")
    seconds = parser.parse_args(argv).seconds
    logger = logging.getLogger("webchat_soap")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    ours = make_ours()

    def cost(body: bytes, media_type: str = "text/xml; charset=utf-8") -> float:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": media_type,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        started = time.perf_counter()
        b"".join(ours(environ, lambda status, headers, exc_info=None: None))
        return time.perf_counter() - started

    for _ in range(200):
        cost(ENVELOPE)
    print(f"Hostile messages in process, as multiples of a SendMessage; Python {platform.python_version()}")
    worst = 0.0
    plain = {name: ("text/xml; charset=utf-8", make) for name, make in WORST.items()}
    for name, (media_type, make) in (plain | WRAPPED).items():
        normal = hostile = float("inf")
        until = time.perf_counter() + seconds
        rounds = 0
        while time.perf_counter() < until or rounds < 3:
            normal = min(normal, *(cost(PARSED_ENVELOPE) for _ in range(5)))
            hostile = min(hostile, cost(make(), media_type))
            rounds += 1
        worst = max(worst, hostile / normal)
        print(f"{name:42}{hostile * 1e6:10.0f} us{hostile / normal:9.1f}")
    print(f"worst: {worst:.1f} (bound: {BOUND})")


if __name__ == "__main__":
    main()
