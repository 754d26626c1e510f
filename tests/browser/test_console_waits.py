"""What an agent sends waits for nothing but the connection and what was sent before it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.console_fake import FakeConsole
from tests.browser.console_files import Fault
from tests.browser.console_page import CHAT, PNG, attach, send

LONG_SECONDS = 60
"""A pause that no test outlasts: what goes out before has not waited for its end."""


def busy() -> Fault:
    return Fault(503, "Busy", "Try again later.", retryAfterSeconds=LONG_SECONDS)


def is_text(request) -> bool:
    return request.method == "POST" and request.path.endswith("/messages")


def is_stream(request) -> bool:
    return request.path.endswith("/events")


class Held:
    """Requests are held from when they are `met` until they are `let_go`."""

    def __init__(self) -> None:
        self.met = threading.Event()
        self.let_go = threading.Event()

    def hold(self) -> None:
        self.met.set()
        self.let_go.wait(20)


@pytest.fixture
def held(fake) -> Iterator[Held]:
    # After `fake`: its server ends only when nothing is held any more.
    held = Held()
    yield held
    held.let_go.set()


def failing(fake: FakeConsole, kind: Callable, held: Held, *, times: int) -> list[str]:
    """Cuts what is of the kind: the first `times` at once, the next one when it is let go, all others never. The list
    grows with each."""
    met: list[str] = []

    def before(request) -> None:
        if not kind(request) or len(met) > times:
            return
        met.append(request.path)
        if len(met) > times:
            held.hold()
        fake.cut(request)

    fake.before = before
    return met


def test_a_text_does_not_wait_for_the_next_try_of_one_that_the_stream_has_brought(
    fake, console: Page, until, tolerated
) -> None:
    until(console, lambda: fake.streams == 1)

    def answer_is_lost(request) -> None:
        if is_text(request):
            fake.before = lambda request: None
            fake._respond(request)
            raise busy()

    fake.before = answer_is_lost
    send(console, "First")
    console.locator("#messages").get_by_text("First").wait_for()
    send(console, "Second")
    console.locator("#messages").get_by_text("Second").wait_for()
    assert fake.texts(CHAT) == ["Merhaba", "First", "Second"]
    tolerated()


def test_a_text_does_not_wait_for_the_answer_to_one_that_the_stream_has_brought(
    fake, console: Page, until, held: Held
) -> None:
    until(console, lambda: fake.streams == 1)

    def answer_is_late(request) -> None:
        if is_text(request):
            fake.before = lambda request: None
            fake._respond(request)
            held.hold()

    fake.before = answer_is_late
    send(console, "First")
    console.locator("#messages").get_by_text("First").wait_for()
    send(console, "Second")
    console.locator("#messages").get_by_text("Second").wait_for()
    assert not held.let_go.is_set()
    held.let_go.set()
    until(console, "document.querySelectorAll('#pending > li').length === 0")
    assert fake.texts(CHAT) == ["Merhaba", "First", "Second"]
    assert console.locator("#messages > li").count() == 3


def test_a_file_that_the_stream_has_brought_waits_for_no_other_try(
    fake, console: Page, until, held: Held, tolerated
) -> None:
    until(console, lambda: fake.streams == 1)

    def answer_is_lost(request) -> None:
        if request.path.endswith("/post"):
            fake._respond(request)
            held.hold()
            raise busy()

    fake.before = answer_is_lost
    attach(console, ("photo.png", "image/png", PNG))
    console.locator(".chip.ready").wait_for()
    console.locator("#send").click()
    console.locator("#messages .thumb").wait_for()
    held.let_go.set()
    until(console, "document.querySelectorAll('.chip').length === 0")
    assert len(fake.chats[CHAT]["messages"]) == 2
    tolerated()


def test_files_that_were_taken_back_while_they_waited_hold_up_no_other(fake, console: Page, until, tolerated) -> None:
    def refuse(request) -> None:
        if request.method == "PUT":
            raise busy()

    fake.before = refuse
    attach(console, ("one.png", "image/png", PNG), ("two.png", "image/png", PNG))
    until(console, "document.querySelectorAll('.chip.waiting').length === 2")
    fake.before = lambda request: None
    for name in ("one.png", "two.png"):
        console.get_by_role("button", name=f"Remove {name}").click()
    attach(console, ("three.png", "image/png", PNG))
    console.locator(".chip.ready", has_text="three.png").wait_for()
    tolerated()


def test_files_that_wait_for_their_text_hold_up_no_other_chats(fake, console: Page, until, tolerated) -> None:
    fake.say("other", "Hello")

    def refuse(request) -> None:
        if is_text(request):
            raise busy()

    fake.before = refuse
    attach(console, ("one.png", "image/png", PNG), ("two.png", "image/png", PNG))
    send(console, "First the text")
    console.locator("#pending").get_by_text("Waiting").wait_for()
    console.locator("#chats").get_by_text("other").first.click()
    until(console, "location.hash === '#/chat/other'")
    attach(console, ("three.png", "image/png", PNG))
    console.locator(".chip.ready", has_text="three.png").wait_for()
    tolerated()


def test_a_try_that_set_out_too_early_is_followed_soon(fake, console: Page, until, held: Held, tolerated) -> None:
    met = failing(fake, is_text, held, times=3)
    send(console, "As soon as it can")
    until(console, lambda: len(met) == 3)
    console.get_by_role("button", name="Try now").click()
    assert held.met.wait(10)
    console.get_by_role("button", name="Try now").click()  # the fourth is on its way, and fails for the old reason
    held.let_go.set()
    # Grown on, the pause would now be 6 s at least.
    until(console, lambda: fake.texts(CHAT)[-1] == "As soon as it can", seconds=5)
    tolerated()


def test_a_stream_that_set_out_too_early_is_followed_soon(fake, console: Page, until, held: Held, tolerated) -> None:
    until(console, lambda: fake.streams == 1)
    met = failing(fake, is_stream, held, times=2)
    fake.bye = "stopping"
    until(console, lambda: len(met) == 2)
    console.evaluate("dispatchEvent(new Event('online'))")
    assert held.met.wait(10)
    console.evaluate("dispatchEvent(new Event('online'))")
    held.let_go.set()
    # As above.
    until(console, lambda: fake.streams == 1, seconds=5)
    console.locator("#banner:empty").wait_for(state="attached")
    tolerated()


def test_what_waits_goes_out_when_the_network_is_back_also_without_a_stream(
    fake, console: Page, until, tolerated
) -> None:
    def refuse(request) -> None:
        if is_text(request) or is_stream(request):
            raise busy()

    fake.before = refuse
    fake.bye = "stopping"
    send(console, "By the other way")
    console.locator("#pending").get_by_text("Waiting").wait_for()
    until(console, lambda: fake.streams == 0)
    fake.before = lambda request: refuse(request) if is_stream(request) else None
    console.evaluate("dispatchEvent(new Event('online'))")
    until(console, lambda: fake.texts(CHAT)[-1] == "By the other way")
    tolerated()


def test_a_session_that_ended_during_a_break_of_the_stream_is_told(fake, console: Page, until, tolerated) -> None:
    until(console, lambda: fake.streams == 1)
    # Any other call would tell it: the last of the page's start must be over.
    until(console, lambda: fake.chats[CHAT]["read"] == 1)
    console.wait_for_timeout(500)

    def signed_out(request) -> None:
        if "/api/" in request.path:
            raise Fault(401, "Unauthorized", "Sign in again.")

    fake.before = signed_out
    fake.bye = "stopping"
    console.locator("#session-dialog").wait_for()
    asked = len(fake.requests)
    console.wait_for_timeout(1500)  # longer than the first pause after a break
    assert fake.requests[asked:] == [], "without a session nothing is tried any more"
    tolerated()


def test_a_stream_that_never_came_up_is_told(fake, console: Page, tolerated) -> None:
    fake.before = lambda request: fake.cut(request) if is_stream(request) else None
    console.reload()
    console.get_by_text("Connection lost").wait_for()
    fake.before = lambda request: None
    console.locator("#banner:empty").wait_for(state="attached")
    tolerated()


def test_a_stream_that_is_refused_is_not_asked_for_without_a_pause(fake, console: Page, until, tolerated) -> None:
    until(console, lambda: fake.streams == 1)

    def refuse(request) -> None:
        if is_stream(request):
            raise busy()

    fake.before = refuse
    fake.bye = "stopping"
    console.get_by_text("Connection lost").wait_for()
    asked = len(fake.requests)
    console.wait_for_timeout(2000)
    streams = [path for _, path in fake.requests[asked:] if "/events" in path]
    assert len(streams) <= 2
    tolerated()
