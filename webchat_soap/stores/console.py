"""The console's questions to SQLite (domain.console.ConsoleStore).

What walks over many chats gives one row of JSON: each row of a result lets the interpreter's lock go and must get it
back among all who compute. What could take long stops at its deadline.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from webchat_soap.domain.chat import Sender
from webchat_soap.domain.console import ChatList, ChatSummary, LastMessage, OpenCounts
from webchat_soap.domain.errors import InvalidRequest
from webchat_soap.domain.file import FileType
from webchat_soap.domain.searching import Words
from webchat_soap.stores.rows import Row, to_chat, to_moment

_WALK_AT_ONCE: Final = {False: 50_000, True: 2_000}
"""Chats per statement, of the open ones (which are sorted each time) and of the ended ones (which an index sorts)."""

_MOST_AT_ONCE: Final = 256
_QUICK_SECONDS: Final = 0.02
"""Chats whose texts are looked through by one statement: one at first, so that each search gets ahead, and twice as
many whenever that was quick."""

_INSTRUCTIONS: Final = 5_000
"""Of SQLite between two looks at the clock: less than a millisecond."""

_SUMMARIES = """
    SELECT c.chat_key, c.chat_id, c.status, c.started_at, c.last_sequence, c.customer_name, c.ended_at, c.agent_name,
           c.ended_by, c.last_sent_at, c.unread_count, c.read_sequence,
           m.sender, m.sent_at, m.agent_name, substr(m.text, 1, 200), m.file_count
    FROM chats AS c LEFT JOIN messages AS m ON m.chat_key = c.chat_key AND m.sequence = c.last_sequence
    WHERE c.{key} IN (SELECT value FROM json_each(?))
"""
_FILES = "SELECT file_type, original_name FROM files WHERE chat_key = ? AND sequence = ? ORDER BY position"

# (anything unread, newest message, key): the order of a list, from its end to its beginning.
_OPEN = """
    SELECT unread_count > 0 AS first, last_sent_at AS second, chat_key, chat_id, customer_name
    FROM chats INDEXED BY open_chats
    WHERE status = 'OPEN' AND (unread_count > 0, last_sent_at, chat_key) < (:first, :second, :key)
    ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT :limit
"""
_ENDED = """
    SELECT 0 AS first, ended_at AS second, chat_key, chat_id, customer_name
    FROM chats INDEXED BY ended_chats
    WHERE status = 'ENDED' AND (ended_at, chat_key) < (:second, :key)
    ORDER BY ended_at DESC, chat_key DESC LIMIT :limit
"""
# 775 is searching.DOT_ABOVE.
_LIST = "SELECT json_group_array(json_array(first, second, chat_key)) FROM ({chats})"
_WALK = """
    SELECT json_group_array(json_array(first, second, chat_key,
        chat_id GLOB :glob OR ifnull(replace(customer_name, char(775), '') GLOB :glob, 0)))
    FROM ({chats})
"""
_TEXTS = """
    SELECT k.key, (SELECT m.sequence FROM messages AS m
                   WHERE m.chat_key = k.value AND replace(m.text, char(775), '') GLOB ?
                   ORDER BY m.sequence DESC LIMIT 1) AS hit
    FROM json_each(?) AS k WHERE hit IS NOT NULL
"""
_OPEN_MARKS = """
    SELECT json_group_object(chat_id,
        last_sequence || ',' || unread_count || ',' || read_sequence || ',' || ifnull(customer_name, ''))
    FROM chats INDEXED BY open_chats WHERE status = 'OPEN'
"""
_COUNT_OPEN = """
    SELECT count(*), ifnull(sum(unread_count > 0), 0) FROM chats INDEXED BY open_chats WHERE status = 'OPEN'
"""


class _Place(NamedTuple):
    """Of a chat in the order of its list."""

    first: int
    second: int
    key: int


_BEFORE_ALL: Final = _Place(1, 10**17, 10**17)
_LISTED, _NAMED, _TOLD = "l", "n", "t"
"""What a page's `next` goes on with: the list, the names, the texts."""

_cursor = re.compile(r"([lnt])-([01])-([0-9]{1,18})-([0-9]{1,18})").fullmatch


