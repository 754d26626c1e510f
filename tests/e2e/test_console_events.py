"""The console's live events over real sockets: what comes, how fast, what is bounded, and how streams end."""

from __future__ import annotations

import random
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.console_client import Desk, Events, console
from tests.e2e.processes import resident_kib, wait_until
from webchat_soap.app import agent_commands
from webchat_soap.settings import load_settings
from webchat_soap.web.console_live import MAX_STREAMS_OF_AGENT


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with console(tmp_path_factory.mktemp("events")) as running:
        yield running


def threads_of(desk: Desk) -> int:
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in desk.service.workers())


def resident_of(desk: Desk) -> int:
    return sum(resident_kib(pid) for pid in desk.service.workers())


def test_a_message_comes_with_the_chat_that_is_looked_at_and_with_the_list(desk: Desk) -> None:
    desk.send("live-1", "before")
    with desk.events("?chat=live-1&after=0") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        assert set(events.until("hello")["counts"]) == {"open", "unread"}
        caught_up = events.until("messages")
        assert [message["text"] for message in caught_up["message"]] == ["before"]
        began = time.monotonic()
        desk.send("live-1", "now")
        told = events.until("messages")
        assert time.monotonic() - began < 2
        assert [message["text"] for message in told["message"]] == ["now"]
        assert (told["CHATID"], told["status"], told["lastSequence"]) == ("live-1", "OPEN", 2)
        (summary,) = events.until("chats")["chat"]
        assert (summary["CHATID"], summary["unread"], summary["lastMessage"]["text"]) == ("live-1", 2, "now")


def test_all_that_a_list_shows_is_told_to_who_looks_at_no_chat(desk: Desk) -> None:
    with desk.events() as events:
        before = events.until("hello")["counts"]
        desk.soap("StartChat", "<CHATID>live-2</CHATID>")
        told = events.until("chats")
        assert told["chat"][0]["CHATID"] == "live-2"
        assert told["counts"]["open"] == before["open"] + 1
        desk.soap("StartChat", "<CHATID>live-2</CHATID><customerName>Ayşe</customerName>")
        assert events.until("chats")["chat"][0]["customerName"] == "Ayşe"
        desk.send("live-2")
        assert events.until("chats")["counts"]["unread"] == before["unread"] + 1
        desk.api("POST", "chats/live-2/read", json={"sequence": 1})
        told = events.until("chats")
        assert told["chat"][0]["unread"] == 0
        assert told["counts"]["unread"] == before["unread"]
        desk.api("POST", "chats/live-2/end", json={})
        told = events.until("chats")
        assert told["chat"][0]["status"] == "ENDED"
        assert told["counts"] == before


def test_two_agents_see_each_others_messages_and_the_end(desk: Desk) -> None:
    desk.send("live-3")
    other = desk.beside("Mehmet")
    with desk.events("?chat=live-3&after=1") as events:
        events.until("hello")
        other.post("live-3", "from me", "tok")
        (message,) = events.until("messages")["message"]
        assert (message["agentName"], message["clientToken"], message["text"]) == ("Mehmet", "tok", "from me")
        other.api("POST", "chats/live-3/end", json={})
        told = events.until("messages")
        assert (told["status"], told["message"]) == ("ENDED", [])


def test_without_a_place_to_begin_at_only_new_messages_come(desk: Desk) -> None:
    desk.send("live-4", "old")
    with desk.events("?chat=live-4") as events:
        events.until("hello")
        wait_until(lambda: desk.get("session"))
        desk.send("live-4", "new")
        assert [message["text"] for message in events.until("messages")["message"]] == ["new"]


def test_a_long_way_back_comes_in_several_events_without_gaps(desk: Desk) -> None:
    for number in range(1, 251):
        desk.send("live-5", f"{number} " + "x" * (2000 if number % 2 else 1))
    seen: list[int] = []
    with desk.events("?chat=live-5&after=3") as events:
        count = 0
        while len(seen) < 247:
            told = events.until("messages")
            seen += [message["sequence"] for message in told["message"]]
            count += 1
    assert seen == list(range(4, 251))
    assert count > 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stream_that_is_cut_at_random_loses_and_doubles_nothing(tmp_path: Path, workers: int) -> None:
    chance = random.Random(5)
    with console(tmp_path, workers=workers) as desk:
        desk.send("c1", "0")

        def write() -> None:
            for number in range(1, 501):
                desk.beside("w").send("c1", str(number)) if number % 50 == 0 else desk.send("c1", str(number))

        writer = threading.Thread(target=write)
        writer.start()
        seen: list[str] = []
        last_id: int | None = None
        cuts = 0
        while len(seen) < 501:
            with desk.events("?chat=c1&after=0", last_id) as events:
                left = chance.randrange(1, 25)
                for name, data, event_id in events:
                    if name == "messages":
                        seen += [message["text"] for message in data["message"]]
                        last_id = event_id
                        left -= 1
                    if left == 0 or len(seen) >= 501:
                        break
            cuts += 1
        writer.join()
        assert seen == [str(number) for number in range(501)]
        assert cuts > 3


def test_what_one_process_stores_the_consoles_of_another_see(tmp_path: Path) -> None:
    with console(tmp_path, workers=2) as desk:
        desk.send("c1")
        with_events = [desk.events("?chat=c1&after=1") for _ in range(6)]
        try:
            for events in with_events:
                events.until("hello")
            for number in range(2, 8):
                began = time.monotonic()
                desk.beside("Ayse").send("c1", f"m{number}")  # a connection of its own: either process may get it
                for events in with_events:
                    told = events.until("messages")
                    assert [message["sequence"] for message in told["message"]] == [number]
                assert time.monotonic() - began < 2
            for events in with_events:
                (summary,) = events.until("chats")["chat"]
                assert summary["CHATID"] == "c1"
        finally:
            for events in with_events:
                events.close()


