"""Chats, messages and what a caller asks of them (contract sections 2 and 3). Times are aware and in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from webchat_soap.domain.errors import ChatEnded, ChatNotFound, QuotaExceeded
from webchat_soap.domain.file import FileDetails, FileType, StoredFile


class ChatStatus(StrEnum):
    """A chat is open until it is ended, and never opened again."""

    OPEN = "OPEN"
    ENDED = "ENDED"


class Sender(StrEnum):
    """Who wrote a message."""

    CUSTOMER = "CUSTOMER"
    AGENT = "AGENT"
    SYSTEM = "SYSTEM"


@dataclass(frozen=True, kw_only=True, slots=True)
class Chat:
    """A chat as it stands now."""

    chat_id: str
    status: ChatStatus
    started_at: datetime
    last_sequence: int
    customer_name: str | None = None
    ended_at: datetime | None = None
    agent_name: str | None = None
    ended_by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A committed message. `sequence` counts from 1 in its chat, without gaps."""

    message_id: str
    sequence: int
    sender: Sender
    sent_at: datetime
    text: str | None = None
    files: tuple[StoredFile, ...] = ()
    agent_name: str | None = None
    """Who wrote it, of an agent's message."""
    delivered_at: datetime | None = None
    read_at: datetime | None = None
    client_token: str | None = None
    """Of an agent's message, so that the page that sent it knows it again; never told over SOAP."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MessagePage:
    """Messages after a sequence, oldest first. `last_sequence` is the chat's, not the page's."""

    chat_id: str
    status: ChatStatus
    messages: tuple[Message, ...]
    last_sequence: int
    has_more: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageReceipt:
    """Proof that a message is durably stored. `duplicate` tells a replay by clientToken."""

    message_id: str
    chat_id: str
    sequence: int
    sent_at: datetime
    duplicate: bool = False
    files: tuple[StoredFile, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatUsage:
    """What a chat's files take: their count and bytes, copies and the agent's counted."""

    files: int
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatQuota:
    """What a chat's files may take."""

    max_files: int
    max_bytes: int

    def check(self, used: ChatUsage, *, more_files: int, more_bytes: int) -> None:
        """QuotaExceeded when so many files and bytes more would break it."""
        if used.files + more_files > self.max_files:
            raise QuotaExceeded(
                f"The chat holds {used.files} files and may hold {self.max_files}; open another chat.",
                field="maxFilesPerChat",
                limit=self.max_files,
                actual=used.files + more_files,
            )
        if used.bytes + more_bytes > self.max_bytes:
            raise bytes_exceeded(
                limit=self.max_bytes, actual=used.bytes + more_bytes, room=max(0, self.max_bytes - used.bytes)
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class FileLimit:
    """What is taken of one family."""

    file_type: FileType
    max_bytes: int
    content_types: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """All limits, and what a chat has used of them where one was named."""

    file_limits: tuple[FileLimit, ...]
    max_text_length: int
    quota: ChatQuota
    used: ChatUsage | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientToken:
    """A caller's mark on one call, which makes its retry safe."""

    scope: str
    """`chat:CHATID`, or `account:NAME` for StartChat without CHATID (the open service is `account:`)."""
    token: str
    fingerprint: str
    """Hex SHA-256 of the operation and its parsed values: another one with the same token is a Conflict."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMessage:
    """What the store is to append. It gives sequence and sentAt at the commit."""

    message_id: str
    chat_id: str
    sender: Sender
    text: str | None
    files: tuple[StoredFile, ...]
    token: ClientToken | None
    account: str | None
    """The integration's name as recorded with the message; None on the open service."""
    agent_name: str | None = None
    """Of an agent's message: who wrote it, and so who answered last in the chat."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who calls, from where, and by which names the caller may know this service."""

    account: str | None
    request_id: str
    base_url: str
    """Scheme, host and optional path prefix without a trailing slash: what links in the answer begin with."""
    own_base_urls: tuple[str, ...]
    """All bases whose `/public_files/` links are this service's own."""
    deadline: float
    """time.monotonic() value by which the call should be answered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SendRequest:
    """A parsed SendMessage: text, a file or both."""

    chat_id: str
    text: str | None
    file: FileDetails | None
    client_token: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadRequest:
    """A parsed UploadFile."""

    chat_id: str
    file: FileDetails
    client_token: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StartRequest:
    """A parsed StartChat."""

    chat_id: str | None
    customer_name: str | None
    client_token: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadRequest:
    """A parsed GetMessages, its numbers within the contract's bounds."""

    chat_id: str
    after_sequence: int
    max_messages: int
    wait_seconds: int


def chat_not_found(chat_id: str) -> ChatNotFound:
    """The fault for a chat that is not there, worded once for every store and use case."""
    return ChatNotFound(f"There is no chat {chat_id}; open it with StartChat first.", field="CHATID")


def chat_ended(chat_id: str) -> ChatEnded:
    """The fault for a chat that takes nothing more."""
    return ChatEnded(f"The chat {chat_id} has ended; open another one with StartChat.", field="CHATID")


def bytes_exceeded(*, limit: int, actual: int | None, room: int) -> QuotaExceeded:
    """The fault for files that are too many bytes for their chat. `room` is what is left, in bytes."""
    return QuotaExceeded(
        f"The chat's files may take {limit} bytes together and {room} are left; send a smaller file or open another "
        "chat.",
        field="maxBytesPerChat",
        limit=limit,
        actual=actual,
    )
