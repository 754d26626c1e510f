"""The ports in memory, written from the ports: the same promises without a disk. One suite holds them to it."""

from __future__ import annotations

import io
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, BinaryIO, TypeVar

from webchat_soap.domain.chat import (
    Chat,
    ChatQuota,
    ChatStatus,
    ChatUsage,
    ClientToken,
    FileLimit,
    Message,
    MessagePage,
    MessageReceipt,
    NewMessage,
    Sender,
    chat_ended,
    chat_not_found,
)
from webchat_soap.domain.console import ChatList, ChatSummary, LastMessage, OpenCounts
from webchat_soap.domain.errors import Busy, Conflict, InvalidRequest, WebchatError
from webchat_soap.domain.file import CheckedFile, FileDetails, FileType, StoredFile
from webchat_soap.domain.links import is_stored_name
from webchat_soap.domain.outcome import Done, Failed, Outcome
from webchat_soap.domain.searching import Words
from webchat_soap.domain.sweep import FilesOfDay

T = TypeVar("T")


@dataclass(slots=True)
class _FakeChat:
    chat: Chat
    last_sent_at: datetime
    messages: list[Message] = field(default_factory=list)
    read_sequence: int = 0

    def unread(self) -> int:
        return sum(message.sender is Sender.CUSTOMER for message in self.messages[self.read_sequence :])


@dataclass(frozen=True, slots=True)
class _Used:
    fingerprint: str
    chat_id: str
    receipt: MessageReceipt | None


def _came_to(work: Callable[[], T]) -> Outcome[T]:
    try:
        return Done(work())
    except WebchatError as error:
        return Failed(error)


