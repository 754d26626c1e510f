"""The threads that use the service while it is killed: each goes on until what it sent is acknowledged."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from tests.crash import soap_call
from tests.crash.contents import EXTENSIONS, FAMILIES, content
from tests.crash.ledger import Ledger, Receipt, read_receipt
from tests.crash.soap_call import ENVELOPES, Caller, Fault, GaveUp, Unanswered
from tests.file_host import Connection, FileHost, Request, head

LAST = "last-"
"""How the token of a chat's last message begins, which readers wait for."""

CALL_SECONDS = 40.0
"""Nothing here takes seconds but a wait for news: a call that is silent for so long hangs."""

WAIT_SECONDS = 20

T = TypeVar("T")

UNFORESEEN = "Internal"
"""Retryable by the contract, but no kill of a process may bring it about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One try of a call whose download the file host has seen."""

    token: str
    number: int


@dataclass(kw_only=True)
class Downloads:
    """What the file host serves, and whose calls are on their way right now."""

    host: FileHost
    lock: threading.Lock = field(default_factory=threading.Lock)
    trying: dict[str, int] = field(default_factory=dict)
    """The number of the try that is under way, by token."""
    arrived: set[Attempt] = field(default_factory=set)
    """Tries under way whose download has begun: the service has surely read the call."""
    dropped: set[Attempt] = field(default_factory=set)
    """Those of them that got no answer although the caller waited."""

    def offer(self, token: str, family: str, source: random.Random) -> str:
        """The URL of a file of this name's own, which comes slowly now and then."""
        pause = source.choice((0, 0, 0.01, 0.1, 0.3))

        def send(connection: Connection, request: Request) -> None:
            with self.lock:
                if token in self.trying:
                    self.arrived.add(Attempt(token=token, number=self.trying[token]))
            body = content(token, family)
            connection.send(head("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Connection: close"))
            connection.send(body[: len(body) // 2])
            if pause:
                with contextlib.suppress(ConnectionAbortedError):
                    threading.Event().wait(pause)
            connection.send(body[len(body) // 2 :])

        return self.host.script(f"/{token}.{EXTENSIONS[family]}", send)

    def begin(self, token: str, number: int) -> None:
        with self.lock:
            self.trying[token] = number

    def end(self, token: str, *, dropped: bool) -> None:
        with self.lock:
            attempt = Attempt(token=token, number=self.trying.pop(token))
            if attempt in self.arrived:
                self.arrived.remove(attempt)
                if dropped:
                    self.dropped.add(attempt)

    def under_way(self) -> set[Attempt]:
        """Calls that wait now and that the service has begun to work on."""
        with self.lock:
            return set(self.arrived)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """A message to be sent, however often that takes."""

    operation: str
    chat_id: str
    token: str
    details: str
    """fileDetails."""
    sha256: str | None


class Abandoned(Exception):
    """Ends a client whose test has failed."""


class Round:
    """What the threads of one round share."""

    def __init__(self, *, port: int, ledger: Ledger, downloads: Downloads, chat_ids: list[str]) -> None:
        self.port = port
        self.ledger = ledger
        self.downloads = downloads
        self.chat_ids = chat_ids
        self.enough = threading.Event()
        """No new message shall be begun."""
        self.abandoned = threading.Event()
        """The test has failed: nothing need be finished."""

    def persist(self, source: random.Random, once: Callable[[int], T], *, also: str | None = None) -> T:
        """`once(number of the try)`, until it has an answer that is no refusal. Retried are refusals that say so, but
        no unforeseen ones, and the code `also`."""
        for number in itertools.count(1):
            if self.abandoned.is_set():
                raise Abandoned
            began = time.monotonic()
            try:
                return once(number)
            except Unanswered:
                self.ledger.count("tries without an answer")
                time.sleep(source.uniform(0.01, 0.1))  # nobody may be there for a while
            except GaveUp:
                assert time.monotonic() - began < CALL_SECONDS, "a call hangs"
                self.ledger.count("tries given up by the caller")
            except Fault as fault:
                if fault.code != also:
                    if not fault.retryable or fault.code == UNFORESEEN:
                        raise
                    self.ledger.count(f"tries answered {fault.code}")
                time.sleep(source.uniform(0.02, 0.06))
            finally:
                self.ledger.tried(time.monotonic() - began)
        raise AssertionError

    def call(self, caller: Caller, source: random.Random, operation: str, token: str, **parameters: object) -> Any:
        """Call with a clientToken, now in SOAP 1.1 and now in 1.2, until it is done."""
        # Some lose patience and come again, perhaps to another process, while the first call still runs.
        hasty = source.random() < 0.1

        def once(number: int) -> Any:
            if number == 2:
                self.ledger.count("calls retried")
            seconds = source.uniform(0.001, 0.05) if hasty and number == 1 else CALL_SECONDS
            version = source.choice(tuple(ENVELOPES))
            dropped = False
            self.downloads.begin(token, number)
            try:
                return caller.call(operation, version, seconds=seconds, **parameters, clientToken=token)
            except Unanswered:
                dropped = True
                raise
            finally:
                self.downloads.end(token, dropped=dropped)

        return self.persist(source, once)

    def send(self, caller: Caller, source: random.Random, sending: Sending) -> Receipt:
        """Send until it is acknowledged; now and then once more, which must give the same receipt."""
        for _ in range(2 if source.random() < 0.05 else 1):
            result = self.call(
                caller, source, sending.operation, sending.token, CHATID=sending.chat_id, fileDetails=sending.details
            )
            receipt, duplicate = read_receipt(
                result, chat_id=sending.chat_id, token=sending.token, sha256=sending.sha256
            )
            self.ledger.acknowledge(receipt, duplicate=duplicate)
        return receipt

    def text(self, chat_id: str, token: str, words: str = "") -> Sending:
        details = json.dumps({"text": f"{token} {words}".strip()})
        return Sending(operation="SendMessage", chat_id=chat_id, token=token, details=details, sha256=None)

    def file(
        self, operation: str, chat_id: str, token: str, source: random.Random, *, text: str | None = None
    ) -> Sending:
        family = source.choice(FAMILIES)
        sha256 = hashlib.sha256(content(token, family)).hexdigest()
        url = self.downloads.offer(token, family, source)
        return self._sending(operation, chat_id, token, url, EXTENSIONS[family], family, sha256, text)

    def copy(self, chat_id: str, token: str, of: Receipt) -> Sending:
        """A file that is there already, by its own link."""
        assert of.file_name is not None
        url = f"http://127.0.0.1:{self.port}/public_files/{of.file_name}"
        return self._sending("UploadFile", chat_id, token, url, of.file_name.rpartition(".")[2], None, of.sha256, None)

    @staticmethod
    def _sending(
        operation: str,
        chat_id: str,
        token: str,
        url: str,
        extension: str,
        family: str | None,
        sha256: str | None,
        text: str | None,
    ) -> Sending:
        file = {"fileUrl": url, "fileName": f"{token}.{extension}"} | ({"fileType": family} if family else {})
        said: dict[str, object] = {**file} if operation == "UploadFile" else {"fileDetails": file}
        if text is not None:
            said["text"] = text
        return Sending(operation=operation, chat_id=chat_id, token=token, details=json.dumps(said), sha256=sha256)


def send_texts_and_files(shared: Round, caller: Caller, source: random.Random, name: str) -> None:
    """Messages of all kinds into the round's chats until it is enough."""
    last_file: Receipt | None = None
    number = 0
    while not shared.enough.is_set():
        number += 1
        token = f"{name}-{number}"
        chat_id = source.choice(shared.chat_ids)
        kind = source.random()
        if kind < 0.55:
            sending = shared.text(chat_id, token, "x" * source.randrange(3000))
        elif kind < 0.75:
            sending = shared.file("UploadFile", chat_id, token, source)
        elif kind < 0.85:
            sending = shared.file("SendMessage", chat_id, token, source)
        elif kind < 0.95 or last_file is None:
            sending = shared.file("SendMessage", chat_id, token, source, text="with a text")
        else:
            sending = shared.copy(chat_id, token, last_file)
        receipt = shared.send(caller, source, sending)
        if receipt.file_name is not None:
            last_file = receipt


def open_and_end_chats(shared: Round, caller: Caller, source: random.Random, name: str) -> None:
    """Chats of one's own: opened by token, ended, and then all tokens once more."""
    number = 0
    while not shared.enough.is_set():
        number += 1
        token = f"{name}-{number}"

        def opened(token: str = token) -> str:
            chat = shared.call(caller, source, "StartChat", token, customerName="Ayşe")
            shared.ledger.opened(token, soap_call.field(chat, "CHATID"))
            return soap_call.field(chat, "CHATID")

        chat_id = opened()
        sendings = [shared.text(chat_id, f"{token}-text"), shared.file("UploadFile", chat_id, f"{token}-file", source)]
        for sending in sendings:
            shared.send(caller, source, sending)
        # Needs no token: twice is the same as once.
        ended = shared.persist(source, partial(_end, caller, chat_id))
        assert soap_call.field(ended, "lastSequence") == "2"
        shared.ledger.end(chat_id)
        for sending in sendings:
            shared.send(caller, source, sending)
        assert opened() == chat_id


def read_on(shared: Round, caller: Caller, source: random.Random, name: str) -> None:
    """Wait for news of one chat, until its last message has come."""
    chat_id = source.choice(shared.chat_ids)
    after = 0
    while True:
        # Until the first message opens the chat, it is not there.
        page = shared.persist(
            source, partial(_read, caller, chat_id, after), also="ChatNotFound" if after == 0 else None
        )
        messages = soap_call.children(page, "message")
        after = shared.ledger.saw(chat_id, after, messages)
        shared.ledger.count("pages read")
        if any((soap_call.field_or_none(message, "text") or "").startswith(LAST) for message in messages):
            return


def _end(caller: Caller, chat_id: str, number: int) -> Any:
    return caller.call("EndChat", "1.2", seconds=CALL_SECONDS, CHATID=chat_id)


def _read(caller: Caller, chat_id: str, after: int, number: int) -> Any:
    wait = {"afterSequence": after, "waitSeconds": WAIT_SECONDS}
    return caller.call("GetMessages", "1.1", seconds=CALL_SECONDS, CHATID=chat_id, **wait)
