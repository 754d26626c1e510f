"""The console on the service itself: a customer's system speaks by zeep, an agent works in Chromium."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import zeep
from playwright.sync_api import BrowserContext, Page

from tests.browser.console_page import PNG, attach, drop_or_paste, needs_axe, open_console, send, violations
from tests.e2e.console_script import Running, free_port, running
from tests.file_host import FileHost
from webchat_soap.app import agent_commands
from webchat_soap.settings import load_settings

PASSWORD = "correct horse battery"
SAMPLES = Path(__file__).parent / "data"
FAMILIES = {"picture.png": "IMAGE", "tone.mp3": "AUDIO", "clip.mp4": "VIDEO", "page.pdf": "DOCUMENT"}
CSV = "ad;şehir\nAyşe;İzmir\n".encode()


class Desk:
    """A service that runs, and what a test does with it."""

    def __init__(self, service: Running, host: FileHost, open_context: Callable[..., BrowserContext]) -> None:
        self.url = service.url
        self.host = host
        self.customer = zeep.Client(f"{service.url}/webchat?wsdl").service
        self._open_context = open_context

    def browser(self, **options: object) -> Page:
        """A browser that nobody has signed in with."""
        return self._open_context(viewport={"width": 1280, "height": 800}, locale="en-GB", **options).new_page()

    def sign_in(self, name: str, password: str = PASSWORD, page: Page | None = None, **options: object) -> Page:
        """A browser at the sign-in page, name and password given."""
        page = page or self.browser(**options)
        page.goto(f"{self.url}/agent/")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Sign in").click()
        return page

    def open(self, name: str, chat_id: str, **options: object) -> Page:
        """The chat in an agent's browser."""
        page = self.sign_in(name, **options)
        page.locator("#rows").wait_for()
        return open_console(page, self.url, chat_id)

    def messages(self, chat_id: str) -> list:
        """All that is in the chat, as a customer's system reads it."""
        return self.customer.GetMessages(CHATID=chat_id, maxMessages=100).message


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("console") / "data"
    with agent_commands(load_settings(environ={"WEBCHAT_DATA_DIR": str(folder)}), makes_database=True) as agents:
        assert agents is not None
        for name in ("Ayşe", "Deniz", "Wrong", "Everywhere"):
            agents.add(name, PASSWORD)
    return folder


@contextmanager
def serving(data: Path, host: FileHost, port: int) -> Iterator[Running]:
    with running(
        data, port=port, WORKERS="2", FETCH_ALLOW=f"127.0.0.1:{host.port}", MAX_IMAGE="1MiB", SHUTDOWN_SECONDS="3"
    ) as service:
        yield service


@pytest.fixture(scope="module")
def host() -> Iterator[FileHost]:
    with FileHost() as host:
        yield host


@pytest.fixture(scope="module")
def service(data: Path, host: FileHost) -> Iterator[Running]:
    with serving(data, host, free_port()) as service:
        yield service


@pytest.fixture
def desk(service: Running, host: FileHost, open_context: Callable[..., BrowserContext]) -> Desk:
    return Desk(service, host, open_context)


def test_a_customers_text_and_files_are_seen_heard_and_played(desk: Desk, until: Callable[..., None]) -> None:
    desk.customer.StartChat(CHATID="families", customerName="Mehmet Öz")
    desk.customer.SendMessage("families", '{"text": "Merhaba"}')
    page = desk.open("Ayşe", "families")
    for name, family in FAMILIES.items():
        url = desk.host.serve(f"/{name}", (SAMPLES / name).read_bytes())
        desk.customer.UploadFile("families", f'{{"fileUrl": "{url}", "fileName": "{name}", "fileType": "{family}"}}')
    until(page, "document.querySelector('.thumb img')?.naturalWidth === 48")
    for kind, seconds in (("audio", 2), ("video", 4)):
        until(page, f"document.querySelector('{kind}')?.readyState >= 1")
        assert page.evaluate(f"document.querySelector('{kind}').duration") == pytest.approx(seconds, abs=0.3)
        page.evaluate(f"document.querySelector('{kind}').currentTime = 1")
        until(page, f"(it => !it.seeking && it.currentTime === 1)(document.querySelector('{kind}'))")
    page.get_by_role("button", name="Open page.pdf beside the chat").click()
    until(page, lambda: any(frame.url.startswith("chrome-extension://") for frame in page.frames))
    assert page.locator("#messages > li").count() == 5
    # That the agent has read it is told to all agents.
    until(page, lambda: "unread" not in (page.locator("#chats > li a[aria-current]").text_content() or ""))


