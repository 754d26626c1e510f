"""When SQLite gets no memory, callers are told Busy and the operator why; nothing is half stored."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.test_chat_store import new_message, send
from webchat_soap.stores import open_chat_store

# In a process of its own: SQLite's own limit on its memory (PRAGMA hard_heap_limit) is one of the whole process, and
# can only be lowered.
PREAMBLE = """
import sqlite3, sys, uuid
from contextlib import suppress
from pathlib import Path
from webchat_soap.domain.chat import ChatQuota, ClientToken, NewMessage, Sender
from webchat_soap.domain.errors import Busy
from webchat_soap.domain.outages import Outage
from webchat_soap.stores import open_chat_store

folder = Path(sys.argv[1])
store = open_chat_store(f"sqlite:///{folder}/chats.db", lock_folder=folder / "locks", patience_seconds=5)

def send(chat_id, text="x"):
    message = NewMessage(
        message_id=str(uuid.uuid4()), chat_id=chat_id, sender=Sender.CUSTOMER, text=text, files=(), token=None,
        account=None,
    )
    return store.append(message, open_unknown=True, quota=ChatQuota(max_files=1, max_bytes=1)).result()

def refused(call):
    try:
        call()
    except Busy as busy:
        assert busy.outage is Outage.NO_MEMORY, (busy, busy.outage, busy.__cause__)
        assert busy.retry_after_seconds
        return True
    return False

other = sqlite3.connect(":memory:")

def leave(limit):
    with suppress(MemoryError):  # it holds by then
        other.execute(f"PRAGMA hard_heap_limit={limit}").fetchall()
"""


def run(program: str, folder: Path) -> list[str]:
    """The words that the program says, over a store in the folder."""
    command = [sys.executable, "-c", PREAMBLE + program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_writes_and_reads_without_memory_are_busy_with_the_reason_and_store_nothing(tmp_path: Path) -> None:
    said = run(
        """
send("a")
store.find_chat("a")
leave(1)
calls = [lambda: send("a"), lambda: send("b"), store.ping, lambda: store.find_chat("a")]
print(*map(refused, calls))
store.close()
""",
        tmp_path,
    )
    assert said == ["True"] * 4
    assert stored_in(tmp_path) == {"a": 1}


@pytest.mark.parametrize(
    "token",
    ["None", "ClientToken(scope=f'chat:{chat_id}', token='t', fingerprint='f')"],
    ids=["without a token", "with a token"],
)
def test_wherever_a_write_runs_out_of_memory_it_is_stored_whole_or_busy_with_the_reason(
    tmp_path: Path, token: str
) -> None:
    said = run(
        f"""
def start(chat_id):
    store.start_chat(chat_id=chat_id, customer_name="Ali", token={token}, account=None).result()

for number in range(100):
    send(f"c{{number}}", "x" * 4000)
# Memory that gets less and less is missing sooner or later at each place that needs some.
for limit in range(1_000_000, 250_000, -250):
    leave(limit)
    if not refused(lambda: start(f"n{{limit}}")):
        print(f"n{{limit}}")
store.close()
""",
        tmp_path,
    )
    assert 100 < len(said) < 2900, "there never was enough, or always"
    assert stored_in(tmp_path) == dict.fromkeys(said, 0) | {f"c{number}": 1 for number in range(100)}


def stored_in(folder: Path) -> dict[str, int]:
    """How many messages each chat has, once all is as before: the store takes another one first."""
    store = open_chat_store(f"sqlite:///{folder}/chats.db", lock_folder=folder / "locks")
    try:
        assert send(store, new_message("afterwards")).sequence == 1
    finally:
        store.close()
    with closing(sqlite3.connect(folder / "chats.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = database.execute(
            "SELECT chat_id, last_sequence, (SELECT count(*) FROM messages WHERE chat_key = chats.chat_key) FROM chats"
        ).fetchall()
    assert all(last_sequence == messages for _, last_sequence, messages in rows)
    return {chat_id: messages for chat_id, _, messages in rows if chat_id != "afterwards"}
