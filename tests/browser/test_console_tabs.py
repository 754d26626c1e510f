"""Several tabs, broken streams and hurried fingers: nothing goes to the wrong chat, under the wrong name, or away."""

from __future__ import annotations

import hashlib
import threading

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
