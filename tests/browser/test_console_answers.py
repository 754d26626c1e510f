"""What an agent answers arrives whole and once, whatever fails on the way, and nothing that was written is lost."""

from __future__ import annotations

import hashlib
import threading

from playwright.sync_api import Page

from tests.browser.console_fake import FakeConsole
from tests.browser.console_files import DATA, Fault
from tests.browser.console_page import CHAT, PNG, attach, drop_or_paste, send


def sha256s(fake: FakeConsole) -> set[str]:
    return {file["sha256"] for message in fake.chats[CHAT]["messages"] for file in message["file"]}


def posts(fake: FakeConsole, end: str) -> int:
    return sum(method == "POST" and path.endswith(end) for method, path in fake.requests)


def test_text_and_files_picked_dropped_and_pasted_arrive_whole(fake, console: Page, until) -> None:
    pdf, dropped, pasted = (DATA / "page.pdf").read_bytes(), PNG + b"dropped", PNG + b"pasted"
    attach(console, ("belge ğ.pdf", "application/pdf", pdf))
    drop_or_paste(console, "drop", "dropped.png", dropped)
    drop_or_paste(console, "paste", "image.png", pasted)
    until(console, "document.querySelectorAll('.chip.ready').length === 3")
    assert len(fake.chats[CHAT]["messages"]) == 1, "nothing is posted before the agent sends"
    send(console, "Here they are\nall three")
    until(console, "document.querySelectorAll('#messages > li').length === 5")
    assert sha256s(fake) == {hashlib.sha256(each).hexdigest() for each in (pdf, dropped, pasted)}
    messages = fake.chats[CHAT]["messages"]
    assert messages[1]["text"] == "Here they are\nall three", "the text comes before the files that it is about"
    names = [file["originalFileName"] for message in messages for file in message["file"]]
    assert names[:2] == ["belge ğ.pdf", "dropped.png"], "in the order in which they were picked"
    assert names[2].startswith("pasted 20")
    assert console.locator("#text").input_value() == ""
    assert console.locator(".chip").count() == 0


def test_a_message_is_marked_sent_only_when_it_is_stored(fake, console: Page, until) -> None:
    hold = threading.Event()
    fake.before = lambda request: request.method == "POST" and hold.wait(10)
    send(console, "Is it there?")
    pending = console.locator("#pending > li")
    pending.get_by_text("Sending…").wait_for()
    assert console.locator("#messages .stored").count() == 0
    hold.set()
    console.locator("#messages").get_by_title("Sent").wait_for()
    until(console, "document.querySelectorAll('#pending > li').length === 0")
    assert fake.texts(CHAT) == ["Merhaba", "Is it there?"]


def test_enter_sends_but_not_with_shift_nor_while_composing(fake, console: Page, until) -> None:
    text = console.locator("#text")
    text.press_sequentially("one")
    text.press("Shift+Enter")
    text.press_sequentially("two")
    text.evaluate(
        "it => it.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true}))"
    )
    assert text.input_value() == "one\ntwo"
    text.press("Enter")
    until(console, lambda: fake.texts(CHAT) == ["Merhaba", "one\ntwo"])


def test_a_draft_and_its_files_are_there_after_a_reload(fake, console: Page, until) -> None:
    fake.say("other", "Hello")
    console.locator("#text").fill("Half a sent")
    attach(console, ("photo.png", "image/png", PNG))
    console.locator(".chip.ready").wait_for()
    console.reload()
    until(console, "document.querySelector('#text').value === 'Half a sent'")
    console.locator(".chip", has_text="photo.png").wait_for()
    console.locator("#chats").get_by_text("other").first.click()
    until(console, "document.querySelector('#text').value === ''")
    assert console.locator(".chip").count() == 0
    console.go_back()
    until(console, "document.querySelector('#text').value === 'Half a sent'")
    console.locator(".chip.ready").wait_for()
    console.locator("#text").press("Enter")
    until(console, lambda: sha256s(fake) == {hashlib.sha256(PNG).hexdigest()})
    assert fake.texts(CHAT) == ["Merhaba", "Half a sent"]


def test_a_file_over_the_limit_is_refused_before_anything_of_it_is_sent(fake, console: Page, until) -> None:
    assert "pictures 1 MB" in console.locator("#limits").text_content()
    attach(
        console,
        ("huge.png", "image/png", bytes(1024 * 1024 + 1)),
        ("none.txt", "text/plain", b""),
        ("good.png", "image/png", PNG),
    )
    console.locator(".chip.refused", has_text="huge.png").get_by_text(
        "Too large: 1 MB, at most 1 MB are allowed."
    ).wait_for()
    console.locator(".chip.refused", has_text="none.txt").get_by_text("The file is empty").wait_for()
    send(console, "The good one goes")
    until(console, lambda: sha256s(fake) == {hashlib.sha256(PNG).hexdigest()})
    assert fake.texts(CHAT)[-1] == "The good one goes"
    until(console, "document.querySelectorAll('.chip').length === 2")
    assert not any("huge" in path for _, path in fake.requests)


