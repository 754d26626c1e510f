"""What the use cases need from the outside, as Protocols. One test suite per port runs over every backend and fake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from webchat_soap.domain.chat import (
    Chat,
    ChatQuota,
    ChatUsage,
    ClientToken,
    FileLimit,
    MessagePage,
    MessageReceipt,
    NewMessage,
)
from webchat_soap.domain.file import CheckedFile, FileDetails, FileType, StoredFile
from webchat_soap.domain.outcome import Outcome


class ChatStore(Protocol):
    """Chats and messages, durable. Every method may be called from many threads at once.

    What writes gives an Outcome: it is under way when the method returns, and durable when the outcome is there.

    Errors: Busy when the database does not answer in time (with retryAfterSeconds); everything else as told below. A
    refusal says that nothing was stored, but for a Busy that is not `surely_not_stored`.
    """

    def start_chat(
        self, *, chat_id: str, customer_name: str | None, token: ClientToken | None, account: str | None
    ) -> Outcome[Chat]:
        """Open the chat, or return the open one (setting customerName where there was none).

        With a token that was used before: the chat it made, in whatever status, under the id it was made with (so the
        given `chat_id` is not used), or Conflict for another fingerprint. ChatEnded for an ended chat without such a
        token.
        """

    def find_chat(self, chat_id: str) -> Chat | None:
        """The chat as it stands, or None."""

    def end_chat(self, chat_id: str, *, ended_by: str | None) -> Outcome[Chat]:
        """End the chat, once; ending it again changes nothing. ChatNotFound."""

    def append(self, message: NewMessage, *, open_unknown: bool, quota: ChatQuota) -> Outcome[MessageReceipt]:
        """Append in one transaction.

        Checked inside the transaction, in this order: the token (the first receipt with duplicate=True, or Conflict),
        ChatNotFound (opens the chat where `open_unknown`), ChatEnded, QuotaExceeded (only for messages with files).
        Sequences are 1..n without gaps. A refused message does not harm those committed together with it.
        """

    def find_receipt(self, token: ClientToken) -> MessageReceipt | None:
        """The receipt of an earlier append with this token (duplicate=True), None when unused, Conflict otherwise."""

    def claim(self, token: ClientToken, *, deadline: float) -> AbstractContextManager[None]:
        """Hold the token while a call runs: one holder at a time, over all threads and processes on this store.

        Waits until `deadline` (time.monotonic()), then Busy. A holder's death frees it. Only so many calls may wait, 8
        for one token and 64 in a process: one more is Busy at once, since each that waits takes a thread.
        """

    def read_messages(self, chat_id: str, *, after_sequence: int, max_messages: int) -> MessagePage:
        """A page of messages with sequence > after_sequence, oldest first. ChatNotFound."""

    def wait_for_news(self, chat_id: str, *, after_sequence: int, timeout_seconds: float) -> None:
        """Return when the chat has a message beyond `after_sequence` or is not open, or after the timeout.

        Also returns, early, when the process is told to stop (see `wake_all`).
        """

    def call_back_on_news(
        self, chat_id: str, *, after_sequence: int, timeout_seconds: float, callback: Callable[[], object]
    ) -> Callable[[], object]:
        """Call back, once and from any thread, when `wait_for_news` would return, or when there is no such chat.

        Who asks beyond the last message is called back for the next one. Returns what gives up waiting: called in time,
        there is no callback. `callback` must neither wait nor raise.
        """

    def wake_all(self) -> None:
        """Let every waiter go and let no new one wait: the process is stopping. Who waits for a claim gets Busy."""

    def usage(self, chat_id: str) -> ChatUsage:
        """What the chat's files take now; zero for an unknown chat."""

    def find_file(self, name: str) -> StoredFile | None:
        """The file with this stored name, of a committed message."""

    def file_names(self) -> Iterator[str]:
        """The stored names of all committed files, in no particular order."""

    def store_id(self) -> str | None:
        """What tells this database and its copies from all others: 32 hex digits, made at random with the database.

        None while there is no database yet; unlike every other call, this one does not make it.
        """

    def ping(self) -> None:
        """Prove that the database answers and can be written, or raise Busy, within about a second."""

    def close(self) -> None:
        """Finish what is under way and let go of the database. Idempotent."""


class FileStore(Protocol):
    """Bytes under stored names (`YYYYMMDD-UUID.ext`), durable. Bytes never change once saved."""

    def save(self, checked: CheckedFile, *, name: str) -> None:
        """Take over the spool file; return when bytes and name are on disk. Busy when the store cannot take it."""

    def copy(self, *, source: str, name: str) -> None:
        """A new name over the same bytes, durable on return. FileNotFoundError when `source` is not there."""

    def open(self, name: str) -> BinaryIO:
        """The bytes, seekable, for reading. FileNotFoundError."""

    def remove(self, name: str) -> None:
        """Take the name away; a name that is not there is fine. Where that is not possible now, it is done later."""

    def names(self) -> Iterator[str]:
        """All stored names."""

    def ping(self) -> None:
        """Prove that the store can be written, or raise Busy."""


class Intake(Protocol):
    """From what a caller says to bytes that are proved."""

    def check_url(self, details: FileDetails) -> None:
        """The refusals that need no network: UrlNotAllowed, InvalidRequest."""

    def check_room(self, parties: tuple[str, ...]) -> None:
        """Busy where a fetch for these parties (rooms.parties_of) would find no place now."""

    def fetch(
        self,
        details: FileDetails,
        *,
        deadline: float,
        max_bytes: int | None = None,
        parties: tuple[str, ...] = (),
    ) -> AbstractContextManager[CheckedFile]:
        """Download into the spool, hash, and prove the type; leaving the context removes what is left in the spool.

        `deadline` is a time.monotonic() value; `max_bytes` a cap below the family's own limit, None for none. The
        place that a fetch takes is held in the names of the `parties` and of the file's host.
        UrlNotAllowed, DownloadFailed, FileTooLarge, EmptyFile, UnsupportedFileType, FileTypeMismatch, Busy (no room).
        """

    def receive(
        self,
        stream: BinaryIO,
        *,
        original_name: str | None,
        declared_type: FileType | None,
        max_bytes: int | None = None,
    ) -> AbstractContextManager[CheckedFile]:
        """The same for bytes that come from a stream (the agent's upload, the demo) instead of from a URL."""

    def file_limits(self) -> tuple[FileLimit, ...]:
        """One per family, in the contract's order, with the media types it takes."""