def list_chats(cursor: sqlite3.Cursor, *, ended: bool, before: str | None, max_chats: int) -> ChatList:
    """ConsoleStore.list_chats."""
    _, place = _read_cursor(before, (_LISTED,))
    with _one_moment(cursor):
        listed = _json(cursor, _LIST.format(chats=_ENDED if ended else _OPEN), _from(place, max_chats + 1))
        places = [_Place(*row) for row in listed]
        page = places[:max_chats]
        chats = _summaries_of(cursor, page, {})
    return ChatList(chats=chats, next=_write_cursor(_LISTED, page[-1]) if len(places) > max_chats else None)


def search_chats(
    cursor: sqlite3.Cursor, words: Words, *, ended: bool, before: str | None, max_chats: int, seconds: float
) -> ChatList:
    """ConsoleStore.search_chats."""
    search = _Search(cursor, words, ended=ended, max_chats=max_chats, deadline=time.monotonic() + seconds)
    kind, place = _read_cursor(before, (_NAMED, _TOLD))
    found_all = kind == _TOLD or search.in_names(place)
    if found_all:
        search.in_texts(place if kind == _TOLD else _BEFORE_ALL)
    chats = _summaries_of(cursor, [place for place, _ in search.found], search.matches())
    return ChatList(chats=chats, next=search.next, searched_all=search.has_time)


class _Search:
    """One search under way. `found` holds places, and the sequence of the message where it was found in one."""

    def __init__(self, cursor: sqlite3.Cursor, words: Words, *, ended: bool, max_chats: int, deadline: float) -> None:
        self._cursor = cursor
        self._words = words
        self._ended = ended
        self._max_chats = max_chats
        self._deadline = deadline
        self.found: list[tuple[_Place, int | None]] = []
        self.next: str | None = None
        self.has_time = True

    def in_names(self, place: _Place) -> bool:
        """Whether all names have been looked at and the page is not full."""
        for rows in self._walk(place):
            for *numbers, hit in rows:
                place = _Place(*numbers)
                if hit and len(self.found) == self._max_chats:
                    self.next = _write_cursor(_NAMED, self.found[-1][0])
                    return False
                if hit:
                    self.found.append((place, None))
            if len(rows) == _WALK_AT_ONCE[self._ended] and self._is_late():
                self.next = _write_cursor(_NAMED, place)
                self.has_time = False
                return False
        return True

    def in_texts(self, place: _Place) -> None:
        """Go on behind there until the page is full, the time is over or everything has been looked through."""
        size = 1
        is_first = True
        for rows in self._walk(place):
            walked = [(_Place(*numbers), hit) for *numbers, hit in rows]
            at = 0
            while at < len(walked):
                if len(self.found) >= self._max_chats or (not is_first and self._is_late()):
                    self.has_time = len(self.found) >= self._max_chats
                    self.next = _write_cursor(_TOLD, place)
                    return
                chunk = walked[at : at + size]
                began = time.monotonic()
                hits = self._look_through([place for place, _ in chunk])
                if hits is None and not is_first:
                    continue  # the time is over
                is_first = False
                # A chat that alone takes more than the time there is, is left out: else no search would get past it.
                for number, (place, is_named) in enumerate(chunk):
                    if hits and number in hits and not is_named:
                        self.found.append((place, hits[number]))
                        if len(self.found) == self._max_chats:
                            break
                if hits is None:
                    self.has_time = False
                at += number + 1
                if time.monotonic() - began < _QUICK_SECONDS:
                    size = min(_MOST_AT_ONCE, 2 * size)

    def matches(self) -> dict[int, str]:
        """By chat key: what surrounds the words."""
        texts = {}
        for place, sequence in self.found:
            if sequence is not None:
                sql = "SELECT text FROM messages WHERE chat_key = ? AND sequence = ?"
                (text,) = self._cursor.execute(sql, (place.key, sequence)).fetchone()
                texts[place.key] = self._words.excerpt(text)
        return texts

    def _walk(self, place: _Place) -> Iterator[list[list[int]]]:
        limit = _WALK_AT_ONCE[self._ended]
        sql = _WALK.format(chats=_ENDED if self._ended else _OPEN)
        while True:
            rows = _json(self._cursor, sql, {**_from(place, limit), "glob": self._words.glob})
            yield rows
            if len(rows) < limit:
                return
            place = _Place(*rows[-1][:3])

    def _look_through(self, places: list[_Place]) -> dict[int, int] | None:
        """By position: the newest message that has the words. None when the time was over before."""
        connection = self._cursor.connection
        connection.set_progress_handler(self._is_late, _INSTRUCTIONS)
        try:
            return dict(
                self._cursor.execute(_TEXTS, (self._words.glob, json.dumps([p.key for p in places]))).fetchall()
            )
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            return None
        finally:
            connection.set_progress_handler(None, 0)

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline


