"""What the SQLite store promises beyond the port: durability, other processes, faults from below, versions."""

from __future__ import annotations

import fcntl
import gc
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from tests.fakes import FakeChatStore
from tests.unit.test_chat_store import (
    QUOTA,
    SOON,
    eventually,
    new_file,
    new_message,
    new_token,
    send,
    start,
    texts,
    try_to_claim,
    wait_in_thread,
)
from webchat_soap.domain.chat import Chat, ChatUsage, ClientToken
from webchat_soap.domain.errors import Busy, Internal, WebchatError
from webchat_soap.domain.outages import Outage
from webchat_soap.domain.outcome import Outcome
from webchat_soap.domain.ports import ChatStore
from webchat_soap.stores import UnusableDatabaseError, console, open_chat_store, open_inspection, sqlite_url
from webchat_soap.stores.claims import claims_in
from webchat_soap.stores.schema import METADATA, NEWEST_VERSION, SQLITE_STEPS
from webchat_soap.stores.sqlite import SqliteChatStore
from webchat_soap.stores.statements import Statements
from webchat_soap.stores.transaction import Transaction
from webchat_soap.stores.turn import Turn

Opener = Callable[..., SqliteChatStore]
Child = Callable[[str], subprocess.Popen[str]]

PREAMBLE = """
import os, resource, signal, sys, threading, time, uuid
from pathlib import Path
from webchat_soap.domain.chat import ChatQuota, ClientToken, NewMessage, Sender
from webchat_soap.domain.errors import Busy
from webchat_soap.stores import open_chat_store

def send(chat_id="c1", text="x", token=None):
    message = NewMessage(
        message_id=str(uuid.uuid4()), chat_id=chat_id, sender=Sender.CUSTOMER, text=text, files=(), token=token,
        account=None,
    )
    return store.append(message, open_unknown=True, quota=ChatQuota(max_files=1, max_bytes=1)).result()

def say(*words):
    print(*words, flush=True)

folder = Path(sys.argv[1])
store = open_chat_store(f"sqlite:///{folder}/chats.db", lock_folder=folder / "locks", patience_seconds=5)
"""


@pytest.fixture
def opener(tmp_path: Path) -> Iterator[Opener]:
    opened: list[SqliteChatStore] = []

    def open_one(*, patience_seconds: float = 5.0) -> SqliteChatStore:
        url = f"sqlite:///{tmp_path}/chats.db"
        opened.append(open_chat_store(url, lock_folder=tmp_path / "locks", patience_seconds=patience_seconds))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Runs a program over the same database in a process of its own; talk to it by its standard streams."""
    running: list[subprocess.Popen[str]] = []

    def run(program: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PREAMBLE + program, str(tmp_path)]
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


@contextmanager
def turn_held(folder: Path) -> Iterator[None]:
    """As a process would hold it that stopped in the middle of its turn."""
    fd = os.open(folder / "locks" / "writer.lock", os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


# -- durability


def test_a_reopened_store_has_everything(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    file = new_file()
    receipt = send(store, new_message(files=(file,), token=new_token()))
    chat = store.end_chat("c1", ended_by="CUSTOMER").result()
    store.close()
    reopened = opener()
    assert reopened.find_chat("c1") == chat
    assert texts(reopened) == ["test message"]
    assert reopened.usage("c1") == ChatUsage(files=1, bytes=file.size)
    again = reopened.find_receipt(new_token())
    assert again is not None
    assert (again.message_id, again.files, again.duplicate) == (receipt.message_id, (file,), True)


def test_everything_acknowledged_before_a_kill_is_there(opener: Opener, child: Child) -> None:
    process = child("""
lock = threading.Lock()
def work(number):
    while True:
        receipt = send(f"c{number % 3}")
        with lock:
            say(receipt.chat_id, receipt.sequence, receipt.message_id)
for number in range(12):
    threading.Thread(target=work, args=(number,)).start()
