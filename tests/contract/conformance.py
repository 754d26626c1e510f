"""The conformance cases (tests/contract/envelopes/README.md): read, sent as raw bytes over HTTP, judged."""

from __future__ import annotations

import gzip
import http.client
import io
import re
import socket
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lxml import etree

FOLDER = Path(__file__).parent / "envelopes"

NAMESPACE = "urn:webchat:v1"
ENVELOPES = {"1.1": "http://schemas.xmlsoap.org/soap/envelope/", "1.2": "http://www.w3.org/2003/05/soap-envelope"}
MEDIA = {"1.1": "text/xml", "1.2": "application/soap+xml"}
_PLACEHOLDERS = {
    "1.1": {"ROLE": "actor", "NEXT": "http://schemas.xmlsoap.org/soap/actor/next", "OTHER": ENVELOPES["1.2"]},
    "1.2": {"ROLE": "role", "NEXT": f"{ENVELOPES['1.2']}/role/next", "OTHER": ENVELOPES["1.1"]},
}
_PREFIXES = {
    "w": NAMESPACE,
    "wsa": "http://www.w3.org/2005/08/addressing",
    "wsa04": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "wsdl": "http://schemas.xmlsoap.org/wsdl/",
    "xs": "http://www.w3.org/2001/XMLSchema",
}
_NAMES_IN_12 = {"Client": "Sender", "Server": "Receiver"}
_SINGLE = frozenset(
    {
        *("Name", "Clause", "Versions", "Method", "Path", "Without", "Transform", "Send", "HTTP"),
        *("Expect-Status", "Expect-Fault", "Expect-Code", "Expect-Field", "Expect-Version", "Expect-Stored"),
    }
)
_REPEATED = frozenset({"Header", "Fill", "Expect-Header", "Expect-XPath", "Expect-Not"})
_HEAD_LINE = re.compile(r"([A-Za-z-]+)(?:\[(1\.[12])\])?:(.*)", re.DOTALL)
CHUNK_BYTES = 97
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case in one version. `head` is what the file says for this version, placeholders filled in."""

    path: Path
    version: str
    head: dict[str, tuple[str, ...]]
    body: bytes
    chat_id: str | None
    """The case's own CHATID, where it has one."""

    @property
    def id(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}[{self.version}]"

    @property
    def group(self) -> str:
        return self.path.stem.partition("-")[0]

    @property
    def valid(self) -> bool:
        return self.path.parent.name == "valid"

    def first(self, name: str, default: str = "") -> str:
        """The line's value."""
        return self.head.get(name, (default,))[0]

    def all(self, name: str) -> tuple[str, ...]:
        """The values of a line that may be repeated."""
        return self.head.get(name, ())

    @property
    def method(self) -> str:
        return self.first("Method", "POST")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer; `body` has its Content-Encoding taken off."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    continued: bool
    """A 100 came before it."""

    @property
    def media_type(self) -> str:
        return str(self.headers.get("Content-Type", "")).replace(" ", "").lower()


def read_cases(folder: Path = FOLDER) -> list[Case]:
    """All cases of all files, in the order of their names. ValueError for a file that is not in the format."""
    cases = [case for path in sorted(folder.glob("*/*.case")) for case in _read_file(path)]
    if not cases:
        raise ValueError(f"no cases in {folder}")
    return cases


def _read_file(path: Path) -> Iterator[Case]:
    head_bytes, found, body = path.read_bytes().partition(b"\n\n")
    lines = _head_lines(head_bytes.decode("utf-8").rstrip("\n"), path)
    if not found:
        body = b""
    body = body.removesuffix(b"\n")
    versions = next((value.split() for name, _, value in lines if name == "Versions"), ["1.1"])
    for version in versions:
        head: dict[str, tuple[str, ...]] = {}
        for wanted in (None, version):
            for name in dict.fromkeys(name for name, only, _ in lines if only == wanted):
                values = tuple(value for other, only, value in lines if (other, only) == (name, wanted))
                if len(values) > 1 and name not in _REPEATED:
                    raise ValueError(f"{path}: {name} stands twice")
                head[name] = (*head.get(name, ()), *values) if name in _REPEATED else values
        for needed in ("Name", "Clause"):
            if not head.get(needed):
                raise ValueError(f"{path}: {needed} is missing")
        if path.parent.name == "invalid" and "Expect-Status" not in head:
            raise ValueError(f"{path}: an invalid case must say its Expect-Status")
        yield _fill(path, version, head, body)