class FakeChatStore:
    """ChatStore in memory. `busy` makes every call Busy while it is set."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.busy = False
        self._clock = clock
        self._moved = threading.Condition()
        self._chats: dict[str, _FakeChat] = {}
        self._tokens: dict[tuple[str, str], _Used] = {}
        self._held: set[tuple[str, str]] = set()
        self._claimants: list[tuple[str, str]] = []
        self._waking_all = False
        self._closed = False
        self._store_id: str | None = None
        self._swept: dict[str, str] = {}
        self._places: dict[str, tuple[Any, ...]] = {}

    def forget_all(self) -> None:
        """Be as new: for who calls it endlessly and looks at memory."""
        with self._moved:
            self._chats.clear()
            self._tokens.clear()

    def start_chat(
        self, *, chat_id: str, customer_name: str | None, token: ClientToken | None, account: str | None
    ) -> Outcome[Chat]:
        return _came_to(lambda: self._start_chat(chat_id, customer_name, token))

    def end_chat(self, chat_id: str, *, ended_by: str | None) -> Outcome[Chat]:
        return _came_to(lambda: self._end_chat(chat_id, ended_by))

    def append(self, message: NewMessage, *, open_unknown: bool, quota: ChatQuota) -> Outcome[MessageReceipt]:
        return _came_to(lambda: self._append(message, open_unknown, quota))

    def _start_chat(self, chat_id: str, customer_name: str | None, token: ClientToken | None) -> Chat:
        with self._moved:
            self._answer()
            used = self._used(token)
            if used is not None:
                if used.receipt is not None:
                    raise _conflict()
                return self._chats[used.chat_id].chat
            kept = self._chats.get(chat_id)
            if kept is None:
                kept = self._open(chat_id, customer_name)
            elif kept.chat.status is ChatStatus.ENDED:
                raise chat_ended(chat_id)
            elif kept.chat.customer_name is None:
                kept.chat = replace(kept.chat, customer_name=customer_name)
            if token is not None:
                self._tokens[token.scope, token.token] = _Used(token.fingerprint, chat_id, None)
            return kept.chat

    def find_chat(self, chat_id: str) -> Chat | None:
        with self._moved:
            self._answer()
            kept = self._chats.get(chat_id)
            return None if kept is None else kept.chat

    def _end_chat(self, chat_id: str, ended_by: str | None) -> Chat:
        with self._moved:
            self._answer()
            kept = self._kept(chat_id)
            if kept.chat.status is ChatStatus.OPEN:
                kept.chat = replace(
                    kept.chat,
                    status=ChatStatus.ENDED,
                    ended_at=max(self._now(), kept.last_sent_at),
                    ended_by=ended_by,
                )
                self._moved.notify_all()
            return kept.chat

    def _append(self, message: NewMessage, open_unknown: bool, quota: ChatQuota) -> MessageReceipt:
        with self._moved:
            self._answer()
            token = message.token
            used = self._used(token)
            if used is not None:
                if used.receipt is None:
                    raise _conflict()
                return replace(used.receipt, duplicate=True)
            chat_id = message.chat_id
            if chat_id not in self._chats and not open_unknown:
                raise chat_not_found(chat_id)
            if chat_id in self._chats and self._chats[chat_id].chat.status is ChatStatus.ENDED:
                raise chat_ended(chat_id)
            if message.files:
                quota.check(
                    self._usage(chat_id),
                    more_files=len(message.files),
                    more_bytes=sum(file.size for file in message.files),
                )
            kept = self._chats.get(chat_id) or self._open(chat_id, None)
            sequence = kept.chat.last_sequence + 1
            kept.last_sent_at = max(self._now(), kept.last_sent_at)
            kept.chat = replace(kept.chat, last_sequence=sequence)
            kept.messages.append(
                Message(
                    message_id=message.message_id,
                    sequence=sequence,
                    sender=message.sender,
                    sent_at=kept.last_sent_at,
                    text=message.text,
                    files=message.files,
                    agent_name=message.agent_name,
                    client_token=token.token if token is not None and message.agent_name is not None else None,
                )
            )
            if message.agent_name is not None:
                kept.chat = replace(kept.chat, agent_name=message.agent_name)
            receipt = MessageReceipt(
                message_id=message.message_id,
                chat_id=chat_id,
                sequence=sequence,
                sent_at=kept.last_sent_at,
                files=message.files,
            )
            if token is not None:
                self._tokens[token.scope, token.token] = _Used(token.fingerprint, chat_id, receipt)
            self._moved.notify_all()
            return receipt

    def find_receipt(self, token: ClientToken) -> MessageReceipt | None:
        with self._moved:
            self._answer()
            used = self._used(token)
            if used is None:
                return None
            if used.receipt is None:
                raise _conflict()
            return replace(used.receipt, duplicate=True)

    @contextmanager
    def claim(self, token: ClientToken, *, deadline: float) -> Iterator[None]:
        key = (token.scope, token.token)
        busy = Busy("An earlier call with this clientToken is still running.", retry_after_seconds=2)
        with self._moved:
            if key in self._held:
                if self._claimants.count(key) >= 8 or len(self._claimants) >= 64:
                    raise busy
                self._claimants.append(key)
                seconds = max(0.0, deadline - time.monotonic())
                self._moved.wait_for(lambda: self._waking_all or key not in self._held, seconds)
                self._claimants.remove(key)
                if key in self._held:
                    raise busy
            self._held.add(key)
        try:
            yield
        finally:
            with self._moved:
                self._held.discard(key)
                self._moved.notify_all()

    def read_messages(self, chat_id: str, *, after_sequence: int, max_messages: int) -> MessagePage:
        with self._moved:
            self._answer()
            kept = self._kept(chat_id)
            first = max(after_sequence, 0)
            page = kept.messages[first : first + max_messages]
            return MessagePage(
                chat_id=chat_id,
                status=kept.chat.status,
                messages=tuple(page),
                last_sequence=len(kept.messages),
                has_more=first + max_messages < len(kept.messages),
            )

    def read_before(self, chat_id: str, *, before_sequence: int | None, max_messages: int) -> MessagePage:
        with self._moved:
            self._answer()
            kept = self._kept(chat_id)
            last = len(kept.messages) if before_sequence is None else max(0, before_sequence - 1)
            older = kept.messages[:last]
            return MessagePage(
                chat_id=chat_id,
                status=kept.chat.status,
                messages=tuple(older[-max_messages:]),
                last_sequence=len(kept.messages),
                has_more=len(older) > max_messages,
            )

    def mark_read(self, chat_id: str, *, sequence: int) -> Outcome[None]:
        return _came_to(lambda: self._mark_read(chat_id, sequence))

    def _mark_read(self, chat_id: str, sequence: int) -> None:
        with self._moved:
            self._answer()
            kept = self._kept(chat_id)
            kept.read_sequence = max(kept.read_sequence, min(sequence, len(kept.messages)))
            self._moved.notify_all()

    def list_chats(self, *, ended: bool, before: str | None, max_chats: int) -> ChatList:
        return self._listed(ended, before, max_chats, lambda kept: True)

    def search_chats(self, words: str, *, ended: bool, before: str | None, max_chats: int, seconds: float) -> ChatList:
        wanted = Words(words)

        def in_name(kept: _FakeChat) -> bool:
            return wanted.found_in(kept.chat.chat_id) or wanted.found_in(kept.chat.customer_name or "")

        def in_text(kept: _FakeChat) -> bool:
            return not in_name(kept) and any(wanted.found_in(message.text or "") for message in kept.messages)

        named = self._listed(ended, before, 1_000_000, in_name).chats
        told = tuple(
            replace(summary, match=wanted.excerpt(self._newest_text(summary, wanted)))
            for summary in self._listed(ended, None, 1_000_000, in_text).chats
        )
        return ChatList(chats=(*named, *told)[:max_chats], next=None)

    def _newest_text(self, summary: ChatSummary, wanted: Words) -> str:
        texts = [message.text or "" for message in self._chats[summary.chat.chat_id].messages]
        return [text for text in texts if wanted.found_in(text)][-1]

    def _listed(self, ended: bool, before: str | None, max_chats: int, wanted: Callable[[_FakeChat], bool]) -> ChatList:
        with self._moved:
            self._answer()
            order = list(self._chats)

            def place(kept: _FakeChat) -> tuple[object, ...]:
                at = order.index(kept.chat.chat_id)
                return (kept.chat.ended_at, at) if ended else (kept.unread() > 0, kept.last_sent_at, at)

            chats = [kept for kept in self._chats.values() if _is_open(kept) != ended and wanted(kept)]
            if before is not None:
                if before not in self._places:
                    raise InvalidRequest("before is none of this list.", field="before")
                chats = [kept for kept in chats if place(kept) < self._places[before]]
            chats.sort(key=place, reverse=True)
            page = chats[:max_chats]
            after = None
            if len(chats) > max_chats:
                after = f"fake-{len(self._places)}"
                self._places[after] = place(page[-1])
            return ChatList(chats=tuple(self._summary(kept) for kept in page), next=after)

    def _summary(self, kept: _FakeChat) -> ChatSummary:
        last = kept.messages[-1] if kept.messages else None
        return ChatSummary(
            chat=kept.chat,
            last_sent_at=kept.last_sent_at,
            unread=kept.unread(),
            read_sequence=kept.read_sequence,
            last_message=last
            and LastMessage(
                sequence=last.sequence,
                sender=last.sender,
                sent_at=last.sent_at,
                agent_name=last.agent_name,
                text=last.text and last.text[:200],
                files=tuple((file.file_type, file.original_name) for file in last.files),
            ),
        )

    def summaries(self, chat_ids: Collection[str]) -> tuple[ChatSummary, ...]:
        with self._moved:
            self._answer()
            return tuple(self._summary(self._chats[chat_id]) for chat_id in set(chat_ids) & self._chats.keys())

    def open_chats(self) -> dict[str, str]:
        with self._moved:
            self._answer()
            return {chat_id: self._summary(kept).mark for chat_id, kept in self._chats.items() if _is_open(kept)}

    def count_open(self) -> OpenCounts:
        with self._moved:
            self._answer()
            unread = [kept.unread() > 0 for kept in self._chats.values() if _is_open(kept)]
            return OpenCounts(open=len(unread), unread=sum(unread))

    def last_sequences(self, chat_ids: Collection[str]) -> dict[str, tuple[int, bool]]:
        with self._moved:
            self._answer()
            there = {chat_id: self._chats[chat_id] for chat_id in set(chat_ids) & self._chats.keys()}
            return {chat_id: (len(kept.messages), _is_open(kept)) for chat_id, kept in there.items()}

    def watch(self) -> FakeWatch:
        return FakeWatch(self)

    def wait_for_news(self, chat_id: str, *, after_sequence: int, timeout_seconds: float) -> None:
        def is_news() -> bool:
            kept = self._chats.get(chat_id)
            return (
                self._waking_all
                or kept is None
                or kept.chat.status is ChatStatus.ENDED
                or kept.chat.last_sequence > after_sequence
            )

        with self._moved:
            self._moved.wait_for(is_news, timeout_seconds)

    def call_back_on_news(
        self, chat_id: str, *, after_sequence: int, timeout_seconds: float, callback: Callable[[], object]
    ) -> Callable[[], object]:
        given_up = threading.Event()

        def wait() -> None:
            kept = self._chats.get(chat_id)
            after = min(after_sequence, kept.chat.last_sequence) if kept else after_sequence
            self.wait_for_news(chat_id, after_sequence=after, timeout_seconds=timeout_seconds)
            if not given_up.is_set():
                callback()

        threading.Thread(target=wait, daemon=True).start()
        return given_up.set

    def wake_all(self) -> None:
        with self._moved:
            self._waking_all = True
            self._moved.notify_all()

    def usage(self, chat_id: str) -> ChatUsage:
        with self._moved:
            self._answer()
            return self._usage(chat_id)

    def find_file(self, name: str) -> StoredFile | None:
        with self._moved:
            self._answer()
            return next((file for file in self._files() if file.name == name), None)

    def file_names(self) -> Iterator[str]:
        with self._moved:
            self._answer()
            names = [file.name for file in self._files() if file.removed_at is None]
        yield from names

    def file_days(self) -> frozenset[str]:
        with self._moved:
            self._answer()
            return frozenset(file.name[:8] for file in self._files())

    def file_names_of(self, day: str) -> frozenset[str]:
        return frozenset(name for name in self.file_names() if name[:8] == day)

    def swept_days(self) -> dict[str, str]:
        with self._moved:
            self._answer()
            return dict(self._swept)

    def remember_swept(self, *, stamps: Mapping[str, str], forget: Iterable[str]) -> None:
        with self._moved:
            self._answer()
            for day in forget:
                self._swept.pop(day, None)
            self._swept.update(stamps)

    def store_id(self) -> str | None:
        with self._moved:
            made = self._store_id
            self._answer()
            self._store_id = made
            return made

    def ping(self) -> None:
        with self._moved:
            self._answer()

    def close(self) -> None:
        self.wake_all()
        self._closed = True

    def _answer(self) -> None:
        if self.busy or self._closed:
            raise Busy("The store is busy; try again.", retry_after_seconds=2)
        self._store_id = self._store_id or uuid.uuid4().hex

    def _now(self) -> datetime:
        now = self._clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _open(self, chat_id: str, customer_name: str | None) -> _FakeChat:
        now = self._now()
        chat = Chat(
            chat_id=chat_id, status=ChatStatus.OPEN, started_at=now, last_sequence=0, customer_name=customer_name
        )
        self._chats[chat_id] = _FakeChat(chat, now)
        return self._chats[chat_id]

    def _kept(self, chat_id: str) -> _FakeChat:
        if chat_id not in self._chats:
            raise chat_not_found(chat_id)
        return self._chats[chat_id]

    def _used(self, token: ClientToken | None) -> _Used | None:
        used = None if token is None else self._tokens.get((token.scope, token.token))
        if used is not None and token is not None and used.fingerprint != token.fingerprint:
            raise _conflict()
        return used

    def _usage(self, chat_id: str) -> ChatUsage:
        kept = self._chats.get(chat_id)
        files = [file for message in kept.messages for file in message.files] if kept else []
        return ChatUsage(files=len(files), bytes=sum(file.size for file in files))

    def _files(self) -> list[StoredFile]:
        return [file for kept in self._chats.values() for message in kept.messages for file in message.files]


def _is_open(kept: _FakeChat) -> bool:
    return kept.chat.status is ChatStatus.OPEN


class FakeWatch:
    """Compares marks; never names a chat of its own process's commits."""

    def __init__(self, store: FakeChatStore) -> None:
        self._store = store
        self._seen = self._marks()
        self._interrupted = False

    def _marks(self) -> list[str]:
        return [f"{summary.mark} {summary.chat.status}" for summary in self._store.summaries(self._store._chats.keys())]

    def wait(self, timeout_seconds: float) -> tuple[tuple[str, ...], bool]:
        give_up = time.monotonic() + timeout_seconds
        while True:
            marks = self._marks()
            moved, self._seen = sorted(marks) != sorted(self._seen), marks
            interrupted, self._interrupted = self._interrupted, False
            if moved or interrupted or time.monotonic() >= give_up:
                return (), moved
            time.sleep(0.002)

    def interrupt(self) -> None:
        self._interrupted = True

    def close(self) -> None:
        pass