def test_a_refused_file_says_why_and_takes_nothing_with_it(fake, console: Page, until, tolerated) -> None:
    attach(console, ("setup.pdf", "application/pdf", b"MZ" + bytes(100)), ("good.png", "image/png", PNG))
    until(console, "document.querySelectorAll('.chip.ready').length === 2")
    send(console, "Two files")
    console.locator(".chip.refused", has_text="setup.pdf").get_by_text(
        "The file is a program, which is not taken"
    ).wait_for()
    until(console, lambda: sha256s(fake) == {hashlib.sha256(PNG).hexdigest()})
    assert fake.texts(CHAT)[-1] == "Two files"
    console.get_by_role("button", name="Remove setup.pdf").click()
    assert console.locator("#chips").is_hidden()
    assert console.evaluate("document.activeElement.id") == "text"
    tolerated()


def test_a_connection_that_is_cut_loses_nothing_and_sends_nothing_twice(fake, console: Page, until, tolerated) -> None:
    fake.piece_bytes = 64 * 1024
    console.reload()
    data = (DATA / "page.pdf").read_bytes() + bytes(300 * 1024)
    cut: list[str] = []

    def unreliable(request) -> None:
        # Each kind of call fails once: before it is heard, or when all is done but for the answer.
        kind = f"{request.method} {request.path.rsplit('/', 1)[-1][:8]}"
        if request.method == "PUT" and request.args["offset"] != "131072":
            return
        if request.method in ("POST", "PUT") and not request.path.endswith("/read") and kind not in cut:
            cut.append(kind)
            if request.method == "POST":
                fake._respond(request)
            fake.cut(request)

    fake.before = unreliable
    attach(console, ("long.pdf", "application/pdf", data))
    send(console, "Once only")
    until(console, lambda: sha256s(fake) == {hashlib.sha256(data).hexdigest()}, seconds=20)
    until(console, "document.querySelectorAll('#pending > li, .chip').length === 0")
    assert fake.texts(CHAT) == ["Merhaba", "Once only"]
    assert len(fake.chats[CHAT]["messages"]) == 3
    assert len(cut) == 3
    sent = [path for method, path in fake.requests if method == "PUT" and "offset=0&" in path]
    assert len(sent) == 1, "an upload goes on where it stopped"
    tolerated()


def test_what_was_sent_without_a_connection_goes_out_after_a_reload(fake, console: Page, until, tolerated) -> None:
    fake.before = lambda request: fake.cut(request) if request.method in ("POST", "PUT") else None
    attach(console, ("photo.png", "image/png", PNG))
    send(console, "Later")
    console.locator("#pending").get_by_text("Waiting for the connection").wait_for()
    console.locator(".chip.waiting").wait_for()
    console.get_by_text("Connection lost. What you send is kept").wait_for()
    fake.before = lambda request: None
    console.reload()
    until(console, lambda: sha256s(fake) == {hashlib.sha256(PNG).hexdigest()})
    assert fake.texts(CHAT) == ["Merhaba", "Later"]
    until(console, "document.querySelectorAll('#messages > li').length === 3")
    until(console, "document.querySelectorAll('#pending > li, .chip').length === 0")
    tolerated()


def test_a_refused_text_can_be_taken_back(fake, console: Page, until, tolerated) -> None:
    def refuse(request) -> None:
        if request.method == "POST" and request.path.endswith("/messages"):
            raise Fault(400, "InvalidRequest", "The text holds a character that XML cannot carry; take it out.")

    fake.before = refuse
    send(console, "Odd")
    console.get_by_text("The text holds a character that XML cannot carry; take it out.").wait_for()
    console.get_by_role("button", name="Back to the text box").click()
    assert console.locator("#text").input_value() == "Odd"
    assert console.locator("#pending > li").count() == 0
    tolerated()


def test_a_text_that_is_too_long_is_counted_and_not_sent(fake, console: Page) -> None:
    send(console, "x" * 4100)
    assert console.locator("#composer-note").text_content() == "4 characters too long"
    assert console.locator("#text").input_value() == "x" * 4100
    assert posts(fake, "/messages") == 0
