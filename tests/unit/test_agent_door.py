"""The door and the pages around the console, called as WSGI: cookies, origins, where one may be sent, what is said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from werkzeug.http import parse_cookie
from werkzeug.test import Client, EnvironBuilder, TestResponse

from webchat_soap.app import Application, create_app
from webchat_soap.app_agents import make_agent_pages
from webchat_soap.domain.agent_ports import AgentAccess
from webchat_soap.domain.agents import AgentSession
from webchat_soap.domain.errors import Busy
from webchat_soap.settings import load_settings
from webchat_soap.web.agent_door import Door
from webchat_soap.web.agent_pages import AgentPages
from webchat_soap.web.words import LANGUAGES, catalogue

PASSWORD = "correct horse battery"
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


class House:
    """The whole application with the agent Ayşe, and a browser."""

    def __init__(self, folder: Path, public_url: str = "") -> None:
        settings = load_settings(environ={"WEBCHAT_DATA_DIR": str(folder), "WEBCHAT_PUBLIC_URL": public_url})
        self.app: Application = create_app(settings)
        self.browser = Client(self.app)
        agents = self.app._chats.agents  # type: ignore[attr-defined]
        if not agents.has_agents():
            agents.add_agent("Ayşe", password_hash=HASH, at=datetime.now(UTC))
        self.pages = make_agent_pages(settings, agents)

    def form(self, path: str = "/agent/sign-in", **headers: str) -> dict[str, str]:
        """The hidden fields of the form on a page."""
        page = self.browser.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        assert page.status_code == 200, page.text
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))

    def sign_in(
        self, password: str = PASSWORD, *, headers: dict[str, str] | None = None, **fields: str
    ) -> TestResponse:
        data = {**self.form(), "name": "Ayşe", "password": password, **fields}
        return self.browser.post("/agent/sign-in", data=data, headers=headers or {})

    def is_signed_in(self) -> bool:
        return self.browser.get("/agent/").status_code == 200


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.app.close()


def cookies_of(answer: TestResponse) -> dict[str, str]:
    """Whole Set-Cookie lines by their cookies' names."""
    return {line.partition("=")[0]: line for line in answer.headers.getlist("Set-Cookie")}


def test_who_signs_in_comes_to_the_page_asked_for(house: House) -> None:
    asked = house.browser.get("/agent/?a=%C5%9F&b=1")
    assert asked.status_code == 303
    assert asked.headers["Location"] == "/agent/sign-in?next=/agent/%3Fa%3D%25C5%259F%26b%3D1"
    fields = house.form(asked.headers["Location"])
    assert fields["next"] == "/agent/?a=%C5%9F&amp;b=1"
    answer = house.sign_in(next="/agent/?a=%C5%9F&b=1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/agent/?a=%C5%9F&b=1")
    assert house.is_signed_in()
    again = house.browser.get("/agent/sign-in?next=/agent/x")
    assert (again.status_code, again.headers["Location"]) == (303, "/agent/x")


def test_a_wrong_password_is_told_and_the_name_stays(house: House) -> None:
    answer = house.sign_in("wrong", name='<Ayşe "x">')
    assert answer.status_code == 403
    assert "The name or the password is wrong." in answer.text
    assert 'value="&lt;Ayşe &#34;x&#34;&gt;"' in answer.text
    assert "wrong password" not in answer.text
    assert "webchat_agent" not in cookies_of(answer)
    assert not house.is_signed_in()


@pytest.mark.parametrize(
    ("public_url", "path", "secure"),
    [
        ("", "/agent", False),
        ("http://chat.example.com", "/agent", False),
        ("https://chat.example.com", "/agent", True),
        ("https://chat.example.com/a/support", "/a/support/agent", True),
    ],
)
def test_cookies_go_to_the_console_alone_and_over_tls_where_there_is_tls(
    tmp_path: Path, public_url: str, path: str, secure: bool
) -> None:
    house = House(tmp_path, public_url)
    page = house.browser.get("/agent/sign-in")
    csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)[1]  # type: ignore[index]
    # As through a proxy that takes the prefix away.
    sent = {"Cookie": f"webchat_agent_form={csrf}"}
    browser = Client(house.app, use_cookies=False)
    answer = browser.post(
        "/agent/sign-in", data={"csrf": csrf, "name": "Ayşe", "password": PASSWORD, "next": path + "/x"}, headers=sent
    )
    assert answer.headers["Location"] == f"{path}/x"
    lines = {**cookies_of(page), **cookies_of(answer)}
    assert set(lines) == {"webchat_agent_form", "webchat_agent", "webchat_agent_browser"}
    for name, line in lines.items():
        attributes = {part.strip().partition("=")[0]: part.partition("=")[2] for part in line.split(";")[1:]}
        assert "HttpOnly" in attributes
        assert ("Secure" in attributes) is secure
        assert attributes["SameSite"] == ("Strict" if name == "webchat_agent_browser" else "Lax")
        assert attributes["Path"] == path + ("/sign-in" if name == "webchat_agent_browser" else "")
        assert "Domain" not in attributes
        assert ("Max-Age" in attributes) is (name == "webchat_agent_browser")
    token = re.match(r"webchat_agent=([^;]+)", lines["webchat_agent"])[1]  # type: ignore[index]
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    inside = browser.get("/agent/", headers={"Cookie": f"webchat_agent={token}"})
    out = browser.post(
        "/agent/sign-out",
        data={"csrf": re.search(r'name="csrf" value="([^"]+)"', inside.text)[1]},  # type: ignore[index]
        headers={"Cookie": f"webchat_agent={token}"},
    )
    assert out.headers["Location"] == f"{path}/sign-in?out"
    assert f"Path={path}" in cookies_of(out)["webchat_agent"]
    assert "Max-Age=0" in cookies_of(out)["webchat_agent"]
    assert browser.get("/agent/", headers={"Cookie": f"webchat_agent={token}"}).status_code == 303
    house.app.close()


