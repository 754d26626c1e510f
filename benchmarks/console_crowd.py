"""So many open consoles, each with its live events, and how long a customer's message takes to them and to a screen.

    python -m benchmarks.console_crowd PORT COUNT < COOKIES

Reads one line of session cookies, as JSON, prints one line when all streams are open, and then answers lines: `time N`
sends N messages one after the other, a pause apart, and prints how long after its receipt each was at the consoles that
look at its chat, and on the screen of a browser where there is one. One thread, asleep but for what comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.load import CHATS, send_message

PAUSE_SECONDS = 0.05
LOOKS_AT_SECONDS = 5.0
"""A message that is not there by then counts as so late."""

CHAT = "bench-00"

_OBSERVE = """
    window.seen = {};
    new MutationObserver(() => requestAnimationFrame(() => {
        for (const each of document.querySelectorAll('#messages .bubble'))
            seen[each.textContent] ??= performance.timeOrigin + performance.now();
    })).observe(document.querySelector('#messages'), {childList: true, subtree: true});
"""


class Consoles:
    """The streams, and when each message came out of them."""

    def __init__(self, port: int, cookies: list[str]) -> None:
        self.port = port
        self.cookies = cookies
        self.opened = 0
        self.events = 0
        self.arrived: dict[str, list[float]] = {}

    async def watch(self, number: int) -> None:
        """One console: every tenth looks at the chat that is timed, the others at the other chats."""
        chat = CHAT if number % 10 == 0 else f"bench-{number % CHATS:02}"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        cookie = self.cookies[number % len(self.cookies)]
        head = f"GET /agent/api/events?chat={chat} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        writer.write(f"{head}Cookie: webchat_agent={cookie}\r\n\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"event: hello"):
                self.opened += 1
            elif line.startswith(b"data: "):
                self.events += 1
                if chat == CHAT and b'"message"' in line:
                    now = time.time()
                    for message in json.loads(line[6:]).get("message", ()):
                        self.arrived.setdefault(message.get("text") or "", []).append(now)
        raise RuntimeError("a console's stream ended")

    async def send(self, text: str) -> float:
        """A customer's message; when its receipt came."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(send_message(CHAT, text))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        receipt = time.time()
        writer.close()
        return receipt


@asynccontextmanager
async def screen(port: int, cookie: str) -> AsyncIterator[Any]:
    """A console in Chromium with the chat open; None where there is no Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        yield None
        return
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, headless=False, args=["--headless=new", "--no-sandbox", "--disable-gpu"]
        )
        context = await browser.new_context()
        await context.add_cookies(
            [{"name": "webchat_agent", "value": cookie, "domain": "127.0.0.1", "path": "/agent", "httpOnly": True}]
        )
        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{port}/agent/#/chat/{CHAT}")
        await page.locator("#messages > li").first.wait_for()
        await page.evaluate(_OBSERVE)
        yield page
        await browser.close()


async def timed(consoles: Consoles, page: Any, count: int, looking: int) -> dict[str, list[float]]:
    """Milliseconds from the receipts to all consoles that look at the chat, and to the screen."""
    receipts: dict[str, float] = {}
    for number in range(count):
        text = f"timed {number} {time.monotonic_ns()}"
        receipts[text] = await consoles.send(text)
        await asyncio.sleep(PAUSE_SECONDS)
    give_up = time.monotonic() + LOOKS_AT_SECONDS
    while time.monotonic() < give_up and any(len(consoles.arrived.get(text, ())) < looking for text in receipts):
        await asyncio.sleep(0.01)
    late = LOOKS_AT_SECONDS * 1000
    streams: list[float] = []
    for text, receipt in receipts.items():
        came = consoles.arrived.get(text, [])
        streams += [max(0.0, (at - receipt) * 1000) for at in came] + [late] * (looking - len(came))
    on_screen: list[float] = []
    if page is not None:
        await asyncio.sleep(0.2)
        seen = await page.evaluate("seen")
        on_screen = [max(0.0, seen[text] - at * 1000) if text in seen else late for text, at in receipts.items()]
    return {"streams": streams, "screen": on_screen}


async def run(port: int, count: int) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()
    cookies = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    consoles = Consoles(port, cookies)
    tasks = [asyncio.create_task(consoles.watch(number)) for number in range(count)]
    looking = len(range(0, count, 10))
    while consoles.opened < count:
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.02)
    _say({"ready": True})
    async with contextlib.AsyncExitStack() as stack:
        page: Any = None
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            word, _, number = line.strip().partition(" ")
            if word == "screen":
                page = await stack.enter_async_context(screen(port, cookies[0]))
                _say({"screen": page is not None})
            elif word == "time":
                _say(await timed(consoles, page, int(number), looking))
            else:
                _say({"events": consoles.events})


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2])))
