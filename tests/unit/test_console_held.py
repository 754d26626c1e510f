"""The console's stream where a server holds a thread for each: iterated, bounded, and let go at the stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes import FakeChatStore
from tests.serving import wait_until
from webchat_soap.domain.agents import AgentSession
from webchat_soap.domain.errors import Busy
from webchat_soap.web import console_live
from webchat_soap.web.console_live import Live

SESSION = AgentSession(
    session_id="s",
    agent_id="a",
    agent_name="Ayşe",
    csrf_token="t",
    expires_at=datetime.now(UTC) + timedelta(hours=1),
)


def session_of(number: int) -> AgentSession:
    return AgentSession(
        session_id=f"s{number}",
        agent_id=f"a{number}",
        agent_name="x",
        csrf_token="t",
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )


@pytest.fixture
def store() -> Iterator[FakeChatStore]:
    opened = FakeChatStore()
    yield opened
    opened.close()


@pytest.fixture
def live(store: FakeChatStore) -> Iterator[Live]:
    made = Live(chats=store, prefix="", is_current=lambda session: True)
    yield made
    made.stop()
    wait_until(lambda: not any(thread.name == "console-feed" for thread in threading.enumerate()))


def open_stream(live: Live, session: AgentSession = SESSION):
    stream = live.subscribe(session, chat_id="c1", after=0, environ={})
    return stream, iter(stream)


def test_a_held_stream_gives_events_and_ends_with_the_stop(live: Live, store: FakeChatStore) -> None:
    store.start_chat(chat_id="c1", customer_name="<x>", token=None, account=None).result()
    stream, events = open_stream(live)
    assert next(events).startswith(b"event: hello\ndata: {")
    assert live.connected == 1
    live.stop()
    assert [event for event in events if b"bye" in event] == [b'event: bye\ndata: {"reason":"stopping"}\n\n']
    stream.close()
    with pytest.raises(Busy):
        open_stream(live)


def test_a_stream_that_its_server_closes_is_forgotten(live: Live) -> None:
    stream, events = open_stream(live)
    next(events)
    stream.close()
    stream.close()
    wait_until(lambda: live.connected == 0)


def test_so_many_threads_are_held_and_not_more(live: Live) -> None:
    streams = [open_stream(live, session_of(number))[0] for number in range(console_live.MAX_HELD_STREAMS)]
    with pytest.raises(Busy):
        live.subscribe(SESSION, chat_id=None, after=None, environ={})
    live.subscribe(SESSION, chat_id=None, after=None, environ={"webchat.exchange": None})
    for stream in streams:
        stream.close()
    open_stream(live)[0].close()


def test_the_feed_begins_anew_when_the_store_has_not_answered(live: Live, store: FakeChatStore) -> None:
    store.start_chat(chat_id="c1", customer_name=None, token=None, account=None).result()
    stream, events = open_stream(live)
    next(events)
    store.busy = True
    wait_until(lambda: live.is_waiting_for_store)
    store.busy = False
    assert any(b'"more":true' in event for event in events)
    stream.close()
