"""What the store says when it refuses: each sentence once, with what to do."""

from __future__ import annotations

from typing import Final

from webchat_soap.domain.chat import ChatQuota, ClientToken
from webchat_soap.domain.errors import Busy, ChatEnded, ChatNotFound, Conflict, QuotaExceeded

RETRY_AFTER_SECONDS: Final = 2
"""Long enough for a lock held by another program to go, short enough that a person still waits."""


def busy() -> Busy:
    return Busy(
        "The messages cannot be reached right now and nothing was stored; try again, with the same clientToken where "
        "there is one.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def busy_token() -> Busy:
    return Busy(
        "An earlier call with this clientToken is still running; try again with the same clientToken to get its "
        "receipt.",
        field="clientToken",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def stopping() -> Busy:
    return Busy(
        "The service is stopping; try again with the same clientToken when it is back.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def chat_not_found(chat_id: str) -> ChatNotFound:
    return ChatNotFound(
        f"There is no chat {chat_id!r}; check the CHATID, whose letters' case counts, or open the chat with StartChat.",
        field="CHATID",
    )


def chat_ended(chat_id: str) -> ChatEnded:
    return ChatEnded(
        f"The chat {chat_id!r} has ended and takes nothing more; start a new one with StartChat. Its messages can "
        "still be read with GetMessages.",
        field="CHATID",
    )


def token_conflict(token: ClientToken) -> Conflict:
    return Conflict(
        f"The clientToken {token.token!r} was used before with another operation or other values; use a new "
        "clientToken for a new call, and the old one only to repeat the same call.",
        field="clientToken",
    )


def check_quota(quota: ChatQuota, *, used_files: int, used_bytes: int, new_files: int, new_bytes: int) -> None:
    """QuotaExceeded when the chat would hold more than it may. `actual` is what it would hold."""
    if used_files + new_files > quota.max_files:
        raise QuotaExceeded(
            f"The chat holds {used_files} of at most {quota.max_files} files and cannot take {new_files} more; send "
            "the file in another chat.",
            field="maxFilesPerChat",
            limit=quota.max_files,
            actual=used_files + new_files,
        )
    if used_bytes + new_bytes > quota.max_bytes:
        raise QuotaExceeded(
            f"The chat's files take {used_bytes} of at most {quota.max_bytes} bytes and there is no room for "
            f"{new_bytes} more; send a smaller file, or send it in another chat.",
            field="maxBytesPerChat",
            limit=quota.max_bytes,
            actual=used_bytes + new_bytes,
        )
