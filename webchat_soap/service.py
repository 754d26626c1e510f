"""ChatService: every use case in a few sentences, used alike by SOAP and by the console.

Order is the promise here: what can be refused cheaply is refused before a download; bytes are stored before their row;
and whatever fails after the bytes takes them away again. What a crash leaves is swept at the next start (domain.sweep).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from os import SEEK_END
from typing import BinaryIO

from webchat_soap.domain import links
from webchat_soap.domain.chat import (
    Caller,
    Chat,
    ChatQuota,
    ChatStatus,
    ClientToken,
    Limits,
    MessagePage,
    MessageReceipt,
    NewMessage,
    ReadRequest,
    Sender,
    SendRequest,
    StartRequest,
    UploadRequest,
    bytes_exceeded,
    chat_ended,
    chat_not_found,
)
from webchat_soap.domain.errors import (
    DownloadFailed,
    EmptyFile,
    FileTooLarge,
    FileTypeMismatch,
    UnsupportedFileType,
    WebchatError,
)
from webchat_soap.domain.file import CheckedFile, FileDetails, FileType, StoredFile
from webchat_soap.domain.identifiers import random_hex
from webchat_soap.domain.outcome import Done, Outcome, Work
from webchat_soap.domain.ports import ChatStore, FileStore, Intake
from webchat_soap.domain.rooms import Place, Room, parties_of
from webchat_soap.domain.waiting import Waiting

_NO_ROOM_SECONDS = 1.0
"""How long a GetMessages that finds no place to wait is held back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceRules:
    """What the operator decides of the use cases."""

    open_unknown_chats: bool
    max_text_length: int
    """Code points."""
    quota: ChatQuota
    max_waiting: int
    """GetMessages calls that wait at the same time, in this process; one more gets its empty page after a second. So
    does one whose chat or account has four fifths of the places (domain.rooms)."""


