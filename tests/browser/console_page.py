"""How tests handle the console's page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

AXE = Path(__file__).parents[2] / "build" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
CHAT = "order-4711"
PNG = (Path(__file__).parent / "data" / "picture.png").read_bytes()

needs_axe = pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (tests/browser/install)")


def open_console(page: Page, base_url: str, chat_id: str | None = None) -> Page:
    """The console, with a chat where one is named; its newest message is there."""
    page.goto(f"{base_url}/agent/" + (f"#/chat/{chat_id}" if chat_id else ""))
    if chat_id:
        page.locator("#messages > li, #older:has-text('below')").first.wait_for(state="attached")
    else:
        page.locator("#chats > li, #rows-note:not(:empty)").first.wait_for()
    return page


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong. It goes in by the debugger: the page's policy keeps all other scripts out."""
    debugger = page.context.new_cdp_session(page)
    debugger.send("Runtime.evaluate", {"expression": AXE.read_text()})
    # What moves is measured in between otherwise.
    page.evaluate("Promise.all(document.getAnimations().map(each => each.finished))")
    found: dict[str, Any] = debugger.send(
        "Runtime.evaluate",
        {
            "expression": """axe.run(document, {
                iframes: false,
                resultTypes: ['violations'],
                runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
            }).then(({violations}) => violations.flatMap(({id, nodes}) =>
                nodes.map(node => `${id}: ${node.html.slice(0, 160)} ${node.failureSummary}`)))""",
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    debugger.detach()
    return list(found["result"]["value"])


def attach(page: Page, *names_and_bytes: tuple[str, str, bytes]) -> None:
    """Pick files, each a name, a media type and its bytes."""
    page.set_input_files(
        "#files", [{"name": name, "mimeType": kind, "buffer": data} for name, kind, data in names_and_bytes]
    )


def drop_or_paste(page: Page, event: str, name: str, data: bytes) -> None:
    """A file let go over the messages, or pasted into the text: the page's own events with a real DataTransfer."""
    page.evaluate(
        """([event, name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, {type: 'image/png'}));
            const target = document.querySelector(event === 'paste' ? '#text' : '#log');
            const all = {bubbles: true, cancelable: true};
            if (event === 'paste') target.dispatchEvent(new ClipboardEvent('paste', {...all, clipboardData: transfer}));
            else for (const each of ['dragenter', 'dragover', 'drop'])
                target.dispatchEvent(new DragEvent(each, {...all, dataTransfer: transfer}));
        }""",
        [event, name, list(data)],
    )


def send(page: Page, text: str) -> None:
    """Write a text and press Enter."""
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")
