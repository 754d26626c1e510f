"""`webchat-soap agent …` on a real database: what it prints, what it changes and how it ends."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.console_script import SCRIPT
from webchat_soap.access.passwords import Passwords
from webchat_soap.app_data import open_stores
from webchat_soap.cli import main
from webchat_soap.domain.agents import AgentSecret
from webchat_soap.settings import load_settings

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class _Input(io.TextIOWrapper):
    """Standard input with these bytes."""

    def __init__(self, given: bytes) -> None:
        super().__init__(io.BytesIO(given), encoding="utf-8")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs `agent` with these arguments and this on standard input: exit status, stdout, stderr."""

    def run(*arguments: str, given: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", _Input(given))
        try:
            status = main(["agent", *arguments])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def secret_of(name: str) -> AgentSecret | None:
    database, _ = open_stores(load_settings(environ={}))
    try:
        return database.agents.find_secret(name)
    finally:
        database.close()


def has_password(name: str, password: str) -> bool:
    secret = secret_of(name)
    return secret is not None and Passwords().matches(secret.password_hash, password)


def test_an_agent_is_added_with_a_password_from_standard_input(run) -> None:
    status, out, err = run("add", "Ayşe Yılmaz", "--password-stdin", given=f"{PASSWORD}\nmore\n".encode())
    assert (status, err) == (0, "")
    assert out == "Made the agent Ayşe Yılmaz.\nSigns in at http://127.0.0.1:8000/agent/\n"
    assert has_password("ayşe yilmaz", PASSWORD)


@pytest.mark.parametrize("given", [PASSWORD, PASSWORD + "\r\n", "şifrem-çok-uzun 🙂"])
def test_a_lines_end_is_not_of_the_password(run, given: str) -> None:
    assert run("add", "A", "--password-stdin", given=given.encode())[0] == 0
    assert has_password("a", given.rstrip())


def test_a_generated_password_is_shown_once_and_works(run) -> None:
    status, out, _ = run("add", "Ayşe", "--generate")
    assert status == 0
    shown = next(line for line in out.splitlines() if line.startswith("Password"))
    password = shown.rpartition(" ")[2]
    assert len(password) == 23
    assert has_password("ayşe", password)
    assert password not in run("list")[1]
    again = run("password", "AYŞE", "--generate")
    assert again[0] == 0
    assert not has_password("ayşe", password)
    assert has_password("ayşe", again[1].split()[-1])


def test_agents_are_listed_and_disabled_and_enabled(run) -> None:
    assert run("list") == (0, "There are no agents yet; `webchat-soap agent add NAME` makes one.\n", "")
    assert not Path("webchat-data").exists(), "to look makes nothing"
    run("add", "Zoë", "--generate")
    run("add", "Ayşe", "--generate")
    lines = run("list")[1].splitlines()
    assert [line.split()[:2] for line in lines] == [["NAME", "STATE"], ["Ayşe", "active"], ["Zoë", "active"]]
    assert run("disable", "zoË") == (0, "Disabled zoË; all sessions are ended.\n", "")
    assert [line.split()[1] for line in run("list")[1].splitlines()[1:]] == ["active", "disabled"]
    assert secret_of("zoë").is_disabled  # type: ignore[union-attr]
    assert run("enable", "Zoë")[0] == 0
    assert not secret_of("zoë").is_disabled  # type: ignore[union-attr]
    assert run("sign-out", "Zoë") == (0, "Ended 0 session(s) of Zoë.\n", "")


@pytest.mark.parametrize("command", [("disable",), ("enable",), ("sign-out",), ("password", "--generate")])
def test_an_agent_that_is_not_there_is_told(run, command: tuple[str, ...]) -> None:
    told = "webchat-soap: There is no agent 'Nobody'; `webchat-soap agent list` lists them.\n"
    assert run(command[0], "Nobody", *command[1:]) == (1, "", told)
    assert not Path("webchat-data").exists()
    run("add", "Ayşe", "--generate")
    assert run(command[0], "Nobody", *command[1:]) == (1, "", told)


def test_a_name_is_given_once(run) -> None:
    run("add", "Ayşe", "--password-stdin", given=PASSWORD.encode())
    status, out, err = run("add", "AYŞE", "--generate")
    assert (status, out) == (1, "")
    assert "There is an agent 'AYŞE' already" in err
    assert has_password("ayşe", PASSWORD)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (b"short", "fewer than 12"),
        (b"", "fewer than 12"),
        (b"\n" + PASSWORD.encode(), "fewer than 12"),
        (b"x" * 20_000, "more than 1,000"),
        (b"\xff\xfe" * 10, "not UTF-8"),
        (b"abc\x00defghijkl", "control character"),
    ],
)
def test_a_password_that_is_no_good_makes_nothing(run, given: bytes, told: str) -> None:
    status, out, err = run("add", "Ayşe", "--password-stdin", given=given)
    assert (status, out) == (1, "")
    assert told in err
    assert err.count("\n") == 1
    assert not Path("webchat-data").exists()


