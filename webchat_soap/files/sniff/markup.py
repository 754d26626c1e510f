"""What a browser, PHP or a shell would take for its own: markup that opens a text, or stands inside something else."""

from __future__ import annotations

import re

from webchat_soap.domain.errors import UnsupportedFileType
from webchat_soap.files.sniff.reader import Reader
from webchat_soap.files.sniff.refusal import never_taken

MARKUP = re.compile(rb"<(?:(?:script|html|iframe|body|svg)[\s>/]|!doctype\s+html|\?php\s)", re.IGNORECASE)
"""10 MiB of random bytes hold one of these once in a thousand files or less; XMP and its RDF do not match."""
_WIDE_MARKUP = re.compile(rb"<\0(?:s\0c\0r\0i\0p\0t|h\0t\0m\0l|i\0f\0r\0a\0m\0e)\0?", re.IGNORECASE)
_BLANK = " \t\n\v\f\r\x85\xa0\u200b\u200e\u200f\u2028\u2029\u2060\ufeff"
_OPENS = re.compile(r"<[A-Za-z!?/%]|#!")
_OPENS_HTML = re.compile(
    r"<!doctype\s+html|<!--|<(?:html|head|body|script|iframe|title|meta|style|table|div|p|a|h1|br|b)\b"
)
_HEAD_BYTES = 4096


def holds_markup(data: bytes) -> bool:
    """Whether markup that a browser or PHP acts on stands anywhere in `data`, in UTF-8 or UTF-16."""
    return MARKUP.search(data) is not None or _WIDE_MARKUP.search(data) is not None


def skip_blank(text: str) -> str:
    """The text from its first character that shows."""
    return text.lstrip(_BLANK)


def refuse_opening(opening: str) -> None:
    """Refuse a text that opens with markup, `#!` or PostScript. `opening` begins with what shows."""
    opening = skip_blank(opening)
    if not _OPENS.match(opening):
        if opening.startswith("%!PS"):
            raise never_taken("application/postscript", "a PostScript program")
        return
    raise _named(opening.lower())


def refuse_markup(reader: Reader) -> None:
    """Refuse a file that opens with markup or `#!`, whatever bytes follow."""
    head = reader.at(0, _HEAD_BYTES)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        refuse_opening(head[: len(head) & ~1].decode("utf-16", "replace"))
    elif head[:2] in (b"<\0", b"#\0"):
        refuse_opening(head.decode("utf-16-le", "replace"))
    elif head[:2] in (b"\0<", b"\0#"):
        refuse_opening(head.decode("utf-16-be", "replace"))
    else:
        refuse_opening(head.decode("utf-8-sig", "replace"))


def _named(opening: str) -> UnsupportedFileType:
    if opening.startswith("#!"):
        return never_taken("text/x-script", "a script")
    if "<svg" in opening[:1024]:
        return never_taken("image/svg+xml", "an SVG, which can carry scripts")
    if opening.startswith("<?php"):
        return never_taken("application/x-php", "a PHP script")
    if _OPENS_HTML.match(opening):
        return never_taken("text/html", "HTML")
    if opening.startswith("<?xml"):
        return never_taken("application/xml", "XML")
    return never_taken("text/x-markup", "text that opens with markup")