""")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(500)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines(keepends=True)
    acknowledged = [line.split() for line in lines if line.endswith("\n")]
    store = opener()
    for chat_id in ("c0", "c1", "c2"):
        messages = store.read_messages(chat_id, after_sequence=0, max_messages=100_000).messages
        assert [message.sequence for message in messages] == list(range(1, len(messages) + 1))
        stored = {(str(message.sequence), message.message_id) for message in messages}
        assert {(sequence, message_id) for chat, sequence, message_id in acknowledged if chat == chat_id} <= stored
    assert send(store, new_message("c0")).sequence > 1


def test_files_of_the_store_can_be_read_by_their_owner_alone(opener: Opener, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = opener()
        send(store)
        with store.claim(new_token(), deadline=time.monotonic()):
            pass
    finally:
        os.umask(old)
    files = [*tmp_path.glob("chats.db*"), *(tmp_path / "locks").iterdir()]
    assert {path.name for path in files} >= {"chats.db", "chats.db-wal", "chats.db-shm", "writer.lock", "tokens.lock"}
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in files} == {"0o600"}


# -- several processes


def test_sequences_have_no_gaps_over_three_processes(opener: Opener, child: Child) -> None:
    program = """
def work():
    for step in range(40):
        receipts.append(send(f"c{step % 2}"))
receipts = []
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for receipt in receipts: say(receipt.chat_id, receipt.sequence)
store.close()
"""
    processes = [child(program) for _ in range(3)]
    receipts = [line.split() for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    for chat_id in ("c0", "c1"):
        given = sorted(int(sequence) for chat, sequence in receipts if chat == chat_id)
        assert given == list(range(1, 241))
    page = opener().read_messages("c0", after_sequence=0, max_messages=1000)
    assert [message.sequence for message in page.messages] == list(range(1, 241))


def test_a_token_held_by_another_process_is_freed_by_its_kill(opener: Opener, child: Child) -> None:
    process = child("""
with store.claim(ClientToken(scope="chat:c1", token="t1", fingerprint="f1"), deadline=time.monotonic()):
    say("held")
    time.sleep(600)
""")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    store = opener()
    with pytest.raises(Busy) as caught:
        with store.claim(new_token(), deadline=time.monotonic() + 0.1):
            pass
    assert caught.value.field == "clientToken"
    with store.claim(new_token("t2"), deadline=time.monotonic()):
        pass
    held = threading.Event()

    def follow() -> None:
        with store.claim(new_token(), deadline=time.monotonic() + 60):
            held.set()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    assert not held.is_set()
    process.send_signal(signal.SIGKILL)
    assert held.wait(SOON)
    follower.join(SOON)


def test_who_waits_for_a_token_of_another_process_is_counted_and_let_go_by_wake_all(
    opener: Opener, child: Child
) -> None:
    process = child("""
from contextlib import ExitStack
with ExitStack() as held:
    for number in range(70):
        token = ClientToken(scope="chat:c1", token=f"t{number}", fingerprint="f1")
        held.enter_context(store.claim(token, deadline=time.monotonic()))
    say("held")
    time.sleep(600)
""")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    store = opener()
    threads, outcomes = try_to_claim(store, [new_token(f"t{number}") for number in range(70)])
    eventually(lambda: len(outcomes) == 70 - 64)
    store.wake_all()
    for thread in threads:
        thread.join(SOON)
    assert [type(outcome) for outcome in outcomes] == [Busy] * 70


def test_a_claim_in_two_stores_of_one_process_has_one_holder(opener: Opener) -> None:
    first, second = opener(), opener()
    with first.claim(new_token(), deadline=time.monotonic()):
        with pytest.raises(Busy):
            with second.claim(new_token(), deadline=time.monotonic()):
                pass
    with second.claim(new_token(), deadline=time.monotonic()):
        pass


def test_nothing_is_kept_of_tokens_that_are_free_again(opener: Opener, tmp_path: Path) -> None:
    store = opener()

    def work(number: int) -> None:
        try:
            with store.claim(new_token(f"t{number % 5}"), deadline=time.monotonic() + 0.01 * (number % 3)):
                time.sleep(0.001)
        except Busy:
            pass

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(work, range(400)))
    assert claims_in(tmp_path / "locks").held == 0


@pytest.mark.parametrize("news", ["send()", "store.end_chat('c1', ended_by=None).result()"])
def test_a_waiter_is_woken_by_another_process(opener: Opener, child: Child, news: str) -> None:
    store = opener()
    start(store, "c1")
    start(store, "c2")
    other = wait_in_thread(store, "c2", seconds=60)
    waiters = [wait_in_thread(store, "c1", seconds=60) for _ in range(50)]
    process = child(f"""
