"""What the console's page sends, read as strictly as what comes over SOAP (domain.details)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from webchat_soap.domain.details import clean_original_name, parse_file_type, parse_text
from webchat_soap.domain.errors import InvalidRequest
from webchat_soap.domain.file import FileType
from webchat_soap.domain.json_reader import JsonNumber, JsonObject, join_path, read_json

_is_number = re.compile(r"[0-9]{1,18}").fullmatch
_is_token = re.compile(r"[A-Za-z0-9_-]{1,100}").fullmatch
MAX_NAME_LENGTH: Final = 1000
"""Code points of a file's name as it is given; 255 of them are kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPost:
    """A text to be posted."""

    text: str
    client_token: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FilePost:
    """An uploaded file to be posted, with a text or without."""

    original_name: str | None
    declared_type: FileType | None
    text: str | None


def parse_text_post(body: bytes, *, max_text_length: int) -> TextPost:
    """InvalidJson, InvalidRequest."""
    members = _object(body, ("text", "clientToken"))
    text = parse_text(members.get("text"), "text", max_text_length)
    if text is None:
        raise InvalidRequest("text is empty; write something, or send a file.", field="text")
    return TextPost(text=text, client_token=check_page_token(members.get("clientToken")))


def parse_file_post(body: bytes, *, max_text_length: int) -> FilePost:
    """InvalidJson, InvalidRequest."""
    members = _object(body, ("fileName", "fileType", "text"))
    name = members.get("fileName")
    if name is not None and not isinstance(name, str):
        raise InvalidRequest("fileName must be a string in double quotes.", field="fileName")
    return FilePost(
        original_name=check_file_name(name),
        declared_type=parse_file_type(members.get("fileType"), "fileType"),
        text=parse_text(members.get("text"), "text", max_text_length),
    )


def parse_mark(body: bytes) -> int:
    """The sequence up to which was read. InvalidJson, InvalidRequest."""
    value = _object(body, ("sequence",)).get("sequence")
    if not isinstance(value, JsonNumber) or not _is_number(value.literal):
        raise InvalidRequest("sequence must be a whole number; give that of the last message seen.", field="sequence")
    return int(value.literal)


def parse_nothing(body: bytes) -> None:
    """An empty object, or no body. InvalidJson, InvalidRequest."""
    if body.strip():
        _object(body, ())


def check_file_name(name: str | None) -> str | None:
    """The name as it is kept (details.clean_original_name). InvalidRequest for one that is far too long."""
    if name is not None and len(name) > MAX_NAME_LENGTH:
        raise InvalidRequest(
            f"fileName has {len(name):,} characters; shorten it to {MAX_NAME_LENGTH:,}.",
            field="fileName",
            limit=MAX_NAME_LENGTH,
            actual=len(name),
        )
    return clean_original_name(name)


def check_page_token(value: object) -> str:
    """InvalidRequest."""
    if not isinstance(value, str) or not _is_token(value):
        raise InvalidRequest(
            "clientToken must be 1 to 100 of the letters A-Z, a-z, 0-9, _ and -; it makes a retry safe.",
            field="clientToken",
        )
    return value


def whole_number(query: Mapping[str, str], name: str, *, default: int | None, at_least: int = 0) -> int | None:
    """A whole number of the query; `default` where it is not there. InvalidRequest."""
    given = query.get(name, "")
    if not given:
        return default
    if not _is_number(given) or int(given) < at_least:
        raise InvalidRequest(f"{name} must be a whole number from {at_least}.", field=name)
    return int(given)


def _object(body: bytes, known: tuple[str, ...]) -> JsonObject:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8; send JSON in UTF-8.", field="body") from None
    members = read_json(text, field="body")
    if not isinstance(members, dict):
        raise InvalidRequest("The body must hold a JSON object.", field="body")
    for key in members:
        if key not in known:
            names = ", ".join(known) or "none"
            raise InvalidRequest(f"A key of the body is not known; known here: {names}.", field=join_path("", key))
    return members
