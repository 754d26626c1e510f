"""The promises of the port ChatStore, over every backend and the fake."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeChatStore
from webchat_soap.domain.chat import ChatQuota, ChatStatus, ChatUsage, ClientToken, NewMessage, Sender
from webchat_soap.domain.errors import Busy, ChatEnded, ChatNotFound, Conflict, QuotaExceeded, WebchatError
from webchat_soap.domain.file import FileType, StoredFile
from webchat_soap.domain.ports import ChatStore
from webchat_soap.stores import open_chat_store

QUOTA = ChatQuota(max_files=3, max_bytes=1000)
SOON = 10.0
"""Seconds by which what must happen has happened, on the slowest machine."""


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 4, 5, 6, 7, 891234, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[ChatStore]:
    opened: ChatStore
    if request.param == "fake":
        opened = FakeChatStore(clock)
    else:
        opened = open_chat_store(f"sqlite:///{tmp_path}/chats.db", lock_folder=tmp_path / "locks", clock=clock)
    yield opened
    opened.close()


def new_message(
    chat_id: str = "c1",
    text: str | None = "test message",
    *,
    files: tuple[StoredFile, ...] = (),
    token: ClientToken | None = None,
) -> NewMessage:
    return NewMessage(
        message_id=str(uuid.uuid4()),
        chat_id=chat_id,
        sender=Sender.CUSTOMER,
        text=text,
        files=files,
        token=token,
        account=None,
    )


def new_file(size: int = 10, *, original_name: str = "ş 🎉.png") -> StoredFile:
    file_id = str(uuid.uuid4())
    return StoredFile(
        file_id=file_id,
        name=f"20260304-{file_id}.png",
        original_name=original_name,
        file_type=FileType.IMAGE,
        content_type="image/png",
        size=size,
        sha256="ab" * 32,
        width=640,
        height=480,
    )


def new_token(token: str = "t1", *, scope: str = "chat:c1", fingerprint: str = "f1") -> ClientToken:
    return ClientToken(scope=scope, token=token, fingerprint=fingerprint)


def send(store: ChatStore, message: NewMessage | None = None, *, open_unknown: bool = True):
    return store.append(message or new_message(), open_unknown=open_unknown, quota=QUOTA).result()


def start(store: ChatStore, chat_id: str = "c1", *, name: str | None = None, token: ClientToken | None = None):
    return store.start_chat(chat_id=chat_id, customer_name=name, token=token, account=None).result()


def texts(store: ChatStore, chat_id: str = "c1") -> list[str | None]:
    page = store.read_messages(chat_id, after_sequence=0, max_messages=1_000_000)
    assert not page.has_more
    return [message.text for message in page.messages]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


# -- chats


def test_a_started_chat_is_open_and_empty(store: ChatStore, clock: Clock) -> None:
    chat = start(store, name="Ayşe")
    assert (chat.chat_id, chat.status, chat.last_sequence, chat.customer_name) == ("c1", ChatStatus.OPEN, 0, "Ayşe")
    assert chat.started_at == clock.now.replace(microsecond=891000)
    assert store.find_chat("c1") == chat
    assert store.find_chat("c2") is None


def test_starting_an_open_chat_again_sets_the_name_only_where_there_was_none(store: ChatStore) -> None:
    start(store)
    assert start(store, name="Ayşe").customer_name == "Ayşe"
    assert start(store, name="Fatma").customer_name == "Ayşe"
    assert start(store).customer_name == "Ayşe"


def test_an_ended_chat_cannot_be_started(store: ChatStore) -> None:
    start(store)
    store.end_chat("c1", ended_by="CUSTOMER").result()
    with pytest.raises(ChatEnded) as caught:
        start(store, token=new_token())
    assert caught.value.field == "CHATID"
    assert "StartChat" in caught.value.message
    assert store.find_receipt(new_token()) is None


def test_a_start_token_gives_the_chat_it_made_under_its_first_id_also_after_its_end(store: ChatStore) -> None:
    token = new_token(scope="account:")
    start(store, "c1", token=token)
    assert start(store, "c2", token=token).chat_id == "c1"
    store.end_chat("c1", ended_by=None).result()
    assert start(store, "c3", token=token).status is ChatStatus.ENDED
    assert store.find_chat("c2") is None


def test_a_start_token_with_other_values_is_a_conflict(store: ChatStore) -> None:
    start(store, "c1", token=new_token(scope="account:"))
    with pytest.raises(Conflict):
        start(store, "c2", name="Ayşe", token=new_token(scope="account:", fingerprint="f2"))
    assert store.find_chat("c2") is None
    assert start(store, "c2", token=new_token(scope="account:other", fingerprint="f2")).chat_id == "c2"


def test_a_token_cannot_go_from_one_operation_to_the_other(store: ChatStore) -> None:
    start(store, token=new_token("started"))
    with pytest.raises(Conflict):
        send(store, new_message(token=new_token("started", fingerprint="f2")))
    with pytest.raises(Conflict):
        store.find_receipt(new_token("started", fingerprint="f2"))
    send(store, new_message(token=new_token("sent")))
    with pytest.raises(Conflict):
        start(store, token=new_token("sent", fingerprint="f2"))
    assert texts(store) == ["test message"]


def test_ending_twice_is_the_same_as_once(store: ChatStore, clock: Clock) -> None:
    start(store)
    first = store.end_chat("c1", ended_by="CUSTOMER").result()
    clock.now += timedelta(hours=1)
    assert first.status is ChatStatus.ENDED
    assert store.end_chat("c1", ended_by="AGENT").result() == first
    assert store.find_chat("c1") == first


def test_ending_an_unknown_chat_is_refused(store: ChatStore) -> None:
    with pytest.raises(ChatNotFound):
        store.end_chat("c1", ended_by=None).result()
    assert store.find_chat("c1") is None


def test_chat_ids_that_differ_in_case_are_two_chats(store: ChatStore) -> None:
    send(store, new_message("Chat", "upper"))
    send(store, new_message("chat", "lower"))
    assert (texts(store, "Chat"), texts(store, "chat")) == (["upper"], ["lower"])


# -- messages


def test_what_was_sent_is_read_back(store: ChatStore, clock: Clock) -> None:
    text = "Merhaba ığüşöç\n🎉 <&>" + "x" * 4000
    file = new_file()
    message = new_message(text=text, files=(file, new_file(original_name="b.png")))
    receipt = send(store, message)
    assert (receipt.sequence, receipt.chat_id, receipt.duplicate) == (1, "c1", False)
    assert receipt.files == message.files
    (read,) = store.read_messages("c1", after_sequence=0, max_messages=50).messages
    assert (read.message_id, read.text, read.files) == (message.message_id, text, message.files)
    assert (read.sender, read.sequence) == (Sender.CUSTOMER, 1)
    assert read.sent_at == receipt.sent_at == clock.now.replace(microsecond=891000)
    assert store.find_file(file.name) == file
    assert set(store.file_names()) == {file.name for file in message.files}


def test_pages_follow_one_another_without_loss(store: ChatStore) -> None:
    for number in range(7):
        send(store, new_message(text=str(number), files=(new_file(),) if number == 4 else ()))
    seen: list[str | None] = []
    after, more = 0, True
    while more:
        page = store.read_messages("c1", after_sequence=after, max_messages=3)
        assert page.last_sequence == 7
        seen += [message.text for message in page.messages]
        after, more = page.messages[-1].sequence, page.has_more
        assert [bool(message.files) for message in page.messages] == [m.text == "4" for m in page.messages]
    assert seen == [str(number) for number in range(7)]


@pytest.mark.parametrize("after_sequence", [1, 2, 2**63 - 1])
def test_beyond_the_last_message_is_an_empty_page(store: ChatStore, after_sequence: int) -> None:
    send(store)
    page = store.read_messages("c1", after_sequence=after_sequence, max_messages=50)
    assert (page.messages, page.last_sequence, page.has_more) == ((), 1, False)
    assert page.status is ChatStatus.OPEN


def test_reading_an_unknown_chat_is_refused_but_its_usage_is_nothing(store: ChatStore) -> None:
    with pytest.raises(ChatNotFound):
        store.read_messages("c1", after_sequence=0, max_messages=50)
    assert store.usage("c1") == ChatUsage(files=0, bytes=0)
    assert store.find_file(new_file().name) is None


def test_an_unknown_chat_is_opened_or_refused_as_told(store: ChatStore) -> None:
    with pytest.raises(ChatNotFound):
        send(store, open_unknown=False)
    assert store.find_chat("c1") is None
    assert send(store, open_unknown=True).sequence == 1
    assert send(store, open_unknown=False).sequence == 2


def test_an_ended_chat_takes_nothing_but_can_be_read(store: ChatStore) -> None:
    send(store)
    store.end_chat("c1", ended_by=None).result()
    for message in (new_message(), new_message(files=(new_file(),))):
        with pytest.raises(ChatEnded):
            send(store, message)
    assert texts(store) == ["test message"]
    assert store.usage("c1").files == 0


def test_sent_at_does_not_run_backwards_when_the_clock_does(store: ChatStore, clock: Clock) -> None:
    first = send(store)
    clock.now -= timedelta(days=1)
    assert send(store).sent_at == first.sent_at
    ended = store.end_chat("c1", ended_by=None).result()
    assert ended.ended_at == first.sent_at


def test_sequences_have_no_gaps_under_sixteen_threads(store: ChatStore) -> None:
    def work(number: int) -> list[tuple[str, int]]:
        chats = [f"c{(number + step) % 3}" for step in range(30)]
        return [(chat_id, send(store, new_message(chat_id, f"{number}")).sequence) for chat_id in chats]

    with ThreadPoolExecutor(16) as pool:
        receipts = [receipt for part in pool.map(work, range(16)) for receipt in part]
    for chat_id in ("c0", "c1", "c2"):
        assert sorted(sequence for chat, sequence in receipts if chat == chat_id) == list(range(1, 161))
        page = store.read_messages(chat_id, after_sequence=0, max_messages=1000)
        assert [message.sequence for message in page.messages] == list(range(1, 161))


def test_refused_messages_do_not_harm_their_neighbours(store: ChatStore) -> None:
    start(store, "ended")
    store.end_chat("ended", ended_by=None).result()

    def work(number: int) -> str:
        refused = {
            1: new_message("ended"),
            2: new_message("unknown"),
            3: new_message(files=tuple(new_file() for _ in range(4))),
        }.get(number % 4)
        try:
            return str(send(store, refused or new_message(text=str(number)), open_unknown=refused is None).sequence)
        except WebchatError as error:
            return error.code

    start(store)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(work, range(160)))
    assert sorted(int(answer) for answer in answers[0::4]) == list(range(1, 41))
    assert set(answers[1::4]) == {"ChatEnded"}
    assert set(answers[2::4]) == {"ChatNotFound"}
    assert set(answers[3::4]) == {"QuotaExceeded"}
    assert sorted(int(text or "") for text in texts(store)) == list(range(0, 160, 4))
    assert list(store.file_names()) == []


# -- quota


def test_more_files_than_the_quota_are_refused_with_the_numbers(store: ChatStore) -> None:
    send(store, new_message(files=(new_file(), new_file())))
    with pytest.raises(QuotaExceeded) as caught:
        send(store, new_message(files=(new_file(), new_file())))
    assert (caught.value.field, caught.value.limit, caught.value.actual) == ("maxFilesPerChat", 3, 4)
    send(store, new_message(files=(new_file(),)))
    assert store.usage("c1") == ChatUsage(files=3, bytes=30)
    send(store, new_message())


def test_more_bytes_than_the_quota_are_refused_with_the_numbers(store: ChatStore) -> None:
    send(store, new_message(files=(new_file(999),)))
    with pytest.raises(QuotaExceeded) as caught:
        send(store, new_message(files=(new_file(2),), token=new_token()))
    assert (caught.value.field, caught.value.limit, caught.value.actual) == ("maxBytesPerChat", 1000, 1001)
    assert store.find_receipt(new_token()) is None
    send(store, new_message(files=(new_file(1),)))
    assert store.usage("c1") == ChatUsage(files=2, bytes=1000)


def test_a_message_over_the_quota_does_not_open_its_chat(store: ChatStore) -> None:
    with pytest.raises(QuotaExceeded):
        send(store, new_message(files=(new_file(1001),)))
    assert store.find_chat("c1") is None


# -- tokens


def test_a_repeated_token_gives_the_first_receipt_with_its_files_as_duplicate(store: ChatStore, clock: Clock) -> None:
    token = new_token("ş" * 500)
    assert store.find_receipt(token) is None
    first = send(store, new_message(files=(new_file(), new_file()), token=token))
    send(store, new_message(files=(new_file(),)))
    clock.now += timedelta(seconds=5)
    again = send(store, new_message(files=(new_file(),), token=token))
    assert again.duplicate
    assert not first.duplicate
    assert (again.message_id, again.sequence, again.sent_at) == (first.message_id, 1, first.sent_at)
    assert again.files == first.files
    assert store.find_receipt(token) == again
    assert store.usage("c1").files == 3


def test_a_token_works_after_the_end_of_its_chat(store: ChatStore) -> None:
    first = send(store, new_message(token=new_token()))
    store.end_chat("c1", ended_by=None).result()
    assert send(store, new_message(token=new_token())).message_id == first.message_id


def test_a_token_with_other_values_is_a_conflict_before_anything_else(store: ChatStore) -> None:
    send(store, new_message(token=new_token()))
    store.end_chat("c1", ended_by=None).result()
    with pytest.raises(Conflict) as caught:
        send(store, new_message(token=new_token(fingerprint="f2")))
    assert caught.value.field == "clientToken"
    with pytest.raises(Conflict):
        store.find_receipt(new_token(fingerprint="f2"))
    assert texts(store) == ["test message"]


def test_a_refused_message_frees_its_token(store: ChatStore) -> None:
    with pytest.raises(ChatNotFound):
        send(store, new_message(token=new_token()), open_unknown=False)
    assert not send(store, new_message(token=new_token(fingerprint="f2"))).duplicate


def test_one_token_at_the_same_time_stores_one_message(store: ChatStore) -> None:
    together = threading.Barrier(16)

    def work(_number: int) -> tuple[str, bool]:
        together.wait(SOON)
        receipt = send(store, new_message(token=new_token()))
        return receipt.message_id, receipt.duplicate

    with ThreadPoolExecutor(16) as pool:
        receipts = list(pool.map(work, range(16)))
    assert len({message_id for message_id, _ in receipts}) == 1
    assert [duplicate for _, duplicate in receipts].count(False) == 1
    assert texts(store) == ["test message"]


def test_a_claimed_token_has_one_holder_at_a_time(store: ChatStore) -> None:
    inside: list[int] = []
    seen: list[int] = []

    def work(number: int) -> None:
        with store.claim(new_token(), deadline=time.monotonic() + SOON):
            inside.append(number)
            seen.append(len(inside))
            inside.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(64)))
    assert seen == [1] * 64


def try_to_claim(store: ChatStore, tokens: list[ClientToken]) -> tuple[list[threading.Thread], list[object]]:
    """A thread for each token that claims it, and what became of those that are done: the error, or None."""
    outcomes: list[object] = []

    def claim(token: ClientToken) -> None:
        try:
            with store.claim(token, deadline=time.monotonic() + 60):
                outcomes.append(None)
        except Busy as error:
            outcomes.append(error)

    threads = [threading.Thread(target=claim, args=(token,), daemon=True) for token in tokens]
    for thread in threads:
        thread.start()
    return threads, outcomes


def test_no_more_than_8_calls_wait_for_a_token_and_one_more_is_busy_at_once(store: ChatStore) -> None:
    with store.claim(new_token(), deadline=time.monotonic()):
        threads, outcomes = try_to_claim(store, [new_token()] * 100)
        eventually(lambda: len(outcomes) == 92)
        assert all(isinstance(error, Busy) and error.retry_after_seconds for error in outcomes)
        with store.claim(new_token("another"), deadline=time.monotonic()):
            pass
    for thread in threads:
        thread.join(SOON)
    assert outcomes[92:] == [None] * 8


def test_no_more_than_64_calls_wait_for_tokens_and_one_more_is_busy_at_once(store: ChatStore) -> None:
    tokens = [new_token(f"t{number}") for number in range(12)]
    with ExitStack() as held:
        for token in tokens:
            held.enter_context(store.claim(token, deadline=time.monotonic()))
        threads, outcomes = try_to_claim(store, tokens * 8)
        eventually(lambda: len(outcomes) == 12 * 8 - 64)
        assert all(isinstance(error, Busy) for error in outcomes)
    for thread in threads:
        thread.join(SOON)
    assert outcomes[32:] == [None] * 64
    again, outcomes = try_to_claim(store, tokens)  # and their room is free again
    for thread in again:
        thread.join(SOON)
    assert outcomes == [None] * 12


def test_after_wake_all_nobody_waits_for_a_token_any_more(store: ChatStore) -> None:
    with store.claim(new_token(), deadline=time.monotonic()):
        threads, outcomes = try_to_claim(store, [new_token()] * 8)
        store.wake_all()
        for thread in threads:
            thread.join(SOON)
        assert len(outcomes) == 8
        assert all(isinstance(error, Busy) for error in outcomes)
        begun = time.monotonic()
        with pytest.raises(Busy):
            with store.claim(new_token(), deadline=begun + 60):
                pass
        assert time.monotonic() - begun < SOON
    with store.claim(new_token(), deadline=time.monotonic()):  # what runs may still come to its end
        pass


def test_a_claim_waits_until_its_deadline_and_is_busy_then(store: ChatStore) -> None:
    with store.claim(new_token(), deadline=time.monotonic() + SOON):
        with ThreadPoolExecutor(1) as pool:

            def other(token: ClientToken, seconds: float) -> float:
                begun = time.monotonic()
                with store.claim(token, deadline=begun + seconds):
                    return time.monotonic() - begun

            assert pool.submit(other, new_token("t2"), 0.0).result() < SOON
            begun = time.monotonic()
            with pytest.raises(Busy) as caught:
                pool.submit(other, new_token(), 0.1).result()
            assert 0.1 <= time.monotonic() - begun < SOON
            assert caught.value.retry_after_seconds
    with store.claim(new_token(), deadline=time.monotonic()):
        pass


def test_a_failed_call_frees_its_claim(store: ChatStore) -> None:
    with pytest.raises(RuntimeError, match="failed"):
        with store.claim(new_token(), deadline=time.monotonic() + SOON):
            raise RuntimeError("failed")
    with store.claim(new_token(), deadline=time.monotonic()):
        pass


# -- waiting


def wait_in_thread(store: ChatStore, chat_id: str = "c1", after: int = 0, seconds: float = SOON) -> threading.Thread:
    thread = threading.Thread(
        target=store.wait_for_news,
        args=(chat_id,),
        kwargs={"after_sequence": after, "timeout_seconds": seconds},
        daemon=True,
    )
    thread.start()
    return thread


def test_a_waiter_is_not_kept_where_there_is_news_already(store: ChatStore) -> None:
    send(store)
    start(store, "ended")
    store.end_chat("ended", ended_by=None).result()
    begun = time.monotonic()
    store.wait_for_news("c1", after_sequence=0, timeout_seconds=60)
    store.wait_for_news("ended", after_sequence=0, timeout_seconds=60)
    store.wait_for_news("unknown", after_sequence=0, timeout_seconds=60)
    assert time.monotonic() - begun < SOON


def test_a_waiter_without_news_waits_its_time(store: ChatStore) -> None:
    send(store)
    begun = time.monotonic()
    store.wait_for_news("c1", after_sequence=1, timeout_seconds=0.15)
    assert 0.15 <= time.monotonic() - begun < SOON
    store.wait_for_news("c1", after_sequence=1, timeout_seconds=-1)


@pytest.mark.parametrize("news", ["message", "end"])
def test_waiters_are_woken_by_a_message_and_by_the_end_of_their_chat_alone(store: ChatStore, news: str) -> None:
    start(store, "c1")
    start(store, "c2")
    waiters = [wait_in_thread(store, "c1", seconds=60) for _ in range(8)]
    other = wait_in_thread(store, "c2", seconds=60)
    ahead = wait_in_thread(store, "c1", after=1, seconds=60)
    if news == "message":
        send(store)
    else:
        store.end_chat("c1", ended_by=None).result()
    for waiter in waiters:
        waiter.join(SOON)
        assert not waiter.is_alive()
    if news == "end":
        ahead.join(SOON)
    assert other.is_alive()
    assert ahead.is_alive() == (news == "message")
    store.wake_all()
    other.join(SOON)
    ahead.join(SOON)
    assert not other.is_alive()
    assert not ahead.is_alive()


def test_no_wake_up_is_lost_between_looking_and_waiting(store: ChatStore) -> None:
    start(store)
    for number in range(100):
        waiter = wait_in_thread(store, "c1", after=number, seconds=60)
        send(store)
        waiter.join(SOON)
        assert not waiter.is_alive()


def test_after_wake_all_nobody_waits_any_more(store: ChatStore) -> None:
    start(store)
    store.wake_all()
    begun = time.monotonic()
    store.wait_for_news("c1", after_sequence=0, timeout_seconds=60)
    assert time.monotonic() - begun < SOON
    assert send(store).sequence == 1


# -- the whole


def test_a_store_has_an_id_of_its_own_once_it_is_made(store: ChatStore) -> None:
    assert store.store_id() is None
    assert store.store_id() is None
    store.ping()
    made = store.store_id()
    assert made is not None
    assert re.fullmatch("[0-9a-f]{32}", made)
    send(store)
    assert store.store_id() == made


def test_a_closed_store_is_busy_and_closing_twice_is_fine(store: ChatStore) -> None:
    store.ping()
    waiter = wait_in_thread(store, "c1", seconds=60)
    store.close()
    store.close()
    waiter.join(SOON)
    assert not waiter.is_alive()
    for call in (lambda: send(store), lambda: store.find_chat("c1"), store.ping):
        with pytest.raises(Busy):
            call()


class Called:
    """A callback that remembers."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def ask_to_be_called(
    store: ChatStore, chat_id: str = "c1", *, after: int = 0, seconds: float = 30
) -> tuple[Called, Any]:
    called = Called()
    give_up = store.call_back_on_news(chat_id, after_sequence=after, timeout_seconds=seconds, callback=called)
    return called, give_up


