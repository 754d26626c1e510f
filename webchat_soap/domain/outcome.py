"""What a use case comes to when it takes time, so that nobody need hold a thread while nothing is computed.

A message that is on its way to the disk, a file that is still to be fetched and a call that waits for news are all the
same to who asked: an Outcome, whose `result` gives what came of it. Who has threads to spare asks for the result at
once; a server that answers thousands of callers has itself called back instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NoReturn, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Outcome(Protocol[T_co]):
    """What comes of a use case. Its result is asked for once, by one thread."""

    def result(self) -> T_co:
        """Wait for it, or do what is still to be done, in this thread. Raises what the use case refuses with."""

    def when_done(self, callback: Callable[[], object]) -> bool:
        """Call back, once, from any thread and perhaps at once, when `result` will not wait any more.

        `callback` must neither wait nor raise. False, and it is never called, when nothing is under way: then `result`
        does the work and needs a thread for it. Raises, like `result`, what keeps it from being begun.
        """

    def give_up(self) -> None:
        """Whoever asked has gone: wait no more for what nobody hears. What has begun to be stored is stored. There is
        no callback afterwards, and no result is asked for."""

    @property
    def is_long(self) -> bool:
        """Whether it waits for others: the network, or a customer who types."""


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """An Outcome that is there."""

    value: T
    is_long = False

    def result(self) -> T:
        return self.value

    def when_done(self, callback: Callable[[], object]) -> bool:
        callback()
        return True

    def give_up(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Failed:
    """An Outcome that is there, and is an error."""

    error: Exception
    is_long = False

    def result(self) -> NoReturn:
        raise self.error

    def when_done(self, callback: Callable[[], object]) -> bool:
        callback()
        return True

    def give_up(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """An Outcome that is still to be worked for: nothing has begun before `result`."""

    work: Callable[[], T]
    is_long: bool

    def result(self) -> T:
        return self.work()

    def when_done(self, callback: Callable[[], object]) -> bool:
        return False

    def give_up(self) -> None:
        pass