sys.stdin.readline()
{news}
store.close()
""")
    process.communicate("go\n", timeout=60)
    for waiter in waiters:
        waiter.join(SOON)
        assert not waiter.is_alive()
    assert other.is_alive()
    store.wake_all()
    other.join(SOON)
    assert not other.is_alive()


def test_a_store_made_before_a_fork_works_after_it(opener: Opener, child: Child) -> None:
    process = child("""
assert threading.active_count() == 1
assert not list(folder.iterdir())
for number in range(2):
    if os.fork() == 0:
        try:
            for _ in range(20):
                with store.claim(ClientToken(scope="", token="t", fingerprint=""), deadline=time.monotonic() + 30):
                    before = store.find_chat("c1")
                    assert send().sequence == (before.last_sequence if before else 0) + 1
            store.close()
        except BaseException as error:
            say(repr(error))
        os._exit(0)
os.wait(), os.wait()
""")
    assert process.communicate(timeout=60)[0] == ""
    assert opener().find_chat("c1").last_sequence == 40


# -- faults from below


def test_a_full_disk_is_busy_and_the_store_works_again_when_there_is_room(opener: Opener, child: Child) -> None:
    process = child("""
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
send(text="before")
acknowledged = 1
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, most))
refused = []
def work():
    global acknowledged
    for _ in range(20):
        try:
            send(text="x" * 4000)
        except Busy as error:
            refused.append(error.retry_after_seconds)
        else:
            with lock: acknowledged += 1