def test_without_a_terminal_it_says_how_to_give_the_password(run) -> None:
    status, _, err = run("add", "Ayşe", given=PASSWORD.encode())
    assert status == 1
    assert "--password-stdin or --generate" in err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("add",),
        ("add", "Ayşe", "Yılmaz", "--generate"),
        ("add", "Ayşe", "--generate", "--password-stdin"),
        ("add", "evil\u202ename", "--generate"),
        ("add", "", "--generate"),
        ("add", "x" * 101, "--generate"),
        ("disable", "a\x00b"),
        ("list", "Ayşe"),
        ("list", "--max-image", "1"),
    ],
)
def test_wrong_use_ends_with_2_and_makes_nothing(run, arguments: tuple[str, ...]) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("usage: webchat-soap agent")
    assert "error: " in err
    assert not Path("webchat-data").exists()


@pytest.mark.parametrize("command", ["add", "list", "password", "disable", "enable", "sign-out"])
def test_every_command_explains_itself_with_an_example(run, command: str) -> None:
    status, out, _ = run(command, "--help")
    assert status == 0
    assert f"usage: webchat-soap agent {command}" in out
    assert f"example:\n  webchat-soap agent {command}" in out
    assert "--data-dir" in out


def test_a_new_database_is_not_made_beside_files_of_another(run) -> None:
    assert main(["demo"]) == 0
    Path("webchat-data/webchat.db").unlink()
    status, _, err = run("add", "Ayşe", "--generate")
    assert status == 1
    assert "webchat-data/files" in err
    assert not Path("webchat-data/webchat.db").exists()


def test_a_database_that_is_none_is_told(run) -> None:
    Path("webchat-data").mkdir()
    Path("webchat-data/webchat.db").write_bytes(b"no database at all, but long enough to be read" * 100)
    status, _, err = run("list")
    assert status == 1
    assert "is not an SQLite database" in err


def ask(*arguments: str, typed: list[bytes]) -> tuple[int, bytes]:
    """The script on a terminal where these lines are typed, one at each question: exit status, all that was shown."""
    terminal, its_end = pty.openpty()
    # In a session of its own: else getpass would ask the terminal that the tests were started from, if there is one.
    process = subprocess.Popen(
        [SCRIPT, "agent", *arguments], stdin=its_end, stdout=its_end, stderr=its_end, start_new_session=True
    )
    os.close(its_end)
    shown, asked, deadline = b"", 0, time.monotonic() + 20
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                piece = os.read(terminal, 4096)
            except OSError:  # so Linux says that the other end is closed
                break
            if not piece:
                break
            shown += piece
            if asked < len(typed) and shown.count(b": ") > asked:
                os.write(terminal, typed[asked] + b"\n")
                asked += 1
        return process.wait(timeout=10), shown
    finally:
        os.close(terminal)
        if process.poll() is None:
            process.kill()
            process.wait()


def test_a_password_is_asked_for_twice_and_not_shown() -> None:
    status, shown = ask("add", "Ayşe", typed=[PASSWORD.encode(), PASSWORD.encode()])
    assert status == 0, shown
    assert b"Password for Ay\xc5\x9fe: " in shown
    assert b"The same again: " in shown
    assert PASSWORD.encode() not in shown
    assert has_password("ayşe", PASSWORD)


def test_two_different_passwords_make_nothing() -> None:
    status, shown = ask("add", "Ayşe", typed=[PASSWORD.encode(), b"another horse battery"])
    assert status == 1
    assert b"The two passwords differ" in shown
    assert not Path("webchat-data").exists()
