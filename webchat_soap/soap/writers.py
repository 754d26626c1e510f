"""Writers: from the domain's values to XML, made once from the Spyne types.

Text is built directly: a tree that is only made to be printed cost more than everything else in an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

from spyne import AnyUri, Boolean, DateTime, Integer, Unicode
from spyne.model.complex import ComplexModelBase
from spyne.model.enum import EnumBase

from webchat_soap.domain.links import public_url

Writer = Callable[[Any, str], str]
"""(value, base URL) -> XML."""

# What XML 1.0 cannot carry; a carriage return would come out of the reader as a line feed.
_UNSAFE = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}

# Where the wire's name, written as Python would, is not the domain's. A dotted path reads through.
_PYTHON_NAMES = {
    "CHATID": "chat_id",
    ("MessageReceipt", "file"): "files",
    ("Message", "file"): "files",
    ("MessagePage", "message"): "messages",
    ("Limits", "fileLimit"): "file_limits",
    ("Limits", "maxFilesPerChat"): "quota.max_files",
    ("Limits", "maxBytesPerChat"): "quota.max_bytes",
    ("FileLimit", "maxSize"): "max_bytes",
    ("FileLimit", "contentType"): "content_types",
    ("StoredFile", "fileName"): "name",
    ("StoredFile", "originalFileName"): "original_name",
}
_DERIVED: dict[tuple[str, str], Callable[[Any, str], Any]] = {
    ("StoredFile", "fileUrl"): lambda file, base_url: public_url(base_url, file.name),
    ("StoredFile", "thumbnailUrl"): lambda file, base_url: None,
    ("Limits", "filesUsed"): lambda limits, base_url: None if limits.used is None else limits.used.files,
    ("Limits", "bytesUsed"): lambda limits, base_url: None if limits.used is None else limits.used.bytes,
}


def _replace(match: re.Match[str]) -> str:
    return _ESCAPES.get(match.group(), "\ufffd")


def escape_text(text: str) -> str:
    """Text as it may stand in an element or between double quotes; what XML cannot carry becomes U+FFFD."""
    if _UNSAFE.search(text) is not None:
        text = _UNSAFE.sub(_replace, text)
    return text.replace('"', "&quot;") if '"' in text else text


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match.group(1).lower(), name)


_TWO_DIGITS = [f"{number:02}" for number in range(60)]
_MILLISECONDS = [f".{number:03}Z" for number in range(1000)]


@lru_cache(maxsize=64)
def _write_day(year: int, month: int, day: int) -> str:
    return f"{year:04}-{month:02}-{day:02}T"


def write_time(value: datetime) -> str:
    """As xs:dateTime in UTC, to the millisecond. `value` is aware."""
    # Nearly every stack misreads a time without a zone. Put together here, as isoformat takes four times as long,
    # which was a tenth of a page of messages.
    if value.tzinfo is not UTC:
        assert value.tzinfo is not None
        value = value.astimezone(UTC)
    return (
        f"{_write_day(value.year, value.month, value.day)}{_TWO_DIGITS[value.hour]}:{_TWO_DIGITS[value.minute]}:"
        f"{_TWO_DIGITS[value.second]}{_MILLISECONDS[value.microsecond // 1000]}"
    )


def _write_boolean(value: bool) -> str:
    return "true" if value else "false"


def _scalar_writer(model: Any) -> Callable[[Any], str]:
    if issubclass(model, DateTime):
        return write_time
    if issubclass(model, Boolean):
        return _write_boolean
    if issubclass(model, Integer):
        return str
    if issubclass(model, Unicode | AnyUri | EnumBase):
        return escape_text
    raise TypeError(f"no writer for {model}")


def _member_writer(type_name: str, name: str, model: Any) -> Callable[[Any, str, list[str]], None]:
    key = (type_name, name)
    path = _PYTHON_NAMES.get(key) or _PYTHON_NAMES.get(name) or _snake(name)
    derive = _DERIVED.get(key)
    read = attrgetter(path)
    required = model.Attributes.min_occurs > 0
    repeated = model.Attributes.max_occurs == "unbounded" or model.Attributes.max_occurs > 1
    opening, closing = f"<{name}>", f"</{name}>"
    if issubclass(model, ComplexModelBase):
        write_inner = _members_writer(model)

        def write_one(value: Any, base_url: str, out: list[str]) -> None:
            out.append(opening)
            write_inner(value, base_url, out)
            out.append(closing)
    else:
        scalar = _scalar_writer(model)

        def write_one(value: Any, base_url: str, out: list[str]) -> None:
            out.append(f"{opening}{scalar(value)}{closing}")

        if derive is None and not repeated:

            def write_scalar(owner: Any, base_url: str, out: list[str]) -> None:
                value = read(owner)
                if value is not None:
                    out.append(f"{opening}{scalar(value)}{closing}")
                elif required:
                    raise TypeError(f"{type_name}.{name} must have a value")

            return write_scalar

    def write_member(owner: Any, base_url: str, out: list[str]) -> None:
        value = read(owner) if derive is None else derive(owner, base_url)
        if repeated:
            for item in value:
                write_one(item, base_url, out)
        elif value is not None:
            write_one(value, base_url, out)
        elif required:
            raise TypeError(f"{type_name}.{name} must have a value")

    return write_member


def _members_writer(model: Any) -> Callable[[Any, str, list[str]], None]:
    type_name = model.get_type_name()
    members = [_member_writer(type_name, name, member) for name, member in model._type_info.items()]

    def write(value: Any, base_url: str, out: list[str]) -> None:
        for member in members:
            member(value, base_url, out)

    return write


def make_writer(name: str, model: Any, *, namespace: str) -> Writer:
    """A writer of one element of a complex type; its members take the same namespace."""
    write_members = _members_writer(model)
    opening, closing = f'<{name} xmlns="{namespace}">', f"</{name}>"

    def write(value: Any, base_url: str) -> str:
        out = [opening]
        write_members(value, base_url, out)
        out.append(closing)
        return "".join(out)

    return write


def make_response_writer(descriptor: Any, *, namespace: str) -> Writer:
    """A writer of an operation's whole response element, around the one result it returns."""
    message = descriptor.out_message
    ((result_name, result_model),) = message._type_info.items()
    name = message.get_type_name()
    write_members = _members_writer(result_model)
    opening = f'<{name} xmlns="{namespace}"><{result_name}>'
    closing = f"</{result_name}></{name}>"

    def write(value: Any, base_url: str) -> str:
        out = [opening]
        write_members(value, base_url, out)
        out.append(closing)
        return "".join(out)

    return write
