"""AgentService: what agents do in the console. It posts through ChatService, whose intake takes their files too."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from webchat_soap.domain.chat import (
    Chat,
    ChatStatus,
    ChatUsage,
    ClientToken,
    Limits,
    Message,
    MessagePage,
    MessageReceipt,
    Sender,
    chat_ended,
    chat_not_found,
)
from webchat_soap.domain.console import ChatList, ChatSummary, ConsoleStore, OpenCounts
from webchat_soap.domain.console_requests import FilePost
from webchat_soap.domain.errors import Busy, Conflict, InvalidRequest, SenderError
from webchat_soap.domain.outcome import Outcome
from webchat_soap.domain.uploads import PieceStore, UploadKey, WrongOffset, check_first_piece
from webchat_soap.service import ChatService, client_token

SEARCH_SECONDS: Final = 0.3
"""A person who types waits for this."""

MAX_SEARCHES: Final = 2
"""Side by side in a process: they take a processor and a connection of the store each."""

MAX_POSTS: Final = 8
"""Files on their way from their pieces through the intake, side by side in a process: each takes a thread."""

_POST_SECONDS: Final = 40.0
_PAGE: Final = 100


class AgentIdentity(Protocol):
    """Who acts, as the door proved it."""

    @property
    def agent_id(self) -> str: ...

    @property
    def agent_name(self) -> str: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatDetails:
    """A chat and what its files take."""

    summary: ChatSummary
    usage: ChatUsage


class AgentService:
    """The agents' use cases. One object serves all threads."""

    def __init__(self, *, service: ChatService, chats: ConsoleStore, pieces: PieceStore) -> None:
        self._service = service
        self._chats = chats
        self._pieces = pieces
        self._searches = threading.BoundedSemaphore(MAX_SEARCHES)
        self._posts = threading.BoundedSemaphore(MAX_POSTS)

    def limits(self) -> Limits:
        """As GetLimits without a chat."""
        return self._service.limits(None)

    # -- reading

    def list_chats(self, *, words: str | None, ended: bool, before: str | None, max_chats: int) -> ChatList:
        """A page of the list, or of a search in it. InvalidRequest, Busy."""
        if words is None:
            return self._chats.list_chats(ended=ended, before=before, max_chats=max_chats)
        if not self._searches.acquire(timeout=2 * SEARCH_SECONDS):
            raise Busy("Too many searches run at once; try again in a moment.", retry_after_seconds=1)
        try:
            return self._chats.search_chats(
                words, ended=ended, before=before, max_chats=max_chats, seconds=SEARCH_SECONDS
            )
        finally:
            self._searches.release()

    def count_open(self) -> OpenCounts:
        """How many chats are open, and in how many something is unread."""
        return self._chats.count_open()

    def find_chat(self, chat_id: str) -> ChatSummary:
        """ChatNotFound."""
        found = self._chats.summaries([chat_id])
        if not found:
            raise chat_not_found(chat_id)
        return found[0]

    def chat_details(self, chat_id: str) -> ChatDetails:
        """ChatNotFound."""
        return ChatDetails(summary=self.find_chat(chat_id), usage=self._chats.usage(chat_id))

    def read_after(self, chat_id: str, *, after: int, max_messages: int) -> MessagePage:
        """The oldest messages beyond `after`. ChatNotFound."""
        return self._chats.read_messages(chat_id, after_sequence=after, max_messages=max_messages)

    def read_before(self, chat_id: str, *, before: int | None, max_messages: int) -> MessagePage:
        """The newest messages, or those just before `before`, oldest first. ChatNotFound."""
        return self._chats.read_before(chat_id, before_sequence=before, max_messages=max_messages)

    def all_messages(self, chat_id: str, *, last_sequence: int) -> Iterator[Message]:
        """From the first to that one, page by page; no page is held while the next is asked for."""
        after = 0
        while after < last_sequence:
            page = self.read_after(chat_id, after=after, max_messages=min(_PAGE, last_sequence - after))
            if not page.messages:
                return
            yield from page.messages
            after = page.messages[-1].sequence

    # -- acting

    def post_text(self, agent: AgentIdentity, chat_id: str, *, text: str, token: str) -> Outcome[MessageReceipt]:
        """Once for each token. ChatNotFound, ChatEnded, Conflict."""
        return self._service.post_text(
            chat_id=chat_id,
            sender=Sender.AGENT,
            text=text,
            token=client_token(_scope(agent, chat_id), token, "post_text", text),
            agent_name=agent.agent_name,
        )

    def mark_read(self, chat_id: str, *, sequence: int) -> Outcome[None]:
        """The agents have read up to there; it never goes back. ChatNotFound."""
        return self._chats.mark_read(chat_id, sequence=sequence)

    def end_chat(self, agent: AgentIdentity, chat_id: str) -> Outcome[Chat]:
        """End a chat in the agent's name; twice is the same as once. ChatNotFound."""
        return self._chats.end_chat(chat_id, ended_by=agent.agent_name)

    # -- files in pieces

    def upload_offset(self, agent: AgentIdentity, chat_id: str, token: str) -> int:
        """How many bytes of the upload are there."""
        return self._pieces.offset(_key(agent, chat_id, token))

    def upload_piece(
        self, agent: AgentIdentity, chat_id: str, token: str, *, piece: bytes, offset: int, size: int, name: str
    ) -> int:
        """Append a piece; the new offset. With the first one all is refused that size and name can tell.

        ChatNotFound, ChatEnded, QuotaExceeded, EmptyFile, FileTooLarge, WrongOffset, InvalidRequest, Busy.
        """
        key = _key(agent, chat_id, token)
        if offset == 0:
            limits = self._service.limits(chat_id)
            if self.find_chat(chat_id).chat.status is not ChatStatus.OPEN:
                raise chat_ended(chat_id)
            check_first_piece(size=size, name=name, limits=limits.file_limits)
            assert limits.used is not None
            limits.quota.check(limits.used, more_files=1, more_bytes=size)
        return self._pieces.append(key, piece, offset=offset, size=size)

    def discard_upload(self, agent: AgentIdentity, chat_id: str, token: str) -> None:
        """Take its pieces away; none is fine."""
        self._pieces.remove(_key(agent, chat_id, token))

    def post_upload(self, agent: AgentIdentity, chat_id: str, token: str, post: FilePost) -> MessageReceipt:
        """Prove, store and post the file whose pieces are there; once for each token, also when they are gone again.

        What is wrong with the file takes its pieces away. WrongOffset when some are missing, and what ChatService says.
        """
        key = _key(agent, chat_id, token)
        mark = client_token(
            _scope(agent, chat_id), token, "post_file", post.text, post.original_name, post.declared_type
        )
        if not self._posts.acquire(blocking=False):
            raise Busy("Too many files are being looked through; try again in a moment.", retry_after_seconds=2)
        try:
            with self._chats.claim(mark, deadline=time.monotonic() + _POST_SECONDS):
                earlier = self._chats.find_receipt(mark)
                receipt = earlier if earlier is not None else self._post(agent, key, post, mark)
        finally:
            self._posts.release()
        with suppress(Busy):  # it is posted; what stays behind is swept
            self._pieces.remove(key)
        return receipt

    def _post(self, agent: AgentIdentity, key: UploadKey, post: FilePost, mark: ClientToken) -> MessageReceipt:
        try:
            with self._pieces.open(key) as stream:
                return self._service.post_stream(
                    chat_id=key.chat_id,
                    sender=Sender.AGENT,
                    text=post.text,
                    stream=stream,
                    original_name=post.original_name,
                    declared_type=post.declared_type,
                    token=mark,
                    agent_name=agent.agent_name,
                )
        except (WrongOffset, Conflict, InvalidRequest):
            raise
        except SenderError:
            self._pieces.remove(key)
            raise


def _key(agent: AgentIdentity, chat_id: str, token: str) -> UploadKey:
    return UploadKey(agent_id=agent.agent_id, chat_id=chat_id, token=token)


def _scope(agent: AgentIdentity, chat_id: str) -> str:
    """Apart from the customer's tokens and from other agents', whose pages know nothing of each other."""
    return f"agent:{agent.agent_id}:{chat_id}"