def _head_lines(text: str, path: Path) -> list[tuple[str, str | None, str]]:
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t") and lines:
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    parsed = []
    for line in lines:
        match = _HEAD_LINE.fullmatch(line)
        if match is None or match[1] not in _SINGLE | _REPEATED:
            raise ValueError(f"{path}: no line of the head: {line!r}")
        parsed.append((match[1], match[2], match[3].strip()))
    return parsed


def _fill(path: Path, version: str, head: dict[str, tuple[str, ...]], body: bytes) -> Case:
    chat_id = f"case-{uuid.uuid4()}" if b"{CHAT}" in body else None
    values = {"ENV": ENVELOPES[version], "MEDIA": MEDIA[version], "CHAT": chat_id or "", **_PLACEHOLDERS[version]}
    fills = {}
    for fill in head.get("Fill", ()):
        name, _, times_text = fill.partition("=")
        times, _, text = times_text.partition("*")
        fills[name.strip()] = text.strip().encode() * int(times)

    def in_text(value: str) -> str:
        return re.sub(r"\{([A-Z]+)\}", lambda match: values.get(match[1], match[0]), value)

    def in_bytes(match: re.Match[bytes]) -> bytes:
        name = match[1].decode()
        return fills[name] if name in fills else values[name].encode() if name in values else match[0]

    for _ in range(2):  # a fill may hold placeholders
        body = re.sub(rb"\{([A-Z]+)\}", in_bytes, body)
    head = {name: tuple(in_text(value) for value in given) for name, given in head.items()}
    for step in head.get("Transform", ("",))[0].split():
        body = _transform(step, body)
    return Case(path=path, version=version, head=head, body=body, chat_id=chat_id)


def _transform(step: str, body: bytes) -> bytes:
    name, _, number = step.partition(":")
    match name:
        case "crlf":
            return body.replace(b"\n", b"\r\n")
        case "bom":
            return b"\xef\xbb\xbf" + body
        case "unescape":
            return re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), body)
        case "gzip":
            return gzip.compress(body, mtime=0)
        case "gzip-members":
            middle = len(body) // 2
            return gzip.compress(body[:middle], mtime=0) + gzip.compress(body[middle:], mtime=0)
        case "deflate":
            return zlib.compress(body)
        case "raw-deflate":
            packer = zlib.compressobj(wbits=-15)
            return packer.compress(body) + packer.flush()
        case "drop":
            return body[: -int(number)]
        case "flip":
            place = len(body) - int(number)
            return body[:place] + bytes([body[place] ^ 0xFF]) + body[place + 1 :]
        case _:
            return body.decode("utf-8").encode(name)


class _Again(io.RawIOBase):
    """A socket's stand-in for HTTPResponse, which only wants its file."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def makefile(self, mode: str) -> Any:
        return self._file


def send(case: Case, url: str) -> Answer:
    """Send the case's bytes to the server at `url` and read its answer. OSError or HTTPException when none comes."""
    head, body = _request(case, urlsplit(url).netloc)
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        continued = False
        with connection.makefile("rb") as file:
            if case.first("Send") == "continue":
                connection.sendall(head)
                # The status line is looked at before the body goes; a final answer instead of the 100 is read below.
                if b" 100 " in file.peek(1)[:16]:
                    continued = True
                    while file.readline().strip():
                        pass
                    connection.sendall(body)
            else:
                # A server may refuse and close while the body is on its way: its answer is what counts.
                try:
                    connection.sendall(head + body)
                except OSError:
                    if not file.peek(1):
                        raise
            answer = http.client.HTTPResponse(_Again(file), method=case.method)  # type: ignore[arg-type]
            answer.begin()
            content = answer.read()
    packed = answer.headers.get("Content-Encoding", "").strip().lower()
    if packed == "gzip":
        content = gzip.decompress(content)
    elif packed:
        content = zlib.decompress(content)
    return Answer(status=answer.status, headers=answer.headers, body=content, continued=continued)


def _request(case: Case, host: str) -> tuple[bytes, bytes]:
    without = {name.lower() for name in case.first("Without").split()}
    given = [tuple(part.strip() for part in header.split(":", 1)) for header in case.all("Header")]
    names = {name.lower() for name, _ in given}
    body, mode = case.body, case.first("Send", "plain")
    fields: list[tuple[str, str]] = []
    if "host" not in names | without:
        fields.append(("Host", host))
    if "content-type" not in names | without and case.method not in ("GET", "HEAD"):
        fields.append(("Content-Type", f"{MEDIA[case.version]}; charset=utf-8"))
    fields += [(name, value) for name, value in given]
    if mode == "continue":
        fields.append(("Expect", "100-continue"))
    if mode == "chunked":
        fields.append(("Transfer-Encoding", "chunked"))
        pieces = [body[place : place + CHUNK_BYTES] for place in range(0, len(body), CHUNK_BYTES)]
        body = b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    elif "content-length" not in names | without and (body or case.method not in ("GET", "HEAD", "OPTIONS")):
        fields.append(("Content-Length", str(len(body))))
    fields.append(("Connection", "close"))
    start = f"{case.method} {case.first('Path', '/webchat')} HTTP/{case.first('HTTP', '1.1')}\r\n"
    head = start + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
    return head.encode("latin-1"), body


