"""What one turn of the writer does to the database: the rules of the port, as statements in an open transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from webchat_soap.domain.chat import (
    Chat,
    ChatQuota,
    ChatStatus,
    ChatUsage,
    ClientToken,
    MessageReceipt,
    NewMessage,
    Sender,
    chat_ended,
    chat_not_found,
)
from webchat_soap.domain.file import StoredFile
from webchat_soap.stores import refusals
from webchat_soap.stores.rows import Row, from_file, to_chat, to_file, to_moment
from webchat_soap.stores.statements import Statements

OPEN = ChatStatus.OPEN.value
ENDED = ChatStatus.ENDED.value


_MESSAGES_AT_ONCE: Final = 64
"""Rows of one INSERT. Smaller powers of two make up the rest, so that few statements are ever compiled."""


@dataclass(slots=True)
class _ChatState:
    """A chat's row as it will be when the transaction ends."""

    chat_key: int
    is_open: bool
    last_sequence: int
    last_sent_at: int
    file_count: int
    file_bytes: int
    unread_count: int
    agent_name: str | None = None
    """Of who answers in this transaction."""


@dataclass(frozen=True, slots=True)
class Append:
    """The command of ChatStore.append. It has a name so that the transaction can foresee what a batch will ask for."""

    message: NewMessage
    open_unknown: bool
    quota: ChatQuota

    def __call__(self, transaction: Transaction) -> MessageReceipt:
        return transaction.append(self.message, open_unknown=self.open_unknown, quota=self.quota)


