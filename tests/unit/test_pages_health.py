"""/healthz says that the process serves, /readyz that its parts do, and neither says why not."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from pathlib import Path

import pytest
from werkzeug.test import Client, TestResponse
from werkzeug.wrappers import Request

from tests.serving import wait_until
from webchat_soap.domain.errors import Busy
from webchat_soap.domain.outages import Outage
from webchat_soap.web.health import FRESH_SECONDS, Health

README = Path(__file__).parents[2] / "README.md"


class Part:
    """A store that answers a ping, or does not."""

    def __init__(self, error: Exception | None = None, until: threading.Event | None = None) -> None:
        self.error = error
        self.until = until
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1
        if self.until:
            self.until.wait(20)
        if self.error:
            raise self.error


def ask(path: str, chats: Part, files: Part, method: str = "GET") -> TestResponse:
    health = Health(chats=chats, files=files)  # type: ignore[arg-type]
    return Client(Request.application(lambda request: getattr(health, path)(request.environ))).open(method=method)


def test_healthz_is_ok_even_when_the_stores_are_not_and_never_asks_them() -> None:
    chats, files = Part(Busy("down")), Part(OSError("full"))
    answer = ask("healthz", chats, files)
    assert (answer.status_code, answer.text, answer.headers["Cache-Control"]) == (200, "ok\n", "no-store")
    assert chats.pings == files.pings == 0


def test_readyz_is_200_when_everything_works() -> None:
    answer = ask("readyz", Part(), Part())
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.get_json() == {"status": "ready", "database": "ok", "files": "ok"}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("chats", "files", "failing"),
    [
        (Part(Busy("secret.db is locked")), Part(), {"database"}),
        (Part(), Part(OSError(28, "No space left", "/srv/secret")), {"files"}),
        (Part(Busy("secret")), Part(Busy("secret")), {"database", "files"}),
    ],
)
def test_readyz_names_the_parts_that_fail_and_keeps_why_to_the_log(
    chats: Part, files: Part, failing: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        answer = ask("readyz", chats, files)
    assert answer.status_code == 503
    state = json.loads(answer.text)
    assert {name for name, value in state.items() if value == "failing"} == failing
    assert state["status"] == "not ready"
    assert "secret" not in answer.text
    assert "secret" in caplog.text


def test_readyz_is_503_whatever_a_part_raises_and_tells_the_log_why_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caused = Busy("try again")
    caused.outage = Outage.LOCKED
    caused.__cause__ = ValueError("secret.db\nis garbage")
    with caplog.at_level(logging.WARNING):
        answer = ask("readyz", Part(caused), Part(RuntimeError("secret")))
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/json")
    assert answer.get_json() == {
        "status": "not ready",
        "database": "failing",
        "files": "failing",
        "causes": {"database": "locked by another program", "files": "see the log"},
    }
    assert {record.getMessage() for record in caplog.records} == {
        "not ready: database (locked by another program): Busy: try again <- ValueError: secret.db is garbage",
        "not ready: files (see the log): RuntimeError: secret",
    }


def test_readyz_answers_in_time_when_a_part_hangs_and_looks_again_once_it_has_ended() -> None:
    hangs = threading.Event()
    health = Health(chats=Part(until=hangs), files=Part())  # type: ignore[arg-type]
    client = Client(Request.application(lambda request: health.readyz(request.environ)))
    for _ in range(2):
        began = time.monotonic()
        answer = client.get()
        assert time.monotonic() - began < 2
        assert (answer.status_code, answer.get_json()["causes"]) == (503, {"database": "no answer"})
    assert [thread.name for thread in threading.enumerate()].count("look-at-database") == 1
    hangs.set()
    wait_until(lambda: client.get().status_code == 200)


def test_readyz_that_is_asked_all_the_time_looks_once_a_second() -> None:
    chats, files = Part(), Part(Busy("full"))
    health = Health(chats=chats, files=files)  # type: ignore[arg-type]
    client = Client(Request.application(lambda request: health.readyz(request.environ)))
    began, asked = time.monotonic(), 0
    while asked < 100:
        assert client.get().status_code == 503
        asked += 1
    looks = 1 + (time.monotonic() - began) / FRESH_SECONDS
    assert 1 <= chats.pings <= looks
    assert 1 <= files.pings <= looks


def test_the_readme_says_what_to_do_for_every_cause() -> None:
    health = README.read_text(encoding="utf-8").partition("**Health.**")[2].partition("**Logs**")[0]
    causes = re.findall(r"^\| `([^`]+)` \| .{10,} \|$", health, re.MULTILINE)
    assert sorted(causes) == sorted(Outage)
    assert '"causes": {"files": "disk full"}' in health


@pytest.mark.parametrize("path", ["healthz", "readyz"])
def test_probes_take_get_and_head_only(path: str) -> None:
    assert ask(path, Part(), Part(), "HEAD").status_code == 200
    assert ask(path, Part(), Part(), "POST").headers["Allow"] == "GET, HEAD"
