"""The console reads well: no violation that axe-core finds, in both themes, wide and narrow; long chats stay small."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.console_fake import FakeConsole
from tests.browser.console_page import CHAT, PNG, attach, needs_axe, open_console, send, violations

WIDTHS = [pytest.param(1280, id="wide"), pytest.param(390, id="narrow")]
LONG = 10_000


@pytest.fixture(scope="module")
def console(serve) -> Iterator[tuple[FakeConsole, str]]:
    """Chats to look at; nothing here changes them."""
    fake = FakeConsole()
    fake.chat("empty", "Nobody Yet")
    for file in ("picture.png", "tone.mp3", "clip.mp4", "page.pdf"):
        fake.say("full", f"Here: https://example.org/{file} (see there).", files=(fake.sample(file),))
    fake.chat("full", "Mehmet Öz")
    fake.say("full", "Thanks,\nI have them.", agent=fake.agent)
    fake.say("full", "שלום, מה שלומך?")
    fake.say("over", "Bye", agent="Deniz")
    fake.end("over", "Deniz")
    fake.fill("long", LONG)
    fake.fill("5000", LONG // 2)
    with serve(fake.app) as base_url:
        yield fake, base_url
        fake.stop()


def violations_of_dialogs(page: Page) -> dict[str, list[str]]:
    found = {}
    for name, opener, dialog in (
        ("picture", lambda: page.locator(".thumb").click(), "#viewer"),
        ("end", lambda: page.locator("#end-button").click(), "#end-dialog"),
        ("keys", lambda: page.keyboard.press("Alt+h"), "#keys-dialog"),
    ):
        opener()
        page.locator(f"{dialog}[open]").wait_for()
        found[name] = violations(page)
        page.keyboard.press("Escape")
        page.locator(f"{dialog}:not([open])").wait_for(state="attached")
    return found


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(console, open_context: Callable, until, width: int, scheme: str) -> None:
    _, base_url = console
    page = open_context(viewport={"width": width, "height": 800}, color_scheme=scheme).new_page()
    found: dict[str, list[str]] = {}
    open_console(page, base_url)
    found["list"] = violations(page)
    for chat_id in ("empty", "over", "full"):
        open_console(page, base_url, chat_id)
        until(page, "document.querySelector('#about').textContent.includes('file')")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        found[chat_id] = violations(page)
    attach(page, ("a.png", "image/png", PNG), ("too large.png", "image/png", bytes(1024 * 1024 + 1)))
    page.locator(".chip.ready").wait_for()
    page.locator(".chip.refused").wait_for()
    found["chips"] = violations(page)
    while page.locator(".chip").count() > 0:
        page.get_by_role("button", name="Remove").first.click()
    if width > 1000:
        found |= violations_of_dialogs(page)
    page.locator("#transcript-button").click()
    found["menu"] = violations(page)
    assert {name: all_found for name, all_found in found.items() if all_found} == {}


def shown(page: Page) -> tuple[int, int, int]:
    """First and last sequence that are elements, and how many."""
    first, last, count = page.evaluate(
        """(all => [+all[0].dataset.sequence, +all.at(-1).dataset.sequence, all.length])(
            [...document.querySelectorAll('#messages > li')])"""
    )
    return first, last, count


def test_a_long_chat_is_there_at_once(console, open_context: Callable) -> None:
    _, base_url = console
    page = open_context(viewport={"width": 1280, "height": 800}).new_page()
    open_console(page, base_url)
    began = time.monotonic()
    page.locator("a.row", has_text="Message 10").click()
    page.get_by_text(f"Message {LONG} ", exact=False).last.wait_for()
    assert time.monotonic() - began < 1
    assert page.evaluate("document.querySelector('#log').scrollTop") > 0


def test_older_messages_come_in_and_what_is_read_stays_where_it_is(console, open_context: Callable, until) -> None:
    _, base_url = console
    page = open_context(viewport={"width": 1280, "height": 800}).new_page()
    open_console(page, base_url, "long")
    until(page, "document.querySelectorAll('#messages > li').length >= 50")
    first = shown(page)[0]
    while first > LONG - 700:
        # The frame in which the scrolling is done is the one that the reader sees: from there on nothing may move.
        moved = page.evaluate(
            """async () => {
                const log = document.querySelector('#log');
                const frame = () => new Promise(done => requestAnimationFrame(done));
                const first = () => document.querySelector('#messages > li').dataset.sequence;
                const before = first();
                log.scrollTop = 150;
                const read = [...document.querySelectorAll('#messages > li')]
                    .find(each => each.getBoundingClientRect().top > log.getBoundingClientRect().top);
                const text = read.querySelector('.bubble');
                const sequence = read.dataset.sequence, top = text.getBoundingClientRect().top;
                for (let turns = 0; first() === before && turns < 600; turns += 1) await frame();
                const now = document.querySelector(`[data-sequence="${sequence}"] .bubble`);
                return Math.abs(now.getBoundingClientRect().top - top);
            }"""
        )
        assert moved < 2
        now, last, count = shown(page)
        assert now < first
        assert last - now + 1 == count <= 300
        first = now
    page.get_by_role("button", name="Newest messages").click()
    page.get_by_text(f"Message {LONG} ", exact=False).last.wait_for()
    assert shown(page)[1] == LONG
    assert shown(page)[2] <= 300


def test_going_down_again_shows_every_message_once(console, open_context: Callable, until) -> None:
    _, base_url = console
    page = open_context(viewport={"width": 1280, "height": 800}).new_page()
    open_console(page, base_url, "long")
    log = page.locator("#log")
    for _ in range(12):
        before = shown(page)[0]
        log.evaluate("log => { log.scrollTop = 0 }")
        until(page, lambda before=before: shown(page)[0] < before)
    assert shown(page)[1] < LONG
    for _ in range(40):
        if shown(page)[1] == LONG:
            break
        before = shown(page)[1]
        log.evaluate("log => { log.scrollTop = log.scrollHeight }")
        until(page, lambda before=before: shown(page)[1] > before)
    sequences = page.evaluate("[...document.querySelectorAll('#messages > li')].map(each => +each.dataset.sequence)")
    assert sequences == list(range(sequences[0], LONG + 1))


def test_a_chat_of_five_thousand_messages_read_to_its_beginning_stays_small(
    console, open_context: Callable, until
) -> None:
    _, base_url = console
    page = open_context(viewport={"width": 1280, "height": 800}).new_page()
    open_console(page, base_url, "5000")
    # Held at the top, as by somebody who keeps pulling the scroll bar up.
    page.evaluate("() => { const log = document.querySelector('#log'); setInterval(() => { log.scrollTop = 0 }, 5) }")
    until(page, "document.querySelector('#messages > li').dataset.sequence === '1'", seconds=60)
    assert page.locator("#older").text_content() == "The chat begins here."
    assert shown(page)[2] <= 300
    debugger = page.context.new_cdp_session(page)
    debugger.send("HeapProfiler.collectGarbage")
    used = debugger.send("Runtime.getHeapUsage")["usedSize"]
    assert used < 40 * 1024 * 1024


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_menu_document_banner_and_session_dialog(
    fake, open_context: Callable, tolerated: Callable[[], None], scheme: str
) -> None:
    fake.say(CHAT, files=(fake.sample("page.pdf"),))
    page = open_context(viewport={"width": 1280, "height": 800}, color_scheme=scheme).new_page()
    open_console(page, fake.base_url, CHAT)
    found = {}
    page.locator("#menu-button").click()
    found["menu"] = violations(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Open page.pdf beside the chat").click()
    page.locator("#panel iframe").wait_for()
    found["document"] = violations(page)
    page.get_by_role("button", name="Close the document").click()
    page.context.set_offline(True)
    send(page, "Into the dark")
    page.get_by_text("Connection lost").wait_for()
    found["banner"] = violations(page)
    page.context.set_offline(False)
    page.locator("#messages").get_by_text("Into the dark").wait_for()
    fake.signed_in = False
    send(page, "Who am I?")
    page.locator("#session-dialog").wait_for()
    found["session"] = violations(page)
    assert {name: all_found for name, all_found in found.items() if all_found} == {}
    tolerated()