def test_an_agent_answers_with_text_and_files_picked_dropped_and_pasted(desk: Desk, until: Callable[..., None]) -> None:
    desk.customer.StartChat(CHATID="answers", customerName="Elif Kaya")
    desk.customer.SendMessage("answers", '{"text": "Hello?"}')
    page = desk.open("Ayşe", "answers")
    send(page, "Here is what you asked for.\nWith a second line.")
    attach(page, ("fatura ğüş.csv", "text/csv", CSV))
    drop_or_paste(page, "drop", "dropped.png", PNG)
    drop_or_paste(page, "paste", "pasted.png", PNG)
    page.locator("#send").click()
    until(page, lambda: len(desk.messages("answers")) == 5)
    _, text, *files = desk.messages("answers")
    assert text.text == "Here is what you asked for.\nWith a second line."
    assert {(text.sender, text.agentName)} | {(each.sender, each.agentName) for each in files} == {("AGENT", "Ayşe")}
    stored = [message.file[0] for message in files]
    assert sorted(file.originalFileName for file in stored) == ["dropped.png", "fatura ğüş.csv", "pasted.png"]
    for file in stored:
        meant = CSV if file.originalFileName.endswith(".csv") else PNG
        assert file.sha256 == hashlib.sha256(meant).hexdigest()
        assert requests.get(file.fileUrl, timeout=10).content == meant
    until(page, "document.querySelectorAll('#messages > li').length === 5")
    until(page, "document.querySelectorAll('#pending > li').length === 0")


def test_a_refused_file_says_why_and_takes_nothing_with_it(
    desk: Desk, until: Callable[..., None], tolerated: Callable[[], None]
) -> None:
    desk.customer.StartChat(CHATID="refused")
    desk.customer.SendMessage("refused", '{"text": "Hello?"}')
    page = desk.open("Ayşe", "refused")
    attach(
        page,
        ("too large.png", "image/png", PNG + bytes(1 << 20)),
        ("not a picture.png", "image/png", b"MZ" + bytes(300)),
        ("good.png", "image/png", PNG),
    )
    page.locator("#text").fill("Only one of them is good.")
    page.locator("#send").click()
    until(page, lambda: len(desk.messages("refused")) == 3)
    _, *mine = desk.messages("refused")
    assert [message.text for message in mine if message.text] == ["Only one of them is good."]
    assert [file.originalFileName for message in mine for file in message.file] == ["good.png"]
    chips = page.locator("#chips > li")
    until(page, lambda: chips.count() == 2)
    told = " ".join(chips.all_text_contents())
    assert "Too large" in told
    assert "not a picture.png" in told
    tolerated()


def test_a_service_that_is_killed_in_the_middle_loses_and_doubles_nothing(
    data: Path, host: FileHost, open_context: Callable[..., BrowserContext], until: Callable[..., None], complaints
) -> None:
    port = free_port()
    film = (SAMPLES / "clip.mp4").read_bytes()
    film += (40 << 20).to_bytes(4, "big") + b"free" + bytes((40 << 20) - 8)  # as long as some seconds of a real one
    folder = data.parent / "killed"
    with agent_commands(load_settings(environ={"WEBCHAT_DATA_DIR": str(folder)}), makes_database=True) as agents:
        assert agents is not None
        agents.add("Ayşe", PASSWORD)
    with serving(folder, host, port) as service:
        desk = Desk(service, host, open_context)
        desk.customer.SendMessage("cut", '{"text": "Hello?"}')
        page = desk.open("Ayşe", "cut")
        path = data.parent / "long film.mp4"
        path.write_bytes(film)
        page.set_input_files("#files", path)
        page.locator("#send").click()
        until(page, "(chip => chip && /[1-9][0-9]? ?%/.test(chip.textContent))(document.querySelector('#chips > li'))")
        for worker in service.workers:
            os.kill(worker, signal.SIGKILL)
        service.kill()
    send(page, "Written while nobody was there.")
    page.get_by_text("Connection lost").wait_for()
    with serving(folder, host, port) as service:
        desk = Desk(service, host, open_context)
        # It may have come back by itself by now.
        page.evaluate("document.querySelector('#banner button')?.click()")
        until(page, lambda: len(desk.messages("cut")) == 3, seconds=40)
        until(page, "document.querySelector('#chips').childElementCount === 0")
        _, *mine = desk.messages("cut")
        assert [message.text for message in mine if message.text] == ["Written while nobody was there."]
        (file,) = [file for message in mine for file in message.file]
        assert file.sha256 == hashlib.sha256(film).hexdigest()
        until(page, "document.querySelectorAll('#messages > li').length === 3")
        page.close()
    complaints.clear()  # the browser tells of each connection that is refused


def test_a_draft_outlives_a_reload(desk: Desk, until: Callable[..., None]) -> None:
    desk.customer.SendMessage("draft", '{"text": "Hello?"}')
    page = desk.open("Ayşe", "draft")
    page.locator("#text").fill("Half a sentence, ")
    page.reload()
    until(page, "document.querySelector('#text').value === 'Half a sentence, '")
    assert len(desk.messages("draft")) == 1