def test_two_hundred_streams_hold_no_thread_and_little_memory(tmp_path: Path) -> None:
    with console(tmp_path) as desk:
        for number in range(4):
            desk.send(f"c{number}")
        desk.get("chats")
        with desk.events() as first:
            first.until("hello")
            threads, memory = threads_of(desk), resident_of(desk)
            streams = [desk.beside(f"A{number // 20}").events(f"?chat=c{number % 4}") for number in range(200)]
            for events in streams:
                events.until("hello")
            assert threads_of(desk) <= threads + 3
            for _ in range(5):
                desk.send("c1", "x" * 1000)
            for events in streams[1::4]:
                events.until("messages")
            # A sixteenth part of a mebibyte each, the engine's buffers counted.
            assert resident_of(desk) - memory < 200 * 64
            began = time.monotonic()
            desk.send("c2", "now")
            for events in streams[2::4]:
                assert events.until("messages")["message"][-1]["text"] == "now"
            assert time.monotonic() - began < 2
            for events in streams:
                events.close()
        wait_until(lambda: threads_of(desk) <= threads, what="the end of the feed")


def test_a_reader_that_does_not_read_is_bounded_and_the_others_are_served(tmp_path: Path) -> None:
    with console(tmp_path) as desk:
        desk.send("c1")
        stalled = Events(desk, "?chat=c1&after=0", receive_bytes=4096)
        with desk.events("?chat=c1&after=1") as reading:
            reading.until("hello")
            memory = resident_of(desk)
            last = 0
            for number in range(2, 602):
                desk.send("c1", "x" * 4000)
                if number % 50 == 0:
                    while last < number:
                        last = reading.until("messages")["message"][-1]["sequence"]
            assert resident_of(desk) - memory < 12 * 1024
            # What it has missed comes when it reads again.
            seen = []
            while len(seen) < 601:
                seen += [message["sequence"] for message in stalled.until("messages", 60)["message"]]
            assert seen == list(range(1, 602))
        stalled.close()


def test_a_stream_ends_with_its_session(desk: Desk) -> None:
    leaving = desk.beside("Leaving")
    with leaving.events() as events, desk.events() as staying:
        events.until("hello")
        staying.until("hello")
        leaving.sign_out()
        began = time.monotonic()
        assert events.until("bye", 20) == {"reason": "session"}
        assert time.monotonic() - began < 15
        assert list(events) == []
        desk.send("live-6")
        staying.until("chats")
    assert leaving.api("GET", "events").status_code == 401


def test_the_oldest_stream_of_an_agent_makes_way(desk: Desk) -> None:
    agent = desk.beside("Many")
    streams = [agent.events() for _ in range(MAX_STREAMS_OF_AGENT)]
    for events in streams:
        events.until("hello")
    with agent.events() as newest:
        newest.until("hello")
        assert streams[0].until("bye") == {"reason": "replaced"}
        desk.send("live-7")
        streams[1].until("chats")
    for events in streams:
        events.close()


def test_a_stop_says_goodbye_at_once(tmp_path: Path) -> None:
    with console(tmp_path) as desk:
        desk.send("c1")
        streams = [desk.beside(f"A{number}").events("?chat=c1") for number in range(30)]
        for events in streams:
            events.until("hello")
        stalled = Events(desk, "", receive_bytes=4096)
        began = time.monotonic()
        desk.service.process.send_signal(signal.SIGTERM)
        for events in streams:
            assert events.until("bye") == {"reason": "stopping"}
            assert list(events) == []
        assert desk.service.process.wait(20) == 0
        assert time.monotonic() - began < 5
        stalled.close()
        for events in streams:
            events.close()


def test_head_of_events_ends_at_once(desk: Desk) -> None:
    answer = desk.api("HEAD", "events")
    assert answer.status_code == 200


def test_who_signs_in_at_the_real_door_gets_the_console_and_loses_it_with_the_session(tmp_path: Path) -> None:
    environ = {"WEBCHAT_DATA_DIR": str(tmp_path), "WEBCHAT_BIND": "127.0.0.1:8000"}
    with agent_commands(load_settings(environ=environ, toml_path=None), makes_database=True) as commands:
        assert commands is not None
        commands.add("Ayşe", "four words are long enough")
    with console(tmp_path, factory="tests.console_gate:make_real_app") as desk:
        desk.send("c1")
        desk.http.cookies.clear()
        form = desk.http.get(f"{desk.url}/agent/sign-in", timeout=10).text
        csrf = re.search(r'name="csrf" value="([^"]+)"', form)
        assert csrf is not None
        given = {"csrf": csrf[1], "name": "Ayşe", "password": "four words are long enough"}
        page = desk.http.post(f"{desk.url}/agent/sign-in", data=given, timeout=30)
        assert page.status_code == 200
        assert page.url.endswith("/agent/")
        session = desk.get("session")
        assert session["agent"] == {"name": "Ayşe"}
        assert desk.post("c1", "x", "t").status_code == 403
        desk.http.headers["X-CSRF-Token"] = session["csrfToken"]
        assert desk.post("c1", "x", "t").status_code == 201
        assert desk.get("chats/c1")["chat"]["agentName"] == "Ayşe"
        desk.agent = desk.http.cookies["webchat_agent"]
        with desk.events("?chat=c1&after=0") as events:
            assert [message["sequence"] for message in events.until("messages")["message"]] == [1, 2]
            out = {"csrf": session["csrfToken"]}
            desk.http.post(f"{desk.url}/agent/sign-out-everywhere", data=out, timeout=10)
            assert events.until("bye", 20) == {"reason": "session"}
        assert desk.refused("GET", "chats")[0] == 401
