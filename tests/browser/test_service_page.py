"""The human page is a page that people can read: wide and narrow, light and dark, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from werkzeug.wrappers import Request, Response

from tests.browser.description import description
from webchat_soap.web.pages import ServicePage

SIZES = [pytest.param(1280, id="wide"), pytest.param(390, id="narrow")]


@pytest.fixture(scope="module")
def base_url(serve) -> Iterator[str]:
    service_page = ServicePage(description=description(), version="0.1.0", readme="# Webchat")

    @Request.application
    def app(request: Request) -> Response:
        if request.path != "/webchat":
            return Response(status=404)
        if request.query_string == b"readme":
            return service_page.respond_readme(request.environ)
        return service_page.respond(request.environ, base_url=request.host_url.rstrip("/"), from_host=True)

    with serve(app) as base_url:
        yield base_url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_the_page_fits_and_says_the_important_things_first(base_url, open_context, width: int, scheme: str) -> None:
    page = open_context(viewport={"width": width, "height": 800}, color_scheme=scheme).new_page()
    page.goto(f"{base_url}/webchat")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.get_by_role("heading", level=1).bounding_box()["y"] < 200
    assert page.get_by_text("UploadFile posts the file to the chat itself").bounding_box()["y"] < 800
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(int(part) for part in background.strip("rgb()").split(",")) / 3
    assert (lightness > 200) == (scheme == "light"), "the style sheet was not applied"


@pytest.mark.parametrize("width", SIZES)
def test_nothing_is_cut_off_or_overlaps_in_the_tables(base_url, open_context, width: int) -> None:
    page = open_context(viewport={"width": width, "height": 800}).new_page()
    page.goto(f"{base_url}/webchat")
    spilling = page.evaluate(
        """() => [...document.querySelectorAll('td, tbody th, dd, p, h1, h2, h3, li')]
            .filter(each => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== 'inline')
            .map(each => each.textContent.trim().slice(0, 60))"""
    )
    assert spilling == []


def test_samples_open_by_keyboard_and_scroll_inside_themselves(base_url, open_context, until) -> None:
    page = open_context(viewport={"width": 390, "height": 800}).new_page()
    page.goto(f"{base_url}/webchat")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    summary = page.locator("#UploadFile summary").first
    summary.focus()
    page.keyboard.press("Enter")
    sample = page.get_by_role("region", name="UploadFile request, SOAP 1.1")
    sample.wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "UploadFile request, SOAP 1.1"
    page.keyboard.press("ArrowRight")
    until(page, "document.activeElement.scrollLeft > 0")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_the_links_lead_to_the_wsdl_and_the_readme(base_url, open_context) -> None:
    page = open_context().new_page()
    page.goto(f"{base_url}/webchat")
    assert page.evaluate("[...document.querySelectorAll('a.button')].map(a => a.href)") == [
        f"{base_url}/webchat?wsdl",
        f"{base_url}/webchat?readme",
    ]
    with page.expect_navigation() as arrived:
        page.get_by_role("link", name="README").first.click()
    assert arrived.value.status == 200


def test_every_type_can_be_reached_from_where_it_is_named(base_url, open_context, until) -> None:
    page = open_context().new_page()
    page.goto(f"{base_url}/webchat")
    page.locator("#UploadFile").get_by_role("link", name="MessageReceipt").click()
    until(page, "location.hash === '#type-MessageReceipt'")
    until(page, "document.querySelector('#type-MessageReceipt').getBoundingClientRect().top < 100")
