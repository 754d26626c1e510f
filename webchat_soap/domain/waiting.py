"""A read that waits for news: without a thread where its caller can be called back, sleeping where not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from webchat_soap.domain.chat import ChatStatus, MessagePage, ReadRequest
from webchat_soap.domain.ports import ChatStore
from webchat_soap.domain.rooms import Place


class Waiting:
    """The Outcome of a GetMessages that may wait.

    `take_place` gives a place to wait, or None where there is none, and for how many seconds; `read` gives the page.
    """

    is_long = True

    def __init__(
        self,
        *,
        chats: ChatStore,
        request: ReadRequest,
        take_place: Callable[[], tuple[Place | None, float]],
        read: Callable[[], MessagePage],
    ) -> None:
        self._chats = chats
        self._request = request
        self._take_place = take_place
        self._read = read
        self._place: Place | None = None
        self._give_up: Callable[[], object] | None = None
        self._has_waited = False

    def result(self) -> MessagePage:
        """Outcome.result."""
        page = self._read()
        if self._has_waited or page.messages or page.status is not ChatStatus.OPEN:
            return page
        place, seconds = self._take_place()
        with nullcontext() if place is None else place:
            self._chats.wait_for_news(self._request.chat_id, after_sequence=page.last_sequence, timeout_seconds=seconds)
        return self._read()

    def when_done(self, callback: Callable[[], object]) -> bool:
        """Outcome.when_done."""
        self._has_waited = True
        self._place, seconds = self._take_place()

        def have_waited() -> None:
            self._leave()
            callback()

        try:
            self._give_up = self._chats.call_back_on_news(
                self._request.chat_id,
                after_sequence=self._request.after_sequence,
                timeout_seconds=seconds,
                callback=have_waited,
            )
        except BaseException:
            self._leave()
            raise
        return True

    def give_up(self) -> None:
        """Outcome.give_up."""
        if self._give_up is not None:
            self._give_up()
        self._leave()

    def _leave(self) -> None:
        if self._place is not None:
            self._place.leave()
