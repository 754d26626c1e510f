"""What the callers of a run know for certain, and whether the service still knows it too."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.process import spooled, stored
from tests.crash.soap_call import Caller, children, field

PAGE = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """A message that was acknowledged. `file_name` is its stored name, `sha256` what its bytes must be."""

    chat_id: str
    token: str
    message_id: str
    sequence: int
    file_name: str | None
    sha256: str | None


def read_receipt(result: Any, *, chat_id: str, token: str, sha256: str | None) -> tuple[Receipt, bool]:
    """The receipt, checked against what was sent (`sha256` of its file, where it has one), and whether it is a
    duplicate's."""
    assert field(result, "CHATID") == chat_id
    name = None
    files = children(result, "file")
    assert len(files) == (sha256 is not None)
    for file in files:
        name = field(file, "fileName")
        assert field(file, "sha256") == sha256
    receipt = Receipt(
        chat_id=chat_id,
        token=token,
        message_id=field(result, "messageId"),
        sequence=int(field(result, "sequence")),
        file_name=name,
        sha256=sha256,
    )
    return receipt, field(result, "duplicate") == "true"


class Ledger:
    """Of one round. All methods may be called from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.receipts: dict[str, Receipt] = {}
        """By clientToken."""
        self.chats: dict[str, str] = {}
        """CHATID by the clientToken of StartChat."""
        self.ended: set[str] = set()
        self.seen: dict[tuple[str, int], str] = {}
        """messageId by CHATID and sequence, of pages that were read while it went on."""
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.longest_try_seconds = 0.0

    def count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number

    def problem(self, what: str) -> None:
        with self._lock:
            self.problems.append(what)

    @property
    def chat_ids(self) -> set[str]:
        """All that there must be."""
        return {receipt.chat_id for receipt in self.receipts.values()} | set(self.chats.values())

    def acknowledge(self, receipt: Receipt, *, duplicate: bool) -> None:
        """A message's receipt has come, the first or one more."""
        with self._lock:
            earlier = self.receipts.setdefault(receipt.token, receipt)
            if earlier is receipt:
                self.counts["acknowledged"] += 1
                self.counts["acknowledged to a retry that came second"] += duplicate
                self.counts["files acknowledged"] += receipt.file_name is not None
            elif earlier == receipt and duplicate:
                self.counts["acknowledged once more when asked again"] += 1
            else:
                self.problems.append(f"two receipts for one token: {earlier} and {receipt}, {duplicate=}")

    def opened(self, token: str, chat_id: str) -> None:
        with self._lock:
            if self.chats.setdefault(token, chat_id) != chat_id:
                self.problems.append(f"StartChat with {token} gave {self.chats[token]} and {chat_id}")

    def end(self, chat_id: str) -> None:
        with self._lock:
            self.ended.add(chat_id)

    def tried(self, seconds: float) -> None:
        """A try of a call took so long, whatever its end."""
        with self._lock:
            self.longest_try_seconds = max(self.longest_try_seconds, seconds)

    def saw(self, chat_id: str, after: int, messages: list[Any]) -> int:
        """A page of messages that a reader got; returns the last sequence."""
        with self._lock:
            for message in messages:
                sequence, message_id = int(field(message, "sequence")), field(message, "messageId")
                if sequence != after + 1:
                    self.problems.append(f"{chat_id}: {sequence} came after {after}")
                after = sequence
                if self.seen.setdefault((chat_id, sequence), message_id) != message_id:
                    self.problems.append(f"{chat_id}: {sequence} is {message_id} and {self.seen[chat_id, sequence]}")
        return after

    def check_messages(self, caller: Caller) -> None:
        """By what the service answers: every token exactly once, sequences 1..n, the same ids, all bytes."""
        by_chat: dict[str, dict[str, Receipt]] = {chat_id: {} for chat_id in self.chats.values()}
        for receipt in self.receipts.values():
            by_chat.setdefault(receipt.chat_id, {})[receipt.token] = receipt
        for chat_id, expected in by_chat.items():
            found = _read_chat(caller, chat_id, ended=chat_id in self.ended)
            assert [sequence for sequence, _, _, _ in found] == list(range(1, len(found) + 1)), chat_id
            tokens = Counter(token for _, _, token, _ in found)
            assert tokens == Counter(expected.keys()), {
                "lost": sorted(expected.keys() - tokens.keys()),
                "double": [token for token, number in tokens.items() if number > 1],
                "never acknowledged": sorted(tokens.keys() - expected.keys()),
            }
            for sequence, message_id, token, file_name in found:
                receipt = expected[token]
                assert (receipt.sequence, receipt.message_id) == (sequence, message_id), receipt
                assert receipt.file_name == file_name
                assert self.seen.get((chat_id, sequence), message_id) == message_id
            assert all(sequence <= len(found) for chat, sequence in self.seen if chat == chat_id), "a message went back"
        for receipt in self.receipts.values():
            if receipt.file_name is not None:
                body = caller.get(f"/public_files/{receipt.file_name}")
                assert hashlib.sha256(body).hexdigest() == receipt.sha256, receipt