@pytest.mark.parametrize(
    "asked",
    [
        "https://evil.example/agent/",
        "//evil.example/agent/",
        "/\\evil.example/agent/",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/webchat",
        "/agentx",
        "/agent",
        "agent/",
        "/agent/../webchat",
        "/agent/./x",
        "/agent/%2e%2E/webchat",
        "/agent/.%2e",
        "/agent/\r\nSet-Cookie: a=b",
        "/agent/\x00",
        "/agent/ş",
        "/agent/%",
        "/agent/%zz",
        "/agent/\t",
        "/agent/#/chat/c1",
        "/agent/sign-in?next=/agent/",
        "/agent/sign-out",
        "/agent/try?key=x",
        "/agent/api/session",
        "/agent/" + "x" * 3000,
        "",
    ],
)
def test_nobody_is_sent_anywhere_but_to_a_page_of_the_console(house: House, asked: str) -> None:
    answer = house.sign_in(next=asked)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/agent/")
    assert house.browser.get("/agent/sign-in", query_string={"next": asked}).headers["Location"] == "/agent/"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8001"},
        {"Origin": "https://localhost"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://localhost, https://evil.example"},
    ],
)
def test_what_comes_from_another_site_changes_nothing(house: House, headers: dict[str, str]) -> None:
    refused = house.sign_in(headers=headers)
    assert refused.status_code == 403
    assert not house.is_signed_in()
    house.sign_in()
    csrf = house.form("/agent/")["csrf"]
    for path in ("/agent/sign-out", "/agent/sign-out-everywhere"):
        assert house.browser.post(path, data={"csrf": csrf}, headers=headers).status_code == 403
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = house.browser.open("/agent/api/x", method=method, headers={**headers, "X-CSRF-Token": csrf})
        assert (answer.status_code, answer.json["error"]["code"]) == (403, "CsrfRefused")  # type: ignore[index]
    assert house.is_signed_in()


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}],
)
def test_what_comes_from_our_own_pages_is_taken(house: House, headers: dict[str, str]) -> None:
    assert house.sign_in(headers=headers).status_code == 303
    csrf = house.form("/agent/")["csrf"]
    assert house.browser.post("/agent/api/x", headers={**headers, "X-CSRF-Token": csrf}).status_code == 404
    assert house.browser.post("/agent/sign-out", data={"csrf": csrf}, headers=headers).status_code == 303
    assert not house.is_signed_in()
    assert "You are signed out." in house.browser.get("/agent/sign-in?out").text


def test_behind_a_proxy_the_origin_is_that_of_the_public_url(tmp_path: Path) -> None:
    house = House(tmp_path, "https://chat.example.com/support")
    browser = Client(house.app, use_cookies=False)
    for origin, status in (("https://chat.example.com", 303), ("http://chat.example.com", 403)):
        answer = browser.post(
            "/agent/sign-in",
            data={"csrf": "x" * 43, "name": "Ayşe", "password": PASSWORD},
            headers={"Cookie": f"webchat_agent_form={'x' * 43}", "Origin": origin},
        )
        assert answer.status_code == status
    house.app.close()


@pytest.mark.parametrize("csrf", [None, "", "x" * 43, "\ud800", "ş"])
def test_a_change_without_the_sessions_own_csrf_token_is_refused(house: House, csrf: str | None) -> None:
    house.sign_in()
    fields = {} if csrf is None else {"csrf": csrf.encode("utf-8", "surrogatepass")}
    assert house.browser.post("/agent/sign-out", data=fields).status_code == 403
    headers = {} if csrf is None else {"X-CSRF-Token": csrf.encode("utf-8", "surrogatepass").decode("latin-1")}
    answer = house.browser.put("/agent/api/x", headers=headers)
    assert (answer.status_code, answer.json["error"]["code"]) == (403, "CsrfRefused")  # type: ignore[index]
    assert house.is_signed_in()