@pytest.mark.parametrize("news", ["message", "end"])
def test_who_asks_is_called_back_by_a_message_and_by_the_end_of_the_chat_alone(store: ChatStore, news: str) -> None:
    start(store, "c1")
    start(store, "other")
    called, _ = ask_to_be_called(store)
    other, _ = ask_to_be_called(store, "other")
    if news == "message":
        send(store)
    else:
        store.end_chat("c1", ended_by=None).result()
    eventually(lambda: called.times == 1)
    assert other.times == 0


def test_who_asks_for_news_that_is_there_is_called_back_soon(store: ChatStore) -> None:
    send(store)
    called, _ = ask_to_be_called(store)
    eventually(lambda: called.times == 1)


def test_who_asks_beyond_the_last_message_is_called_back_for_the_next(store: ChatStore) -> None:
    send(store)
    called, _ = ask_to_be_called(store, after=100)
    soon, _ = ask_to_be_called(store, after=1, seconds=0.3)
    eventually(lambda: soon.times == 1)  # by then the first one was looked at too
    assert called.times == 0
    send(store)
    eventually(lambda: called.times == 1)


def test_who_asks_about_no_chat_is_called_back_soon(store: ChatStore) -> None:
    called, _ = ask_to_be_called(store, "nobody", seconds=0.5 if isinstance(store, FakeChatStore) else 30)
    eventually(lambda: called.times == 1)


def test_who_asks_is_called_back_when_the_time_is_over_and_when_the_process_stops(store: ChatStore) -> None:
    start(store, "c1")
    late, _ = ask_to_be_called(store, seconds=0.1)
    waiting, _ = ask_to_be_called(store)
    eventually(lambda: late.times == 1)
    assert waiting.times == 0
    store.wake_all()
    eventually(lambda: waiting.times == 1)
    after, _ = ask_to_be_called(store)
    eventually(lambda: after.times == 1)


def test_who_gives_up_is_not_called_back(store: ChatStore) -> None:
    start(store, "c1")
    gone, give_up = ask_to_be_called(store)
    stays, _ = ask_to_be_called(store)
    give_up()
    send(store)
    eventually(lambda: stays.times == 1)
    give_up()
    store.wake_all()
    assert (gone.times, stays.times) == (0, 1)