class Transaction:
    """An open write transaction. Every method either does the whole of what it says or raises a refusal. `moved` holds
    the chats that got a message or an end: (lastSequence, whether open), and `touched` those of which anything else has
    changed that an agent sees.

    Appended messages are gathered and written by `write_out`: each statement lets the interpreter's lock go and must
    get it back among all who compute, so that three of them for each message were the slowest part of a busy service.
    """

    __slots__ = (
        *("_changed", "_chats", "_cursor", "_files", "_messages", "_sql", "_tokens", "_used"),
        *("moved", "now", "touched"),
    )

    def __init__(self, *, cursor: sqlite3.Cursor, statements: Statements, now: int) -> None:
        self._cursor = cursor
        self._sql = statements
        self.now = now
        self.moved: dict[str, tuple[int, bool]] = {}
        self.touched: set[str] = set()
        self._chats: dict[str, _ChatState | None] = {}
        self._used: dict[tuple[str, str], bool] = {}
        self._changed: dict[str, _ChatState] = {}
        self._messages: list[tuple[object, ...]] = []
        self._files: list[tuple[object, ...]] = []
        self._tokens: list[tuple[object, ...]] = []

    def foresee(self, messages: Sequence[NewMessage]) -> None:
        """Read in two statements what appending these will ask for one by one."""
        chat_ids = {message.chat_id for message in messages} - self._chats.keys()
        if chat_ids:
            self._chats.update(dict.fromkeys(chat_ids))
            (found,) = self._cursor.execute(self._sql.select_chat_states, (json.dumps(list(chat_ids)),)).fetchone()
            for chat_id, chat_key, status, *numbers in json.loads(found):
                self._chats[chat_id] = _ChatState(chat_key, status == OPEN, *numbers)
        tokens = {(message.token.scope, message.token.token) for message in messages if message.token is not None}
        if tokens:
            self._used.update(dict.fromkeys(tokens, False))
            (found,) = self._cursor.execute(self._sql.select_used_tokens, (json.dumps(list(tokens)),)).fetchone()
            self._used.update(((scope, token), True) for scope, token in json.loads(found))

    def forget(self) -> None:
        """Believe nothing that was read or gathered before: it was rolled back."""
        for gathered in (self._chats, self._used, self._changed, self._messages, self._files, self._tokens):
            gathered.clear()

    def append(self, message: NewMessage, *, open_unknown: bool, quota: ChatQuota) -> MessageReceipt:
        """ChatStore.append."""
        token, chat_id, files = message.token, message.chat_id, message.files
        if chat_id not in self._chats or (token is not None and (token.scope, token.token) not in self._used):
            self.foresee((message,))
        if token is not None and self._used[token.scope, token.token]:
            self.write_out()
            first = read_receipt(self._cursor, self._sql, token)
            assert first is not None
            return first
        state = self._chats[chat_id]
        new_bytes = sum(file.size for file in files)
        if state is None and not open_unknown:
            raise chat_not_found(chat_id)
        if state is not None and not state.is_open:
            raise chat_ended(chat_id)
        if files:
            used = ChatUsage(files=state.file_count, bytes=state.file_bytes) if state else ChatUsage(files=0, bytes=0)
            quota.check(used, more_files=len(files), more_bytes=new_bytes)
        if state is None:
            state = self._open_chat(chat_id, None, message.account)
        state.last_sequence = sequence = state.last_sequence + 1
        state.last_sent_at = sent_at = max(state.last_sent_at, self.now)
        state.file_count += len(files)
        state.file_bytes += new_bytes
        client_token = None
        if message.sender is Sender.CUSTOMER:
            state.unread_count += 1
        elif message.agent_name is not None:
            state.agent_name = message.agent_name
            client_token = token and token.token
        self._changed[chat_id] = state
        key = state.chat_key
        self._messages.append(
            (
                key,
                sequence,
                message.message_id,
                message.sender.value,
                message.account,
                sent_at,
                message.text,
                len(files),
                message.agent_name,
                client_token,
            )
        )
        for position, file in enumerate(files):
            self._files.append((key, sequence, position, *from_file(file)))
        if token is not None:
            self._used[token.scope, token.token] = True
            self._tokens.append((token.scope, token.token, token.fingerprint, key, sequence))
        return MessageReceipt(
            message_id=message.message_id,
            chat_id=chat_id,
            sequence=sequence,
            sent_at=to_moment(sent_at),
            files=files,
        )

    def write_out(self) -> None:
        """Write what was gathered."""
        if not self._messages:
            return
        execute = self._cursor.execute
        counters = [
            (
                state.chat_key,
                state.last_sequence,
                state.last_sent_at,
                state.file_count,
                state.file_bytes,
                state.unread_count,
                state.agent_name,
            )
            for state in self._changed.values()
        ]
        execute(self._sql.update_counters, (json.dumps(counters),))
        first, size = 0, _MESSAGES_AT_ONCE
        while first < len(self._messages):
            while size > len(self._messages) - first:
                size //= 2
            execute(self._sql.insert_messages(size), tuple(chain.from_iterable(self._messages[first : first + size])))
            first += size
        if self._files:
            self._cursor.executemany(self._sql.insert_file, self._files)
        if self._tokens:
            self._cursor.executemany(self._sql.insert_token, self._tokens)
        # Only now: what is undone before must neither be announced nor noted.
        self.moved.update((chat_id, (state.last_sequence, True)) for chat_id, state in self._changed.items())
        for gathered in (self._changed, self._messages, self._files, self._tokens):
            gathered.clear()

    def start_chat(
        self, *, chat_id: str, customer_name: str | None, token: ClientToken | None, account: str | None
    ) -> Chat:
        """ChatStore.start_chat."""
        self.write_out()
        if token is not None and (used := self._one(self._sql.select_token, token.scope, token.token)) is not None:
            fingerprint, chat_key, sequence = used
            if fingerprint != token.fingerprint or sequence is not None:
                raise refusals.token_conflict(token)
            made = self._one(self._sql.select_chat_by_key, chat_key)
            assert made is not None
            return to_chat(made[1:])
        row = self._one(self._sql.select_chat, chat_id)
        if row is None:
            self._open_chat(chat_id, customer_name, account)
        elif row[2] == ENDED:
            raise chat_ended(chat_id)
        elif customer_name is not None and row[5] is None:
            self._cursor.execute(self._sql.name_customer, (customer_name, chat_id))
            self.touched.add(chat_id)
        row = self._one(self._sql.select_chat, chat_id)
        assert row is not None
        if token is not None:
            self._used[token.scope, token.token] = True
            self._cursor.execute(self._sql.insert_token, (token.scope, token.token, token.fingerprint, row[0], None))
        return to_chat(row[1:])

    def end_chat(self, chat_id: str, *, ended_by: str | None) -> Chat:
        """ChatStore.end_chat."""
        self.write_out()
        self._chats.pop(chat_id, None)
        self._cursor.execute(self._sql.end_chat, (self.now, ended_by, chat_id))
        row = self._one(self._sql.select_chat, chat_id)
        if row is None:
            raise chat_not_found(chat_id)
        chat = to_chat(row[1:])
        self.moved[chat_id] = (chat.last_sequence, False)
        return chat

    def mark_read(self, chat_id: str, *, sequence: int) -> None:
        """ChatStore.mark_read."""
        self.write_out()
        mark = self._one(self._sql.select_read_mark, chat_id)
        if mark is None:
            raise chat_not_found(chat_id)
        chat_key, last_sequence, unread_count, read_sequence = mark
        sequence = min(sequence, last_sequence)
        if sequence <= read_sequence:
            return
        # Of the two parts that the mark makes, the shorter one is counted.
        if last_sequence - sequence <= sequence - read_sequence:
            (unread_count,) = self._only(self._sql.count_customers, chat_key, sequence, last_sequence)
        else:
            unread_count -= self._only(self._sql.count_customers, chat_key, read_sequence, sequence)[0]
        self._cursor.execute(self._sql.mark_read, (unread_count, sequence, chat_key))
        self._chats.pop(chat_id, None)
        self.touched.add(chat_id)

    def remember_swept(self, *, stamps: Mapping[str, str], forget: Iterable[str]) -> None:
        """SweepableChatStore.remember_swept."""
        self._cursor.executemany(self._sql.delete_swept, [(day,) for day in forget])
        self._cursor.executemany(self._sql.replace_swept, list(stamps.items()))

    def run(self, statement: str, *parameters: object) -> list[Row]:
        """One statement on tables that no other method here knows, to its end."""
        return self._cursor.execute(statement, parameters).fetchall()

    def prove(self) -> None:
        """Have the commit write a page, as little as there is, so that it proves that it can."""
        change_nothing(self._cursor)

    def _open_chat(self, chat_id: str, customer_name: str | None, account: str | None) -> _ChatState:
        opened = (chat_id, OPEN, customer_name, self.now, account, 0, self.now, 0, 0, 0, 0)
        self._cursor.execute(self._sql.insert_chat, opened)
        key = self._cursor.lastrowid
        assert key is not None
        state = self._chats[chat_id] = _ChatState(key, True, 0, self.now, 0, 0, 0)
        self.touched.add(chat_id)
        return state

    def _only(self, statement: str, *parameters: object) -> Row:
        row = self._one(statement, *parameters)
        assert row is not None
        return row

    def _one(self, statement: str, *parameters: object) -> Row | None:
        # fetchall, although there is at most one row: it steps the statement to its end. A RETURNING that is not
        # finished is not done, and keeps the savepoint from being released.
        rows = self._cursor.execute(statement, parameters).fetchall()
        return rows[0] if rows else None


