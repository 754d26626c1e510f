"""The contract's types (section 3) as Spyne models: the schema's one source.

Required elements are minOccurs=1, optional ones minOccurs=0, lists maxOccurs=unbounded; nothing is nillable and no list
has a wrapper type, because generated clients turn nillable and array types into boxed types and extra levels.
Enumerations are made once and used as they are: a customised copy would stand in the schema as a type of its own.
"""

from __future__ import annotations

from typing import Any

from spyne import AnyUri, Boolean, ComplexModel, DateTime, Fault, Int, Long, Unicode
from spyne.model.enum import Enum

from webchat_soap.domain.chat import ChatStatus, Sender
from webchat_soap.domain.file import FileType

NAMESPACE = "urn:webchat:v1"


def required(model: Any) -> Any:
    """Exactly once, never nil."""
    return model.customize(min_occurs=1, nillable=False)


def optional(model: Any) -> Any:
    """Once or left away, never nil."""
    return model.customize(min_occurs=0, nillable=False)


def repeated(model: Any, *, at_least: int = 0) -> Any:
    """The element itself repeats: no array type around it."""
    return model.customize(min_occurs=at_least, max_occurs="unbounded", nillable=False)


def _enumeration(name: str, *values: str) -> Any:
    made = Enum(*values, type_name=name)
    made.__namespace__ = NAMESPACE
    # Spyne's default for everything is optional and nillable; set on the type itself, so that no copy is needed.
    made.Attributes.min_occurs = 1
    made.Attributes.nillable = False
    return made


FILE_TYPE = _enumeration("FileType", *(member.value for member in FileType))
CHAT_STATUS = _enumeration("ChatStatus", *(member.value for member in ChatStatus))
SENDER = _enumeration("Sender", *(member.value for member in Sender))


class StoredFile(ComplexModel):
    """A file that the service holds."""

    __namespace__ = NAMESPACE
    _type_info = [
        ("fileId", required(Unicode)),
        ("fileUrl", required(AnyUri)),
        ("fileName", required(Unicode)),
        ("originalFileName", required(Unicode)),
        ("fileType", FILE_TYPE),
        ("contentType", required(Unicode)),
        ("size", required(Long)),
        ("sha256", required(Unicode)),
        ("width", optional(Int)),
        ("height", optional(Int)),
        ("durationMilliseconds", optional(Long)),
        ("thumbnailUrl", optional(AnyUri)),
        ("removedAt", optional(DateTime)),
    ]


class MessageReceipt(ComplexModel):
    """Proof of a stored message."""

    __namespace__ = NAMESPACE
    _type_info = [
        ("messageId", required(Unicode)),
        ("CHATID", required(Unicode)),
        ("sequence", required(Long)),
        ("sentAt", required(DateTime)),
        ("duplicate", required(Boolean)),
        ("file", repeated(StoredFile)),
    ]


class Chat(ComplexModel):
    """A chat as it stands now."""

    __namespace__ = NAMESPACE
    _type_info = [
        ("CHATID", required(Unicode)),
        ("status", CHAT_STATUS),
        ("customerName", optional(Unicode)),
        ("startedAt", required(DateTime)),
        ("endedAt", optional(DateTime)),
        ("lastSequence", required(Long)),
        ("agentName", optional(Unicode)),
        ("endedBy", optional(Unicode)),
    ]


class Message(ComplexModel):
    """A message of a chat."""

    __namespace__ = NAMESPACE
    _type_info = [
        ("messageId", required(Unicode)),
        ("sequence", required(Long)),
        ("sender", SENDER),
        ("agentName", optional(Unicode)),
        ("sentAt", required(DateTime)),
        ("text", optional(Unicode)),
        ("file", repeated(StoredFile)),
        ("deliveredAt", optional(DateTime)),
        ("readAt", optional(DateTime)),
    ]


class MessagePage(ComplexModel):
    """Messages in order, and where the chat stands."""

    __namespace__ = NAMESPACE
    _type_info = [
        ("CHATID", required(Unicode)),
        ("status", CHAT_STATUS),
        ("message", repeated(Message)),
        ("lastSequence", required(Long)),
        ("hasMore", required(Boolean)),
    ]


class FileLimit(ComplexModel):
    """What is taken of one family of files."""

    __namespace__ = NAMESPACE
    _type_info = [
        ("fileType", FILE_TYPE),
        ("maxSize", required(Long)),
        ("contentType", repeated(Unicode, at_least=1)),
    ]


class Limits(ComplexModel):
    """All limits, and what a chat has used of them."""

    __namespace__ = NAMESPACE
    _type_info = [
        ("fileLimit", repeated(FileLimit, at_least=1)),
        ("maxTextLength", required(Int)),
        ("maxFilesPerChat", required(Int)),
        ("maxBytesPerChat", required(Long)),
        ("filesUsed", optional(Int)),
        ("bytesUsed", optional(Long)),
    ]


class WebchatFault(Fault):
    """The one fault of every operation, as it stands in the detail."""

    __namespace__ = NAMESPACE
    __type_name__ = "WebchatFault"
    _type_info = [
        ("code", required(Unicode)),
        ("message", required(Unicode)),
        ("retryable", required(Boolean)),
        ("requestId", required(Unicode)),
        ("field", optional(Unicode)),
        ("limit", optional(Long)),
        ("actual", optional(Long)),
        ("declaredType", optional(Unicode)),
        ("detectedType", optional(Unicode)),
        ("httpStatus", optional(Int)),
        ("line", optional(Int)),
        ("column", optional(Int)),
        ("retryAfterSeconds", optional(Int)),
    ]
