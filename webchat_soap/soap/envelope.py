"""Reading an envelope: bytes in, the one operation element out, or the fault that the specifications prescribe.

Bounds come first (`check_bounds`): bytes, tags and attributes are counted before anything is built from them; libxml2
itself refuses more than 256 levels. DTD, processing instructions and external anything are refused, so no entity is
ever resolved. benchmarks/hostile.py shows what the worst messages cost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lxml import etree

from webchat_soap.domain.errors import InvalidRequest
from webchat_soap.soap.addressing import Addressing, is_understood, read_addressing
from webchat_soap.soap.faults import DataEncodingUnknown, MustUnderstand, VersionMismatch
from webchat_soap.soap.versions import SOAP12, VERSIONS, XML_SPACE, SoapVersion

# Start and end tags; a message with a signed WS-Security header has about 120. What the longest text may hold of "<" in
# a CDATA section comes on top.
MAX_TAGS = 500
# All attributes and declarations of a message together; the same message has about 100.
MAX_ALL_ATTRIBUTES = 1_000
# What stands around the longest JSON: a SAML token in a WS-Security header takes some 20 KiB.
MAX_AROUND_BYTES = 24 * 1024
# A code point of the text as two JSON escapes, \\ud83d\\ude00; one of what is mostly ASCII as one.
MAX_BYTES_PER_CHARACTER = 12
MAX_BYTES_PER_OTHER = 6
# Beside the text: fileUrl, fileName, customerName, clientToken and the names of the JSON.
MAX_OTHER_CHARACTERS = 3_200
# The widest legitimate element (wsu:Id, xsi:type, encodingStyle and a few more) has a handful.
MAX_ATTRIBUTES = 64
# Validating copies every declaration in scope: 50,000 of them held all threads for 4 s. Clients declare up to ten.
MAX_NAMESPACES = 64

XSI = "http://www.w3.org/2001/XMLSchema-instance"
_NO_ENCODING = "http://www.w3.org/2003/05/soap-envelope/encoding/none"

# What generated clients really send, by the names that Python's codecs have for it. Everything else is refused: Python
# also knows codecs that are none (rot13, zlib).
_CODECS = {
    name: codec
    for codec, names in {
        "utf-8": "utf-8 utf8",
        "ascii": "us-ascii ascii",
        "utf-16": "utf-16 utf16",
        "utf-16-le": "utf-16le",
        "utf-16-be": "utf-16be",
        "latin-1": "iso-8859-1 iso8859-1 latin1 latin-1 l1",
        "iso8859-9": "iso-8859-9 iso8859-9 latin5 latin-5 l5",
        "iso8859-15": "iso-8859-15 iso8859-15 latin-9",
        "cp1252": "windows-1252 cp1252",
        "cp1254": "windows-1254 cp1254",
    }.items()
    for name in names.split()
}
_DECLARED = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]{0,39})["']""")
# A tag with its quoted values, in which a > may stand; a quote that is never closed ends it.
_TAG = re.compile(rb"""<[^<>"']*(?:"[^"]*"[^<>"']*|'[^']*'[^<>"']*)*>?""").match
_BEGINS_WITH_DECLARATION = re.compile(rb"<\?xml[ \t\r\n]").match


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How large and rich an envelope may be: beyond it no message of the contract can be, so nothing is parsed."""

    max_bytes: int
    max_tags: int
    max_references: int
    """Of characters and entities, `&#97;` or `&quot;`: all of the JSON may be written so."""


def bounds_for(max_text_length: int) -> Bounds:
    """The bounds that leave room for a text of so many code points however it is escaped."""
    json_bytes = MAX_BYTES_PER_CHARACTER * max_text_length + MAX_BYTES_PER_OTHER * MAX_OTHER_CHARACTERS
    return Bounds(
        max_bytes=MAX_AROUND_BYTES + json_bytes,
        max_tags=MAX_TAGS + max_text_length,
        max_references=max_text_length + MAX_OTHER_CHARACTERS,
    )


class UnknownCharset(Exception):
    """The charset that was named is not one that we read; its message is a whole sentence."""


@dataclass(kw_only=True, slots=True)
class Envelope:
    """What is known of a message so far. It fills while the message is read, so that a fault that is met on the way
    is answered in the right version and to the right MessageID."""

    version: SoapVersion
    """At first that of the media type."""
    addressing: Addressing | None = None
    operation: Any = None
    """The one child element of Body."""


def to_utf8(body: bytes, charset: str | None, bounds: Bounds) -> bytes:
    """The body as UTF-8. A byte order mark wins over the Content-Type's charset, that over the XML declaration.

    The declaration stays as it is: the parser is told the encoding (see `make_parser`) and judges all the rest of it.
    Raises UnknownCharset, or InvalidRequest for bytes that are not in the charset, or too many.
    """
    if body.startswith(b"\xef\xbb\xbf"):
        return body[3:]
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        codec = "utf-16"
    else:
        codec = _codec_of(charset or _declared_charset(body))
        if codec == "utf-16":
            # Without a mark the big end comes first (RFC 2781 section 4.3), unless the first sign says otherwise.
            codec = "utf-16-le" if body[1:2] == b"\x00" else "utf-16-be"
    if codec == "utf-8":
        return body
    # UTF-16 takes two bytes for what UTF-8 may take one for, and a document has as many bytes as it has.
    if len(body) > 2 * bounds.max_bytes:
        raise _too_large(len(body), bounds)
    try:
        text = body.decode(codec)
    except UnicodeDecodeError:
        raise InvalidRequest("The body's bytes are not in the charset that was named; send UTF-8.") from None
    return text.encode("utf-8", "surrogatepass")


def _codec_of(charset: str) -> str:
    codec = _CODECS.get(charset.lower().replace("_", "-"))
    if codec is None:
        raise UnknownCharset("This charset is not read here; send the envelope as UTF-8.")
    return codec


def _declared_charset(body: bytes) -> str:
    """By the body itself: UTF-16 shows by where its zeros are (XML 1.0, appendix F), all else by its declaration."""
    first, second = body[:2].ljust(2, b" ")
    if b"\x00" in body[:2] and (first or second):
        return "utf-16"
    declared = _DECLARED.match(body)
    name = declared.group(1).decode("ascii") if declared else "utf-8"
    # A declaration that could be read as ASCII does not stand in UTF-16.
    return "utf-8" if name.lower().startswith("utf-16") else name


def _too_large(size: int, bounds: Bounds) -> InvalidRequest:
    return InvalidRequest(
        f"The envelope has {size} bytes; no valid one has more than {bounds.max_bytes}.",
        limit=bounds.max_bytes,
        actual=size,
    )


def check_bounds(body: bytes, bounds: Bounds) -> None:
    """Look at the bytes before anything is built from them. InvalidRequest."""
    if len(body) > bounds.max_bytes:
        raise _too_large(len(body), bounds)
    if b"<!DOCTYPE" in body and _has_dtd(body):
        raise _dtd()
    if body.count(b"&") > bounds.max_references:
        raise InvalidRequest(f"The XML has more than {bounds.max_references} references.", limit=bounds.max_references)
    if body.count(b"\\") > 4 * bounds.max_references:
        raise InvalidRequest(
            f"The message has more than {4 * bounds.max_references} backslashes; send text as it is, in UTF-8.",
            limit=4 * bounds.max_references,
        )
    # The quick look counts what texts may hold too; only where it says so the tags are looked at one by one.
    if body.count(b"<") > MAX_TAGS or body.count(b"=") > MAX_ALL_ATTRIBUTES:
        _count_tags(body, bounds)


def _has_dtd(body: bytes) -> bool:
    """Whether a document type declaration stands in front of the document element."""
    place = 0
    for _ in range(MAX_TAGS):
        place = body.find(b"<", place)
        if body.startswith(b"<!--", place):
            place = body.find(b"-->", place + 4)
        elif body.startswith(b"<?", place):
            place = body.find(b"?>", place)
        else:
            return body.startswith(b"<!DOCTYPE", place)
        if place < 0:
            # Never closed: the parser ends here too.
            return False
    raise InvalidRequest("The XML has too many comments and instructions in front of the Envelope.", limit=MAX_TAGS)


def _count_tags(body: bytes, bounds: Bounds) -> None:
    if body.count(b"<") > bounds.max_tags:
        raise InvalidRequest(f"The XML has more than {MAX_TAGS} tags.", limit=MAX_TAGS)
    tags = quotes = pieces = 0
    place = body.find(b"<")
    while place >= 0:
        if body.startswith(b"<![CDATA[", place):
            end = body.find(b"]]>", place)
            pieces += 1
        elif body.startswith(b"<!--", place):
            end = body.find(b"-->", place + 4)
            pieces += 1
        elif body.startswith(b"<?", place):
            end = body.find(b"?>", place)
            pieces += 1
        else:
            tag = _TAG(body, place)
            assert tag is not None
            end = tag.end()
            tags += 1
            quotes += tag.group().count(b'"') + tag.group().count(b"'")
            if tags > MAX_TAGS:
                raise InvalidRequest(f"The XML has more than {MAX_TAGS} tags.", limit=MAX_TAGS)
            if quotes > 2 * MAX_ALL_ATTRIBUTES:
                raise InvalidRequest(
                    f"The XML has more than {MAX_ALL_ATTRIBUTES} attributes.", limit=MAX_ALL_ATTRIBUTES
                )
        if pieces > MAX_TAGS:
            raise InvalidRequest(f"The XML has more than {MAX_TAGS} comments and CDATA sections.", limit=MAX_TAGS)
        if end < 0:
            # Never closed: the parser ends here too.
            return
        place = body.find(b"<", end)


_VERSION_OF = {version.tag("Envelope"): version for version in VERSIONS.values()}


def read_envelope(body: bytes, parser: etree.XMLParser, envelope: Envelope) -> None:
    """Parse, check, and fill `envelope`. `body` is UTF-8 and within its bounds (`check_bounds`).

    Raises InvalidRequest, VersionMismatch, MustUnderstand or DataEncodingUnknown.
    """
    root = _parse(body, parser)
    version = _VERSION_OF.get(root.tag)
    if version is not None:
        envelope.version = version
        _read_parts(root, envelope, body)
        return
    name = etree.QName(root)
    if name.namespace not in VERSIONS:
        raise VersionMismatch("The document element is not an Envelope of SOAP 1.1 or SOAP 1.2; see the WSDL for both.")
    envelope.version = VERSIONS[name.namespace]
    if envelope.version is SOAP12:
        # Part 1, section 5.4.6: also where the local name alone is another.
        raise VersionMismatch("The document element must be Envelope.")
    raise InvalidRequest("The document element must be Envelope.")


def _parse(body: bytes, parser: etree.XMLParser) -> Any:
    if not body.strip(b" \t\r\n"):
        raise InvalidRequest("The request is empty; POST a SOAP envelope.")
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise _malformed(parser, error, f" at line {line}, column {column}" if line else "") from None
    except (ValueError, LookupError):
        raise InvalidRequest("The XML cannot be read; send well-formed UTF-8.") from None
    # libxml2 goes on after some errors of namespaces and leaves a colon in the name.
    complaints = parser.error_log
    if len(complaints) and (errors := complaints.filter_from_errors()):
        raise _malformed(parser, None, f" at line {errors[0].line}")
    # Only the rare document that has these bytes at all pays for the look into the tree.
    if body.count(b"<?") > (_BEGINS_WITH_DECLARATION(body) is not None) and _has_instruction(root):
        raise InvalidRequest("A processing instruction is not allowed in a SOAP message.")
    return root


def _malformed(parser: etree.XMLParser, error: etree.XMLSyntaxError | None, place: str) -> InvalidRequest:
    if error is not None:
        if "Excessive depth" in (error.msg or ""):
            return InvalidRequest("The XML is nested too deeply.")
        if error.code == etree.ErrorTypes.ERR_UNDECLARED_ENTITY:
            return InvalidRequest(f"The XML refers to an entity that is not declared{place}; XML itself has only five.")
    errors = parser.error_log.filter_from_errors()
    if errors and errors[0].type == etree.ErrorTypes.WAR_NS_URI:
        return InvalidRequest(f"The XML declares a namespace that is no URI (RFC 3986){place}.")
    if errors and all(entry.domain == etree.ErrorDomains.NAMESPACE for entry in errors):
        return InvalidRequest(f"The XML uses a prefix that is not declared, or declares one wrongly{place}.")
    return InvalidRequest(f"The XML is not well formed{place}.")


def _dtd() -> InvalidRequest:
    return InvalidRequest("A document type declaration (DTD) is not allowed in a SOAP message.")


def _has_instruction(root: Any) -> bool:
    around = [*root.itersiblings(preceding=True), *root.itersiblings()]
    return bool(around) or next(root.iter(etree.ProcessingInstruction), None) is not None


def _read_parts(root: Any, envelope: Envelope, raw: bytes) -> None:
    version = envelope.version
    parts = list(root)
    header = parts.pop(0) if parts and parts[0].tag == version.header_tag else None
    if not parts or parts[0].tag != version.body_tag:
        raise InvalidRequest("The Envelope must hold an optional Header and then one Body.")
    if len(parts) > 1:
        raise InvalidRequest("Nothing may stand behind the Body in the Envelope.")
    body = parts[0]
    for element in (root, body) if header is None else (root, header, body):
        if element.attrib:
            _check_attributes(element, version)
    # Only a message that has so many of the word pays for looking what it declares.
    if raw.count(b"xmlns") > MAX_NAMESPACES and len(body.nsmap) > MAX_NAMESPACES:
        raise InvalidRequest(
            f"More than {MAX_NAMESPACES} namespaces are declared around the Body.", limit=MAX_NAMESPACES
        )
    if _has_text(root) or (header is not None and _has_text(header)):
        raise InvalidRequest("Text may not stand in the Envelope or its Header beside the elements.")
    if header is not None and len(header):
        role = version.tag(version.role_attribute)
        envelope.addressing = read_addressing(
            block for block in header if (block.get(role) or "").strip(XML_SPACE) in version.own_roles
        )
        # What must be understood is decided before anything else (SOAP 1.2 Part 1, section 2.6).
        _check_header(header, version)
    if version is SOAP12 and b"encodingStyle" in raw:
        _check_encoding_style(version, root, header, body)
    if len(body) != 1:
        raise InvalidRequest("The Body must hold exactly one element, that of the operation.")
    if _has_text(body):
        raise InvalidRequest("Text may not stand in the Body beside the operation's element.")
    operation = body[0]
    if operation.tag == version.fault_tag:
        raise InvalidRequest("A Fault is no request.")
    envelope.operation = operation


def _check_attributes(element: Any, version: SoapVersion) -> None:
    if len(element.attrib) > MAX_ATTRIBUTES:
        raise InvalidRequest(f"An element has more than {MAX_ATTRIBUTES} attributes.", limit=MAX_ATTRIBUTES)
    # SOAP 1.1 section 4.1.1 says so of the Envelope, SOAP 1.2 Part 1 sections 5.1 to 5.3 of all three.
    if version is SOAP12 or element.getparent() is None:
        for name in element.attrib:
            if not name.startswith("{"):
                raise InvalidRequest(
                    f"The attribute {name[:100]} of {etree.QName(element).localname} must be in a namespace."
                )


def _has_text(element: Any) -> bool:
    text = element.text
    if text and text.strip(XML_SPACE):
        return True
    for child in element:  # no generator: this runs three times a call
        text = child.tail
        if text and text.strip(XML_SPACE):
            return True
    return False


def _check_header(header: Any, version: SoapVersion) -> None:
    must_understand, role = version.tag("mustUnderstand"), version.tag(version.role_attribute)
    missed: list[tuple[str, str]] = []
    odd = False
    for block in header:
        if not block.tag.startswith("{"):
            # SOAP 1.1 section 4.2, SOAP 1.2 Part 1 section 5.2.
            raise InvalidRequest(f"The header block {block.tag[:100]} must be in a namespace.")
        value = block.get(must_understand)
        if value is None or (block.get(role) or "").strip(XML_SPACE) not in version.own_roles:
            continue
        value = value.strip(XML_SPACE)
        if value in version.true_values:
            if not is_understood(block):
                name = etree.QName(block)
                missed.append((name.namespace or "", name.localname))
        elif value not in version.false_values:
            odd = True
    if missed:
        names = ", ".join(f"{{{namespace}}}{name}"[:200] for namespace, name in missed[:5])
        raise MustUnderstand(f"These header blocks must be understood and are not: {names}.", blocks=tuple(missed[:20]))
    if odd:
        allowed = " or ".join(sorted(version.true_values | version.false_values))
        raise InvalidRequest(f"mustUnderstand must be {allowed}.")


def _check_encoding_style(version: SoapVersion, root: Any, header: Any, body: Any) -> None:
    encoding_style = version.tag("encodingStyle")
    for element in (root, header, body):
        if element is not None and element.get(encoding_style) is not None:
            raise InvalidRequest("encodingStyle may not stand on Envelope, Header or Body (SOAP 1.2 Part 1, 5.1.1).")
    for element in body.iterdescendants():
        style = element.get(encoding_style)
        if style is not None and style.strip(XML_SPACE) != _NO_ENCODING:
            raise DataEncodingUnknown("This encodingStyle is not known; messages are document/literal.")
