"""That names nobody knows leave nothing behind in the process."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from webchat_soap.domain.errors import InvalidRequest
from webchat_soap.soap.names import KnownNames, run_apart


def test_names_are_known_once_taken() -> None:
    names = KnownNames(max_names=6)
    assert names.take(b"<a><b c='1'/></a>")
    assert names.take(b"<a><b c='2'/></a>")
    assert names.take(b"<d/>")


def test_beyond_the_count_only_known_names_are_taken() -> None:
    names = KnownNames(max_names=4)
    assert names.take(b"<a b='1'/>")
    assert not names.take(b"<c/><d/><e/>")
    assert names.take(b"<a b='1'/>")
    assert names.take(b"<c/><d/>")
    assert not names.take(b"<e/>")


@pytest.mark.parametrize(
    "xml",
    [
        b"<new/>",
        b"</new>",
        b"<a new='1'/>",
        b'<a\nnew\t=\n"1"/>',
        b"<a x='>' new='1'/>",
        b"<a x='&lt;' y=\"\" new='1'>",
    ],
)
def test_a_new_name_is_seen_wherever_it_stands(xml: bytes) -> None:
    names = KnownNames(max_names=3)
    assert names.take(b"<a x='1' y='2'/>")
    assert not names.take(xml)


def test_an_endless_name_is_refused() -> None:
    names = KnownNames()
    assert names.take(b"<a>" + b"text " * 1000 + b"</a>")
    with pytest.raises(InvalidRequest):
        names.take(b"<" + b"a" * 1001 + b"/>")
    with pytest.raises(InvalidRequest):
        names.take(b"<a " + b"b" * 1001 + b"=''/>")


def test_what_is_raised_apart_is_raised_here() -> None:
    seen: list[str] = []

    def work() -> None:
        seen.append(threading.current_thread().name)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run_apart(work)
    assert seen == ["read-apart"]


FLOOD = """
import itertools, sys
from tests.fuzz.face import Face, SOAP11, resident
face = Face()
blanks = ("".join(signs) for signs in itertools.product(" \\t\\n", repeat=16))
def many(pattern, number, count):
    return "".join(pattern.format(f"{number}x{k}") for k in range(count))
def message(kind, number):
    header = {
        "names": lambda: many("<n{}/>", number, 450),
        "attributes": lambda: "<a " + many("a{}='' ", number, 900) + "/>",
        "namespaces": lambda: "<a " + many("xmlns:a{0}='urn:{0}' ", number, 400) + "/>",
        "blanks": lambda: "".join(f"<a>{next(blanks)}</a>" for _ in range(400)),
        "long names": lambda: f"<{number:0250d}/>".replace("<", "<a", 1),
        "endless names": lambda: f"<a{number:060000d}/>",
        "entities": lambda: f"&e{number:0250d};",
        "entities beside CDATA": lambda: f"<![CDATA[x]]>&e{number:0250d};",
        "models": lambda: "",
    }[kind]()
    body = '<s:Body><GetLimits xmlns="urn:webchat:v1"/></s:Body>'
    text = f'<s:Envelope xmlns:s="{SOAP11}"><s:Header>{header}</s:Header>{body}</s:Envelope>'
    if kind == "models":
        text = f"<!DOCTYPE a [<!ELEMENT a ({many('n{}|', number, 900)}b)>]>" + text
    return text.encode()
kind = sys.argv[1]
for number in range(100):
    face.post(message(kind, number))
before = resident()
for number in range(100, 1300):
    face.post(message(kind, number))
print((resident() - before) >> 20)
"""


@pytest.mark.parametrize(
    "kind",
    ["names", "attributes", "namespaces", "blanks", "long names", "endless names", "entities", "entities beside CDATA",
     "models"],
)  # fmt: skip
def test_a_flood_of_what_libxml2_keeps_leaves_the_process_as_large_as_it_was(kind: str) -> None:
    # 1,200 messages of 450 names would stay as 22 MiB, of 400 blanks as 60 MiB.
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", FLOOD, kind], cwd=root, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) <= 12