def test_two_agents_see_each_other_and_the_customer_sees_both(desk: Desk, until: Callable[..., None]) -> None:
    desk.customer.SendMessage("both", '{"text": "Hello?"}')
    one, other = desk.open("Ayşe", "both"), desk.open("Deniz", "both")
    send(one, "I look into it.")
    other.locator("#messages").get_by_text("I look into it.").wait_for()
    send(other, "Me too.")
    one.locator("#messages").get_by_text("Me too.").wait_for()
    assert "Deniz" in (one.locator("#messages > li").last.text_content() or "")
    assert [message.agentName for message in desk.messages("both")] == [None, "Ayşe", "Deniz"]


def test_a_chat_that_is_ended_says_so_to_all(desk: Desk, until: Callable[..., None]) -> None:
    desk.customer.SendMessage("ended", '{"text": "Bye"}')
    one, other = desk.open("Ayşe", "ended"), desk.open("Deniz", "ended")
    one.locator("#end-button").click()
    one.locator("#end-yes").click()
    for page in (one, other):
        page.get_by_text("Ended by Ayşe").wait_for()
        assert page.locator("#composer").is_hidden()
    with pytest.raises(zeep.exceptions.Fault, match="ChatEnded"):
        desk.customer.SendMessage("ended", '{"text": "Are you there?"}')
    with one.expect_download() as saved:
        one.locator("#transcript-button").click()
        one.locator("#transcript-zip").click()
    assert saved.value.suggested_filename.endswith(".zip")


def test_a_wrong_password_opens_nothing(desk: Desk, tolerated: Callable[[], None]) -> None:
    page = desk.sign_in("Wrong", "not the password")
    page.get_by_role("alert").wait_for()
    assert page.get_by_label("Name").input_value() == "Wrong"
    desk.sign_in("Wrong", page=page)
    page.locator("#rows").wait_for()
    tolerated()


def test_a_session_that_ends_elsewhere_leads_to_sign_in_and_keeps_the_draft(
    desk: Desk, until: Callable[..., None], tolerated: Callable[[], None]
) -> None:
    desk.customer.SendMessage("session", '{"text": "Hello?"}')
    here, there = desk.open("Everywhere", "session"), desk.open("Everywhere", "session")
    here.locator("#text").fill("Not to be lost")
    there.locator("#menu-button").click()
    there.get_by_role("button", name="Sign out everywhere").click()
    there.get_by_label("Name").wait_for()
    here.locator("#session-dialog").wait_for()  # within the 15 s of the stream's look
    here.locator("#session-link").click()
    desk.sign_in("Everywhere", page=here)
    open_console(here, desk.url, "session")
    until(here, "document.querySelector('#text').value === 'Not to be lost'")
    tolerated()


def test_a_session_that_expires_leads_to_sign_in_and_keeps_the_draft(
    data: Path, open_context: Callable[..., BrowserContext], host: FileHost, until: Callable[..., None], tolerated
) -> None:
    folder = data.parent / "expiring"
    with agent_commands(load_settings(environ={"WEBCHAT_DATA_DIR": str(folder)}), makes_database=True) as agents:
        assert agents is not None
        agents.add("Ayşe", PASSWORD)
    # Long enough to open the chat and write on a busy machine: some 14 s.
    with running(folder, AGENT_SESSION_HOURS="0.004") as service:
        desk = Desk(service, host, open_context)
        desk.customer.SendMessage("expiring", '{"text": "Hello?"}')
        page = desk.open("Ayşe", "expiring")
        page.locator("#text").fill("Not to be lost")
        page.locator("#session-dialog").wait_for(timeout=40_000)
        assert page.request.get(f"{desk.url}/agent/api/session").status == 401
        page.locator("#session-link").click()
        desk.sign_in("Ayşe", page=page)
        open_console(page, desk.url, "expiring")
        until(page, "document.querySelector('#text').value === 'Not to be lost'")
        page.close()
    tolerated()


def test_a_change_without_the_pages_token_is_refused(desk: Desk, tolerated: Callable[[], None]) -> None:
    desk.customer.SendMessage("forged", '{"text": "Hello?"}')
    page = desk.open("Ayşe", "forged")
    answer = page.evaluate(
        """async token => {
            const sent = await fetch('api/chats/forged/messages', {method: 'POST', body: JSON.stringify(
                {text: 'x', clientToken: 'x'}), headers: token ? {'X-CSRF-Token': token} : {}});
            return [sent.status, (await sent.json()).error.code];
        }""",
        "",
    )
    assert answer == [403, "CsrfRefused"]
    assert len(desk.messages("forged")) == 1
    tolerated()


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_signing_in_can_be_done_by_everybody(desk: Desk, scheme: str, tolerated: Callable[[], None]) -> None:
    page = desk.browser(color_scheme=scheme)
    page.goto(f"{desk.url}/agent/")
    page.get_by_label("Name").wait_for()
    assert violations(page) == []
    desk.sign_in("Wrong", "not the password", page=page)
    page.get_by_role("alert").wait_for()
    assert violations(page) == []
    tolerated()
