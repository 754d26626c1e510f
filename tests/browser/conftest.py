"""Debian's Chromium, driven by playwright; a console error or a violated policy fails the test that met it."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from werkzeug.serving import make_server

from tests.browser.console_fake import FakeConsole
from tests.browser.console_page import CHAT, open_console

CHROMIUM = shutil.which("chromium")

# --headless=new is the whole browser without a window, PDF viewer included; the old headless mode has none. The rest
# keeps it from talking to anybody but the test's own server.
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium a module: playwright's event loop must not be left running under other folders' tests."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        # headless=False: playwright would add the old --headless by itself.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=False, args=ARGUMENTS)
        yield browser
        browser.close()


class Complaints(list[str]):
    """What the consoles complain of."""

    tolerates_breaks = False


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """What the consoles complain of. A test that provokes a complaint takes it out of the list; the rest fail it."""
    complaints = Complaints()
    yield complaints
    # Only now: a page that was left alone at the test's end may have gone on trying.
    assert [
        each for each in complaints if not complaints.tolerates_breaks or "Failed to load resource" not in each
    ] == []


@pytest.fixture
def open_context(browser: Browser, complaints: list[str]) -> Iterator[Callable[..., BrowserContext]]:
    """Make browser contexts whose consoles are watched."""
    contexts: list[BrowserContext] = []

    def watch(page: Page) -> None:
        page.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))

    def open_context(**options: object) -> BrowserContext:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        context.on("page", watch)
        contexts.append(context)
        return context

    yield open_context
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_context: Callable[..., BrowserContext]) -> Page:
    """A fresh page of its own context."""
    return open_context().new_page()


@pytest.fixture
def until() -> Callable[..., None]:
    """`until(page, condition)` waits for an expression in the page, or for a callable, to be true.

    page.wait_for_function does not do here: it needs eval and callbacks, which our policies do not let a page have.
    """

    def until(page: Page, condition: str | Callable[[], bool], *, seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while not (condition() if callable(condition) else page.evaluate(condition)):
            assert time.monotonic() < deadline, f"still not so: {condition}"
            page.wait_for_timeout(20)

    return until


@contextmanager
def served(app) -> Iterator[str]:
    """The application on loopback; yields its base URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.fixture(scope="module")
def serve() -> Callable[..., object]:
    """`with serve(app) as base_url`: importlib mode has no package to import `served` from."""
    return served


@pytest.fixture
def fake(serve) -> Iterator[FakeConsole]:
    """A console's server with one chat, the customer's."""
    fake = FakeConsole()
    fake.chat(CHAT, "Mehmet Öz")
    fake.say(CHAT, "Merhaba")
    with serve(fake.app) as fake.base_url:
        yield fake
        fake.stop()


@pytest.fixture
def console(fake: FakeConsole, open_context: Callable) -> Page:
    """The page with the chat open."""
    page = open_context(viewport={"width": 1280, "height": 800}, locale="en-GB").new_page()
    return open_console(page, fake.base_url, CHAT)


@pytest.fixture
def tolerated(complaints: Complaints) -> Callable[[], None]:
    """For tests that break connections or are refused: the browser tells its console of each."""

    def tolerate() -> None:
        complaints.tolerates_breaks = True

    return tolerate
