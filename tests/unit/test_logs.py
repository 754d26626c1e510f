"""Log lines: how they look, and that none is lost but by a kill."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from webchat_soap.logs import GatheringHandler
from webchat_soap.soap.endpoint import _RequestRecord

CALL = {"fields": {}}


class Stream:
    """Remembers what was written, and by how many writes."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.broken = False

    def write(self, text: str) -> int:
        if self.broken:
            raise OSError("nobody reads")
        self.writes.append(text)
        return len(text)

    def flush(self) -> None:
        pass


def wait_until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.002)


def make_logger(stream: Stream) -> logging.Logger:
    logger = logging.Logger("test")
    logger.addHandler(GatheringHandler(stream))  # type: ignore[arg-type]  # as much of a stream as it needs
    return logger


def test_lines_of_many_calls_are_written_together_and_in_order() -> None:
    stream = Stream()
    logger = make_logger(stream)
    for number in range(1000):
        logger.info("%d", number, extra=CALL)
    wait_until(lambda: "".join(stream.writes).count("\n") == 1000)
    assert "".join(stream.writes).split() == [str(number) for number in range(1000)]
    assert len(stream.writes) < 100


def test_a_warning_is_written_at_once_behind_what_came_before() -> None:
    stream = Stream()
    logger = make_logger(stream)
    logger.info("first", extra=CALL)
    logger.warning("second")
    logger.info("third")
    assert "".join(stream.writes) == "first\nsecond\nthird\n"


def test_a_stream_that_nobody_reads_harms_nobody() -> None:
    stream = Stream()
    logger = make_logger(stream)
    stream.broken = True
    logger.warning("lost")
    stream.broken = False
    logger.warning("seen")
    assert stream.writes == ["seen\n"]


def test_who_does_not_read_holds_nobody_up_and_learns_what_was_lost() -> None:
    reading, writing = os.pipe()
    lines: list[str] = []
    with os.fdopen(reading) as reader:
        with os.fdopen(writing, "w") as stream:
            handler = GatheringHandler(stream)
            logger = logging.getLogger("test-unread")
            logger.propagate = False
            logger.setLevel(logging.INFO)
            logger.addHandler(handler)
            began = time.monotonic()
            for number in range(30_000):
                logger.info("%s", "x" * 100, extra=CALL)
                if number % 3_000 == 0:
                    logger.warning("urgent")
            assert time.monotonic() - began < 10
            logger.removeHandler(handler)
            thread = threading.Thread(target=lambda: lines.extend(reader))
            thread.start()
            wait_until(lambda: any("lines of the log are lost" in line for line in lines) and not handler._lines)
            handler.flush()
        thread.join()
    assert sum("urgent" in line for line in lines) == 10


def test_what_was_gathered_is_written_when_the_process_ends_and_once_after_a_fork() -> None:
    code = """
import logging, os
from webchat_soap.logs import set_up_logging
set_up_logging("json")
log = logging.getLogger("webchat_soap")
log.info("parent")
pid = os.fork()
log.info("call", extra={"fields": {"message": "child" if pid == 0 else "both"}})
if pid:
    os.waitpid(pid, 0)
"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0
    assert sorted(json.loads(line)["message"] for line in run.stderr.splitlines()) == ["both", "child", "parent"]


def test_a_record_of_a_call_has_all_that_any_formatter_asks_for() -> None:
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(process)s %(thread)s %(lineno)s %(message)s")
    line = formatter.format(_RequestRecord("EndChat", {"status": 200}))
    assert line.endswith("EndChat")
    assert "INFO webchat_soap.request" in line