lock = threading.Lock()
threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert refused and all(refused), refused
assert store.find_chat("c1").last_sequence == acknowledged
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
assert send(text="after").sequence == acknowledged + 1
store.close()
say(acknowledged + 1)
""")
    answer = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert texts(opener())[-1] == "after"
    assert len(texts(opener())) == int(answer)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_without_room_is_busy_until_there_is_room(small_disk: Path, tmp_path: Path) -> None:
    store = open_chat_store(f"sqlite:///{small_disk}/chats.db", lock_folder=tmp_path / "locks")
    try:
        send(store)
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="No space"):  # noqa: PT012 - fills what is left
            with ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        with pytest.raises(Busy):  # noqa: PT012 - the log may still have room for some
            for _ in range(100):
                send(store, new_message(text="x" * 4000))
        acknowledged = store.find_chat("c1").last_sequence
        assert len(texts(store)) == acknowledged
        ballast.unlink()
        assert send(store).sequence == acknowledged + 1
    finally:
        store.close()


def test_another_program_that_holds_the_lock_makes_calls_busy_in_time(opener: Opener, tmp_path: Path) -> None:
    send(opener())
    store = opener(patience_seconds=0.3)
    other = sqlite3.connect(tmp_path / "chats.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        begun = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            results = [pool.submit(send, store) for _ in range(8)]
        assert [type(result.exception()) for result in results] == [Busy] * 8
        with pytest.raises(Busy):
            store.ping()
        assert time.monotonic() - begun < SOON
        assert texts(store) == ["test message"]
    finally:
        other.close()
    eventually(lambda: _succeeds(lambda: send(store)))
    assert len(texts(store)) == 2


def test_a_process_that_stops_in_its_turn_makes_calls_busy_and_they_are_not_stored_later(
    opener: Opener, tmp_path: Path
) -> None:
    send(opener(), new_message(text="first"))
    store = opener(patience_seconds=0.3)
    with turn_held(tmp_path):
        with ThreadPoolExecutor(8) as pool:
            results = [pool.submit(send, store, new_message(text="late")) for _ in range(8)]
        assert [type(result.exception()) for result in results] == [Busy] * 8
        assert texts(store) == ["first"]
    eventually(lambda: _succeeds(lambda: send(store, new_message(text="second"))))
    assert texts(store) == ["first", "second"]


def test_closing_commits_what_waits(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    send(store)
    with ThreadPoolExecutor(9) as pool:
        with turn_held(tmp_path):
            results = [pool.submit(send, store) for _ in range(8)]
            eventually(lambda: store._writer.waiting == 7)  # and one in the writer's hand
            closing = pool.submit(store.close)
        closing.result(SOON)
        assert sorted(result.result(SOON).sequence for result in results) == list(range(2, 10))


def test_a_name_that_is_taken_harms_only_its_own_message(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    file = new_file()
    send(store, new_message(files=(file,)))
    with ThreadPoolExecutor(9) as pool:
        with turn_held(tmp_path):
            twice = pool.submit(send, store, new_message("c2", files=(file,), token=new_token(scope="chat:c2")))
            results = [pool.submit(send, store) for _ in range(8)]
            eventually(lambda: store._writer.waiting == 8)
        assert isinstance(twice.exception(), Internal)
        assert sorted(result.result(SOON).sequence for result in results) == list(range(2, 10))
    assert store.find_chat("c2") is None
    assert store.find_receipt(new_token(scope="chat:c2")) is None


def test_a_command_without_memory_in_its_middle_leaves_neither_a_message_nor_a_gap(
    opener: Opener, tmp_path: Path
) -> None:
    store = opener()
    send(store)

    def fail_midway(transaction: Transaction) -> None:
        transaction.append(new_message(text="half"), open_unknown=True, quota=QUOTA)
        raise MemoryError

    with turn_held(tmp_path):
        failing = store._writer.begin(fail_midway)
        beside = store.append(new_message(text="whole"), open_unknown=True, quota=QUOTA)
    with pytest.raises(Busy) as caught:
        failing.result()
    assert caught.value.outage is Outage.NO_MEMORY
    assert beside.result().sequence == 2
    assert texts(store) == ["test message", "whole"]


def test_a_database_that_is_damaged_while_it_is_served_is_busy(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    send(store)
    store.close()
    with (tmp_path / "chats.db").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(200_000))
    with pytest.raises(Busy):
        send(opener())


def test_a_folder_that_is_missing_is_busy_and_works_when_it_is_there(tmp_path: Path) -> None:
    store = open_chat_store(f"sqlite:///{tmp_path}/later/chats.db", lock_folder=tmp_path / "locks")
    try:
        for call in (lambda: send(store), lambda: store.find_chat("c1"), store.ping):
            with pytest.raises(Busy):
                call()
        (tmp_path / "later").mkdir()
        assert send(store).sequence == 1
    finally:
        store.close()


def _remove_the_file(path: Path) -> None:
    path.unlink()


def _remove_all(path: Path) -> None:
    for each in path.parent.glob("chats.db*"):
        each.unlink()


def _replace(path: Path) -> None:
    (path.parent / "copy.db").write_bytes(path.read_bytes())
    (path.parent / "copy.db").rename(path)


@pytest.mark.parametrize("take_away", [_remove_the_file, _remove_all, _replace])
def test_no_receipt_is_given_once_the_database_file_is_gone_or_another_one(
    opener: Opener, tmp_path: Path, take_away: Callable[[Path], None]
) -> None:
    store = opener()
    send(store)
    take_away(tmp_path / "chats.db")
    before = (tmp_path / "chats.db").exists()
    for _ in range(2):
        for call in (lambda: send(store), lambda: start(store), store.ping):
            with pytest.raises(Busy) as caught:
                call()
            assert "removed or replaced" in str(caught.value.__cause__)
    again = opener()  # as a worker that replaces a dead one
    with pytest.raises(Busy):
        send(again)
    with pytest.raises(Busy):
        again.find_chat("c1")
    assert (tmp_path / "chats.db").exists() == before


def test_a_look_at_the_files_that_fails_in_a_commit_leaves_no_lock_and_no_descriptor_behind(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    store = open_chat_store(f"sqlite:///{link}/chats.db", lock_folder=tmp_path / "locks", patience_seconds=0.5)

    gc.disable()  # a service has it look for cycles seldom, and until then they hold what they hold
    try:
        send(store, new_message(token=new_token("first"), files=(new_file(),)))
        before = descriptors()
        for number in range(3):
            link.unlink()
            link.symlink_to(link)  # what the system says of this path now is an error
            with pytest.raises(Busy):
                send(store, new_message(token=new_token(f"lost {number}"), files=(new_file(),)))
            with pytest.raises(Busy):
                store.find_receipt(new_token("first"))
            link.unlink()
            link.symlink_to(folder)
            assert send(store, new_message(token=new_token(f"later {number}"))).sequence == 2 + number
        assert descriptors() == before
    finally:
        gc.enable()
        store.close()


def test_calls_that_find_the_database_locked_leave_no_descriptor_behind(opener: Opener, tmp_path: Path) -> None:
    store = opener(patience_seconds=0.2)
    send(store, new_message(token=new_token()))
    before = descriptors()
    other = sqlite3.connect(tmp_path / "chats.db", isolation_level=None)
    gc.disable()
    try:
        other.execute("BEGIN IMMEDIATE")
        for number in range(4):
            with pytest.raises(Busy):
                send(store, new_message(token=new_token(f"lost {number}")))
        other.close()

        def is_served() -> bool:
            try:
                return send(store).sequence == 2
            except Busy:  # one that waits for the lock from before
                return False

        eventually(is_served)
        assert descriptors() == before
    finally:
        gc.enable()


def descriptors() -> int:
    """Those of this process that are open on the database."""
    return sum("chats.db" in str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())


def test_a_database_that_was_away_is_used_again_after_a_restart_with_all_that_was_acknowledged(
    opener: Opener, child: Child, tmp_path: Path
) -> None:
    store = opener()
    send(store)
    (tmp_path / "chats.db").rename(tmp_path / "away.db")
    with pytest.raises(Busy):
        send(store)
    (tmp_path / "away.db").rename(tmp_path / "chats.db")
    with pytest.raises(Busy):
        store.ping()
    store.close()
    process = child("""
