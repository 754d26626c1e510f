"""HTTP's wrapping of an envelope: media types, charsets, and the multipart packages of MTOM and SOAP with Attachments.

JAX-WS and .NET with MTOM switched on send even a message without attachments as multipart/related; it is answered as if
it had come plain.
"""

from __future__ import annotations

import base64
import binascii
import quopri
from dataclasses import dataclass, field
from email.message import Message
from email.utils import collapse_rfc2231_value
from functools import lru_cache
from typing import NamedTuple

from webchat_soap.domain.errors import InvalidRequest
from webchat_soap.soap.versions import SOAP11, SOAP12, SoapVersion

_MEDIA_TYPES = {"text/xml": SOAP11, "application/soap+xml": SOAP12}
MAX_PARTS = 16
# The standard library's parser takes quadratic time over it; the longest that a client is known to send has 300.
MAX_CONTENT_TYPE = 1000
MAX_PARAMETERS = 20
MAX_PART_HEADS = 8192


class UnsupportedMedia(Exception):
    """Not a SOAP message by its Content-Type; the message is a whole sentence (HTTP 415)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentType:
    """A Content-Type header, parsed. Names in lower case."""

    media_type: str
    parameters: dict[str, str] = field(default_factory=dict)


class Package(NamedTuple):
    """The envelope's bytes and what its wrapping says of it."""

    body: bytes
    hint: SoapVersion
    charset: str | None
    action: str | None
    """SOAP 1.2's action parameter."""


def parse_content_type(value: str) -> ContentType:
    """UnsupportedMedia for one that is too long or cannot be read."""
    if len(value) > MAX_CONTENT_TYPE:
        raise UnsupportedMedia(f"The Content-Type has more than {MAX_CONTENT_TYPE} characters.")
    # The parser's time grows with their square.
    if value.count(";") > MAX_PARAMETERS:
        raise UnsupportedMedia(f"The Content-Type has more than {MAX_PARAMETERS} parameters.")
    return _parse_content_type(value)


@lru_cache(maxsize=256)
def _parse_content_type(value: str) -> ContentType:
    """By the standard library's header parser, and remembered: a caller always sends the same one."""
    message = Message()
    try:
        message["content-type"] = value
        first, *others = message.get_params(failobj=[("", "")], unquote=True) or [("", "")]
        parameters = [(name, collapse_rfc2231_value(given)) for name, given in others]
    except (TypeError, ValueError, LookupError):
        raise UnsupportedMedia("The Content-Type cannot be read.") from None
    return ContentType(
        media_type=first[0].strip().lower(),
        # The parser leaves quoted pairs but those of a quote and a backslash as they are.
        parameters={name.lower(): given.replace("\\", "").strip() for name, given in parameters},
    )


def guess_version(content_type: str) -> SoapVersion:
    """The version that a Content-Type speaks of, for a fault about a package that cannot be opened."""
    return SOAP12 if "application/soap+xml" in content_type.lower() else SOAP11


def unpack(body: bytes, content_type: str, *, max_bytes: int) -> Package:
    """The envelope out of a request; a package may have `max_bytes`. UnsupportedMedia, InvalidRequest for a bad one."""
    parsed = parse_content_type(content_type)
    action = parsed.parameters.get("action")
    if parsed.media_type == "multipart/related":
        if len(body) > max_bytes:
            raise InvalidRequest(
                f"The package has {len(body)} bytes, but may have at most {max_bytes}; files come by their fileUrl.",
                limit=max_bytes,
                actual=len(body),
            )
        body, parsed = _root_part(body, parsed)
    if parsed.media_type == "application/xop+xml":
        inner = parse_content_type(parsed.parameters.get("type", "text/xml"))
        parsed = ContentType(media_type=inner.media_type, parameters={**inner.parameters, **parsed.parameters})
    hint = _MEDIA_TYPES.get(parsed.media_type)
    if hint is None:
        raise UnsupportedMedia("Send SOAP 1.1 as text/xml or SOAP 1.2 as application/soap+xml, in UTF-8.")
    return Package(
        body=body, hint=hint, charset=parsed.parameters.get("charset"), action=parsed.parameters.get("action") or action
    )


def _root_part(body: bytes, package: ContentType) -> tuple[bytes, ContentType]:
    boundary = package.parameters.get("boundary", "")
    if not 1 <= len(boundary) <= 70 or not boundary.isascii():
        raise InvalidRequest("The multipart/related package has no usable boundary.")
    # RFC 2046: a boundary stands at the start of a line, so the first one may lack its line break.
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("ascii"), MAX_PARTS + 2)
    if len(pieces) < 3 or len(pieces) > MAX_PARTS + 2 or not pieces[-1].startswith(b"--"):
        raise InvalidRequest(f"The multipart/related package is broken off or has more than {MAX_PARTS} parts.")
    start = _content_id(package.parameters.get("start", ""))
    room = MAX_PART_HEADS
    for piece in pieces[1:-1]:
        head, found, content = piece.partition(b"\r\n\r\n")
        room -= len(head)
        if not found or room < 0:
            raise InvalidRequest("A part of the multipart/related package has no end to its head, or a too long one.")
        fields = _fields(head)
        if start and _content_id(fields.get("content-id", "")) != start:
            continue
        plain = _decode(content, fields.get("content-transfer-encoding", ""))
        return plain, parse_content_type(fields.get("content-type", "text/xml"))
    raise InvalidRequest("The multipart/related package has no part with the Content-ID that its start names.")


def _content_id(text: str) -> str:
    return text.strip().removeprefix("<").removesuffix(">")


def _fields(head: bytes) -> dict[str, str]:
    """A part's head: the first field of each name, in lower case, folded lines joined (RFC 5322 section 2.2.3)."""
    fields: dict[str, str] = {}
    lines = head.decode("latin-1").replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def _decode(content: bytes, encoding: str) -> bytes:
    match encoding.strip().lower():
        case "" | "7bit" | "8bit" | "binary":
            return content
        case "base64":
            try:
                return base64.b64decode(content, validate=False)
            except binascii.Error:
                raise InvalidRequest("The package's root part is not Base64.") from None
        case "quoted-printable":
            return quopri.decodestring(content)
        case _:
            raise InvalidRequest("The package's root part has an unknown Content-Transfer-Encoding.")