class FakeFileStore:
    """FileStore (and SweepableFileStore) in memory. `full` makes every save and copy Busy while it is set."""

    def __init__(self) -> None:
        self.full = False
        self.contents: dict[str, bytes] = {}
        self.aside: dict[str, bytes] = {}
        self.marks: set[str] = set()
        self.temporary = 0
        self._stamps: dict[str, int] = {}
        self._lock = threading.Lock()

    def save(self, checked: CheckedFile, *, name: str) -> None:
        self._put(name, checked.path.read_bytes)
        checked.path.unlink()

    def copy(self, *, source: str, name: str) -> None:
        self._put(name, lambda: self._get(source))

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self._get(name))

    def remove(self, name: str) -> None:
        with self._lock:
            self._change(name)
            self.contents.pop(name, None)

    def names(self) -> Iterator[str]:
        yield from list(self.contents)

    def ping(self) -> None:
        if self.full:
            raise Busy("The file store is full; try again.", retry_after_seconds=10)

    def sweep_temporary(self) -> int:
        removed, self.temporary = self.temporary, 0
        return removed

    def owners(self) -> frozenset[str]:
        return frozenset(self.marks)

    def mark(self, store_id: str) -> None:
        self.marks = {store_id}

    def days(self) -> dict[str, str | None]:
        return {day: str(stamp) for day, stamp in self._stamps.items()}

    def sweep_day(self, day: str) -> FilesOfDay:
        names = frozenset(name for name in self.contents if name[:8] == day)
        return FilesOfDay(names=names, removed_unfinished=0)

    def set_aside(self, names: Iterable[str]) -> None:
        for name in names:
            self._change(name)
            self.aside[name] = self.contents.pop(name)

    def bring_back(self, names: Iterable[str]) -> frozenset[str]:
        there = frozenset(names) & self.aside.keys()
        for name in there:
            self._change(name)
            self.contents[name] = self.aside.pop(name)
        return there

    def _change(self, name: str) -> None:
        self._stamps[name[:8]] = self._stamps.get(name[:8], 0) + 1

    def _get(self, name: str) -> bytes:
        try:
            return self.contents[name]
        except KeyError:
            raise FileNotFoundError(name) from None

    def _put(self, name: str, read: Callable[[], bytes]) -> None:
        if not is_stored_name(name):
            raise FileNotFoundError(name)
        self.ping()
        content = read()
        with self._lock:
            if name in self.contents:
                raise FileExistsError(name)
            self._change(name)
            self.contents[name] = content


