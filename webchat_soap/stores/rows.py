"""Between rows and the domain's types. Times are whole milliseconds since 1970 in UTC in a row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from webchat_soap.domain.chat import Chat, ChatStatus, Message, Sender
from webchat_soap.domain.file import FileType, StoredFile

Row = Sequence[Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_milliseconds(moment: datetime) -> int:
    """Exact, where `timestamp()` would go through a float. `moment` is aware."""
    return (moment - _EPOCH) // _MILLISECOND


def to_moment(milliseconds: int) -> datetime:
    """Aware, in UTC."""
    return _EPOCH + milliseconds * _MILLISECOND


def _to_optional_moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else to_moment(milliseconds)


def to_chat(row: Row) -> Chat:
    """`row` as statements.CHAT_COLUMNS."""
    chat_id, status, started_at, last_sequence, customer_name, ended_at, agent_name, ended_by = row
    return Chat(
        chat_id=chat_id,
        status=ChatStatus(status),
        started_at=to_moment(started_at),
        last_sequence=last_sequence,
        customer_name=customer_name,
        ended_at=_to_optional_moment(ended_at),
        agent_name=agent_name,
        ended_by=ended_by,
    )


def to_message(row: Row, files: tuple[StoredFile, ...]) -> Message:
    """`row` as statements.MESSAGE_COLUMNS."""
    sequence, message_id, sender, sent_at, text, _file_count, agent_name, client_token = row
    return Message(
        message_id=message_id,
        sequence=sequence,
        sender=Sender(sender),
        sent_at=to_moment(sent_at),
        text=text,
        files=files,
        agent_name=agent_name,
        client_token=client_token,
    )


def to_file(row: Row) -> StoredFile:
    """`row` as statements.FILE_COLUMNS."""
    file_id, name, original_name, file_type, content_type, size, sha256, width, height, duration, removed_at = row
    return StoredFile(
        file_id=file_id,
        name=name,
        original_name=original_name,
        file_type=FileType(file_type),
        content_type=content_type,
        size=size,
        sha256=sha256,
        width=width,
        height=height,
        duration_milliseconds=duration,
        removed_at=_to_optional_moment(removed_at),
    )


def from_file(file: StoredFile) -> tuple[str | int | None, ...]:
    """In the order of statements.FILE_COLUMNS."""
    return (
        file.file_id,
        file.name,
        file.original_name,
        file.file_type.value,
        file.content_type,
        file.size,
        file.sha256,
        file.width,
        file.height,
        file.duration_milliseconds,
        None if file.removed_at is None else to_milliseconds(file.removed_at),
    )