assert store.find_chat("c1").last_sequence == 1
assert send().sequence == 2
store.close()
say("fine")
""")
    assert process.communicate(timeout=60)[0] == "fine\n"


def test_a_ping_is_answered_within_about_a_second_while_another_program_holds_the_lock(
    opener: Opener, tmp_path: Path
) -> None:
    store = opener(patience_seconds=5)
    send(store)
    other = sqlite3.connect(tmp_path / "chats.db", isolation_level=None)
    for begin in ("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"):
        other.execute(begin)
        begun = time.monotonic()
        with pytest.raises(Busy):
            store.ping()
        assert time.monotonic() - begun < 3
        other.execute("ROLLBACK")
    other.close()
    eventually(lambda: _succeeds(store.ping))


def test_nothing_is_left_open_by_a_closed_store(opener: Opener, tmp_path: Path) -> None:
    def use() -> None:
        store = opener()
        start(store)
        with store.claim(new_token(), deadline=time.monotonic()):
            pass
        waiter = wait_in_thread(store, "c1", after=10**6)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: (send(store), store.find_chat("c1")), range(64)))
        store.close()
        waiter.join(SOON)

    use()  # the lock file of the tokens stays open, once
    files, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    for _ in range(3):
        use()
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert threading.active_count() == threads


# -- versions


def test_the_steps_lead_to_the_tables_that_the_code_uses(opener: Opener, tmp_path: Path) -> None:
    opener().ping()
    connection = sqlite3.connect(tmp_path / "chats.db")
    made = {
        table: [
            (name, kind, bool(required) and not key, bool(key))
            for _, name, kind, required, _, key in connection.execute(f"PRAGMA table_info({table})")
        ]
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    connection.close()
    declared = {
        table.name: [
            (
                column.name,
                column.type.compile(),
                not column.nullable and not column.primary_key,
                column.primary_key,
            )
            for column in table.columns
        ]
        for table in METADATA.sorted_tables
    }
    assert made == declared


def make_old_database(path: Path, version: int) -> None:
    """A database as that version made it, with an open and an ended chat: customer, customer, agent, customer."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT")
    connection.execute("INSERT INTO schema_version VALUES (?)", (version,))
    for statement in (statement for step in SQLITE_STEPS[:version] for statement in step):
        connection.execute(statement)
    connection.executemany(
        "INSERT INTO chats (chat_key, chat_id, status, started_at, ended_at, last_sequence, last_sent_at, file_count, "
        "file_bytes) VALUES (?, ?, ?, 1, ?, 4, 5, 0, 0)",
        [(1, "c1", "OPEN", None), (2, "c2", "ENDED", 9)],
    )
    senders = ("CUSTOMER", "CUSTOMER", "AGENT", "CUSTOMER")
    connection.executemany(
        "INSERT INTO messages (chat_key, sequence, message_id, sender, sent_at, text, file_count) "
        "VALUES (?, ?, 'm', ?, 5, 'test message', 0)",
        [(key, number + 1, sender) for key in (1, 2) for number, sender in enumerate(senders)],
    )
    connection.commit()
    connection.close()


