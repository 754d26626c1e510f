"""What one turn of the writer does to the database: the rules of the port, as statements in an open transaction."""

from __future__ import annotations

import sqlite3

from webchat_soap.domain.chat import (
    Chat,
    ChatQuota,
    ChatStatus,
    ChatUsage,
    ClientToken,
    MessageReceipt,
    NewMessage,
    chat_ended,
    chat_not_found,
)
from webchat_soap.domain.file import StoredFile
from webchat_soap.stores import refusals
from webchat_soap.stores.rows import Row, from_file, to_chat, to_file, to_moment
from webchat_soap.stores.statements import Statements

OPEN = ChatStatus.OPEN.value
ENDED = ChatStatus.ENDED.value


class Transaction:
    """An open write transaction. Every method either does the whole of what it says or raises a refusal; the writer
    rolls a refused one back to its savepoint. `moved` holds the chats that got a message or an end: (lastSequence,
    whether open)."""

    __slots__ = ("_cursor", "_sql", "moved", "now")

    def __init__(self, *, cursor: sqlite3.Cursor, statements: Statements, now: int) -> None:
        self._cursor = cursor
        self._sql = statements
        self.now = now
        self.moved: dict[str, tuple[int, bool]] = {}

    def append(self, message: NewMessage, *, open_unknown: bool, quota: ChatQuota) -> MessageReceipt:
        """ChatStore.append."""
        token = message.token
        if token is not None and (first := read_receipt(self._cursor, self._sql, token)) is not None:
            return first
        chat_id = message.chat_id
        files = message.files
        new_bytes = 0
        if files:
            new_bytes = sum(file.size for file in files)
            used = self._one(self._sql.select_usage, chat_id)
            if used is not None and used[0] == OPEN:
                quota.check(ChatUsage(files=used[1], bytes=used[2]), more_files=len(files), more_bytes=new_bytes)
        advance = (self.now, len(files), new_bytes, chat_id)
        row = self._one(self._sql.advance_chat, *advance)
        if row is None:
            if self._one(self._sql.select_state, chat_id) is not None:
                raise chat_ended(chat_id)
            if not open_unknown:
                raise chat_not_found(chat_id)
            if files:
                quota.check(ChatUsage(files=0, bytes=0), more_files=len(files), more_bytes=new_bytes)
            self._open_chat(chat_id, None, message.account)
            row = self._one(self._sql.advance_chat, *advance)
            assert row is not None
        chat_key, sequence, sent_at = row
        execute = self._cursor.execute
        execute(
            self._sql.insert_message,
            (
                chat_key,
                sequence,
                message.message_id,
                message.sender.value,
                message.account,
                sent_at,
                message.text,
                len(files),
            ),
        )
        for position, file in enumerate(files):
            execute(self._sql.insert_file, (chat_key, sequence, position, *from_file(file)))
        if token is not None:
            execute(self._sql.insert_token, (token.scope, token.token, token.fingerprint, chat_key, sequence))
        self.moved[chat_id] = (sequence, True)
        return MessageReceipt(
            message_id=message.message_id,
            chat_id=chat_id,
            sequence=sequence,
            sent_at=to_moment(sent_at),
            files=files,
        )

    def start_chat(
        self, *, chat_id: str, customer_name: str | None, token: ClientToken | None, account: str | None
    ) -> Chat:
        """ChatStore.start_chat."""
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
        row = self._one(self._sql.select_chat, chat_id)
        assert row is not None
        if token is not None:
            self._cursor.execute(self._sql.insert_token, (token.scope, token.token, token.fingerprint, row[0], None))
        return to_chat(row[1:])

    def end_chat(self, chat_id: str, *, ended_by: str | None) -> Chat:
        """ChatStore.end_chat."""
        self._cursor.execute(self._sql.end_chat, (self.now, ended_by, chat_id))
        row = self._one(self._sql.select_chat, chat_id)
        if row is None:
            raise chat_not_found(chat_id)
        chat = to_chat(row[1:])
        self.moved[chat_id] = (chat.last_sequence, False)
        return chat

    def _open_chat(self, chat_id: str, customer_name: str | None, account: str | None) -> None:
        self._cursor.execute(
            self._sql.insert_chat, (chat_id, OPEN, customer_name, self.now, account, 0, self.now, 0, 0)
        )

    def _one(self, statement: str, *parameters: object) -> Row | None:
        # fetchall, although there is at most one row: it steps the statement to its end. A RETURNING that is not
        # finished is not done, and keeps the savepoint from being released.
        rows = self._cursor.execute(statement, parameters).fetchall()
        return rows[0] if rows else None


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