class ChatService:
    """The use cases. One object serves all threads.

    What a use case comes to is an Outcome: calling one never waits for disk, network or news; its `result` may.
    """

    def __init__(
        self,
        *,
        chats: ChatStore,
        files: FileStore,
        intake: Intake,
        rules: ServiceRules,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._chats = chats
        self._files = files
        self._intake = intake
        self._rules = rules
        self._clock = clock
        self._waiting = Room(rules.max_waiting)

    def send_message(self, caller: Caller, request: SendRequest) -> Outcome[MessageReceipt]:
        """Post a text, a file or both as one message of the customer. Contract: SendMessage."""
        return self._send("SendMessage", caller, request)

    def upload_file(self, caller: Caller, request: UploadRequest) -> Outcome[MessageReceipt]:
        """Download, prove, store and post a file. Contract: UploadFile."""
        send = SendRequest(chat_id=request.chat_id, text=None, file=request.file, client_token=request.client_token)
        return self._send("UploadFile", caller, send)

    def start_chat(self, caller: Caller, request: StartRequest) -> Outcome[Chat]:
        """Open a chat or return the open one. Contract: StartChat."""
        if request.chat_id is not None:
            scope, chat_id = f"chat:{request.chat_id}", request.chat_id
        else:
            scope, chat_id = f"account:{caller.account or ''}", _new_id()
        token = _token(scope, request.client_token, "StartChat", request.customer_name)
        return self._chats.start_chat(
            chat_id=chat_id, customer_name=request.customer_name, token=token, account=caller.account
        )

    def end_chat(self, caller: Caller, chat_id: str) -> Outcome[Chat]:
        """End a chat; twice is the same as once. Contract: EndChat."""
        return self._chats.end_chat(chat_id, ended_by=caller.account or Sender.CUSTOMER.value)

    def get_messages(self, caller: Caller, request: ReadRequest) -> Outcome[MessagePage]:
        """Read a page, waiting for news where there are none. Contract: GetMessages."""
        if request.wait_seconds == 0:
            return Work(lambda: self._read(request), is_long=False)
        return Waiting(
            chats=self._chats,
            request=request,
            take_place=lambda: self._place_to_wait(caller, request),
            read=lambda: self._read(request),
        )

    def _place_to_wait(self, caller: Caller, request: ReadRequest) -> tuple[Place | None, float]:
        """And for how many seconds. Without a place still a second: an empty page at once would have the caller ask
        again in a hot loop."""
        seconds = min(float(request.wait_seconds), max(0.0, caller.deadline - time.monotonic()))
        place = self._waiting.enter(*parties_of(caller, request.chat_id))
        return place, seconds if place is not None else min(_NO_ROOM_SECONDS, seconds)

    def get_limits(self, caller: Caller, chat_id: str | None) -> Outcome[Limits]:
        """Tell all limits, and what a chat has used. Contract: GetLimits."""
        return Done(self.limits(None)) if chat_id is None else Work(lambda: self.limits(chat_id), is_long=False)

    def limits(self, chat_id: str | None) -> Limits:
        """What `get_limits` comes to. ChatNotFound."""
        used = None
        if chat_id is not None:
            if self._chats.find_chat(chat_id) is None:
                raise chat_not_found(chat_id)
            used = self._chats.usage(chat_id)
        return Limits(
            file_limits=self._intake.file_limits(),
            max_text_length=self._rules.max_text_length,
            quota=self._rules.quota,
            used=used,
        )

    def post_stream(
        self,
        *,
        chat_id: str,
        sender: Sender,
        text: str | None,
        stream: BinaryIO,
        original_name: str | None,
        declared_type: FileType | None,
        token: ClientToken,
        agent_name: str | None = None,
    ) -> MessageReceipt:
        """Post a file that comes from a stream instead of from a URL, through the same intake; once for each token."""
        earlier = self._chats.find_receipt(token)
        if earlier is not None:
            return earlier
        self._refuse_early(chat_id, open_unknown=False)
        free_bytes = self._rules.quota.max_bytes - self._chats.usage(chat_id).bytes
        receive = partial(
            self._intake.receive,
            stream,
            original_name=original_name,
            declared_type=declared_type,
            max_bytes=free_bytes,
        )
        with self._within_quota(receive, free_bytes) as checked, self._kept(checked) as stored:
            posted = self._append(chat_id, sender, text, (stored,), token=token, account=None, agent_name=agent_name)
            receipt = posted.result()
        if receipt.duplicate:
            self._files.remove(stored.name)
        return receipt

    def post_text(
        self, *, chat_id: str, sender: Sender, text: str, token: ClientToken, agent_name: str | None = None
    ) -> Outcome[MessageReceipt]:
        """Post a text that the service's own side sends; once for each token."""
        return self._append(chat_id, sender, text, (), token=token, account=None, agent_name=agent_name)

    def _send(self, operation: str, caller: Caller, request: SendRequest) -> Outcome[MessageReceipt]:
        token = _token(
            f"chat:{request.chat_id}", request.client_token, operation, request.text, *_file_values(request.file)
        )
        file = request.file
        if file is None:
            # No claim: of two calls with one token the append itself gives the second the first one's receipt.
            return self._append(request.chat_id, Sender.CUSTOMER, request.text, (), token=token, account=caller.account)
        if links.own_file_name(file.url, caller.own_base_urls) is None:
            # Before anything is read or waited for, and without a thread: a flood of files is told in microseconds.
            self._intake.check_room(parties_of(caller, request.chat_id))
        return Work(lambda: self._send_file(caller, request, file, token), is_long=True)

    def _send_file(
        self, caller: Caller, request: SendRequest, file: FileDetails, token: ClientToken | None
    ) -> MessageReceipt:
        with self._claim(token, caller):
            earlier = self._chats.find_receipt(token) if token is not None else None
            if earlier is not None:
                return earlier
            self._refuse_early(request.chat_id, open_unknown=self._rules.open_unknown_chats)
            with self._stored(caller, request.chat_id, file) as stored:
                receipt = self._append(
                    request.chat_id, Sender.CUSTOMER, request.text, (stored,), token=token, account=caller.account
                ).result()
            if receipt.duplicate:
                self._files.remove(stored.name)
            return receipt

    def _append(
        self,
        chat_id: str,
        sender: Sender,
        text: str | None,
        files: tuple[StoredFile, ...],
        *,
        token: ClientToken | None,
        account: str | None,
        agent_name: str | None = None,
    ) -> Outcome[MessageReceipt]:
        message = NewMessage(
            message_id=_new_id(),
            chat_id=chat_id,
            sender=sender,
            text=text,
            files=files,
            token=token,
            account=account,
            agent_name=agent_name,
        )
        # Customers' systems bring the ids of their chats; whoever else posts, answers in one that is there.
        open_unknown = self._rules.open_unknown_chats and sender is Sender.CUSTOMER
        return self._chats.append(message, open_unknown=open_unknown, quota=self._rules.quota)

    def _refuse_early(self, chat_id: str, *, open_unknown: bool) -> None:
        """What the append would refuse anyway, asked before the network is touched."""
        chat = self._chats.find_chat(chat_id)
        if chat is None:
            if not open_unknown:
                raise chat_not_found(chat_id)
            return
        if chat.status is not ChatStatus.OPEN:
            raise chat_ended(chat_id)
        self._rules.quota.check(self._chats.usage(chat_id), more_files=1, more_bytes=1)

    @contextmanager
    def _stored(self, caller: Caller, chat_id: str, details: FileDetails) -> Iterator[StoredFile]:
        own_name = links.own_file_name(details.url, caller.own_base_urls)
        if own_name is not None:
            with self._copied(own_name, details) as stored:
                yield stored
            return
        self._intake.check_url(details)
        free_bytes = self._rules.quota.max_bytes - self._chats.usage(chat_id).bytes
        with self._fetched(caller, chat_id, details, free_bytes) as checked, self._kept(checked) as stored:
            yield stored

    @contextmanager
    def _fetched(self, caller: Caller, chat_id: str, details: FileDetails, free_bytes: int) -> Iterator[CheckedFile]:
        """Download no more than the chat has room for: what is beyond that would be refused by the append."""
        parties = parties_of(caller, chat_id)
        with ExitStack() as stack:
            try:
                fetch = partial(
                    self._intake.fetch, details, deadline=caller.deadline, max_bytes=free_bytes, parties=parties
                )
                checked = stack.enter_context(self._within_quota(fetch, free_bytes))
            except (EmptyFile, FileTooLarge, FileTypeMismatch, UnsupportedFileType) as error:
                error.field = error.field or details.field
                raise
            yield checked

    @contextmanager
    def _within_quota(
        self, take: Callable[[], AbstractContextManager[CheckedFile]], free_bytes: int
    ) -> Iterator[CheckedFile]:
        """The file, or QuotaExceeded where it is only for the chat's other files that it is too large."""
        with ExitStack() as stack:
            try:
                checked = stack.enter_context(take())
            except FileTooLarge as error:
                if error.limit == free_bytes:
                    raise bytes_exceeded(limit=self._rules.quota.max_bytes, actual=None, room=free_bytes) from None
                raise
            yield checked

    @contextmanager
    def _kept(self, checked: CheckedFile) -> Iterator[StoredFile]:
        """The checked file in the store; taken out again when what follows fails."""
        name = self._new_name(checked.proved.extension)
        stored = StoredFile(
            file_id=_file_id(name),
            name=name,
            original_name=checked.original_name or name,
            file_type=checked.proved.file_type,
            content_type=checked.proved.content_type,
            size=checked.size,
            sha256=checked.sha256,
            width=checked.proved.width,
            height=checked.proved.height,
            duration_milliseconds=checked.proved.duration_milliseconds,
        )
        self._files.save(checked, name=name)
        with self._removed_on_failure(name):
            yield stored

    @contextmanager
    def _copied(self, own_name: str, details: FileDetails) -> Iterator[StoredFile]:
        """A new name over bytes that are here already, for a link of the service's own."""
        source = self._chats.find_file(own_name) if links.is_stored_name(own_name) else None
        if source is None or source.removed_at is not None:
            raise _gone(details)
        if details.declared_type not in (None, source.file_type):
            raise FileTypeMismatch(
                f"Declared {details.declared_type}, but the file is {source.content_type} ({source.file_type}): send "
                f"fileType {source.file_type}, or leave fileType away.",
                declared_type=details.declared_type,
                detected_type=f"{source.file_type} ({source.content_type})",
            )
        limit = {limit.file_type: limit for limit in self._intake.file_limits()}[source.file_type]
        if source.content_type not in limit.content_types:
            raise UnsupportedFileType(
                f"Files of type {source.content_type} are no longer taken.", detected_type=source.content_type
            )
        if source.size > limit.max_bytes:
            raise FileTooLarge(
                f"The file has {source.size} bytes; {source.file_type} files may have {limit.max_bytes}.",
                limit=limit.max_bytes,
                actual=source.size,
            )
        name = self._new_name(own_name.rpartition(".")[2])
        try:
            with self._files.open(own_name) as stream:
                if stream.seek(0, SEEK_END) != source.size:
                    raise FileNotFoundError  # what is left of it is not the file that its row promises
            self._files.copy(source=own_name, name=name)
        except FileNotFoundError:
            raise _gone(details) from None
        with self._removed_on_failure(name):
            yield replace(source, file_id=_file_id(name), name=name, original_name=details.original_name or name)

    @contextmanager
    def _removed_on_failure(self, name: str) -> Iterator[None]:
        try:
            yield
        except WebchatError as error:
            # Mostly the store promises that a refusal left no row. After anything else the row may be there: the bytes
            # stay, and the sweep of the next start decides.
            if error.surely_not_stored:
                self._files.remove(name)
            raise

    def _new_name(self, extension: str) -> str:
        return f"{self._clock():%Y%m%d}-{_new_id()}.{extension}"

    def _read(self, request: ReadRequest) -> MessagePage:
        return self._chats.read_messages(
            request.chat_id, after_sequence=request.after_sequence, max_messages=request.max_messages
        )

    @contextmanager
    def _claim(self, token: ClientToken | None, caller: Caller) -> Iterator[None]:
        with nullcontext() if token is None else self._chats.claim(token, deadline=caller.deadline):
            yield


def _new_id() -> str:
    """A random UUID (version 4) as text, in half the time that the class takes to be made and printed."""
    digits = random_hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _file_id(name: str) -> str:
    """The UUID in a stored name."""
    return name.partition("-")[2].partition(".")[0]


def _gone(details: FileDetails) -> DownloadFailed:
    return DownloadFailed(
        "This link of the service's own names no file that is there; send a fileUrl that can be downloaded.",
        field=details.field,
        http_status=404,
        retryable=False,
    )


def _file_values(file: FileDetails | None) -> tuple[str | None, ...]:
    return () if file is None else (file.url, file.original_name, file.declared_type)


def _token(scope: str, token: str | None, operation: str, *values: str | None) -> ClientToken | None:
    return None if token is None else client_token(scope, token, operation, *values)


def client_token(scope: str, token: str, operation: str, *values: str | None) -> ClientToken:
    """The mark of one call: the same again is a retry, the same token with anything else is a Conflict."""
    # repr tells None from "" and keeps neighbours apart; the values are parsed ones, so a retry may be spelt otherwise.
    fingerprint = hashlib.sha256(repr((operation, *values)).encode("utf-8", "surrogatepass")).hexdigest()
    return ClientToken(scope=scope, token=token, fingerprint=fingerprint)
