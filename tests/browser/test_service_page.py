"""The human page is a page that people can read: wide and narrow, light and dark, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from werkzeug.wrappers import Request, Response

from tests.browser.description import service_page
from webchat_soap.web.snippets import SNIPPETS

SIZES = [pytest.param(1280, id="wide"), pytest.param(390, id="narrow")]


@pytest.fixture(scope="module")
def base_url(serve) -> Iterator[str]:
    shown = service_page(readme="# Webchat")

    @Request.application
    def app(request: Request) -> Response:
        if request.path != "/webchat":
            return Response(status=404)
        if request.query_string == b"readme":
            return shown.respond_readme(request.environ)
        return shown.respond(request.environ, base_url=request.host_url.rstrip("/"), from_host=True)

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


@pytest.mark.parametrize("width", SIZES)
def test_a_language_is_chosen_without_any_script(base_url, open_context, width: int) -> None:
    page = open_context(viewport={"width": width, "height": 800}, java_script_enabled=False).new_page()
    page.goto(f"{base_url}/webchat")
    for snippet in SNIPPETS:
        page.locator(f"label[for=in-{snippet.slug}]").click()
        shown = [each.language for each in SNIPPETS if page.get_by_label(f"A client in {each.language}").is_visible()]
        assert shown == [snippet.language]


def test_a_language_is_chosen_by_keyboard(base_url, open_context) -> None:
    page = open_context().new_page()
    page.goto(f"{base_url}/webchat")
    page.get_by_role("radio", name="Python").focus()
    for snippet in SNIPPETS[1:]:
        page.keyboard.press("ArrowRight")
        assert page.get_by_role("radio", name=snippet.language, exact=True).is_checked()
        assert page.get_by_label(f"A client in {snippet.language}").is_visible()


def test_no_language_makes_the_page_wider_than_a_phone(base_url, open_context) -> None:
    page = open_context(viewport={"width": 390, "height": 800}).new_page()
    page.goto(f"{base_url}/webchat")
    for snippet in SNIPPETS:
        page.locator(f"label[for=in-{snippet.slug}]").click()
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_one_click_marks_a_whole_request(base_url, open_context) -> None:
    page = open_context().new_page()
    page.goto(f"{base_url}/webchat")
    page.locator("#StartChat summary").first.click()
    sample = page.get_by_role("region", name="StartChat request, SOAP 1.1")
    sample.click()
    marked = page.evaluate("getSelection().toString()")
    assert marked.strip() == sample.text_content()


def test_the_wsdl_can_be_marked_whole_and_not_be_changed(base_url, open_context) -> None:
    page = open_context().new_page()
    page.goto(f"{base_url}/webchat")
    text = page.get_by_role("textbox", name="The WSDL")
    text.click()
    page.keyboard.press("Control+a")
    start, end, whole = text.evaluate("it => [it.selectionStart, it.selectionEnd, it.value.length]")
    assert (start, end) == (0, whole)
    page.keyboard.type("x")
    assert text.input_value().startswith("<?xml")
    assert text.input_value().rstrip().endswith("</wsdl:definitions>")


def test_the_wsdl_can_be_saved_as_a_file(base_url, open_context) -> None:
    page = open_context().new_page()
    page.goto(f"{base_url}/webchat")
    link = page.get_by_role("link", name="save it as webchat.wsdl")
    assert link.evaluate("it => [it.href, it.download]") == [f"{base_url}/webchat?wsdl", "webchat.wsdl"]