def test_the_csrf_token_of_another_session_is_refused(house: House) -> None:
    house.sign_in()
    first, csrf = house.browser, house.form("/agent/")["csrf"]
    house.browser = Client(house.app)
    house.sign_in()
    assert house.browser.post("/agent/sign-out", data={"csrf": csrf}).status_code == 403
    assert first.post("/agent/sign-out", data={"csrf": csrf}).status_code == 303
    assert house.is_signed_in()


def test_a_form_without_its_cookie_is_given_again_and_not_believed(house: House) -> None:
    fields = house.form()
    house.browser = Client(house.app, use_cookies=False)
    answer = house.browser.post("/agent/sign-in", data={**fields, "name": "Ayşe", "password": PASSWORD})
    assert answer.status_code == 403
    assert "open for too long" in answer.text
    assert "webchat_agent" not in cookies_of(answer)
    planted = house.browser.post(
        "/agent/sign-in",
        data={"csrf": "", "name": "Ayşe", "password": PASSWORD},
        headers={"Cookie": "webchat_agent_form="},
    )
    assert planted.status_code == 403


def test_two_tabs_can_both_be_used(house: House) -> None:
    first, second = house.form(), house.form()
    assert first["csrf"] == second["csrf"]


def test_a_session_that_somebody_planted_is_not_taken_over(house: House) -> None:
    planted = "x" * 43
    house.browser.set_cookie("webchat_agent", planted, path="/agent")
    answer = house.sign_in()
    assert planted not in cookies_of(answer)["webchat_agent"]
    assert house.is_signed_in()
    stranger = Client(house.app, use_cookies=False)
    assert stranger.get("/agent/", headers={"Cookie": f"webchat_agent={planted}"}).status_code == 303


def test_a_foreign_cookie_of_the_same_name_does_not_shut_anybody_out(house: House) -> None:
    token = parse_cookie(cookies_of(house.sign_in())["webchat_agent"])["webchat_agent"]
    stranger = Client(house.app, use_cookies=False)
    # The last: another program on this host, whose cookie is no UTF-8.
    for foreign in (f"webchat_agent={'y' * 43}", "theme=caf\xe9", "\xff=\xff"):
        assert stranger.get("/agent/", headers={"Cookie": f"{foreign}; webchat_agent={token}"}).status_code == 200


@pytest.mark.parametrize("cookie", ["", "x", "x" * 100_000, "\x00", '"', "%", "a;b", "=" * 50])
def test_a_cookie_that_is_none_of_ours_is_nobody(house: House, cookie: str) -> None:
    browser = Client(house.app, use_cookies=False)
    for header in (f"webchat_agent={cookie}", cookie):
        assert browser.get("/agent/", headers={"Cookie": header}).status_code == 303
        assert browser.get("/agent/api/x", headers={"Cookie": header}).status_code == 401


def test_the_api_answers_in_json_and_pages_by_the_way_to_the_sign_in(house: House) -> None:
    answer = house.browser.get("/agent/api/chats?q=x")
    assert answer.status_code == 401
    assert answer.json == {
        "error": {
            "code": "Unauthorized",
            "message": "You are not signed in (any more); sign in again.",
            "retryable": False,
        }
    }
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert house.browser.post("/agent/").headers["Location"] == "/agent/sign-in"
    assert house.browser.get("/agent").headers["Location"] == "/agent/"
    assert house.browser.post("/agent/sign-out").headers["Location"] == "/agent/sign-in?out"


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/agent/sign-in", "GET, HEAD, POST"),
        ("/agent/try", "GET, HEAD, POST"),
        ("/agent/sign-out", "POST"),
        ("/agent/static/sign_in.css", "GET, HEAD"),
    ],
)
def test_other_methods_are_refused_by_name(house: House, path: str, methods: str) -> None:
    answer = house.browser.delete(path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, methods)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"csrf=x&name=a&password=b", "text/plain", 403),
        (b"csrf=x&name=a&password=b", "multipart/form-data; boundary=x", 403),
        (b"\xff\xfe%ff%00=%", "application/x-www-form-urlencoded", 403),
        (b"a=1&" * 20_000, "application/x-www-form-urlencoded", 413),
        (b"a=1&" * 100, "application/x-www-form-urlencoded", 400),
        (b"", "", 403),
    ],
)
def test_a_form_that_is_none_is_refused_and_breaks_nothing(
    house: House, body: bytes, content_type: str, status: int
) -> None:
    for path in ("/agent/sign-in", "/agent/try"):
        assert house.browser.post(path, data=body, content_type=content_type).status_code == status


