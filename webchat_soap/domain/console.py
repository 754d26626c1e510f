"""What agents see of chats in the console, and what the console needs from the store (README: Agent console)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from webchat_soap.domain.chat import Chat, MessagePage, Sender
from webchat_soap.domain.file import FileType
from webchat_soap.domain.outcome import Outcome
from webchat_soap.domain.ports import ChatStore

MAX_EXCERPT: Final = 200
"""Code points of a message's text in a list."""

MAX_SEARCH: Final = 100
"""Code points of what is searched for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LastMessage:
    """The newest message of a chat, as a list shows it."""

    sequence: int
    sender: Sender
    sent_at: datetime
    agent_name: str | None
    text: str | None
    """Its first MAX_EXCERPT code points."""
    files: tuple[tuple[FileType, str], ...]
    """Family and original name of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatSummary:
    """A chat as a list shows it."""

    chat: Chat
    last_sent_at: datetime
    """When its newest message was sent, or when it was started."""
    unread: int
    """The customer's messages beyond `read_sequence`."""
    read_sequence: int
    """How far the agents have read, for all of them together."""
    last_message: LastMessage | None
    match: str | None = None
    """What surrounds the text that was searched for, where it was found in a message."""

    @property
    def mark(self) -> str:
        """As OpenChats.marks has it."""
        return f"{self.chat.last_sequence},{self.unread},{self.read_sequence},{self.chat.customer_name or ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatList:
    """A page of a list or a search."""

    chats: tuple[ChatSummary, ...]
    next: str | None
    """Where the next page begins; None where there is none."""
    searched_all: bool = True
    """False when the time was over before all had been looked through; the search goes on at `next`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenCounts:
    """How many chats are open, and in how many of them something is unread."""

    open: int
    unread: int


class Watch(Protocol):
    """Learns of commits; used by one thread, which closes it."""

    def wait(self, timeout_seconds: float) -> tuple[Collection[str], bool]:
        """The CHATIDs that this process's commits have changed since the last call, and whether anybody else may have
        committed something; empty and False after the timeout, or when `interrupt` was called.

        Own commits are told at once, those of others within 25 ms. Errors: Busy.
        """

    def interrupt(self) -> None:
        """Have `wait` return now. From any thread."""

    def close(self) -> None:
        """Idempotent."""


class ConsoleStore(ChatStore, Protocol):
    """What the console asks of a chat store. Every method may be called from many threads at once. Errors: Busy."""

    def list_chats(self, *, ended: bool, before: str | None, max_chats: int) -> ChatList:
        """Open chats, unread ones first, then the newest message first; or ended ones, the newest end first.

        `before` is a page's `next` (InvalidRequest for what is none). A page begins behind the place that the last one
        ended at, by (anything unread, newest message). So a chat that moves up meanwhile is not on the pages to come,
        and one that moves down (it was read) can stand on two of them; who shows pages tells chats by their CHATID and
        learns of moves from the live events. Ended chats never move.
        """

    def search_chats(self, words: str, *, ended: bool, before: str | None, max_chats: int, seconds: float) -> ChatList:
        """The chats of such a list whose CHATID or customerName contain `words`, and behind them, in the same order,
        those that have them in a text only (with `match`). Upper and lower case are the same, and so are all four
        letters i. When about `seconds` are over the page is what was found until then.
        """

    def summaries(self, chat_ids: Collection[str]) -> tuple[ChatSummary, ...]:
        """These chats, in no particular order, open or ended; those that are not there are left out."""

    def open_chats(self) -> Mapping[str, str]:
        """All open chats: CHATID, and its ChatSummary.mark, which changes with all that a list shows."""

    def count_open(self) -> OpenCounts:
        """The numbers of open chats now."""

    def read_before(self, chat_id: str, *, before_sequence: int | None, max_messages: int) -> MessagePage:
        """The newest messages with a sequence below `before_sequence` (None: of all), oldest first. ChatNotFound.

        `has_more` tells whether there are older ones.
        """

    def mark_read(self, chat_id: str, *, sequence: int) -> Outcome[None]:
        """The agents have read up to there. It never goes back, nor beyond the last message. ChatNotFound."""

    def last_sequences(self, chat_ids: Collection[str]) -> Mapping[str, tuple[int, bool]]:
        """How these chats stand: (lastSequence, whether open); those that are not there are left out."""

    def watch(self) -> Watch:
        """From now on."""