class FakeIntake:
    """Intake that gives what it was given: for each URL (or, for a stream, its original name) a CheckedFile or an
    error to raise. `urls` holds what was fetched, in order, `parties` in whose names; `full` makes check_room Busy."""

    def __init__(
        self,
        prepared: dict[str | None, CheckedFile | WebchatError] | None = None,
        *,
        limits: tuple[FileLimit, ...] = (),
        refused_urls: dict[str, WebchatError] | None = None,
    ) -> None:
        self.prepared = prepared if prepared is not None else {}
        self.refused_urls = refused_urls if refused_urls is not None else {}
        self.limits = limits
        self.urls: list[str] = []
        self.full = False
        self.parties: list[tuple[str, ...]] = []

    def check_url(self, details: FileDetails) -> None:
        if details.url in self.refused_urls:
            raise self.refused_urls[details.url]

    def check_room(self, parties: tuple[str, ...]) -> None:
        if self.full:
            raise Busy("No room for another file.", retry_after_seconds=5)

    @contextmanager
    def fetch(
        self,
        details: FileDetails,
        *,
        deadline: float,
        max_bytes: int | None = None,
        parties: tuple[str, ...] = (),
    ) -> Iterator[CheckedFile]:
        self.parties.append(parties)
        self.check_url(details)
        self.urls.append(details.url)
        with self._given(details.url) as checked:
            yield checked

    @contextmanager
    def receive(
        self,
        stream: BinaryIO,
        *,
        original_name: str | None,
        declared_type: FileType | None,
        max_bytes: int | None = None,
    ) -> Iterator[CheckedFile]:
        with self._given(original_name) as checked:
            yield checked

    def file_limits(self) -> tuple[FileLimit, ...]:
        return self.limits

    @contextmanager
    def _given(self, key: str | None) -> Iterator[CheckedFile]:
        result = self.prepared[key]
        if isinstance(result, WebchatError):
            raise result
        try:
            yield result
        finally:
            result.path.unlink(missing_ok=True)


def _conflict() -> Conflict:
    return Conflict("The clientToken was used before with other values; use a new one.", field="clientToken")
