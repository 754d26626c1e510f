"""Real files open in a real browser from their public links, and text that looks like a page does not."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from playwright.sync_api import Frame, Page
from werkzeug.wrappers import Request, Response

from webchat_soap.domain.file import FileType, StoredFile
from webchat_soap.web.public_files import PublicFiles

DATA = Path(__file__).parent / "data"
PICTURE = "20210304-00000000-0000-4000-8000-000000000001.png"
CLIP = "20210304-00000000-0000-4000-8000-000000000002.mp4"
PAPER = "20210304-00000000-0000-4000-8000-000000000003.pdf"
NOTE = "20210304-00000000-0000-4000-8000-000000000004.txt"
TONE = "20210304-00000000-0000-4000-8000-000000000005.mp3"
GAP_BYTES = 8 * 1024 * 1024


def with_a_gap(mp4: bytes) -> bytes:
    """The MP4 with 8 MiB of nothing before its index, which stands last: a browser has to seek to play it."""
    start = 0
    while mp4[start + 4 : start + 8] != b"moov":
        start += int.from_bytes(mp4[start : start + 4], "big")
    return mp4[:start] + struct.pack(">I4s", GAP_BYTES, b"free") + bytes(GAP_BYTES - 8) + mp4[start:]


FILES = {
    PICTURE: ((DATA / "picture.png").read_bytes(), "resim ş.png", FileType.IMAGE, "image/png"),
    CLIP: (with_a_gap((DATA / "clip.mp4").read_bytes()), "clip.mp4", FileType.VIDEO, "video/mp4"),
    PAPER: ((DATA / "page.pdf").read_bytes(), "belge ğ.pdf", FileType.DOCUMENT, "application/pdf"),
    TONE: ((DATA / "tone.mp3").read_bytes(), "tone.mp3", FileType.AUDIO, "audio/mpeg"),
    NOTE: (b"hello <script>document.title = 'ran'</script>", "şaka 🏖️.html", FileType.DOCUMENT, "text/plain"),
}


def viewer_of(page: Page) -> Frame | None:
    """Chromium's PDF viewer, an extension in a frame of the page that it makes up."""
    return next((frame for frame in page.frames if frame.url.startswith("chrome-extension://")), None)


class Store:
    """Rows and bytes of the files above."""

    def find_file(self, name: str) -> StoredFile | None:
        if name not in FILES:
            return None
        data, original_name, file_type, content_type = FILES[name]
        return StoredFile(
            file_id=name[9:45],
            name=name,
            original_name=original_name,
            file_type=file_type,
            content_type=content_type,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(FILES[name][0])


class Site:
    """Public files, and a customer's page on another origin that embeds them."""

    def __init__(self) -> None:
        self.public_files = PublicFiles(chats=Store(), files=Store())  # type: ignore[arg-type]
        self.answers: list[tuple[str, str | None, int]] = []
        self.base_url = ""

    def app(self, environ, start_response):
        request = Request(environ)
        if request.path.startswith("/public_files/"):
            response = self.public_files.respond(environ, request.path.removeprefix("/public_files/"))
            self.answers.append((request.path, request.headers.get("Range"), response.status_code))
        elif request.path == "/customer":
            links = self.base_url.replace("127.0.0.1", "localhost") + "/public_files/"
            html = f'<!doctype html><img src="{links}{PICTURE}"><video src="{links}{CLIP}" muted></video>'
            response = Response(html, content_type="text/html")
            response.headers["Cross-Origin-Embedder-Policy"] = "require-corp"
        else:
            response = Response(status=204)
        return response(environ, start_response)

    def link(self, name: str) -> str:
        return f"{self.base_url}/public_files/{name}"


@pytest.fixture(scope="module")
def site(serve) -> Iterator[Site]:
    site = Site()
    with serve(site.app) as site.base_url:
        yield site


@pytest.fixture
def downloads(page: Page) -> list[str]:
    """The names of what the page saved instead of showing."""
    names: list[str] = []
    page.on("download", lambda download: names.append(download.suggested_filename))
    return names


def test_a_png_is_shown(site: Site, page: Page, until, downloads: list[str]) -> None:
    page.goto(site.link(PICTURE))
    until(page, "document.images[0].complete")
    assert page.evaluate("[document.images[0].naturalWidth, document.images[0].naturalHeight]") == [48, 32]
    assert downloads == []


def test_an_mp4_plays_and_seeks_by_ranges(site: Site, page: Page, until, downloads: list[str]) -> None:
    page.goto(site.link(CLIP))
    until(page, "document.querySelector('video').readyState >= 2")
    size = page.evaluate("(v => [v.videoWidth, v.videoHeight, v.duration])(document.querySelector('video'))")
    assert size == [160, 90, pytest.approx(4, abs=0.1)]
    page.evaluate("(v => { v.pause(); v.currentTime = 2.5 })(document.querySelector('video'))")
    until(page, "(v => !v.seeking && v.currentTime === 2.5 && v.readyState >= 2)(document.querySelector('video'))")
    far = [wanted for path, wanted, status in site.answers if path.endswith(CLIP) and status == 206]
    assert any(int(wanted.removeprefix("bytes=").split("-")[0]) >= GAP_BYTES for wanted in far), far
    assert downloads == []


def test_a_sound_plays(site: Site, page: Page, until, downloads: list[str]) -> None:
    page.goto(site.link(TONE))
    until(page, "document.querySelector('video, audio').readyState >= 2")
    assert page.evaluate("document.querySelector('video, audio').duration") == pytest.approx(2, abs=0.3)
    assert downloads == []


def test_an_opened_file_can_run_no_script(site: Site, page: Page, complaints: list[str]) -> None:
    page.goto(site.link(PICTURE))
    page.evaluate("""() => {
        const script = document.createElement('script');
        script.textContent = "document.title = 'ran'";
        document.head.append(script);
    }""")
    assert page.title() != "ran"
    assert "Blocked script execution" in complaints.pop()


def test_a_pdf_opens_in_the_viewer(site: Site, page: Page, until, downloads: list[str]) -> None:
    page.goto(site.link(PAPER))
    # Without the viewer there is no frame but the page's own; that it counts the pages tells that it has read the file.
    until(page, lambda: viewer_of(page) is not None)
    viewer = viewer_of(page)
    assert viewer is not None
    pages = viewer.locator("#pagelength")
    until(page, lambda: pages.count() == 1 and pages.inner_text().strip() == "1")
    assert "belge ğ.pdf" in viewer.locator("#title").inner_text()
    assert downloads == []


def test_text_that_looks_like_a_page_is_saved_under_a_harmless_name(site: Site, page: Page) -> None:
    with page.expect_download() as saved:
        page.evaluate(f"location.href = '{site.link(NOTE)}'")
    assert saved.value.suggested_filename == "şaka 🏖️.html.txt"
    assert Path(saved.value.path()).read_bytes() == FILES[NOTE][0]
    assert page.title() != "ran"


def test_a_customers_page_on_another_origin_embeds_files_even_when_isolated(site: Site, page: Page, until) -> None:
    page.goto(f"{site.base_url}/customer")
    until(page, "document.images[0].complete && document.querySelector('video').readyState >= 1")
    assert page.evaluate("[document.images[0].naturalWidth, document.querySelector('video').videoWidth]") == [48, 160]
