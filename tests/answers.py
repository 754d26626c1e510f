"""Every answer of a test run against the WSDL's schema and the schemas of SOAP: a validating client never sees one that
they refuse."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree

from webchat_soap.app import wsdl_document

XSD = "http://www.w3.org/2001/XMLSchema"
SCHEMAS = {
    "http://schemas.xmlsoap.org/soap/envelope/": "env-soap11.xsd",
    "http://www.w3.org/2003/05/soap-envelope": "env-soap12.xsd",
}


@cache
def _own_schema() -> etree.XMLSchema:
    wsdl = etree.fromstring(wsdl_document("http://127.0.0.1:8000"))
    return etree.XMLSchema(etree.fromstring(etree.tostring(wsdl.find(f".//{{{XSD}}}schema"))))


@cache
def _envelope_schema(namespace: str) -> etree.XMLSchema | None:
    """None where the schemas are not at hand (see WEBCHAT_TEST_DATA)."""
    folder = os.environ.get("WEBCHAT_TEST_DATA")
    if not folder:
        return None
    schemas = Path(folder).resolve() / "schemas"
    imports = "".join(
        f'<xs:import namespace="{imported}" schemaLocation="{(schemas / name).as_uri()}"/>'
        for imported, name in (("http://www.w3.org/XML/1998/namespace", "env-xml.xsd"), (namespace, SCHEMAS[namespace]))
    )
    return etree.XMLSchema(etree.fromstring(f'<xs:schema xmlns:xs="{XSD}">{imports}</xs:schema>'))


def check_answer(status: int, content: bytes) -> None:
    """Assert that these bytes are one envelope, valid as such, with a valid body. `content` is not packed."""
    root = etree.fromstring(content)
    namespace = etree.QName(root).namespace
    assert namespace in SCHEMAS, content
    schema = _envelope_schema(namespace)
    if schema is not None:
        schema.assertValid(root)
    (body,) = root.findall(f"{{{namespace}}}Body")
    (inner,) = body
    if inner.tag == f"{{{namespace}}}Fault":
        assert status in (400, 500)
        details = inner.findall(".//{urn:webchat:v1}WebchatFault")
        assert len(details) <= 1
        for detail in details:
            _assert_valid(detail)
    else:
        assert status == 200
        _assert_valid(inner)


def _assert_valid(element: Any) -> None:
    _own_schema().assertValid(etree.fromstring(etree.tostring(element)))


class Checked:
    """A WSGI application around another one: looks at each SOAP answer on its way out and remembers what was wrong."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.count = 0
        self.problems: list[str] = []

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "POST" or environ.get("PATH_INFO") != "/webchat":
            return self._application(environ, start_response)
        started: dict[str, Any] = {}

        def remember(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            started.update(status=status, headers=dict(headers))
            return start_response(status, headers, exc_info)

        content = b"".join(self._application(environ, remember))
        if not started["headers"]["Content-Type"].startswith("text/plain"):
            packed = started["headers"].get("Content-Encoding") == "gzip"
            try:
                check_answer(int(started["status"][:3]), gzip.decompress(content) if packed else content)
            except Exception as problem:
                self.problems.append(f"{type(problem).__name__}: {problem}: {content[:2000]!r}")
            self.count += 1
        return [content]