def _read_chat(caller: Caller, chat_id: str, *, ended: bool) -> list[tuple[int, str, str, str | None]]:
    """(sequence, messageId, clientToken, stored name) of every message. The token is the first word of the text, or
    the file's given name up to its extension."""
    found: list[tuple[int, str, str, str | None]] = []
    while True:
        after = found[-1][0] if found else 0
        page = caller.call("GetMessages", "1.1", seconds=30, CHATID=chat_id, afterSequence=after, maxMessages=PAGE)
        assert field(page, "status") == ("ENDED" if ended else "OPEN")
        for message in children(page, "message"):
            files = children(message, "file")
            name = field(files[0], "fileName") if files else None
            token = (
                field(files[0], "originalFileName").rpartition(".")[0]
                if files
                else field(message, "text").partition(" ")[0]
            )
            found.append((int(field(message, "sequence")), field(message, "messageId"), token, name))
        if field(page, "hasMore") == "false":
            assert int(field(page, "lastSequence")) == len(found)
            return found


def check_disk(data: Path, *, chat_ids: set[str], messages: int, swept: bool, integrity: bool, hashes: bool) -> None:
    """By what lies on the disk while no call runs: these chats and so many messages, of all rounds, and no others.

    `swept`: no process died since the last start, so nothing may be left over; `hashes` reads every file that was ever
    stored.
    """
    database = sqlite3.connect(f"file:{data / 'webchat.db'}?mode=ro", uri=True)
    try:
        found = {chat_id for (chat_id,) in database.execute("SELECT chat_id FROM chats")}
        assert found == chat_ids, {"lost": chat_ids - found, "unknown": found - chat_ids}
        assert database.execute("SELECT count(*) FROM messages").fetchone() == (messages,)
        rows = dict(database.execute("SELECT name, sha256 FROM files"))
        files = {path.name: path for path in stored(data)}
        assert not rows.keys() - files.keys(), "a row has no bytes"
        if swept:
            assert not files.keys() - rows.keys(), "bytes have no row"
            assert not spooled(data), "something is left in the spool"
        if integrity:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        wrong = database.execute(_MISCOUNTED).fetchall()
        assert not wrong, f"a chat's counters are not those of its messages: {wrong}"
    finally:
        database.close()
    if hashes:
        for name, sha256 in rows.items():
            assert hashlib.sha256(files[name].read_bytes()).hexdigest() == sha256, name


_MISCOUNTED = """
    SELECT chat_id FROM chats LEFT JOIN (
        SELECT chat_key, count(*) AS messages, max(sequence) AS last FROM messages GROUP BY chat_key
    ) USING (chat_key) LEFT JOIN (
        SELECT chat_key, count(*) AS files, sum(size) AS bytes FROM files GROUP BY chat_key
    ) USING (chat_key)
    WHERE last_sequence != coalesce(messages, 0) OR last_sequence != coalesce(last, 0)
       OR file_count != coalesce(files, 0) OR file_bytes != coalesce(bytes, 0)
"""
