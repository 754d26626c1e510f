"""Rounds: many clients use the service, it is killed in some way at some moment and started again, and afterwards
everything that was acknowledged must be there, once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.crash.clients import (
    LAST,
    WAIT_SECONDS,
    Abandoned,
    Attempt,
    Downloads,
    Round,
    open_and_end_chats,
    read_on,
    send_texts_and_files,
)
from tests.crash.ledger import Ledger, check_disk
from tests.crash.process import MOMENTS, Service, await_moment
from tests.crash.soap_call import Caller, Unanswered
from tests.e2e.console_script import is_alive, until
from tests.file_host import FileHost

SENDERS, OPENERS, READERS = 25, 3, 4
"""32 threads."""

CHATS = 6

STOP_SECONDS = 15.0
"""For an orderly stop: the slowest download here takes less than one, a busy machine the rest."""


class Driver:
    """One service, killed round after round."""

    def __init__(self, *, service: Service, host: FileHost, source: random.Random) -> None:
        self._service = service
        self._host = host
        self._downloads = Downloads(host=host)
        self._source = source
        self._caller = Caller(service.port)
        self._turns = self._in_turn()
        self._chat_ids: set[str] = set()
        """Of all rounds."""
        self._in_order = True
        """Nothing may be left over: no process died after the last start, which swept."""
        self.counts: Counter[str] = Counter()
        self.longest_try_seconds = 0.0
        self.start_seconds: list[float] = []
        """From the command to the first answer, with all clients at the door."""

    def choose(self) -> tuple[str, str]:
        """What the next round shall do, and at which moment."""
        return next(self._turns)

    def play(self, number: int, blow: str, moment: str, *, deep: bool) -> None:
        """One round. `deep` also asks SQLite whether the database is whole."""
        service, source = self._service, self._source
        ledger = Ledger()
        chat_ids = [f"round-{number}-{chat}" for chat in range(CHATS)]
        shared = Round(port=service.port, ledger=ledger, downloads=self._downloads, chat_ids=chat_ids)
        with _clients(shared, number, source) as writers:
            _progress(ledger, 1)
            time.sleep(source.uniform(0, 0.4))
            reached = await_moment(moment, service.data, most_seconds=2)
            ledger.count(f"{blow} {moment}" if reached else "moments that did not come")
            time.sleep(source.choice((0, 0, source.uniform(0, 0.005))))
            BLOWS[blow](self, ledger)
            _progress(ledger, 40)
            shared.enough.set()
            for writer in writers:
                _join(writer, 60)
            for chat_id in chat_ids:
                # Wakes those who read, in whatever process they wait.
                shared.send(self._caller, source, shared.text(chat_id, f"{LAST}{chat_id}"))
        until(lambda: len(service.workers) == service.workers_wanted, seconds=20, what="a worker is not replaced")
        ledger.check_messages(self._caller)
        ledger.count(f"rounds with {blow}")
        self.counts += ledger.counts
        self._chat_ids |= ledger.chat_ids
        self._check_disk(swept=self._in_order, integrity=deep)
        self.longest_try_seconds = max(self.longest_try_seconds, ledger.longest_try_seconds)
        self._host.requests.clear()

    def finish(self) -> None:
        """An orderly stop, a start, and a look at all that there is."""
        self._service.terminate()
        assert self._service.process.wait(STOP_SECONDS) == 0, self._service.said()
        self._start()
        self._check_disk(swept=True, integrity=True, hashes=True)
        said = self._service.log.read_text(errors="replace")
        assert "Traceback" not in said, said[said.index("Traceback") - 500 :][:3000]
        assert "are missing" not in said, "a start found rows without bytes"

    def close(self) -> None:
        """Nothing is left of it, however it went."""
        self._caller.close()
        self._service.close()

    def _check_disk(self, *, swept: bool, integrity: bool, hashes: bool = False) -> None:
        check_disk(
            self._service.data,
            chat_ids=self._chat_ids,
            messages=self.counts["acknowledged"],
            swept=swept,
            integrity=integrity,
            hashes=hashes,
        )

    def _start(self) -> None:
        began = time.monotonic()
        self._service.start()
        until(self._answers, seconds=30, what="it does not start again")
        self._in_order = True
        self.start_seconds.append(time.monotonic() - began)

    def _answers(self) -> bool:
        self._service.check_running()
        with contextlib.suppress(Unanswered):
            return self._caller.get("/healthz") != b""
        return False

    # -- the blows

    def _kill_parent(self, ledger: Ledger) -> None:
        workers = self._service.workers
        self._service.kill_parent()
        self._start()
        until(lambda: not any(is_alive(pid) for pid in workers), seconds=10, what="a worker outlives its parent")

    def _kill_all(self, ledger: Ledger) -> None:
        self._service.kill_group()
        self._start()

    def _kill_worker(self, ledger: Ledger) -> None:
        os.kill(self._source.choice(self._service.workers), signal.SIGKILL)
        self._in_order = False

    def _stop_worker(self, ledger: Ledger) -> None:
        worker = self._source.choice(self._service.workers)
        before = self._downloads.under_way()
        os.kill(worker, signal.SIGTERM)
        until(lambda: not is_alive(worker), seconds=STOP_SECONDS, what="a worker does not stop")
        self._check_answered(before, ledger)

    def _kill_twice(self, ledger: Ledger) -> None:
        self._service.kill_parent()
        self._service.start()
        time.sleep(self._source.uniform(0, 1.2))
        self._service.kill_parent()
        self._start()

    def _stop(self, ledger: Ledger) -> None:
        before = self._downloads.under_way()
        self._service.terminate()
        assert self._service.process.wait(STOP_SECONDS) == 0, self._service.said()
        self._check_answered(before, ledger)
        self._start()

    def _stop_and_kill(self, ledger: Ledger) -> None:
        self._service.terminate()
        time.sleep(self._source.uniform(0, 0.15))
        self._service.kill_group()
        self._start()

    def _check_answered(self, before: set[Attempt], ledger: Ledger) -> None:
        dropped = before & self._downloads.dropped
        assert not dropped, f"calls under way at SIGTERM got no answer: {dropped}"
        ledger.count("uploads under way at SIGTERM, all answered", len(before))

    def _in_turn(self) -> Iterator[tuple[str, str]]:
        """Every blow at every moment, by chance, but each blow once before any comes again."""
        while True:
            moments = {blow: self._source.sample(list(MOMENTS), len(MOMENTS)) for blow in BLOWS}
            for turn in range(len(MOMENTS)):
                for blow in self._source.sample(list(BLOWS), len(BLOWS)):
                    yield blow, moments[blow][turn]


BLOWS: dict[str, Callable[[Driver, Ledger], None]] = {
    "SIGKILL to the parent": Driver._kill_parent,
    "SIGKILL to all": Driver._kill_all,
    "SIGKILL to a worker": Driver._kill_worker,
    "SIGTERM to a worker": Driver._stop_worker,
    "SIGKILL, and again during the start,": Driver._kill_twice,
    "SIGTERM": Driver._stop,
    "SIGTERM, and SIGKILL during the stop,": Driver._stop_and_kill,
}


def _progress(ledger: Ledger, more: int) -> None:
    """Wait for so many more acknowledged messages."""
    wanted = ledger.counts["acknowledged"] + more

    def reached() -> bool:
        assert not ledger.problems, "\n".join(ledger.problems[:10])
        return ledger.counts["acknowledged"] >= wanted

    until(reached, seconds=60, what="nothing is acknowledged any more")


def _join(thread: threading.Thread, seconds: float) -> None:
    thread.join(seconds)
    assert not thread.is_alive(), f"{thread.name} does not come to an end"


@contextmanager
def _clients(shared: Round, number: int, source: random.Random) -> Iterator[list[threading.Thread]]:
    """All threads of a round; gives those that write, which end when it is enough. Readers end by the last message."""

    def run(work: Callable[[Round, Caller, random.Random, str], None], name: str, own: random.Random) -> None:
        caller = Caller(shared.port)
        try:
            work(shared, caller, own, name)
        except Abandoned:
            pass
        except BaseException as error:
            shared.ledger.problem(f"{name}: {type(error).__name__}: {error}")
        finally:
            caller.close()

    def made(work: Callable[[Round, Caller, random.Random, str], None], kind: str, many: int) -> list[threading.Thread]:
        names = [f"{kind}-{number}-{client}" for client in range(many)]
        return [
            threading.Thread(target=run, args=(work, name, random.Random(source.random())), name=name) for name in names
        ]

    writers = made(send_texts_and_files, "sender", SENDERS) + made(open_and_end_chats, "opener", OPENERS)
    readers = made(read_on, "reader", READERS)
    try:
        for thread in writers + readers:
            thread.start()
        yield writers
        for thread in readers:
            _join(thread, WAIT_SECONDS - 5)
    finally:
        shared.abandoned.set()
        shared.enough.set()
        for thread in writers + readers:
            thread.join(60)
    assert not shared.ledger.problems, "\n".join(shared.ledger.problems[:10])
