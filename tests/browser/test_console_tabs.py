"""Several tabs, broken streams and hurried fingers: nothing goes to the wrong chat, under the wrong name, or away."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page

from tests.browser.console_page import CHAT, PNG, attach, open_console, send


@pytest.fixture
def other_tab(fake, console: Page) -> Page:
    """The same chat in another tab of the same browser."""
    return open_console(console.context.new_page(), fake.base_url, CHAT)


def test_a_draft_is_the_same_in_all_tabs_and_goes_with_none_of_them(
    fake, console: Page, other_tab: Page, until
) -> None:
    console.bring_to_front()
    console.locator("#text").fill("A long thought")
    until(other_tab, "document.querySelector('#text').value === 'A long thought'")
    console.locator("#text").fill("A long thought, finished")
    console.close()  # before the draft is kept by time
    other_tab.bring_to_front()
    other_tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    other_tab.reload()
    until(other_tab, "document.querySelector('#text').value.startsWith('A long thought')")
    third = open_console(other_tab.context.new_page(), fake.base_url, CHAT)
    text = other_tab.locator("#text").input_value()
    send(other_tab, text)
    until(third, "document.querySelector('#text').value === ''")
    third.reload()
    third.locator("#messages").get_by_text(text).wait_for()
    assert third.locator("#text").input_value() == "", "what was sent is no draft any more"
    assert fake.texts(CHAT) == ["Merhaba", text]


def test_a_file_that_another_tab_sent_waits_here_no_longer(fake, console: Page, until) -> None:
    attach(console, ("photo.png", "image/png", PNG))
    console.locator(".chip.ready").wait_for()
    other = open_console(console.context.new_page(), fake.base_url, CHAT)
    other.locator(".chip.ready").wait_for()
    other.locator("#send").click()
    until(console, "document.querySelectorAll('.chip').length === 0")
    until(other, "document.querySelectorAll('.chip').length === 0")
    files = [file for message in fake.chats[CHAT]["messages"] for file in message["file"]]
    assert [file["sha256"] for file in files] == [hashlib.sha256(PNG).hexdigest()]


def test_nothing_is_sent_under_the_name_of_another_agent_who_has_signed_in(
    fake, console: Page, until, tolerated
) -> None:
    fake.csrf_token, fake.agent = "csrf-of-deniz", "Deniz"
    send(console, "In whose name?")
    console.locator("#session-dialog").wait_for()
    assert fake.texts(CHAT) == ["Merhaba"]
    tolerated()


def test_a_file_goes_up_after_the_agent_has_signed_in_anew_in_another_tab(
    fake, console: Page, until, tolerated
) -> None:
    fake.csrf_token = "csrf-of-the-next-session"
    attach(console, ("photo.png", "image/png", PNG))
    console.locator(".chip.ready").wait_for()
    console.locator("#send").click()
    until(console, lambda: any(message["file"] for message in fake.chats[CHAT]["messages"]))
    tolerated()


def test_a_chat_that_began_in_a_short_break_of_the_stream_is_in_the_list(fake, console: Page, until) -> None:
    until(console, lambda: fake.streams == 1)
    fake.bye = "stopping"
    until(console, lambda: fake.streams == 0)
    fake.chat("began-meanwhile", "Zehra Ak")
    fake.say("began-meanwhile", "Is anybody there?")
    console.locator("#chats").get_by_text("Zehra Ak").wait_for()
    assert console.locator("#banner").text_content() == "", "a break so short is not worth a word"


def test_a_stream_that_made_room_for_newer_ones_comes_back_when_the_page_is_used(fake, console: Page, until) -> None:
    until(console, lambda: fake.streams == 1)
    # Any call of the page counts as its use: the last of its start must be over.
    until(console, lambda: fake.chats[CHAT]["read"] == 1)
    console.wait_for_timeout(500)
    asked = len(fake.requests)
    fake.bye = "replaced"
    console.get_by_text("Connection lost").wait_for()
    console.wait_for_timeout(1500)  # longer than the first pause after a break
    assert not [path for _, path in fake.requests[asked:] if "/events" in path]
    console.get_by_role("button", name="Try now").click()
    until(console, lambda: fake.streams == 1)
    until(console, "document.querySelector('#banner').childElementCount === 0")


def test_streams_of_chats_that_were_left_quickly_are_closed(fake, console: Page, until) -> None:
    for number in range(3):
        fake.say(f"chat-{number}", "Hello")
    until(console, lambda: fake.streams == 1)
    hold = threading.Event()
    fake.before = lambda request: request.path.endswith("/events") and hold.wait(10)
    for number in range(3):
        asked = len(fake.requests)
        console.evaluate("number => { location.hash = number % 2 ? `#/chat/chat-${number}` : '#/' }", number)
        until(console, lambda asked=asked: any("/events" in path for _, path in fake.requests[asked:]))
    hold.set()
    until(console, lambda: fake.streams > 1)
    until(console, lambda: fake.streams == 1)


def test_enter_opens_the_first_of_what_is_searched_for_not_of_what_stood_there(fake, console: Page, until) -> None:
    for name in ("Zehra Ak", "Onur Tan"):
        fake.chat(name.split()[0].lower(), name)
        fake.say(name.split()[0].lower(), "Hello")
    console.locator("#chats").get_by_text("Onur Tan").wait_for()
    console.locator("#search").press_sequentially("zehra")
    console.locator("#search").press("Enter")
    until(console, "location.hash === '#/chat/zehra'")
    assert console.locator("#who").text_content() == "Zehra Ak"


def test_enter_waits_for_the_search_also_when_the_list_is_asked_for_again_meanwhile(fake, console: Page, until) -> None:
    for chat_id, name, minutes in (("zehra", "Zehra Ak", 2), ("onur", "Onur Tan", 1)):
        fake.chat(chat_id, name)
        fake.say(chat_id, "Hello", at=datetime.now(UTC) - timedelta(minutes=minutes))
    stream, first, again = threading.Event(), threading.Event(), threading.Event()
    searches: list[str] = []

    def hold(request) -> None:
        if request.path.endswith("/events"):
            stream.wait(10)
        if "q" in request.args:
            searches.append(request.args["q"])
            (first if len(searches) == 1 else again).wait(10)

    fake.before = hold
    console.reload(wait_until="commit")
    console.locator("#chats").get_by_text("Onur Tan").wait_for()
    console.locator("#search").fill("zehra")
    console.locator("#search").press("Enter")
    until(console, lambda: len(searches) == 1)
    asked = len(fake.requests)
    stream.set()  # its hello asks for messages and list anew, and the first answer is not taken any more
    until(console, lambda: any("/messages?after=" in path for _, path in fake.requests[asked:]))
    first.set()
    until(console, lambda: len(searches) == 2)
    console.wait_for_timeout(300)
    again.set()
    until(console, "location.hash === '#/chat/zehra'")


def test_what_a_search_found_is_not_shown_instead_of_the_news_afterwards(fake, console: Page, until) -> None:
    # Further down than the list's first page, so that only search and stream tell of it.
    fake.say("old", "The needle")
    for number in range(55):
        fake.say(f"chat-{number}", "Hello")
    fake.chats["old"]["read"] = 1
    console.reload()
    console.locator("#chats > li").first.wait_for()
    console.locator("#search").fill("needle")
    console.locator("#chats .match").wait_for()
    console.locator("#search").fill("")
    until(console, "document.querySelectorAll('#chats > li').length >= 50")
    fake.say("old", "Something new")
    console.locator("#chats").get_by_text("Something new").wait_for()


def test_a_link_that_was_cut_opens_the_list(fake, console: Page, complaints) -> None:
    page = console.context.new_page()
    page.goto(f"{fake.base_url}/agent/#/chat/%")
    page.locator("#chats").get_by_text("Mehmet Öz").wait_for()


def test_a_chat_that_is_not_there_takes_no_answer(fake, console: Page, tolerated) -> None:
    console.goto(f"{fake.base_url}/agent/#/chat/nobody")
    console.locator("#older").get_by_role("alert").wait_for()
    for name in ("#composer", "#end-button", "#transcript-button"):
        assert console.locator(name).is_hidden()
    console.locator("#chats a").first.click()
    console.locator("#composer").wait_for()
    tolerated()


def test_messages_say_the_customers_name_also_where_they_come_first(fake, console: Page, until) -> None:
    hold = threading.Event()
    summaries = ("/api/chats", f"/api/chats/{CHAT}")
    fake.before = lambda request: request.path.endswith(summaries) and hold.wait(10)
    asked = len(fake.requests)
    console.reload()
    until(console, lambda: any("/messages" in path for _, path in fake.requests[asked:]))
    console.wait_for_timeout(300)  # the messages are there by now
    hold.set()
    console.locator("#messages > li").first.wait_for()
    assert console.locator("#messages .line-who").all_text_contents() == ["Mehmet Öz"]


def test_where_unread_messages_begin_is_marked_also_far_above(fake, console: Page, until) -> None:
    fake.fill("long", 200)
    fake.chats["long"]["read"] = 90
    open_console(console, fake.base_url, "long")
    console.locator("#log").hover()
    for _ in range(60):
        if console.locator(".unread-begins").count():
            break
        console.mouse.wheel(0, -1500)
        console.wait_for_timeout(30)
    (marked,) = console.locator("li:has(.unread-begins)").all()
    assert marked.get_attribute("data-sequence") == "91"


def test_single_keys_lead_from_chat_to_chat_and_write_nothing(fake, console: Page, until) -> None:
    for number in range(3):
        fake.say(f"chat-{number}", "Hello")
    until(console, "document.querySelectorAll('#chats > li').length === 4")
    console.locator("#log").focus()
    seen = set()
    for key in "kkkjjj":
        console.keyboard.press(key)
        seen.add(console.evaluate("location.hash"))
        assert console.locator("#text").input_value() == ""
    assert len(seen) == 4
    console.keyboard.press("c")
    assert console.evaluate("document.activeElement.id") == "text"
    console.keyboard.press("Alt+ArrowUp")
    assert console.evaluate("document.activeElement.id") == "text", "who writes goes on writing"


def test_the_way_to_the_newest_message_covers_no_attached_file(fake, console: Page, until) -> None:
    fake.fill(CHAT, 80)
    console.reload()
    until(console, "document.querySelectorAll('#messages > li').length >= 50")
    console.locator("#log").hover()
    console.mouse.wheel(0, -1000)
    console.locator("#to-newest").wait_for()
    attach(console, *((f"photo {number}.png", "image/png", PNG) for number in range(6)))
    until(console, "document.querySelectorAll('.chip.ready').length === 6")
    button, composer = (console.locator(name).bounding_box() for name in ("#to-newest", "#composer"))
    assert button["y"] + button["height"] <= composer["y"]


def test_times_are_as_the_agents_region_writes_them(fake, open_context) -> None:
    pages = [
        open_console(open_context(locale=locale, timezone_id="UTC").new_page(), fake.base_url, CHAT)
        for locale in ("en-GB", "en-US")
    ]
    british, american = (page.locator("#messages time[data-as]").get_attribute("title") for page in pages)
    assert not british.endswith("M")
    assert american.endswith("M")
