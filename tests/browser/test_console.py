"""The agent console's page shows what an agent needs, as it happens, and can be used by everybody."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.console_page import CHAT, attach, open_console

# -- the list


def test_unread_chats_stand_first_and_the_title_counts_them(fake, console: Page, until) -> None:
    fake.chat("web-1", "Elif Kaya")
    fake.say("web-1", "Is anybody there?")
    row = console.locator("#chats > li").first
    row.get_by_text("Elif Kaya").wait_for()
    assert "1 unread message" in row.text_content()
    until(console, "document.title.startsWith('(1) Mehmet Öz')")
    row.locator("a").click()
    until(console, "document.title.startsWith('Elif Kaya')")
    until(console, lambda: fake.chats["web-1"]["read"] == 1)


def test_a_search_finds_names_ids_and_texts_and_asks_once(fake, console: Page, until) -> None:
    fake.say("web-1", "My parcel is broken")
    fake.chat("web-2", "Zeynep")
    search = console.get_by_role("searchbox", name="Search chats")
    search.press_sequentially("parcel", delay=10)
    until(console, "document.querySelectorAll('#chats > li').length === 1")
    assert "My parcel is broken" in console.locator("#chats").text_content()
    assert sum("q=" in path for _, path in fake.requests) == 1
    search.fill("zeyn")
    console.locator("#chats").get_by_text("Zeynep").wait_for()
    search.fill("nothing like it")
    console.get_by_text("No chat matches.").wait_for()


def test_ended_chats_are_behind_the_filter(fake, console: Page) -> None:
    fake.say("over", "Bye")
    fake.end("over", "Deniz Acar")
    console.get_by_role("button", name="Ended").click()
    console.locator("#chats").get_by_text("over").click()
    console.get_by_text("Ended by Deniz Acar").wait_for()
    assert console.locator("#composer").is_hidden()
    assert console.locator("#end-button").is_hidden()


def test_a_chat_that_comes_while_the_list_is_loaded_stays_in_it(fake, console: Page, until) -> None:
    chats = console.locator("#chats")
    asked, told = threading.Event(), threading.Event()

    def hold(request) -> None:
        if request.path.endswith("/api/chats") and request.args["status"] == "open":
            asked.set()
            assert told.wait(10)

    console.get_by_role("button", name="Ended").click()
    until(console, "document.querySelectorAll('#chats > li').length === 0")
    fake.before = hold
    fake.hide = "late"  # the answer is from before it came
    console.get_by_role("button", name="Open").click()
    assert asked.wait(10)
    fake.say("late", "Just arrived")
    chats.get_by_text("Just arrived").wait_for()
    told.set()
    chats.get_by_text("Merhaba").wait_for()
    until(console, "document.querySelector('#rows-note').textContent === ''")
    assert chats.get_by_text("Just arrived").is_visible()


def test_a_chat_whose_name_is_dots_can_be_opened(fake, console: Page) -> None:
    fake.say("..", "Up here")
    console.locator("#chats").get_by_text("Up here").click()
    console.locator("#messages").get_by_text("Up here").wait_for()


# -- live


def test_messages_of_the_customer_and_of_other_agents_appear_in_order(fake, console: Page, until) -> None:
    fake.say(CHAT, "One")
    fake.say(CHAT, "Two", agent="Deniz Acar")
    fake.say(CHAT, "Three")
    until(console, "document.querySelectorAll('#messages > li').length === 4")
    assert console.locator("#messages .bubble").all_text_contents() == ["Merhaba", "One", "Two", "Three"]
    assert "Deniz Acar" in console.locator("#messages > li").nth(2).text_content()
    until(console, lambda: fake.chats[CHAT]["read"] == 4)
    # Said once by a screen reader, and not the whole log with it.
    assert "Mehmet Öz: Three" in console.locator("#polite").text_content()


def test_what_the_page_asks_while_nobody_touches_it_is_marked_so(fake, console: Page, until) -> None:
    console.mouse.move(5, 5)
    console.clock.install()
    fake.say(CHAT, "One")
    until(console, lambda: fake.chats[CHAT]["read"] == 2)
    assert fake.unattended == []
    console.clock.fast_forward("02:00")
    fake.say(CHAT, "Two")
    until(console, lambda: fake.chats[CHAT]["read"] == 3)
    assert f"/agent/api/chats/{CHAT}/read" in fake.unattended
    marked = len(fake.unattended)
    console.mouse.move(50, 50)
    fake.say(CHAT, "Three")
    until(console, lambda: fake.chats[CHAT]["read"] == 4)
    assert len(fake.unattended) == marked


def test_a_stream_that_breaks_resumes_where_it_stopped(fake, console: Page, until, tolerated) -> None:
    until(console, lambda: any("/events?chat=" in path for _, path in fake.requests))
    # Two refusals in a row are what makes the page say so.
    fake.before = lambda request: fake.cut(request) if request.path.endswith("/events") else None
    fake._stopped = True
    console.get_by_text("Connection lost").wait_for()
    fake.say(CHAT, "Said while away")
    fake._stopped = False
    fake.before = lambda request: None
    console.get_by_role("button", name="Try now").click()
    console.locator("#messages").get_by_text("Said while away").wait_for()
    until(console, "document.querySelector('#banner').childElementCount === 0")
    assert console.locator("#messages > li").count() == 2
    tolerated()


# -- what is shown


def test_files_are_shown_played_and_opened_beside(fake, console: Page, until) -> None:
    for name in ("picture.png", "tone.mp3", "clip.mp4", "page.pdf"):
        fake.say(CHAT, files=(fake.sample(name, f"şekil {name}"),))
    until(console, "document.querySelector('.thumb img')?.naturalWidth === 48")
    for kind, seconds in (("audio", 2), ("video", 4)):
        until(console, f"document.querySelector('{kind}')?.readyState >= 1")
        assert console.evaluate(f"document.querySelector('{kind}').duration") == pytest.approx(seconds, abs=0.3)
        console.evaluate(f"document.querySelector('{kind}').currentTime = 1")
        until(console, f"(it => !it.seeking && it.currentTime === 1)(document.querySelector('{kind}'))")
    assert console.locator("figure.audio .file-length").text_content() == "0:02"
    assert console.locator(".paper").text_content().startswith("PDFşekil page.pdfPDF · 591 B")
    console.get_by_role("button", name="Open şekil page.pdf beside the chat").click()
    until(console, lambda: any(frame.url.startswith("chrome-extension://") for frame in console.frames))
    console.keyboard.press("Escape")
    assert console.locator("#panel").is_hidden()
    with console.expect_download() as saved:
        console.get_by_role("link", name="Download şekil tone.mp3").click()
    assert saved.value.suggested_filename == "şekil tone.mp3"


def test_a_picture_opens_in_full_with_arrows_zoom_and_escape(fake, console: Page, until) -> None:
    for name in ("one.png", "two.png"):
        fake.say(CHAT, files=(fake.sample("picture.png", name),))
    console.get_by_role("button", name="Show two.png in full").wait_for()
    console.get_by_role("button", name="Show one.png in full").click()
    viewer = console.get_by_role("dialog", name="one.png")
    viewer.wait_for()
    console.keyboard.press("ArrowRight")
    assert console.locator("#viewer-name").text_content() == "two.png"
    console.keyboard.press("+")
    assert "140%" in console.locator(".viewer-about").text_content()
    for _ in range(12):
        console.keyboard.press("Tab")
        assert console.evaluate(
            "(it => it === document.body || document.querySelector('#viewer').contains(it))(document.activeElement)"
        )
    console.keyboard.press("Escape")
    until(console, "document.activeElement.getAttribute('aria-label') === 'Show one.png in full'")


def test_a_picture_takes_its_room_before_it_is_there(fake, open_context: Callable, until) -> None:
    fake.say(CHAT, files=(fake.sample("picture.png") | {"width": 600, "height": 400},))
    fake.say(CHAT, "below")
    hold = threading.Event()
    fake.before = lambda request: request.path.startswith("/public_files/") and hold.wait(10)
    page = open_context(viewport={"width": 1280, "height": 800}).new_page()
    open_console(page, fake.base_url, CHAT)
    below = page.locator("#messages").get_by_text("below")
    top = below.bounding_box()["y"]
    hold.set()
    until(page, "document.querySelector('.thumb img').naturalWidth > 0")
    assert below.bounding_box()["y"] == top


def test_texts_are_text_and_only_web_addresses_become_links(fake, console: Page) -> None:
    fake.say(CHAT, "<b>x</b> javascript:alert(1) (https://example.org/a_(b)?q=1). http://user:pw@evil.example\nיום")
    bubble = console.locator("#messages > li").nth(1).locator(".bubble")
    assert (
        bubble.text_content()
        == "<b>x</b> javascript:alert(1) (https://example.org/a_(b)?q=1). http://user:pw@evil.example\nיום"
    )
    links = bubble.locator("a").evaluate_all("all => all.map(each => [each.href, each.rel, each.target])")
    assert links == [["https://example.org/a_(b)?q=1", "noopener noreferrer nofollow", "_blank"]]
    assert bubble.get_attribute("dir") == "auto"


# -- the end, and who may


def test_ending_is_asked_once_more_and_explained(fake, console: Page, until) -> None:
    console.locator("#text").fill("unsent")
    console.get_by_role("button", name="End chat").click()
    dialog = console.get_by_role("dialog", name="End the chat with Mehmet Öz?")
    dialog.get_by_role("button", name="Keep it open").click()
    assert fake.chats[CHAT]["status"] == "OPEN"
    console.get_by_role("button", name="End chat").click()
    dialog.get_by_role("button", name="End chat").click()
    console.get_by_text("It takes no more messages.").wait_for()
    assert fake.chats[CHAT]["status"] == "ENDED"
    console.get_by_text("Not sent: unsent").wait_for()
    assert console.evaluate("document.activeElement.id") == "log"
    console.get_by_role("button", name="Download the transcript").click()
    link = console.get_by_role("link", name="Data (JSON)")
    assert link.get_attribute("href") == f"api/chats/{CHAT}/transcript.json"


def test_a_session_that_is_over_says_so_and_keeps_the_draft(fake, console: Page, until, tolerated) -> None:
    console.locator("#text").fill("Kept")
    fake.signed_in = False
    dialog = console.get_by_role("dialog", name="Your session has ended")
    dialog.wait_for()
    link = dialog.get_by_role("link", name="Sign in").get_attribute("href")
    assert link == f"sign-in?next=%2Fagent%2F%23%2Fchat%2F{CHAT}"
    fake.signed_in = True
    console.goto("about:blank")
    open_console(console, fake.base_url, CHAT)
    until(console, "document.querySelector('#text').value === 'Kept'")
    tolerated()


def test_an_enter_that_meets_the_end_of_the_session_does_not_leave_the_page(fake, console: Page, tolerated) -> None:
    console.locator("#text").fill("Half a sent")
    fake.signed_in = False
    console.locator("#session-dialog").wait_for()
    asked = len(fake.requests)
    console.keyboard.press("Enter")
    console.keyboard.press("Tab")
    assert console.evaluate("document.activeElement.id") == "session-link", "the next stop of who reads on"
    assert not [path for _, path in fake.requests[asked:] if "/sign-in" in path]
    assert console.locator("#session-dialog").is_visible()
    tolerated()


# -- for people


def test_the_keyboard_alone_does_everything(fake, console: Page, until) -> None:
    fake.say("web-1", "Older", at=None)
    fake.chats["web-1"]["read"] = 1
    # Not expect_file_chooser: it does not wait until the browser has heard of it, and a real dialog comes up then.
    choosers: list[object] = []
    console.on("filechooser", lambda chooser: choosers.append(chooser))
    press = console.keyboard.press
    press("Escape")
    assert console.evaluate("document.activeElement.id") == "log"
    press("?")
    console.get_by_role("dialog", name="Keys").wait_for()
    press("Escape")
    press("/")
    console.keyboard.type("Mehmet")
    until(console, "document.querySelectorAll('#chats > li').length === 1")
    press("ArrowDown")
    press("Enter")
    press("Escape")
    press("c")
    console.keyboard.type("By keys alone")
    press("Enter")
    until(console, lambda: fake.texts(CHAT)[-1] == "By keys alone")
    press("Alt+a")
    until(console, lambda: len(choosers) == 1)
    press("Escape")
    press("/")
    press("Backspace")
    until(console, "document.querySelectorAll('#chats > li').length === 2")
    press("Escape")
    press("Alt+ArrowDown")
    until(console, "location.hash === '#/chat/web-1'")
    press("Alt+ArrowUp")
    until(console, f"location.hash === '#/chat/{CHAT}'")
    press("Alt+e")
    console.get_by_role("dialog", name="End the chat with Mehmet Öz?").wait_for()
    press("Tab")
    press("Enter")
    until(console, lambda: fake.chats[CHAT]["status"] == "ENDED")
    until(console, "document.activeElement.id === 'log'")


def test_on_a_phone_list_and_chat_take_turns(fake, open_context: Callable, until) -> None:
    page = open_context(viewport={"width": 390, "height": 844}, has_touch=True).new_page()
    open_console(page, fake.base_url)
    assert page.locator("#talk").is_hidden()
    page.locator("#chats").get_by_text("Mehmet Öz").click()
    page.locator("#messages").get_by_text("Merhaba").wait_for()
    assert page.locator("#chats").is_hidden()
    page.get_by_role("button", name="Back to the chats").click()
    page.locator("#chats").get_by_text("Mehmet Öz").wait_for()
    assert page.evaluate("document.activeElement.classList.contains('row')")


def test_turkish_is_turkish_all_over(fake, open_context: Callable, until, tolerated) -> None:
    fake.language = "tr"
    page = open_context(viewport={"width": 1280, "height": 800}).new_page()
    open_console(page, fake.base_url, CHAT)
    assert page.evaluate("document.documentElement.lang") == "tr"
    attach(page, ("huge.png", "image/png", bytes(1536 * 1024)), ("kur.pdf", "application/pdf", b"MZ" + bytes(9)))
    page.locator(".chip").get_by_text("Çok büyük: 1,5 MB, en fazla 1 MB olabilir.").wait_for()
    page.locator(".chip.ready").wait_for()
    page.get_by_role("button", name="Gönder").click()
    page.locator(".chip").get_by_text("Bu dosya türü kabul edilmiyor (application/x-dosexec).").wait_for()
    tolerated()


def test_a_chosen_theme_stays(fake, console: Page, until) -> None:
    console.get_by_role("button", name="Menu and settings").click()
    console.get_by_role("radio", name="Dark").check(force=True)
    background = "getComputedStyle(document.body).backgroundColor"
    dark = console.evaluate(background)
    assert dark == "rgb(16, 20, 22)"
    console.reload()
    until(console, "document.querySelectorAll('#messages > li').length === 1")
    assert console.evaluate(background) == dark
