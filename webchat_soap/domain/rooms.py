"""Rooms for long work, so that it never starves short work, nor one caller or file host the others.

A room has so many places. Whoever finds none is told at once: nobody waits for a place. Each place is held in the names
of the parties it serves (a chat, an account, a file host), and a party may hold at most four times as many as it leaves
free; a first one it gets while there is any. So one party alone gets four fifths of a room (51 places of 64), a second
one four fifths of what that leaves, and somebody new finds a place even beside several that never give theirs back. A
fixed share would either hinder the house that has one file host, or let two slow ones fill the room.
"""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType

from webchat_soap.domain.chat import Caller

FREE_TIMES = 4
"""With 2 one party alone would get two thirds of a room, with 8 it would leave the others 8 places of 64."""


class Room:
    """All methods may be called from many threads at once; none waits."""

    def __init__(self, places: int) -> None:
        """With 0 places nobody gets in."""
        self._free = places
        self._held: Counter[str] = Counter()
        self._mutex = threading.Lock()

    @property
    def free(self) -> int:
        """Places that nobody holds now."""
        return self._free

    def enter(self, *parties: str) -> Place | None:
        """A place held in these names until it is left; None where there is none for one of them."""
        with self._mutex:
            if not self._has_place_for(parties):
                return None
            self._free -= 1
            self._held.update(parties)
        return Place(self, parties)

    def has_place(self, *parties: str) -> bool:
        """Whether `enter` would have given one just now."""
        with self._mutex:
            return self._has_place_for(parties)

    def _has_place_for(self, parties: tuple[str, ...]) -> bool:
        return self._free > 0 and all(self._may_hold_another(party, self._free) for party in parties)

    def _may_hold_another(self, party: str, free: int) -> bool:
        held = self._held[party]
        return held == 0 or held < FREE_TIMES * (free - 1)

    def _move(self, left: str, entered: str) -> bool:
        with self._mutex:
            # The place itself counts as free: it is asked for anew.
            if not self._may_hold_another(entered, self._free + 1):
                return False
            self._let_go((left,))
            self._held[entered] += 1
            return True

    def _leave(self, parties: tuple[str, ...]) -> None:
        with self._mutex:
            self._free += 1
            self._let_go(parties)

    def _let_go(self, parties: tuple[str, ...]) -> None:
        for party in parties:
            self._held[party] -= 1
            if not self._held[party]:
                del self._held[party]


class Place:
    """A place in a room; leaving the context gives it back. Used by one thread at a time."""

    def __init__(self, room: Room, parties: tuple[str, ...]) -> None:
        self._room = room
        self._parties = parties
        self._left = False

    def move(self, left: str, entered: str) -> bool:
        """Go on in the name of another party (a redirect leads to another host); False where it has no place more."""
        if left == entered:
            return True
        if not self._room._move(left, entered):
            return False
        self._parties = tuple(entered if party == left else party for party in self._parties)
        return True

    def leave(self) -> None:
        """Idempotent."""
        if not self._left:
            self._left = True
            self._room._leave(self._parties)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


def parties_of(caller: Caller, chat_id: str) -> tuple[str, ...]:
    """In whose names a call takes a place: its chat, and its account where there is one.

    Not the peer's address: behind a proxy all calls come from one, and X-Forwarded headers are not believed.
    """
    chat = f"chat {chat_id}"
    return (chat,) if caller.account is None else (chat, f"account {caller.account}")