def _is_sentence(answer: Answer) -> bool:
    return answer.media_type.startswith("text/plain") and answer.body.strip().endswith(b".")


@dataclass(frozen=True)
class Peer:
    """A server to send cases to, and how strictly it is judged.

    `url` is its origin. With `contract` false, what only our own contract says of a refusal (detail, media type of a
    plain answer) is not asked of it, and a Sender fault of SOAP 1.2 may have the 400 of SOAP 1.2 Part 2.
    """

    url: str
    contract: bool = True
    soap_schemas: Path | None = None
    """Folder of env-soap11.xsd and env-soap12.xsd."""

    @cached_property
    def _schemas(self) -> dict[str, Any]:
        """The schema in the WSDL, compiled, by the version of the answers it is for."""
        return {version: self._schema_of(version) for version in ENVELOPES}

    def _schema_of(self, version: str) -> Any:
        case = Case(
            path=FOLDER / "valid" / "wsdl", version=version, body=b"", chat_id=None, head={
                "Method": ("GET",), "Path": ("/webchat?wsdl",), "Header": (f"Accept: {MEDIA[version]}",)
            },
        )  # fmt: skip
        answer = send(case, self.url)
        schemas = etree.fromstring(answer.body).findall(f".//{{{_PREFIXES['xs']}}}schema")
        (schema,) = [node for node in schemas if node.get("targetNamespace") == NAMESPACE]
        return etree.XMLSchema(etree.fromstring(etree.tostring(schema)))

    @cached_property
    def _envelope_schemas(self) -> dict[str, Any]:
        if self.soap_schemas is None:
            return {}

        found = {}
        for version, name in (("1.1", "env-soap11.xsd"), ("1.2", "env-soap12.xsd")):
            document = etree.parse(self.soap_schemas / name, etree.XMLParser(no_network=True))
            for node in document.iterfind(f"{{{_PREFIXES['xs']}}}import"):
                node.set("schemaLocation", "env-xml.xsd")
            found[version] = etree.XMLSchema(document)
        return found

    def try_case(self, case: Case) -> list[str]:
        """Send it and say what was wrong; nothing when all is as expected."""
        try:
            answer = send(case, self.url)
        except (OSError, http.client.HTTPException, EOFError, zlib.error) as error:
            return [f"no answer: {type(error).__name__}: {error}"]
        problems = [*self._judge(case, answer)]
        if case.chat_id is not None:
            problems += self._judge_stored(case)
        return problems

    def _judge(self, case: Case, answer: Answer) -> Iterator[str]:
        statuses = set(case.first("Expect-Status", "200").split())
        fault = case.first("Expect-Fault")
        if not self.contract and fault == "Client" and case.version == "1.2":
            statuses.add("400")
        if str(answer.status) not in statuses:
            yield f"status {answer.status}, not {' or '.join(sorted(statuses))}: {answer.body[:300]!r}"
        if case.first("Send") == "continue" and case.valid and not answer.continued:
            yield "no 100 Continue came before the answer"
        yield from self._judge_headers(case, answer)
        for text in case.all("Expect-Not"):
            if text.encode() in answer.body:
                yield f"the answer holds {text!r}"
        if case.method == "HEAD":
            if answer.body:
                yield "an answer to HEAD has a body"
            return
        expects_soap = case.method == "POST" and (fault or (case.valid and "200" in statuses))
        root = None
        if expects_soap or ("xml" in answer.media_type and answer.body):
            try:
                root = etree.fromstring(answer.body)
            except etree.XMLSyntaxError as error:
                yield f"the answer is not XML ({error}): {answer.body[:300]!r}"
                return
        if expects_soap:
            yield from self._judge_envelope(case, answer, root)
        elif self.contract and answer.status in (405, 413, 415) and not _is_sentence(answer):
            yield f"not a plain sentence: {answer.media_type} {answer.body[:200]!r}"
        if root is not None:
            version = case.first("Expect-Version", case.version)
            for expression in case.all("Expect-XPath"):
                if not root.xpath(f"boolean({expression})", namespaces={**_PREFIXES, "env": ENVELOPES[version]}):
                    yield f"not so: {expression} in {answer.body[:1500]!r}"
        elif case.all("Expect-XPath"):
            yield "the answer is no XML, but an Expect-XPath asks for some"

    def _judge_headers(self, case: Case, answer: Answer) -> Iterator[str]:
        for line in case.all("Expect-Header"):
            name, _, pattern = line.partition(":")
            value, pattern = answer.headers.get(name.strip()), pattern.strip()
            if not pattern:
                if value is not None:
                    yield f"the header {name} is there: {value!r}"
            elif value is None or not re.search(pattern, value):
                yield f"the header {name} is {value!r}, not like {pattern!r}"

    def _judge_envelope(self, case: Case, answer: Answer, root: Any) -> Iterator[str]:
        version = case.first("Expect-Version", case.version)
        namespace = ENVELOPES[version]
        if root.tag != f"{{{namespace}}}Envelope":
            yield f"the answer is {root.tag}, not an Envelope of SOAP {version}"
            return
        if answer.media_type != f"{MEDIA[version]};charset=utf-8":
            yield f"the answer's Content-Type is {answer.headers.get('Content-Type')!r}"
        schema = self._envelope_schemas.get(version)
        if schema is not None and not schema.validate(root):
            yield f"the envelope's schema refuses the answer: {schema.error_log.last_error}"
        body = root.find(f"{{{namespace}}}Body")
        if body is None or len(body) != 1:
            yield f"the answer's Body does not hold one element: {answer.body[:300]!r}"
            return
        expected = case.first("Expect-Fault")
        is_fault = body[0].tag == f"{{{namespace}}}Fault"
        if is_fault != bool(expected):
            yield f"{'a' if is_fault else 'no'} fault: {answer.body[:700]!r}"
        elif is_fault:
            yield from self._judge_fault(case, version, body[0], expected)
        else:
            own = self._schemas[version]
            if not own.validate(body[0]):
                yield f"the schema of its WSDL refuses the answer: {own.error_log.last_error}"
            if not body[0].tag.endswith("Response"):
                yield f"the answer holds {body[0].tag}"

    def _judge_fault(self, case: Case, version: str, fault: Any, expected: str) -> Iterator[str]:
        namespace = ENVELOPES[version]
        env = {"env": namespace}
        if version == "1.1":
            code, details = fault.findtext("faultcode") or "", fault.findall("detail")
        else:
            code = fault.findtext("env:Code/env:Value", namespaces=env) or ""
            details = fault.findall("env:Detail", namespaces=env)
            expected = _NAMES_IN_12.get(expected, expected)
        prefix, _, local = code.strip().rpartition(":")
        # SOAP 1.1, 4.4.1: what follows a dot makes the code finer.
        if local.partition(".")[0] != expected or fault.nsmap.get(prefix or None) != namespace:
            yield f"the fault code is {code}, not {expected}"
        if not self.contract:
            return
        detail = fault.find(f".//{{{NAMESPACE}}}WebchatFault")
        wanted = case.first("Expect-Code", "InvalidRequest" if expected in ("Client", "Sender") else "-")
        if wanted == "-":
            if details:
                yield "the fault has a detail"
            return
        if detail is None or len(details) != 1 or detail.getparent() is not details[0]:
            yield f"no WebchatFault in the detail: {etree.tostring(fault)[:700]!r}"
            return
        own = self._schemas[version]
        if not own.validate(detail):
            yield f"the schema of the WSDL refuses the detail: {own.error_log.last_error}"
        for name, value in (("code", wanted), ("field", case.first("Expect-Field"))):
            got = detail.findtext(f"{{{NAMESPACE}}}{name}")
            if value and got != value:
                yield f"{name} is {got}, not {value}: {detail.findtext(f'{{{NAMESPACE}}}message')}"

    def _judge_stored(self, case: Case) -> Iterator[str]:
        expected = case.head.get("Expect-Stored")
        if expected is None and case.valid:
            return
        body = (
            f'<s:Envelope xmlns:s="{ENVELOPES["1.1"]}"><s:Body><GetMessages xmlns="{NAMESPACE}">'
            f"<CHATID>{case.chat_id}</CHATID></GetMessages></s:Body></s:Envelope>"
        ).encode()
        asked = send(Case(path=case.path, version="1.1", head={}, body=body, chat_id=None), self.url)
        root = etree.fromstring(asked.body)
        texts = tuple(root.xpath("//w:message/w:text/text()", namespaces=_PREFIXES))
        wanted = () if expected is None else expected
        if texts != wanted:
            yield f"the chat holds {texts}, not {wanted}"
