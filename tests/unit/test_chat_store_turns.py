"""The writers of several processes on one SQLite file take turns: one at a time, and none waits while others go on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

Child = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    """Runs a program in a process of its own; it gets the test's folder and the words as arguments."""
    running: list[subprocess.Popen[str]] = []

    def run(program: str, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, str(tmp_path), *words]
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def let_go_together(processes: list[subprocess.Popen[str]]) -> list[list[str]]:
    """Have all begin once each has said that it is ready; what they say then."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[0].split() for process in processes]


TURNS = """
import os, sys, time
from pathlib import Path
from webchat_soap.stores.turn import Turn

folder, take = Path(sys.argv[1]), sys.argv[2]
turn = Turn(folder / "locks" / "writer.lock")
mark = folder / "in-turn"
print("ready", flush=True)
sys.stdin.readline()
for _ in range(200):
    turn.take() if take == "take" else turn.take_within(30)
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        print("both", flush=True)
        break
    time.sleep(0.001)  # in which another one would come, if it were let
    mark.unlink()
    turn.give_back()
else:
    print("alone", flush=True)
"""


@pytest.mark.parametrize("take", ["take", "take within"])
def test_two_processes_never_have_the_turn_at_once(child: Child, take: str) -> None:
    assert let_go_together([child(TURNS, take) for _ in range(2)]) == [["alone"], ["alone"]]


WRITES = """
import sys, threading, uuid
from pathlib import Path
from webchat_soap.domain.chat import ChatQuota, NewMessage, Sender
from webchat_soap.stores import open_chat_store

folder, last = Path(sys.argv[1]), int(sys.argv[2])
store = open_chat_store(f"sqlite:///{folder}/chats.db", lock_folder=folder / "locks", patience_seconds=30)

def send():
    message = NewMessage(
        message_id=str(uuid.uuid4()), chat_id="c", sender=Sender.CUSTOMER, text="x", files=(), token=None, account=None
    )
    return store.append(message, open_unknown=True, quota=ChatQuota(max_files=1, max_bytes=1)).result().sequence

def work():
    while (sequence := send()) < last:
        given.append(sequence)

given = []
send()
print("ready", flush=True)
sys.stdin.readline()
workers = [threading.Thread(target=work) for _ in range(4)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print(*given, flush=True)
store.close()
"""


def test_processes_that_write_all_the_time_get_as_much_as_one_another_and_none_waits_long(child: Child) -> None:
    last = 4000
    said = let_go_together([child(WRITES, str(last)) for _ in range(3)])
    given = [sorted(map(int, sequences)) for sequences in said]
    counts = [len(sequences) for sequences in given]
    assert min(counts) >= max(counts) / 10, counts
    # In messages that others wrote meanwhile, so that a slow disk makes no difference. With turns it is some 20
    # and on a busy machine 140, with SQLite's own waiting for its lock 600 to 1,300.
    waits = [max(b - a for a, b in pairwise([0, *sequences, last])) for sequences in given]
    assert max(waits) < last / 10, waits
