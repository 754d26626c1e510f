"""/readyz of the whole application names causes that no test with a running service provokes; see test_below_*.py."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from werkzeug.test import Client

from webchat_soap.app import create_app
from webchat_soap.settings import load_settings

DATABASE = "webchat.db"

CLIENT = """
import json, resource, sqlite3, sys, time
from contextlib import suppress
from pathlib import Path
from werkzeug.test import Client
from webchat_soap.app import create_app
from webchat_soap.settings import load_settings

app = create_app(load_settings(environ={"WEBCHAT_DATA_DIR": sys.argv[1]}, toml_path=None))
client = Client(app)

def until_changed(before):
    give_up = time.monotonic() + 20
    while (answer := client.get("/readyz").get_json()) == before and time.monotonic() < give_up:
        time.sleep(0.05)  # it looks again after a second
    print(json.dumps(answer), flush=True)
    return answer

ready = until_changed(None)
"""


def run(program: str, folder: Path) -> list[dict[str, object]]:
    """What /readyz answers in a process of its own, whose limits the program changes."""
    command = [sys.executable, "-W", "ignore", "-c", CLIENT + program + "\napp.close()", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


READY = {"status": "ready", "database": "ok", "files": "ok"}


def not_ready(**causes: str) -> dict[str, object]:
    parts = {part: "failing" if part in causes else "ok" for part in ("database", "files")}
    return {"status": "not ready", **parts, "causes": causes}


def test_a_database_without_memory_is_told_as_such(tmp_path: Path) -> None:
    answers = run(
        """
with suppress(MemoryError):  # SQLite's own limit for all of the process; it holds by then
    sqlite3.connect(":memory:").execute("PRAGMA hard_heap_limit=1").fetchall()
until_changed(ready)
""",
        tmp_path / "data",
    )
    assert answers == [READY, not_ready(database="out of memory")]


def test_without_descriptors_it_is_told_until_there_are_some(tmp_path: Path) -> None:
    answers = run(
        """
before = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
failing = until_changed(ready)
resource.setrlimit(resource.RLIMIT_NOFILE, before)
until_changed(failing)
""",
        tmp_path / "data",
    )
    assert answers[1]["causes"]["files"] == "out of file descriptors"  # the database has its files open already
    assert [answers[0], answers[-1]] == [READY, READY]


def _text(path: Path) -> None:
    path.write_text("not a database at all, " * 1000)


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE schema_version SET version = version + 1")
        database.commit()


def _damaged(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)  # behind the header, in the list of tables
        file.write(bytes(4096 - 100))


def _older(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        (store_id,) = database.execute("SELECT store_id FROM identity").fetchone()
    (path.parent / "locks" / "acknowledged").write_text(f"{store_id} 7 a")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Client]]:
    apps = []

    def start_one() -> Client:
        apps.append(create_app(load_settings(environ={"WEBCHAT_DATA_DIR": str(tmp_path)}, toml_path=None)))
        return Client(apps[-1])

    yield start_one
    for app in apps:
        app.close()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_text, "is not an SQLite database"),
        (_newer, "was made by a newer version"),
        (_damaged, "malformed"),
        (_older, "lacks message 7 of chat a"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_as_such_and_why_in_the_log(
    tmp_path: Path, start: Callable[[], Client], spoil: Callable[[Path], None], why: str, caplog
) -> None:
    first = start()
    assert first.get("/readyz").get_json() == READY
    first.application.close()
    spoil(tmp_path / DATABASE)
    assert start().get("/readyz").get_json() == not_ready(database="unusable")
    (told,) = (line for line in caplog.text.splitlines() if "not ready: database (unusable)" in line)
    assert why in told