@pytest.mark.parametrize("version", range(1, NEWEST_VERSION))
def test_a_database_of_an_older_version_gets_what_it_lacks_once_and_keeps_its_messages(
    opener: Opener, tmp_path: Path, version: int
) -> None:
    make_old_database(tmp_path / "chats.db", version)
    again = opener()
    made = again.store_id()
    assert made
    assert texts(again) == ["test message"] * 4
    again.close()
    again = opener()
    assert again.store_id() == made
    counted = {each.chat.chat_id: (each.unread, each.read_sequence) for each in again.summaries(["c1", "c2"])}
    assert counted == {"c1": (3, 0), "c2": (0, 4)}


def test_an_append_touches_no_index_of_the_console(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    send(store)
    connection = sqlite3.connect(tmp_path / "chats.db")
    names = {
        root: name for name, root in connection.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0")
    }
    sql = Statements(SQLiteDialect_pysqlite(paramstyle="qmark"))

    def written(statement: str, parameters: int) -> set[str]:
        steps = connection.execute("EXPLAIN " + statement, (None,) * parameters).fetchall()
        return {names.get(step[3], "?") for step in steps if step[1] == "OpenWrite"}

    assert written(sql.update_counters, 1) == {"chats"}
    assert written(sql.insert_messages(1), 10) <= {"sqlite_autoindex_messages_1", "messages"}
    connection.close()


def test_lists_of_the_console_are_read_from_the_indices_made_for_them(opener: Opener, tmp_path: Path) -> None:
    opener().ping()
    connection = sqlite3.connect(tmp_path / "chats.db")
    place = {"first": 1, "second": 1, "key": 1, "limit": 10}
    plans = {
        name: " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", place))
        for name, sql in (("open", console._OPEN), ("ended", console._ENDED))
    }
    connection.close()
    assert "open_chats" in plans["open"]
    assert "SEARCH chats USING INDEX ended_chats (ended_at<?)" in plans["ended"]
    assert "TEMP B-TREE" not in plans["ended"]


