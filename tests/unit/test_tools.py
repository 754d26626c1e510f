"""That nothing which libxml2 keeps of a message stays in the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FLOOD = """
import itertools, random, sys
from tests.fuzz.face import Face, SOAP11, resident
face = Face()
ENTITY = "<!ENTITY n{} ''>"
blanks = ("".join(signs) for signs in itertools.product(" \\t\\n", repeat=16))
def many(pattern, number, count):
    return "".join(pattern.format(f"{number}x{k}") for k in range(count))
def message(kind, number):
    header = {
        "names": lambda: many("<n{}/>", number, 240),
        "attributes": lambda: "<a " + many("a{}='' ", number, 900) + "/>",
        "namespaces": lambda: "<a " + many("xmlns:a{0}='urn:{0}' ", number, 400) + "/>",
        "blanks": lambda: "".join(f"<a>{next(blanks)}</a>" for _ in range(240)),
        "blanks with CRLF": lambda: "".join(
            "<a>\\r\\n" + "".join(random.choices(" \\t\\n", k=58)) + "</a>" for _ in range(240)
        ),
        "long names": lambda: f"<a{number:0250d}/>",
        "endless names": lambda: f"<a{number:060000d}/>",
        "names without a value": lambda: f"<a a{number:049000d}/>",
        "many without a value": lambda: "".join(f"<a a{number}{k:0240d}/>" for k in range(240)),
        "hidden declarations": lambda: "".join(
            f"<a xmlns='u' a='xmlns=\\"' xmlns:y=\\"urn:{number}{k:01200d}\\" b='\\"'/>" for k in range(40)
        ),
        "entities": lambda: f"&e{number:0250d};",
        "entities beside CDATA": lambda: f"<![CDATA[x]]>&e{number:0250d};",
        "models": lambda: "",
        "entities behind a comment": lambda: "",
    }[kind]()
    body = '<s:Body><GetLimits xmlns="urn:webchat:v1"/></s:Body>'
    text = f'<s:Envelope xmlns:s="{SOAP11}"><s:Header>{header}</s:Header>{body}</s:Envelope>'
    if kind == "models":
        text = f"<!DOCTYPE a [<!ELEMENT a ({many('n{}|', number, 900)}b)>]>" + text
    if kind == "entities behind a comment":
        text = f"<!-- <a --><!DOCTYPE s [{many(ENTITY, number, 240)}]>" + text
    return text.encode()
kind = sys.argv[1]
for number in range(400):
    face.post(message(kind, number))
before = resident()
for number in range(400, 1400):
    face.post(message(kind, number))
print((resident() - before) >> 20)
"""


@pytest.mark.parametrize(
    "kind",
    ["names", "attributes", "namespaces", "blanks", "blanks with CRLF", "long names", "endless names",
     "names without a value", "many without a value", "hidden declarations", "entities", "entities beside CDATA",
     "models", "entities behind a comment"],
)  # fmt: skip
def test_a_flood_of_what_libxml2_keeps_leaves_the_process_as_large_as_it_was(kind: str) -> None:
    # Without renewing, 1,000 messages of 240 names of 250 letters stay as 60 MiB, those of new attributes as 40 MiB.
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", FLOOD, kind], cwd=root, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) <= 8
