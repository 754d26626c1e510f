"""The human page shows the whole description, is safe with whatever it is given, and tells caches the truth."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import re
from importlib.metadata import metadata
from pathlib import Path

import pytest
from lxml import html
from werkzeug.test import Client, TestResponse
from werkzeug.wrappers import Request, Response

from tests.browser.description import PICTURE, description, service_page, wsdl_at
from webchat_soap.web.answers import method_not_allowed, not_found, not_in_this_version, plain, to_service_page
from webchat_soap.web.pages import EXAMPLES, ServicePage, installed_readme, page_policy, render_service_page
from webchat_soap.web.snippets import RETRY, SNIPPETS

BASE = "https://chat.example.com/prefix"


CHAT_ID = "chat-of-this-test"


def render(base_url: str = BASE, *, picture: str | None = PICTURE, version: str = "0.1.0", described=None) -> str:
    return render_service_page(
        described or description(),
        wsdl_at=wsdl_at,
        base_url=base_url,
        version=version,
        picture=picture,
        chat_id=CHAT_ID,
    )


@pytest.fixture(scope="module")
def tree():
    return html.fromstring(render())


def get(method: str = "GET", *, from_host: bool = False, **headers: str) -> TestResponse:
    page = service_page()

    @Request.application
    def app(request: Request) -> Response:
        return page.respond(request.environ, base_url=BASE, from_host=from_host)

    return Client(app).open("/webchat", method=method, headers={k.replace("_", "-"): v for k, v in headers.items()})


def answered(response: Response, method: str = "GET") -> TestResponse:
    return Client(response).open("/", method=method)


def test_every_operation_stands_with_its_parameters_result_and_four_samples(tree) -> None:
    for operation in description().operations:
        (article,) = tree.xpath(f"//article[@id='{operation.name}']")
        assert article.xpath(".//tbody//th//text()[normalize-space()]") == [each.name for each in operation.parameters]
        assert operation.result.type_name in article.text_content()
        shown = [sample.text_content() for sample in article.xpath(".//details//pre/code")]
        link = f"{BASE}/public_files/{PICTURE}"
        samples = (
            operation.request_soap11,
            operation.response_soap11,
            operation.request_soap12,
            operation.response_soap12,
        )
        assert shown == [
            sample.strip().replace(description().sample_chat_id, CHAT_ID).replace(description().sample_file_url, link)
            for sample in samples
        ]


def test_every_type_and_fault_stands_on_the_page(tree) -> None:
    for each in description().types:
        (article,) = tree.xpath(f"//article[@id='type-{each.name}']")
        text = article.text_content()
        assert all(field.name in text for field in each.fields)
        assert all(value in text for value, _sentence in each.values)
    rows = tree.xpath("//table[contains(@class, 'faults')]/tbody/tr")
    assert [row.xpath("string(th)") for row in rows] == [each.code for each in description().faults]


def test_the_page_says_loudly_that_upload_posts(tree) -> None:
    (warning,) = tree.xpath("//aside[contains(@class, 'loud')]")
    assert "UploadFile posts the file to the chat itself" in warning.text_content()
    assert tree.xpath("//article[@id='UploadFile']//p[contains(@class, 'loud')]")


def test_every_snippet_holds_the_public_address(tree) -> None:
    *snippets, curl = (figure.text_content() for figure in tree.xpath("//section[@id='quick-start']//figure"))
    assert len(snippets) == len(SNIPPETS) == 5
    for snippet in snippets:
        assert f"{BASE}/webchat?wsdl" in snippet
        assert "ENDPOINT" not in snippet
    assert f"curl -sS '{BASE}/webchat' " in curl
    assert "<SendMessage " in curl


def test_the_recipe_for_retries_names_what_the_wsdl_names(tree) -> None:
    (section,) = tree.xpath("//section[@id='retries']")
    assert RETRY in [pre.text_content() for pre in section.xpath(".//pre")]
    assert max(len(line) for line in RETRY.splitlines()) <= 44
    fault = next(each for each in description().types if each.name == "WebchatFault")
    for name in ("retryable", "retryAfterSeconds"):
        assert name in RETRY
        assert name in {field.name for field in fault.fields}
        assert name in section.xpath(".//li//code/text()")
    assert "clientToken" in RETRY


def test_both_versions_of_a_fault_are_shown_in_the_chat_of_the_samples(tree) -> None:
    faults = [pre.text_content() for pre in tree.xpath("//section[@id='faults']//pre")]
    assert len(faults) == 2
    assert all(f"The chat {CHAT_ID} has ended" in fault for fault in faults)
    assert ["<faultcode>" in fault for fault in faults] == [True, False]


def test_without_a_picture_the_page_says_that_a_link_is_to_be_put_in() -> None:
    bare = html.fromstring(render(picture=None))
    (note,) = bare.xpath("//article[@id='UploadFile']//p[@class='note']")
    assert note.xpath("string(code)") == description().sample_file_url
    assert "but for the link" in bare.xpath("string(//h3[@id='samples']/following-sibling::p[1])")


def test_the_wsdl_stands_there_to_be_copied(tree) -> None:
    (text,) = tree.xpath("//textarea[@readonly]")
    assert text.text == wsdl_at(f"{BASE}/webchat").decode()
    assert {"?wsdl", "?xsd=1"} <= set(tree.xpath("//section[@id='wsdl']//a/@href"))


def test_links_are_relative_so_that_a_forged_host_bends_none(tree) -> None:
    targets = set(tree.xpath("//a/@href"))
    assert {"?wsdl", "?readme"} <= targets
    assert all(target.startswith(("?", "#")) for target in targets)


def test_every_anchor_leads_somewhere_and_no_id_is_used_twice(tree) -> None:
    ids = tree.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in tree.xpath("//a/@href") if target.startswith("#")} <= set(ids)


def test_headings_step_down_one_level_at_a_time(tree) -> None:
    levels = [int(each.tag[1]) for each in tree.xpath("//h1|//h2|//h3|//h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_whatever_the_description_and_the_address_hold_stays_text() -> None:
    evil = "</code><script>alert(1)</script><img src=x onerror=alert(1)>`<b>`\"'{{ 7*7 }}"
    operation = dataclasses.replace(description().operations[0], text=evil, request_soap11=evil, response_soap12=evil)
    page = render(
        f"http://x{evil}", version=evil, described=dataclasses.replace(description(), operations=(operation,))
    )
    tree = html.fromstring(page)
    assert tree.xpath("//script|//img|//b|//@onerror") == []
    assert "{{ 7*7 }}" in tree.xpath("string(//h1)")
    assert evil in [pre.text_content() for pre in tree.xpath("//details//pre/code")]


def test_the_policy_allows_the_one_style_sheet_and_nothing_else(tree) -> None:
    (style,) = tree.xpath("//style/text()")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page_policy()
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert tree.xpath("//@style|//script|//link[@rel!='icon']") == []


@pytest.mark.parametrize("from_host", [True, False])
def test_the_answer_is_framed_by_nobody_and_sniffed_by_nobody(from_host: bool) -> None:
    answer = get(from_host=from_host)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == page_policy()
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_a_page_made_from_the_host_header_is_not_stored() -> None:
    answer = get(from_host=True)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers


def test_a_page_of_the_public_address_is_kept_by_its_reader_alone() -> None:
    assert get().headers["Cache-Control"] == "private, no-cache"


def test_every_view_has_a_chat_of_its_own_and_is_else_the_same() -> None:
    chats, rest = set(), set()
    for _view in range(3):
        page = get().text
        (chat_id,) = set(re.findall(r"try-[0-9a-f]{8}", page))
        chats.add(chat_id)
        rest.add(page.replace(chat_id, ""))
    assert (len(chats), len(rest)) == (3, 1)


def test_the_picture_is_looked_for_at_every_view() -> None:
    pictures = iter([None, PICTURE])
    page = ServicePage(
        description=description(),
        wsdl_at=wsdl_at,
        version="0.1.0",
        readme=None,
        find_picture=lambda: next(pictures),
    )
    client = Client(Request.application(lambda r: page.respond(r.environ, base_url=BASE, from_host=False)))
    views = [client.get("/webchat").text for _view in range(2)]
    assert [f"{BASE}/public_files/{PICTURE}" in view for view in views] == [False, True]


def test_head_is_answered_without_a_body_and_other_methods_with_allow() -> None:
    assert (get("HEAD").status_code, get("HEAD").data) == (200, b"")
    assert (get("PUT").status_code, get("PUT").headers["Allow"]) == (405, "GET, HEAD, POST")


def test_the_readme_comes_as_text() -> None:
    page = service_page(readme="# Webchat\n\nMerhaba ş <script>\n")
    answer = Client(Request.application(lambda request: page.respond_readme(request.environ))).get("/webchat?readme")
    assert (answer.status_code, answer.text) == (200, "# Webchat\n\nMerhaba ş <script>\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", EXAMPLES.values())
def test_every_whole_client_is_linked_and_comes_as_text(tree, name: str) -> None:
    assert f"?example={name}" in tree.xpath("//a/@href")
    page = service_page()
    answer = Client(Request.application(lambda request: page.respond_example(request.environ, name))).get("/webchat")
    assert answer.text.strip() == (Path(__file__).parents[2] / "examples" / name).read_text(encoding="utf-8").strip()
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("name", ["", "../pages.py", "run-java", "README.md", "webchat_client.py\0"])
def test_nothing_else_comes_as_an_example(name: str) -> None:
    page = service_page()
    answer = Client(Request.application(lambda request: page.respond_example(request.environ, name))).get("/webchat")
    assert answer.status_code == 404


def test_the_readme_is_the_one_that_was_installed() -> None:
    assert installed_readme() == (metadata("webchat-soap").get_payload() or None)  # type: ignore[attr-defined]


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast of two `#rrggbb` colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_colour_that_text_has_is_readable_on_what_it_stands(tree, scheme: int) -> None:
    (style,) = tree.xpath("//style/text()")
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", re.findall(r":root \{(.*?)\}", style, re.DOTALL)[scheme]))
    on_paper = [(name, "paper") for name in ("ink", "soft", "accent", "tag", "value")]
    on_code = [(name, "code") for name in ("ink", "tag", "value")]
    for text, ground in [*on_paper, *on_code, ("on-accent", "accent"), ("loud-ink", "loud")]:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def test_a_refusal_is_a_plain_sentence_that_nobody_stores() -> None:
    answer = answered(plain(413, "The body is too large; send at most 1 MiB.", {"Connection": "close"}))
    assert (answer.status_code, answer.text) == (413, "The body is too large; send at most 1 MiB.\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Connection"] == "close"
    assert answered(plain(404, "No."), "HEAD").data == b""


def test_small_answers_have_their_status() -> None:
    assert not_found().status_code == 404
    assert method_not_allowed(("GET", "HEAD")).headers["Allow"] == "GET, HEAD"
    answer = answered(not_in_this_version("The agent console"))
    assert (answer.status_code, answer.text) == (501, "The agent console is not in this version yet.\n")


@pytest.mark.parametrize(
    ("base_url", "location"),
    [
        ("http://127.0.0.1:8000", "/webchat"),
        ("https://example.com/prefix", "/prefix/webchat"),
        ("https://evil.example", "/webchat"),
        ("http://x//evil.example", "/evil.example/webchat"),
        ("http://x/a b\r\nSet-Cookie: x", "/a%20bSet-Cookie%3A%20x/webchat"),
    ],
)
def test_the_redirect_to_the_page_stays_on_this_site(base_url: str, location: str) -> None:
    answer = answered(to_service_page(base_url))
    assert (answer.status_code, answer.headers["Location"]) == (302, location)
    assert answer.headers["Cache-Control"] == "no-store"
