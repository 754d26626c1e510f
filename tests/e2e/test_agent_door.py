"""Signing in to a service that runs as a process, over real HTTP, with agents managed by the command beside it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.e2e.console_script import SCRIPT, Running, running, until
from webchat_soap.app import agent_commands
from webchat_soap.settings import load_settings

PASSWORD = "correct horse battery"
IDLE_SECONDS = 1.2


def agent(data: Path, *arguments: str, given: str = "") -> str:
    """Run `webchat-soap agent …` beside the service; what it prints."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WEBCHAT_")}
    done = subprocess.run(
        [SCRIPT, "agent", *arguments, "--data-dir", data],
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        env=environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Browser:
    """One browser with cookies of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()

    def get(self, path: str) -> requests.Response:
        return self.session.get(self.url + path, timeout=20, allow_redirects=False)

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> requests.Response:
        return self.session.post(
            self.url + path,
            data=fields,
            headers={"Origin": self.url} | (headers or {}),
            timeout=20,
            allow_redirects=False,
        )

    def fields(self, path: str = "/agent/sign-in") -> dict[str, str]:
        page = self.get(path)
        assert page.status_code == 200, page.text
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))

    def sign_in(self, name: str = "Ayşe", password: str = PASSWORD, **fields: str) -> requests.Response:
        return self.post("/agent/sign-in", **{**self.fields(), "name": name, "password": password, **fields})

    def is_signed_in(self) -> bool:
        return self.get("/agent/").status_code == 200


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agents") / "data"
    agent(folder, "add", "Ayşe", "--password-stdin", given=PASSWORD)
    return folder


@pytest.fixture(scope="module")
def service(data: Path) -> Iterator[Running]:
    """With two processes, so that each request may meet another one than the last."""
    with running(data, WORKERS="2") as service:
        yield service


@pytest.fixture
def browser(service: Running) -> Browser:
    return Browser(service.url)


@pytest.fixture
def name(data: Path) -> str:
    """An agent of this test's own, whom no other test has slowed down."""
    with agent_commands(load_settings(environ={"WEBCHAT_DATA_DIR": str(data)}), makes_database=False) as agents:
        assert agents is not None
        return agents.add(f"Agent {time.monotonic_ns()}", PASSWORD)


def test_an_agent_signs_in_works_and_signs_out(browser: Browser, name: str) -> None:
    assert browser.get("/agent/").headers["Location"] == "/agent/sign-in?next=/agent/"
    answer = browser.sign_in(name.upper())
    assert (answer.status_code, answer.headers["Location"]) == (303, "/agent/")
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]
    for _ in range(10):
        assert name in browser.get("/agent/").text
    token = browser.session.cookies["webchat_agent"]
    csrf = browser.fields("/agent/")["csrf"]
    assert browser.post("/agent/sign-out", csrf=csrf).status_code == 303
    assert "webchat_agent" not in browser.session.cookies
    stolen = Browser(browser.url)
    stolen.session.cookies.set("webchat_agent", token, path="/agent")
    assert not stolen.is_signed_in()


def test_wrong_passwords_are_refused_and_slow_the_name_down_over_all_processes(browser: Browser, name: str) -> None:
    fields = {**browser.fields(), "name": name, "password": "wrong password"}
    with ThreadPoolExecutor(8) as pool:
        met = list(pool.map(lambda _: Browser(browser.url).sign_in(name, "wrong password").status_code, range(10)))
    assert met.count(403) == 5
    assert set(met) <= {403, 429, 503}
    answer = browser.post("/agent/sign-in", **fields)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert f"in {answer.headers['Retry-After']} seconds" in answer.text
    assert browser.sign_in(name).status_code == 429, "the right one too, else guessing would go on"
    assert not browser.is_signed_in()


def test_an_agent_whose_browser_is_known_gets_in_while_others_guess(browser: Browser, name: str) -> None:
    browser.sign_in(name)
    csrf = browser.fields("/agent/")["csrf"]
    browser.post("/agent/sign-out", csrf=csrf)
    for _ in range(5):
        Browser(browser.url).sign_in(name, "wrong password")
    assert Browser(browser.url).sign_in(name).status_code == 429
    assert browser.sign_in(name).status_code == 303


def test_slow_down_lasts_over_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    agent(folder, "add", "Ayşe", "--password-stdin", given=PASSWORD)
    with running(folder) as service:
        for _ in range(5):
            assert Browser(service.url).sign_in(password="wrong password").status_code == 403
    with running(folder) as service:
        assert Browser(service.url).sign_in().status_code == 429


