"""What the console asks of a chat store (domain.console.ConsoleStore), over SQLite and the fake."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes import FakeChatStore
from tests.unit.test_chat_store import QUOTA, Clock, clock, eventually, new_file, new_token, send, start
from webchat_soap.domain.chat import ChatStatus, NewMessage, Sender
from webchat_soap.domain.console import ConsoleStore, OpenCounts
from webchat_soap.domain.errors import ChatNotFound, InvalidRequest
from webchat_soap.domain.file import FileType, StoredFile
from webchat_soap.stores import open_chat_store
from webchat_soap.stores.sqlite import SqliteChatStore

__all__ = ["clock"]


@pytest.fixture(params=["sqlite", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[ConsoleStore]:
    opened: ConsoleStore
    opened = FakeChatStore(clock) if request.param == "fake" else open_sqlite(tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(tmp_path: Path, clock: Clock) -> Iterator[SqliteChatStore]:
    opened = open_sqlite(tmp_path, clock)
    yield opened
    opened.close()


def open_sqlite(folder: Path, clock: Clock) -> SqliteChatStore:
    return open_chat_store(f"sqlite:///{folder}/chats.db", lock_folder=folder / "locks", clock=clock)


def say(
    store: ConsoleStore,
    chat_id: str,
    text: str | None = "hello",
    *,
    agent: str | None = None,
    token: str | None = None,
    files: tuple[StoredFile, ...] = (),
):
    return store.append(
        NewMessage(
            message_id=str(uuid.uuid4()),
            chat_id=chat_id,
            sender=Sender.CUSTOMER if agent is None else Sender.AGENT,
            text=text,
            files=files,
            token=None if token is None else new_token(token, scope=f"agent:{chat_id}"),
            account=None,
            agent_name=agent,
        ),
        open_unknown=True,
        quota=QUOTA,
    ).result()


def listed(store: ConsoleStore, *, ended: bool = False, before: str | None = None, max_chats: int = 50) -> list[str]:
    return [each.chat.chat_id for each in store.list_chats(ended=ended, before=before, max_chats=max_chats).chats]


def search(store: ConsoleStore, words: str, *, ended: bool = False, max_chats: int = 50) -> list[str]:
    found = store.search_chats(words, ended=ended, before=None, max_chats=max_chats, seconds=20)
    assert found.searched_all
    return [each.chat.chat_id for each in found.chats]


def unread(store: ConsoleStore, chat_id: str) -> int:
    (summary,) = store.summaries([chat_id])
    return summary.unread


# -- unread


def test_the_customers_messages_are_unread_until_the_mark_and_the_agents_are_not(store: ConsoleStore) -> None:
    for text in ("1", "2", "3"):
        say(store, "c1", text)
    say(store, "c1", "4", agent="Ayşe")
    say(store, "c1", "5")
    assert unread(store, "c1") == 4
    store.mark_read("c1", sequence=2).result()
    assert unread(store, "c1") == 2
    store.mark_read("c1", sequence=4).result()
    assert unread(store, "c1") == 1
    store.mark_read("c1", sequence=1).result()
    assert unread(store, "c1") == 1


def test_the_mark_does_not_run_ahead_of_the_messages(store: ConsoleStore) -> None:
    say(store, "c1")
    store.mark_read("c1", sequence=1000).result()
    assert unread(store, "c1") == 0
    say(store, "c1")
    assert unread(store, "c1") == 1


def test_every_way_to_move_the_mark_counts_the_same(store: ConsoleStore) -> None:
    for number in range(40):
        say(store, "c1", agent="Ayşe" if number % 3 == 0 else None)
    customers = [number + 1 for number in range(40) if number % 3]
    for mark in (1, 2, 3, 9, 30, 31, 38, 40):
        store.mark_read("c1", sequence=mark).result()
        assert unread(store, "c1") == sum(sequence > mark for sequence in customers)


def test_a_mark_in_a_chat_that_is_not_there_is_refused_and_one_in_an_ended_chat_is_kept(store: ConsoleStore) -> None:
    with pytest.raises(ChatNotFound):
        store.mark_read("c1", sequence=1).result()
    say(store, "c1")
    store.end_chat("c1", ended_by="Ayşe").result()
    store.mark_read("c1", sequence=1).result()
    assert unread(store, "c1") == 0


def test_messages_and_marks_of_one_commit_are_counted_in_their_order(store: ConsoleStore) -> None:
    say(store, "c1")
    outcomes = []
    for number in range(20):
        outcomes.append(
            store.append(
                NewMessage(
                    message_id=str(number),
                    chat_id="c1",
                    sender=Sender.CUSTOMER,
                    text="x",
                    files=(),
                    token=None,
                    account=None,
                ),
                open_unknown=True,
                quota=QUOTA,
            )
        )
        outcomes.append(store.mark_read("c1", sequence=10))
    for outcome in outcomes:
        outcome.result()
    assert unread(store, "c1") == 11


# -- who answered


def test_an_agents_message_tells_its_name_and_token_and_the_chat_who_answered_last(store: ConsoleStore) -> None:
    say(store, "c1")
    say(store, "c1", agent="Ayşe", token="t1")
    say(store, "c1", agent="Mehmet")
    say(store, "c1")
    messages = store.read_messages("c1", after_sequence=0, max_messages=10).messages
    told = [(message.agent_name, message.client_token) for message in messages]
    assert told == [(None, None), ("Ayşe", "t1"), ("Mehmet", None), (None, None)]
    chat = store.find_chat("c1")
    assert chat is not None
    assert chat.agent_name == "Mehmet"


def test_a_customers_token_is_not_told_with_the_message(store: ConsoleStore) -> None:
    start(store)
    store.append(
        NewMessage(
            message_id="m",
            chat_id="c1",
            sender=Sender.CUSTOMER,
            text="x",
            files=(),
            token=new_token(),
            account=None,
        ),
        open_unknown=False,
        quota=QUOTA,
    ).result()
    (message,) = store.read_messages("c1", after_sequence=0, max_messages=1).messages
    assert message.client_token is None


# -- pages upwards


def test_the_newest_messages_before_a_sequence_come_oldest_first(store: ConsoleStore) -> None:
    for number in range(1, 11):
        say(store, "c1", str(number))

    def page(before: int | None, most: int = 4) -> tuple[list[str | None], bool]:
        read = store.read_before("c1", before_sequence=before, max_messages=most)
        assert read.last_sequence == 10
        return [message.text for message in read.messages], read.has_more

    assert page(None) == (["7", "8", "9", "10"], True)
    assert page(7) == (["3", "4", "5", "6"], True)
    assert page(3) == (["1", "2"], False)
    assert page(1) == ([], False)
    assert page(0) == ([], False)
    assert page(2**62) == (["7", "8", "9", "10"], True)
    assert page(None, 10)[1] is False
    with pytest.raises(ChatNotFound):
        store.read_before("c2", before_sequence=None, max_messages=1)


# -- lists


def test_open_chats_are_listed_unread_first_and_then_by_their_newest_message(store: ConsoleStore, clock: Clock) -> None:
    for name in ("a", "b", "c", "d"):
        say(store, name)
        clock.now += timedelta(seconds=1)
    store.mark_read("d", sequence=1).result()
    store.mark_read("b", sequence=1).result()
    start(store, "empty")
    start(store, "gone")
    store.end_chat("gone", ended_by="Ayşe").result()
    assert listed(store) == ["c", "a", "empty", "d", "b"]
    assert store.count_open() == OpenCounts(open=5, unread=2)
    assert listed(store, ended=True) == ["gone"]


def test_ended_chats_are_listed_by_their_end(store: ConsoleStore, clock: Clock) -> None:
    for name in ("a", "b", "c"):
        say(store, name)
    for name in ("b", "a", "c"):
        clock.now += timedelta(seconds=1)
        store.end_chat(name, ended_by="Ayşe").result()
    assert listed(store, ended=True) == ["c", "a", "b"]
    assert listed(store) == []
    assert store.list_chats(ended=True, before=None, max_chats=1).chats[0].chat.ended_by == "Ayşe"


@pytest.mark.parametrize("ended", [False, True])
def test_pages_of_a_list_that_rests_hold_every_chat_once(store: ConsoleStore, ended: bool) -> None:
    names = {f"c{number}" for number in range(23)}
    for name in names:  # all in one millisecond, as the clock stands
        say(store, name)
        if ended:
            store.end_chat(name, ended_by=None).result()
    seen: list[str] = []
    before = None
    while True:
        page = store.list_chats(ended=ended, before=before, max_chats=5)
        seen += [each.chat.chat_id for each in page.chats]
        before = page.next
        if before is None:
            break
    assert len(seen) == 23
    assert set(seen) == names


def test_a_chat_that_moves_up_while_one_pages_hides_no_other(store: ConsoleStore, clock: Clock) -> None:
    for name in "fedcba":
        say(store, name)
        clock.now += timedelta(seconds=1)
    page = store.list_chats(ended=False, before=None, max_chats=2)
    say(store, "e")
    assert [each.chat.chat_id for each in page.chats] == ["a", "b"]
    rest = store.list_chats(ended=False, before=page.next, max_chats=10)
    told = [each.chat.chat_id for each in rest.chats]
    assert [name for name in told if name != "e"] == ["c", "d", "f"]


@pytest.mark.parametrize(
    "wrong", ["", "x", "l-1-2", "l-1-2-3-4", "n-1-2-3", "l-9-1-1", "l-1--1-1", "l-1-1-" + "9" * 40]
)
def test_a_place_that_is_none_is_refused(store: ConsoleStore, wrong: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        store.list_chats(ended=False, before=wrong, max_chats=1)
    assert caught.value.field == "before"


def test_a_summary_tells_the_newest_message(store: ConsoleStore) -> None:
    start(store, name="Ayşe")
    (summary,) = store.summaries(["c1", "nobody"])
    assert summary.last_message is None
    assert summary.chat.customer_name == "Ayşe"
    say(store, "c1", "ğ" * 300)
    (summary,) = store.summaries(["c1"])
    assert summary.last_message is not None
    assert summary.last_message.text == "ğ" * 200
    say(store, "c1", None, agent="Mehmet", files=(new_file(original_name="ş.png"), new_file(original_name="2.png")))
    (summary,) = store.summaries(["c1"])
    assert summary.last_message is not None
    assert summary.last_message.files == ((FileType.IMAGE, "ş.png"), (FileType.IMAGE, "2.png"))
    assert summary.last_message.agent_name == "Mehmet"
    assert summary.last_sent_at == summary.last_message.sent_at


def test_the_mark_of_an_open_chat_changes_with_what_a_list_shows(store: ConsoleStore) -> None:
    seen = set()

    def has_changed() -> bool:
        marks = store.open_chats()
        (summary,) = store.summaries(["c1"])
        assert marks == {"c1": summary.mark}
        new = summary.mark not in seen
        seen.add(summary.mark)
        return new

    start(store)
    assert has_changed()
    start(store, name="Ayşe, 🎉")
    assert has_changed()
    say(store, "c1")
    assert has_changed()
    store.mark_read("c1", sequence=1).result()
    assert has_changed()
    assert not has_changed()
    store.end_chat("c1", ended_by=None).result()
    assert store.open_chats() == {}


# -- search


def test_a_search_looks_at_ids_and_names_anywhere_without_case(store: ConsoleStore) -> None:
    start(store, "order-77", name="Ayşe Yılmaz")
    start(store, "x", name="IŞIL İNCE")
    start(store, "y", name="ΣΊΣΥΦΟΣ")
    assert search(store, "ORDER-7") == ["order-77"]
    assert search(store, "YILMAZ") == ["order-77"]
    assert search(store, "yilmaz") == ["order-77"]
    assert search(store, "ışıl ince") == ["x"]
    assert search(store, "İŞİL") == ["x"]
    assert search(store, "σίσυφος") == ["y"]
    assert search(store, "i̇nce") == ["x"]  # as a program without Turkish makes İnce small
    assert search(store, "nobody") == []


@pytest.mark.parametrize("words", ["*", "?", "[a]", "a*b", "]", "^", "-", "%", "_", "'", '"', "\\"])
def test_signs_that_patterns_are_made_of_are_found_as_they_are(store: ConsoleStore, words: str) -> None:
    say(store, "with", f"so {words} it is")
    say(store, "without", "so x it is")
    found = search(store, words)
    assert "with" in found
    assert ("without" in found) == (words in "without")


def test_a_search_finds_texts_behind_names_and_shows_where(store: ConsoleStore, clock: Clock) -> None:
    say(store, "c1", f"{'x ' * 200}Kargo\nnerede? {'y ' * 200}")
    say(store, "c1", "something else")
    clock.now += timedelta(seconds=1)
    start(store, "kargo-2")
    clock.now += timedelta(seconds=1)
    say(store, "c3", "KARGO burada")
    found = store.search_chats("kargo", ended=False, before=None, max_chats=50, seconds=20)
    assert [each.chat.chat_id for each in found.chats] == ["kargo-2", "c3", "c1"]
    assert [each.match for each in found.chats][:2] == [None, "KARGO burada"]
    shown = found.chats[2].match
    assert shown is not None
    assert shown.startswith("… x")
    assert "x Kargo nerede? y" in shown
    assert len(shown) < 200
    assert search(store, "kargo", ended=True) == []


def test_only_ended_chats_are_searched_where_they_are_asked_for(store: ConsoleStore) -> None:
    say(store, "c1", "iade")
    say(store, "c2", "İADE")
    store.end_chat("c2", ended_by=None).result()
    assert search(store, "iade", ended=True) == ["c2"]
    assert search(store, "iade") == ["c1"]


@pytest.mark.parametrize("words", ["", "  ", "x" * 101, "a\x00b", "a\ud800"])
def test_what_cannot_be_searched_for_is_refused(store: ConsoleStore, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        store.search_chats(words, ended=False, before=None, max_chats=50, seconds=1)
    assert caught.value.field == "q"


def test_a_search_goes_on_where_its_page_was_full(sqlite_store: SqliteChatStore, clock: Clock) -> None:
    store = sqlite_store
    for number in range(7):
        start(store, f"kargo-{number}")
        say(store, f"t{number}", "kargo")
        clock.now += timedelta(seconds=1)
    seen: list[str] = []
    before = None
    for _ in range(10):
        page = store.search_chats("kargo", ended=False, before=before, max_chats=3, seconds=20)
        assert page.searched_all
        seen += [each.chat.chat_id for each in page.chats]
        before = page.next
        if before is None:
            break
    names = [f"kargo-{number}" for number in range(6, -1, -1)]
    assert seen == names + [f"t{number}" for number in range(6, -1, -1)]


@pytest.mark.parametrize("ended", [False, True])
def test_a_search_without_time_says_so_and_gets_ahead_each_time(
    sqlite_store: SqliteChatStore, clock: Clock, ended: bool
) -> None:
    store = sqlite_store
    for number in range(12):
        say(store, f"c{number}", "needle" if number % 4 == 0 else "hay")
        if ended:
            store.end_chat(f"c{number}", ended_by=None).result()
        clock.now += timedelta(seconds=1)
    seen: list[str] = []
    before, calls = None, 0
    while True:
        page = store.search_chats("needle", ended=ended, before=before, max_chats=50, seconds=0)
        seen += [each.chat.chat_id for each in page.chats]
        before, calls = page.next, calls + 1
        if before is None:
            break
        assert not page.searched_all
        assert calls < 30
    assert seen == ["c8", "c4", "c0"]
    assert calls > 3


def test_a_search_through_much_text_ends_in_its_time(
    sqlite_store: SqliteChatStore, tmp_path: Path, clock: Clock
) -> None:
    say(sqlite_store, "big")
    say(sqlite_store, "small", "needle")
    connection = sqlite3.connect(tmp_path / "chats.db")
    with connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (VALUES (2) UNION ALL SELECT i + 1 FROM n WHERE i < 150000) "
            "INSERT INTO messages (chat_key, sequence, message_id, sender, sent_at, text, file_count) "
            "SELECT 1, i, 'm', 'CUSTOMER', 1, printf('%.200c', 'i'), 0 FROM n"
        )
        connection.execute(
            "UPDATE chats SET last_sequence = 150000, last_sent_at = last_sent_at + 1 WHERE chat_key = 1"
        )
    connection.close()
    began = time.monotonic()
    page = sqlite_store.search_chats("iiiiineedle", ended=False, before=None, max_chats=50, seconds=0.1)
    assert time.monotonic() - began < 2
    assert not page.searched_all
    # The one that is too long for a search is left out by it, and what is behind it found.
    page = sqlite_store.search_chats("needle", ended=False, before=page.next, max_chats=50, seconds=5)
    assert [each.chat.chat_id for each in page.chats] == ["small"]


def test_ten_thousand_open_chats_are_listed_and_searched_in_bounded_time(
    sqlite_store: SqliteChatStore, tmp_path: Path
) -> None:
    sqlite_store.ping()
    connection = sqlite3.connect(tmp_path / "chats.db")
    with connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
            "INSERT INTO chats (chat_id, status, customer_name, started_at, last_sequence, last_sent_at, file_count, "
            "file_bytes, unread_count) SELECT 'c' || i, 'OPEN', 'Customer ' || i, 1, 0, i % 5000, 0, 0, i % 2 FROM n"
        )
    connection.close()
    began = time.monotonic()
    page = sqlite_store.list_chats(ended=False, before=None, max_chats=50)
    list_seconds = time.monotonic() - began
    assert len(page.chats) == 50
    assert all(each.unread for each in page.chats)
    assert sqlite_store.count_open() == OpenCounts(open=10_000, unread=5_000)
    assert len(sqlite_store.open_chats()) == 10_000
    began = time.monotonic()
    assert search(sqlite_store, "customer 9999") == ["c9999"]
    assert list_seconds < 1
    assert time.monotonic() - began < 2


# -- live


def test_a_watch_is_told_of_all_that_a_list_shows(store: ConsoleStore) -> None:
    watch = store.watch()

    def is_told() -> bool:
        chat_ids, others = watch.wait(5)
        return "c1" in chat_ids or others

    start(store)
    assert is_told()
    start(store, name="Ayşe")
    assert is_told()
    say(store, "c1")
    assert is_told()
    store.mark_read("c1", sequence=1).result()
    assert is_told()
    store.end_chat("c1", ended_by=None).result()
    assert is_told()
    watch.close()


def test_a_watch_names_the_chats_of_this_process(sqlite_store: SqliteChatStore) -> None:
    watch = sqlite_store.watch()
    send(sqlite_store)
    seen: set[str] = set()
    eventually(lambda: bool(seen.update(watch.wait(0.1)[0]) or seen == {"c1"}))
    watch.close()


def test_a_watch_learns_of_other_processes(sqlite_store: SqliteChatStore, tmp_path: Path, clock: Clock) -> None:
    say(sqlite_store, "c1")
    watch = sqlite_store.watch()
    other = open_sqlite(tmp_path, clock)  # a store of its own: what it writes nobody here is told of
    say(other, "c1")
    chat_ids, others = watch.wait(5)
    assert (set(chat_ids), others) == (set(), True)
    assert sqlite_store.last_sequences(["c1", "c2"]) == {"c1": (2, True)}
    other.close()
    watch.close()


def test_a_watch_without_news_waits_and_can_be_woken(store: ConsoleStore) -> None:
    start(store)
    watch = store.watch()
    began = time.monotonic()
    assert watch.wait(0.1) == (set(), False) or watch.wait(0.1) == ((), False)
    assert time.monotonic() - began >= 0.09
    timer = threading.Timer(0.05, watch.interrupt)
    timer.start()
    began = time.monotonic()
    watch.wait(20)
    assert time.monotonic() - began < 10
    timer.join()
    watch.close()


def test_the_status_of_a_summary_follows_the_end(store: ConsoleStore) -> None:
    start(store)
    store.end_chat("c1", ended_by="Ayşe").result()
    (summary,) = store.summaries(["c1"])
    assert summary.chat.status is ChatStatus.ENDED
    assert store.last_sequences(["c1"]) == {"c1": (0, False)}
