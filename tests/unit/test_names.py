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
import sys
from tests.fuzz.face import Face, SOAP11, resident
face = Face()
def message(number):
    names = "".join(f"<n{number}x{k}/>" for k in range(2000))
    body = '<s:Body><GetLimits xmlns="urn:webchat:v1"/></s:Body>'
    return f'<s:Envelope xmlns:s="{SOAP11}"><s:Header>{names}</s:Header>{body}</s:Envelope>'.encode()
for number in range(50):
    face.post(message(number))
before = resident()
for number in range(50, 1000):
    face.post(message(number))
print((resident() - before) >> 20)
"""


def test_a_flood_of_new_names_leaves_the_process_as_large_as_it_was() -> None:
    # 1.9 million names would stay as 78 MiB.
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", FLOOD], cwd=root, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) <= 24