def test_signing_out_everywhere_ends_every_browsers_session(service: Running, name: str) -> None:
    here, there = Browser(service.url), Browser(service.url)
    for one in (here, there):
        one.sign_in(name)
        assert one.is_signed_in()
    csrf = here.fields("/agent/")["csrf"]
    assert here.post("/agent/sign-out-everywhere", csrf=csrf).headers["Location"] == "/agent/sign-in?out"
    assert not there.is_signed_in()
    assert not here.is_signed_in()


@pytest.mark.parametrize("command", ["disable", "password", "sign-out"])
def test_the_operators_command_ends_sessions_at_once(browser: Browser, data: Path, name: str, command: str) -> None:
    browser.sign_in(name)
    assert browser.is_signed_in()
    assert f"{name}  active" in agent(data, "list")
    agent(data, command, name, *(["--generate"] if command == "password" else []))
    for _ in range(10):
        assert browser.get("/agent/api/x").status_code == 401
    assert (browser.sign_in(name).status_code == 303) is (command == "sign-out")


def test_a_change_without_csrf_token_or_from_elsewhere_is_refused(browser: Browser, name: str) -> None:
    browser.sign_in(name)
    csrf = browser.fields("/agent/")["csrf"]
    for headers, token in (
        ({}, "x" * 64),
        ({"Origin": "https://evil.example"}, csrf),
        ({"Origin": "null"}, csrf),
        ({"Sec-Fetch-Site": "cross-site"}, csrf),
    ):
        assert browser.post("/agent/sign-out", headers, csrf=token).status_code == 403
        assert browser.post("/agent/api/x", {**headers, "X-CSRF-Token": token}).status_code == 403
    assert browser.is_signed_in()
    assert browser.post("/agent/api/x", {"X-CSRF-Token": csrf}).status_code == 404


def test_a_planted_session_is_not_taken_over(browser: Browser, name: str) -> None:
    planted = "p" * 43
    browser.session.cookies.set("webchat_agent", planted, domain="127.0.0.1", path="/agent")
    answer = browser.sign_in(name)
    assert answer.status_code == 303
    assert planted not in answer.headers["Set-Cookie"]
    stranger = Browser(browser.url)
    stranger.session.cookies.set("webchat_agent", planted, path="/agent")
    assert not stranger.is_signed_in()


def test_hostile_values_harm_nothing_and_stay_out_of_headers(browser: Browser, name: str) -> None:
    for hostile in ("x" * 1001, "x" * 60_000, PASSWORD + "\x00", "a\r\nSet-Cookie: evil=1", "\x00"):
        for what in ({"name": name, "password": hostile}, {"name": hostile, "password": PASSWORD}):
            answer = browser.post("/agent/sign-in", **{**browser.fields(), **what})
            assert answer.status_code in (403, 429)
            assert "evil" not in "".join(answer.headers.values())
    for goal in ("https://evil.example", "//evil.example", "/agent/\r\nSet-Cookie: evil=1"):
        fresh = Browser(browser.url)
        answer = fresh.sign_in(next=goal)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/agent/")
        assert "evil" not in "".join(answer.headers.values())
    big = browser.session.post(f"{browser.url}/agent/sign-in", data="a=1&" * 50_000, timeout=20)
    assert big.status_code == 413
    many = browser.get("/agent/sign-in?" + "next=/agent/&" * 500)
    assert many.status_code == 200