def change_nothing(cursor: sqlite3.Cursor) -> None:
    """Change a number in the open transaction that nobody reads: without any change a commit writes nothing."""
    (number,) = cursor.execute("PRAGMA user_version").fetchone()
    cursor.execute(f"PRAGMA user_version = {(number + 1) % 2**31}")


def read_receipt(cursor: sqlite3.Cursor, statements: Statements, token: ClientToken) -> MessageReceipt | None:
    """ChatStore.find_receipt, inside a transaction or outside: what it reads is never changed once committed."""
    used = cursor.execute(statements.select_token, (token.scope, token.token)).fetchone()
    if used is None:
        return None
    fingerprint, chat_key, sequence = used
    if fingerprint != token.fingerprint or sequence is None:
        raise refusals.token_conflict(token)
    message_id, chat_id, sent_at, file_count = cursor.execute(
        statements.select_receipt, (chat_key, sequence)
    ).fetchone()
    files: tuple[StoredFile, ...] = ()
    if file_count:
        rows = cursor.execute(statements.select_files, (chat_key, sequence, sequence)).fetchall()
        files = tuple(to_file(row[1:]) for row in rows)
    return MessageReceipt(
        message_id=message_id,
        chat_id=chat_id,
        sequence=sequence,
        sent_at=to_moment(sent_at),
        duplicate=True,
        files=files,
    )