def summaries(cursor: sqlite3.Cursor, chat_ids: Collection[str]) -> tuple[ChatSummary, ...]:
    """ConsoleStore.summaries."""
    with _one_moment(cursor):
        return tuple(summary for _, summary in _summaries(cursor, "chat_id", list(chat_ids), {}))


def open_chats(cursor: sqlite3.Cursor) -> Mapping[str, str]:
    """ConsoleStore.open_chats."""
    (found,) = cursor.execute(_OPEN_MARKS).fetchone()
    marks: dict[str, str] = json.loads(found)
    return marks


def count_open(cursor: sqlite3.Cursor) -> OpenCounts:
    """ConsoleStore.count_open."""
    count, unread = cursor.execute(_COUNT_OPEN).fetchone()
    return OpenCounts(open=count, unread=unread)


def _summaries_of(cursor: sqlite3.Cursor, places: list[_Place], matches: Mapping[int, str]) -> tuple[ChatSummary, ...]:
    by_key = dict(_summaries(cursor, "chat_key", [place.key for place in places], matches))
    return tuple(by_key[place.key] for place in places)


def _summaries(
    cursor: sqlite3.Cursor, key: str, values: list[str] | list[int], matches: Mapping[int, str]
) -> Iterator[tuple[int, ChatSummary]]:
    for row in cursor.execute(_SUMMARIES.format(key=key), (json.dumps(values),)).fetchall():
        chat_key = row[0]
        last_sent_at, unread, read_sequence = row[9:12]
        chat = to_chat(row[1:9])
        yield (
            chat_key,
            ChatSummary(
                chat=chat,
                last_sent_at=to_moment(last_sent_at),
                unread=unread,
                read_sequence=read_sequence,
                last_message=_last_message(cursor, chat_key, chat.last_sequence, row[12:]),
                match=matches.get(chat_key),
            ),
        )


def _last_message(cursor: sqlite3.Cursor, chat_key: int, sequence: int, row: Row) -> LastMessage | None:
    sender, sent_at, agent_name, text, file_count = row
    if sender is None:
        return None
    files = cursor.execute(_FILES, (chat_key, sequence)).fetchall() if file_count else []
    return LastMessage(
        sequence=sequence,
        sender=Sender(sender),
        sent_at=to_moment(sent_at),
        agent_name=agent_name,
        text=text,
        files=tuple((FileType(file_type), name) for file_type, name in files),
    )


def _json(cursor: sqlite3.Cursor, sql: str, parameters: Mapping[str, int | str]) -> list[list[int]]:
    (found,) = cursor.execute(sql, parameters).fetchone()
    rows: list[list[int]] = json.loads(found)
    return rows


def _from(place: _Place, limit: int) -> dict[str, int | str]:
    return {"first": place.first, "second": place.second, "key": place.key, "limit": limit}


def _write_cursor(kind: str, place: _Place) -> str:
    return f"{kind}-{place.first}-{place.second}-{place.key}"


def _read_cursor(before: str | None, kinds: tuple[str, ...]) -> tuple[str, _Place]:
    if before is None:
        return kinds[0], _BEFORE_ALL
    found = _cursor(before)
    if found is None or found[1] not in kinds:
        raise InvalidRequest(
            'before is none of this list; give the "next" of the page before, with the same status and q.',
            field="before",
        )
    return found[1], _Place(*map(int, found.groups()[1:]))


@contextmanager
def _one_moment(cursor: sqlite3.Cursor) -> Iterator[None]:
    """All statements see the database as it is now."""
    cursor.execute("BEGIN")
    try:
        yield
    finally:
        if cursor.connection.in_transaction:
            cursor.execute("ROLLBACK")