# The last with the shared service: it uses up what may come from this address.
def test_texts_are_answered_while_many_sign_in(service: Running, name: str) -> None:
    call = (
        '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><SendMessage xmlns="urn:webchat:v1">'
        '<CHATID>c1</CHATID><fileDetails>{"text": "x"}</fileDetails></SendMessage></Body></Envelope>'
    )
    stop = time.monotonic() + 2

    def guess(number: int) -> int:
        one, met = Browser(service.url), 0
        fields = {**one.fields(), "password": "wrong password"}
        while time.monotonic() < stop:
            met += one.post("/agent/sign-in", **{**fields, "name": f"{name} {number} {met}"}).status_code in (
                403,
                429,
                503,
            )
        return met

    with ThreadPoolExecutor(16) as pool:
        guesses = [pool.submit(guess, number) for number in range(16)]
        took = []
        while time.monotonic() < stop:
            began = time.monotonic()
            answer = requests.post(
                f"{service.url}/webchat", data=call, headers={"Content-Type": "text/xml"}, timeout=20
            )
            took.append(time.monotonic() - began)
            assert answer.status_code == 200
    assert all(guess.result() for guess in guesses), "each of them was answered meanwhile"
    assert sorted(took)[len(took) // 2] < 0.5


def test_a_session_becomes_idle_and_ends_after_its_longest_time(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    agent(folder, "add", "Ayşe", "--password-stdin", given=PASSWORD)
    with running(folder, AGENT_IDLE_MINUTES=str(IDLE_SECONDS / 60), AGENT_SESSION_HOURS="0.001") as service:
        idle, busy, alone = Browser(service.url), Browser(service.url), Browser(service.url)
        assert idle.sign_in().status_code == 303
        assert alone.sign_in().status_code == 303
        alone.session.headers["X-Unattended"] = "1"
        assert busy.sign_in().status_code == 303
        began = time.monotonic()
        assert idle.is_signed_in()
        ended: list[float] = []
        left_alone: list[float] = []

        def has_ended() -> bool:
            if alone.is_signed_in():
                left_alone.append(time.monotonic() - began)
            if not busy.is_signed_in():
                ended.append(time.monotonic() - began)
            return bool(ended)

        until(has_ended, seconds=20, what="the session does not end")
        assert IDLE_SECONDS * 1.5 < ended[0] < 10, "kept awake beyond the idle time, and ended after 3.6 s"
        assert max(left_alone) < IDLE_SECONDS * 1.3, "what a page asks by itself keeps nobody signed in"
        assert not idle.is_signed_in()
        assert busy.get("/agent/api/x").status_code == 401
        assert busy.sign_in().status_code == 303
        last = time.monotonic() + 0.2
        until(lambda: time.monotonic() - last > IDLE_SECONDS, seconds=10, what="time does not pass")
        assert not busy.is_signed_in(), "idle before its longest time"


def test_behind_a_proxy_with_tls_and_a_prefix_cookies_and_links_follow_the_public_url(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    agent(folder, "add", "Ayşe", "--password-stdin", given=PASSWORD)
    with running(folder, PUBLIC_URL="https://chat.example.com/support") as service:
        asked = requests.get(f"{service.url}/agent/", timeout=20, allow_redirects=False)
        assert asked.headers["Location"] == "/support/agent/sign-in?next=/agent/"
        form = {"csrf": "f" * 43, "name": "Ayşe", "password": PASSWORD, "next": "/support/agent/"}
        answer = requests.post(
            f"{service.url}/agent/sign-in",
            data=form,
            headers={"Cookie": f"webchat_agent_form={'f' * 43}", "Origin": "https://chat.example.com"},
            timeout=20,
            allow_redirects=False,
        )
        assert (answer.status_code, answer.headers["Location"]) == (303, "/support/agent/")
        line = answer.raw.headers.getlist("set-cookie")[0]
        assert {part.strip() for part in line.split(";")[1:]} == {
            "Secure",
            "HttpOnly",
            "Path=/support/agent",
            "SameSite=Lax",
        }


# -- the trial


def trial_link(service: Running) -> str | None:
    found = re.search(r"http://\S+/agent/try\?key=\S+", service.log.read_text())
    return found[0].removeprefix(service.url) if found else None


def test_the_trial_of_a_demo_start_works_once_until_there_is_an_agent(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with running(folder, flags=("--demo",)) as service:
        until(lambda: trial_link(service) is not None, seconds=10, what="no link is printed")
        assert "For trying only" in service.log.read_text()
        link = trial_link(service)
        assert link is not None
        browser, late = Browser(service.url), Browser(service.url)
        fields, theirs = browser.fields(link), late.fields(link)
        preview = Browser(service.url)
        assert preview.get(link).status_code == 200, "to look does not use it up"
        assert browser.post("/agent/try", key=fields["key"]).status_code == 403, "without the form's token"
        assert browser.post("/agent/try", **fields).headers["Location"] == "/agent/"
        assert '<meta name="agent-name" content="Try">' in browser.get("/agent/").text
        assert late.post("/agent/try", **theirs).status_code == 403
        assert late.get(link).status_code == 403
        assert not late.is_signed_in()
        agent(folder, "add", "Ayşe", "--password-stdin", given=PASSWORD)
        assert not browser.is_signed_in()
    service.log.write_text("")
    with running(folder, port=service.port, flags=("--demo",)) as service:
        until(lambda: "is ready on" in service.log.read_text(), seconds=10, what="nothing is printed")
        assert trial_link(service) is None


def test_there_is_no_trial_where_others_could_come_in_or_nobody_asked(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with running(folder, flags=("--demo",)) as service:
        until(lambda: trial_link(service) is not None, seconds=10, what="no link is printed")
        link = trial_link(service)
        assert link is not None
        browser = Browser(service.url)
        browser.post("/agent/try", **browser.fields(link))
        assert browser.is_signed_in()
    for flags, settings in (((), {}), (("--demo",), {"PUBLIC_URL": "http://chat.example.com"})):
        service.log.write_text("")
        with running(folder, port=service.port, flags=flags, **settings) as service:
            until(lambda: "is ready on" in service.log.read_text(), seconds=10, what="nothing is printed")
            assert trial_link(service) is None
            assert Browser(service.url).get(link).status_code == 403
            assert not browser.is_signed_in()