def test_a_huge_password_or_one_with_a_nul_is_just_wrong(house: House) -> None:
    for password in ("x" * 1001, "x" * 60_000, PASSWORD + "\x00", "\x00"):
        assert house.sign_in(password).status_code == 403
    assert house.sign_in().status_code == 303


# -- pages


@pytest.mark.parametrize(
    ("accepts", "language", "button"),
    [
        ("", "en", "Sign in"),
        ("tr-TR,tr;q=0.9,en;q=0.8", "tr", "Oturum aç"),
        ("de, en;q=0.5", "en", "Sign in"),
        ("de, tr;q=0.2", "tr", "Oturum aç"),
        ("tr;q=0, en", "en", "Sign in"),
        ("fr", "en", "Sign in"),
        (";;;q=x, *" * 1000, "en", "Sign in"),
    ],
)
def test_the_page_speaks_the_browsers_language(house: House, accepts: str, language: str, button: str) -> None:
    page = house.browser.get("/agent/sign-in", headers={"Accept-Language": accepts}).text
    assert f'<html lang="{language}">' in page
    assert f'<button type="submit">{button}</button>' in page


def test_there_is_one_catalogue_a_language() -> None:
    names = (path.name for path in (files("webchat_soap.web") / "static" / "agent").iterdir())
    assert {name for name in names if name.endswith(".json")} == {f"{language}.json" for language in LANGUAGES}
    assert all(catalogue(language)["sign-in.title"] for language in LANGUAGES)


def test_pages_run_nothing_and_are_shown_in_nobodys_frame(house: House) -> None:
    house.sign_in()
    for path in ("/agent/", "/agent/try?key=x"):
        answer = house.browser.get(path)
        policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy.get("script-src", "'self'") == "'self'"
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert not re.search(r"<script(?![^>]*(?: src=|application/json))|<style|\sstyle=|\son\w+=", answer.text)


def test_what_a_page_links_is_there_under_its_address_and_may_be_kept(house: House) -> None:
    page = house.browser.get("/agent/sign-in").text
    links = set(re.findall(r'(?:href|src)="(static/[^"]+)"', page))
    assert len(links) == 2
    for link in links:
        answer = house.browser.get(f"/agent/{link}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]


# -- when the store does not answer


class BrokenAccess:
    """An AgentAccess whose database does not answer."""

    def __getattr__(self, name: str) -> Any:
        def broken(*_: object, **__: object) -> None:
            raise Busy("The messages cannot be reached right now.", retry_after_seconds=7)

        return broken


def test_a_database_that_does_not_answer_is_told_as_such() -> None:
    access: AgentAccess = BrokenAccess()
    pages = AgentPages(access, door=Door(access, public_url=None), is_trial_possible=True)

    def ask(path: str, method: str = "GET", data: dict[str, str] | None = None) -> tuple[int, str | None, str]:
        environ = EnvironBuilder(
            path,
            method=method,
            data=data,
            headers={"Cookie": f"webchat_agent={'x' * 43}; webchat_agent_form={'f' * 43}"},
            environ_base={"REMOTE_ADDR": "127.0.0.1"},
        ).get_environ()
        answer = pages.respond(environ)
        return answer.status_code, answer.headers.get("Retry-After"), answer.get_data(as_text=True)

    form = {"csrf": "f" * 43, "name": "a", "password": "b", "key": "k"}
    assert ask("/agent/")[:2] == (503, "7")
    assert json.loads(ask("/agent/api/x")[2])["error"]["retryAfterSeconds"] == 7
    assert ask("/agent/sign-in")[0] == 503
    assert ask("/agent/sign-in", "POST", form)[:2] == (503, "7")
    assert ask("/agent/sign-out", "POST", form)[:2] == (503, "7")
    assert ask("/agent/try?key=k")[:2] == (503, "7")
    assert ask("/agent/try", "POST", form)[:2] == (503, "7")
    assert ask("/agent/static/sign_in.css")[0] == 200


def test_the_console_is_called_with_who_asks() -> None:
    session = AgentSession(
        session_id="s",
        agent_id="a",
        agent_name="Ayşe",
        csrf_token="c",
        expires_at=None,  # type: ignore[arg-type]
    )

    class Open(BrokenAccess):
        def find(self, token: str, *, is_activity: bool) -> AgentSession | None:
            return session if token == "t" * 43 else None

    seen: list[tuple[str, AgentSession]] = []

    def console(environ: Any, session: AgentSession) -> Any:
        seen.append((environ["PATH_INFO"], session))
        return "an answer"

    access: AgentAccess = Open()
    pages = AgentPages(access, door=Door(access, public_url=None), is_trial_possible=False, console=console)
    environ = EnvironBuilder("/agent/api/chats", headers={"Cookie": f"webchat_agent={'t' * 43}"}).get_environ()
    assert pages.respond(environ) == "an answer"
    assert seen == [("/agent/api/chats", session)]