def test_a_copy_of_a_database_has_its_id_and_a_new_one_another(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    store.ping()
    store.close()
    (tmp_path / "copy.db").write_bytes((tmp_path / "chats.db").read_bytes())
    ids = []
    for name in ("chats.db", "copy.db", "new.db"):
        other = open_chat_store(f"sqlite:///{tmp_path}/{name}", lock_folder=tmp_path / "locks")
        other.ping()
        ids.append(other.store_id())
        other.close()
    assert ids[0] == ids[1] != ids[2]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    send(store)
    store.close()
    connection = sqlite3.connect(tmp_path / "chats.db")
    connection.execute("UPDATE schema_version SET version = ?", (NEWEST_VERSION + 1,))
    connection.commit()
    connection.close()
    newer = opener()
    for call in (newer.ping, lambda: send(newer), lambda: newer.find_chat("c1")):
        with pytest.raises(Busy) as caught:
            call()
        assert isinstance(caught.value.__cause__, UnusableDatabaseError)
        assert "newer version of this program" in str(caught.value.__cause__)
        assert "chats.db" not in caught.value.message


@pytest.mark.parametrize(
    ("made_by", "sentence"),
    [
        (lambda path: path.write_text("not a database at all, " * 100), "not an SQLite database"),
        (lambda path: _other_program(path), "another program"),
    ],
    ids=["text", "other"],
)
def test_a_file_that_is_not_ours_is_refused_and_left_alone(
    opener: Opener, tmp_path: Path, made_by: Callable[[Path], object], sentence: str
) -> None:
    path = tmp_path / "chats.db"
    made_by(path)
    before = path.read_bytes()
    with pytest.raises(Busy) as caught:
        opener().ping()
    assert isinstance(caught.value.__cause__, UnusableDatabaseError)
    assert sentence in str(caught.value.__cause__)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://localhost/chats", "not in this version yet"),
        ("postgresql+psycopg://localhost/chats", "not in this version yet"),
        ("mysql://localhost/chats", "sqlite:///PATH"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("sqlite:///chats.db?mode=ro", "nothing else"),
        ("nonsense", "sqlite:///PATH"),
        ("", "sqlite:///PATH"),
    ],
)
def test_other_databases_are_refused_by_name(tmp_path: Path, url: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        open_chat_store(url, lock_folder=tmp_path)


def test_a_database_on_another_disk_may_be_reached_by_a_link(opener: Opener, child: Child, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "chats.db").symlink_to(disk / "data.db")  # nothing there yet: made where the link leads
    process = child("""
send(); send()
say("sent")
signal.pause()
""")
    assert process.stdout is not None
    assert process.stdout.readline() == "sent\n"
    process.kill()
    process.wait()
    log = (disk / "data.db-wal").read_bytes()
    assert log
    inspection = open_inspection(f"sqlite:///{tmp_path}/chats.db", lock_folder=tmp_path / "locks")
    inspection.check_nothing_lost()
    inspection.close()
    assert (disk / "data.db-wal").read_bytes() == log, "a look has moved the log"
    store = opener()
    assert [send(store).sequence, send(store).sequence] == [3, 4]
    (disk / "data.db-wal").unlink()
    with pytest.raises(Busy) as caught:
        send(store)
    assert "data.db-wal was removed" in str(caught.value.__cause__)


def test_a_path_with_odd_letters_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "ş #1 100%41?x=1"
    folder.mkdir()
    store = open_chat_store(sqlite_url(folder / "chats.db"), lock_folder=tmp_path / "locks")
    try:
        send(store)
    finally:
        store.close()
    assert (folder / "chats.db").stat().st_size


def _other_program(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()


def _succeeds(call: Callable[[], object]) -> bool:
    try:
        call()
    except Busy:
        return False
    return True


def outcome_of(outcome: Outcome[Any]) -> Any:
    """What can be compared between two stores: all but ids and times."""
    try:
        result = outcome.result()
    except WebchatError as refusal:
        return refusal.code
    if isinstance(result, Chat):
        return result.chat_id, result.status, result.last_sequence, result.customer_name
    return result.chat_id, result.sequence, result.duplicate, len(result.files)


def random_command(rng: random.Random) -> Callable[[ChatStore], Outcome[Any]]:
    chat_id = f"c{rng.randrange(4)}"
    token = ClientToken(scope=f"chat:{chat_id}", token=f"ş{rng.randrange(9)}", fingerprint=f"f{rng.randrange(2)}")
    given = token if rng.random() < 0.4 else None
    match rng.randrange(10):
        case 0:
            return lambda store: store.start_chat(chat_id=chat_id, customer_name="Ali", token=given, account=None)
        case 1 if rng.random() < 0.3:
            return lambda store: store.end_chat(chat_id, ended_by=None)
        case 2:
            files = (new_file(rng.randrange(1, 400)),)
            message = new_message(chat_id, None, files=files, token=given)
        case _:
            message = new_message(chat_id, "a 🙂 'text'", token=given)
    open_unknown = rng.random() < 0.8
    return lambda store: store.append(message, open_unknown=open_unknown, quota=QUOTA)


@pytest.mark.parametrize("seed", range(6))
def test_commands_that_share_a_commit_come_to_the_same_as_one_by_one(opener: Opener, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    store = opener()
    one_by_one = FakeChatStore()
    turn = Turn(tmp_path / "locks" / "writer.lock")
    store.ping()
    for _ in range(40):
        commands = [random_command(rng) for _ in range(rng.choice([1, 2, 5, 70]))]
        turn.take()  # so that all of them wait for the same one
        begun = [command(store) for command in commands]
        turn.give_back()
        assert [outcome_of(each) for each in begun] == [outcome_of(command(one_by_one)) for command in commands]
    for chat_id in ("c0", "c1", "c2", "c3"):
        pages = [each.read_messages(chat_id, after_sequence=0, max_messages=10_000) for each in (store, one_by_one)]
        seen = [
            [(message.sequence, message.text, message.message_id, message.files) for message in page.messages]
            for page in pages
        ]
        assert seen[0] == seen[1]
        assert store.usage(chat_id) == one_by_one.usage(chat_id)
    turn.close()


def test_those_who_ask_to_be_called_back_take_no_thread(opener: Opener) -> None:
    store = opener()
    start(store, "c1")
    calls: list[int] = []
    before = threading.active_count()
    for number in range(2000):
        store.call_back_on_news(
            "c1", after_sequence=0, timeout_seconds=30, callback=lambda number=number: calls.append(number)
        )
    assert threading.active_count() <= before + 1
    send(store)
    eventually(lambda: len(calls) == 2000)
    assert sorted(calls) == list(range(2000))


def test_who_asks_is_called_back_for_a_message_of_another_process(opener: Opener, child: Child) -> None:
    store = opener()
    start(store, "c1")
    called = threading.Event()
    store.call_back_on_news("c1", after_sequence=0, timeout_seconds=30, callback=called.set)
    other = child("send()\nsay('sent')")
    assert other.stdout is not None
    assert other.stdout.readline() == "sent\n"
    assert called.wait(SOON)


def test_what_is_undone_in_a_batch_is_neither_announced_nor_noted(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    file = new_file()
    store.append(new_message("a", None, files=(file,)), open_unknown=True, quota=QUOTA).result()
    turn = Turn(tmp_path / "locks" / "writer.lock")
    turn.take()
    again = store.append(new_message("b", None, files=(file,)), open_unknown=True, quota=QUOTA)
    good = store.append(new_message("a"), open_unknown=True, quota=QUOTA)
    turn.give_back()
    with pytest.raises(Internal):
        again.result()
    assert good.result().sequence == 2
    assert (tmp_path / "locks" / "acknowledged").read_text().split()[1:] == ["2", "a"]
    turn.close()


def test_a_caller_that_cannot_be_called_back_leaves_the_others_their_patience(opener: Opener, tmp_path: Path) -> None:
    store = opener(patience_seconds=0.5)
    store.ping()

    def fail() -> None:
        raise MemoryError

    turn = Turn(tmp_path / "locks" / "writer.lock")
    turn.take()
    try:
        for callback in (fail, threading.Event().set):
            write = store.append(new_message(), open_unknown=True, quota=QUOTA)
            done = threading.Event()
            write.when_done(callback if callback is fail else done.set)
        assert done.wait(SOON)
        with pytest.raises(Busy):
            write.result()
    finally:
        turn.close()


def test_who_asks_of_a_database_that_cannot_be_read_is_called_back_at_once(opener: Opener, tmp_path: Path) -> None:
    store = opener()
    start(store, "c1")
    (tmp_path / "chats.db").rename(tmp_path / "gone.db")
    called = threading.Event()
    store.call_back_on_news("c1", after_sequence=0, timeout_seconds=30, callback=called.set)
    assert called.wait(5)
