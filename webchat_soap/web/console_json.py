"""The console's JSON: names as in the contract, times in UTC with milliseconds, links without a host."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from werkzeug.wrappers import Response

from webchat_soap.domain import errors
from webchat_soap.domain.chat import Limits, Message, MessagePage, MessageReceipt
from webchat_soap.domain.console import ChatSummary, OpenCounts
from webchat_soap.domain.errors import WebchatError
from webchat_soap.domain.file import StoredFile
from webchat_soap.domain.links import public_url
from webchat_soap.domain.uploads import WrongOffset

Json = dict[str, Any]

_STATUS: Final[tuple[tuple[type[WebchatError], int], ...]] = (
    (errors.Unauthorized, 401),
    (errors.ChatNotFound, 404),
    (errors.ChatEnded, 409),
    (errors.Conflict, 409),
    (WrongOffset, 409),
    (errors.FileTooLarge, 413),
    (errors.QuotaExceeded, 422),
    (errors.EmptyFile, 422),
    (errors.UnsupportedFileType, 422),
    (errors.FileTypeMismatch, 422),
    (errors.MalwareFound, 422),
    (errors.SenderError, 400),
    (errors.TooManyRequests, 429),
    (errors.Internal, 500),
    (errors.ReceiverError, 503),
)
"""The first that fits."""


def time_of(moment: datetime) -> str:
    """As over SOAP."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dump(value: Json) -> bytes:
    """One line, UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def answer(value: Json, status: int = 200) -> Response:
    """JSON that nobody keeps."""
    return _response(dump(value), status)


def nothing() -> Response:
    """204."""
    return _response(b"", 204)


def refusal(error: WebchatError) -> Response:
    """A typed error, with Retry-After where it is known when to try again."""
    told: Json = {"code": error.code, "message": error.message, "retryable": error.retryable}
    for name, value in (
        ("field", error.field),
        ("retryAfterSeconds", error.retry_after_seconds),
        ("limit", error.limit),
        ("actual", error.actual),
        ("declaredType", error.declared_type),
        ("detectedType", error.detected_type),
        ("line", error.line),
        ("column", error.column),
        ("offset", error.actual if isinstance(error, WrongOffset) else None),
    ):
        if value is not None:
            told[name] = value
    response = answer({"error": told}, status_of(error))
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def status_of(error: WebchatError) -> int:
    """HTTP's word for it."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def plain_refusal(status: int, code: str, sentence: str, **headers: str) -> Response:
    """What only HTTP knows: a path or a method that is not there."""
    response = answer({"error": {"code": code, "message": sentence, "retryable": False}}, status)
    for name, value in headers.items():
        response.headers[name] = value
    return response


def _response(body: bytes, status: int) -> Response:
    response = Response(body, status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


class Shapes:
    """From the domain's values to JSON. `prefix` is what stands before every path of ours."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def file(self, file: StoredFile) -> Json:
        """Contract: StoredFile."""
        return _without_none(
            fileId=file.file_id,
            fileUrl=public_url(self._prefix, file.name),
            fileName=file.name,
            originalFileName=file.original_name,
            fileType=file.file_type,
            contentType=file.content_type,
            size=file.size,
            sha256=file.sha256,
            width=file.width,
            height=file.height,
            durationMilliseconds=file.duration_milliseconds,
            removedAt=file.removed_at and time_of(file.removed_at),
        )

    def message(self, message: Message) -> Json:
        """Contract: Message; clientToken of agents' messages."""
        return _without_none(
            messageId=message.message_id,
            sequence=message.sequence,
            sender=message.sender,
            agentName=message.agent_name,
            sentAt=time_of(message.sent_at),
            text=message.text,
            clientToken=message.client_token,
            file=[self.file(file) for file in message.files],
        )

    def page(self, page: MessagePage) -> Json:
        """What stands in the chat now, and some of its messages."""
        return {
            "CHATID": page.chat_id,
            "status": page.status,
            "message": [self.message(message) for message in page.messages],
            "firstSequence": 1,
            "lastSequence": page.last_sequence,
        }

    def receipt(self, receipt: MessageReceipt) -> Json:
        """Contract: MessageReceipt."""
        return {
            "messageId": receipt.message_id,
            "CHATID": receipt.chat_id,
            "sequence": receipt.sequence,
            "sentAt": time_of(receipt.sent_at),
            "duplicate": receipt.duplicate,
            "file": [self.file(file) for file in receipt.files],
        }


def summary(summary: ChatSummary) -> Json:
    """ChatSummary."""
    chat, last = summary.chat, summary.last_message
    return _without_none(
        CHATID=chat.chat_id,
        status=chat.status,
        customerName=chat.customer_name,
        startedAt=time_of(chat.started_at),
        endedAt=chat.ended_at and time_of(chat.ended_at),
        endedBy=chat.ended_by,
        lastSequence=chat.last_sequence,
        lastSentAt=time_of(summary.last_sent_at),
        unread=summary.unread,
        readSequence=summary.read_sequence,
        agentName=chat.agent_name,
        lastMessage=last
        and _without_none(
            sequence=last.sequence,
            sender=last.sender,
            agentName=last.agent_name,
            sentAt=time_of(last.sent_at),
            text=last.text,
            file=[{"fileType": family, "originalFileName": name} for family, name in last.files],
        ),
        match=summary.match,
    )


def summaries(chats: Iterable[ChatSummary]) -> list[Json]:
    """In their order."""
    return [summary(each) for each in chats]


def counts(numbers: OpenCounts) -> Json:
    """Of open chats."""
    return {"open": numbers.open, "unread": numbers.unread}


def limits(limits: Limits) -> Json:
    """As GetLimits, without a chat's use."""
    return {
        "fileLimit": [
            {"fileType": limit.file_type, "maxSize": limit.max_bytes, "contentType": list(limit.content_types)}
            for limit in limits.file_limits
        ],
        "maxTextLength": limits.max_text_length,
        "maxFilesPerChat": limits.quota.max_files,
        "maxBytesPerChat": limits.quota.max_bytes,
    }


def _without_none(**members: object) -> Json:
    return {name: value for name, value in members.items() if value is not None}
