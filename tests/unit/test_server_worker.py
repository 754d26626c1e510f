"""What a worker looks at now and then: a thread that was started and never came to life ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.serving import wait_until
from webchat_soap.server.worker import _Watch


class Unborn(threading.Thread):
    """A thread of the system's that gets no further than its first moments, until it is let: there one without memory
    dies, and whoever started it cannot tell the two apart."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.may_live = threading.Event()
        self.starter = threading.Thread(target=self.start, daemon=True)
        self.starter.start()
        wait_until(lambda: self in threading.enumerate())
        assert not self.is_alive()

    def _bootstrap(self) -> None:
        self.may_live.wait(30)
        super()._bootstrap()  # type: ignore[misc]  # what the system's thread runs, before it is told to be alive

    def end(self) -> None:
        self.may_live.set()
        self.starter.join()
        self.join()


@pytest.fixture
def unborn() -> Iterator[Unborn]:
    thread = Unborn()
    yield thread
    thread.end()


def looks(watch: _Watch, times: int) -> list[bool]:
    return [watch.starts_threads() for _ in range(times)]


def test_a_thread_that_never_comes_to_life_is_noticed_after_some_looks(unborn: Unborn) -> None:
    watch = _Watch()
    assert looks(watch, watch.STUCK_LOOKS + 1) == [True] * (watch.STUCK_LOOKS - 1) + [False] * 2


def test_threads_that_come_to_life_late_one_after_another_are_not_taken_for_one(unborn: Unborn) -> None:
    watch = _Watch()
    assert all(looks(watch, watch.STUCK_LOOKS - 1))
    another = Unborn()
    try:
        unborn.end()
        assert all(looks(watch, watch.STUCK_LOOKS - 1))
    finally:
        another.end()
    assert all(looks(watch, watch.STUCK_LOOKS + 1))
