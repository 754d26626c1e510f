"""`check`, `wsdl` and `demo` on the real application: what they print and how they end."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.older_database import make_older
from webchat_soap.cli import main
from webchat_soap.server import hold_data_folder


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def results(shown: str) -> dict[str, str]:
    """OK or FAILED by the name of what was tested."""
    last = [line.split(maxsplit=2) for line in shown.splitlines()[-3:]]
    assert all(len(parts) == 3 for parts in last), "one line each with a sentence"
    return {parts[0]: parts[1] for parts in last}


def test_check_shows_every_setting_with_value_and_source(
    free_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("webchat.toml").write_text('log = "json"\nmax_text = 10\n')
    monkeypatch.setenv("WEBCHAT_MAX_TEXT", "20")
    assert main(["check", "--bind", f"127.0.0.1:{free_port}"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if "WEBCHAT_" in line}
    assert len(rows) == 31
    assert rows["WEBCHAT_LOG"] == ["json", "file"]
    assert rows["WEBCHAT_MAX_TEXT"] == ["20", "environment"]
    assert rows["WEBCHAT_BIND"] == [f"127.0.0.1:{free_port}", "flag"]
    assert rows["WEBCHAT_MAX_IMAGE"] == ["10MiB", "default"]
    assert rows["WEBCHAT_PUBLIC_URL"] == ["(empty)", "default"]


def test_check_finds_folder_database_and_port_fine(free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--bind", f"127.0.0.1:{free_port}"]) == 0
    assert results(capsys.readouterr().out) == {"folder": "OK", "database": "OK", "port": "OK"}


def everything_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*") if not path.is_symlink()
    }


@pytest.mark.parametrize("data", ["webchat-data", "some/where/else"])
def test_check_makes_nothing_where_there_is_nothing(
    tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str], data: str
) -> None:
    assert main(["check", "--bind", f"127.0.0.1:{free_port}", "--data-dir", data]) == 0
    shown = capsys.readouterr().out
    assert results(shown) == {"folder": "OK", "database": "OK", "port": "OK"}
    assert "is not there yet; serve makes it" in shown
    assert "There is none yet" in shown
    assert main(["check", "--deep", "--data-dir", data]) == 1
    assert "There is no database" in capsys.readouterr().err
    assert everything_in(tmp_path) == {}


@pytest.mark.parametrize("flags", [(), ("--deep",)])
def test_check_changes_nothing_in_a_folder_that_was_served(
    tmp_path: Path, free_port: int, flags: tuple[str, ...]
) -> None:
    assert main(["demo"]) == 0
    before = everything_in(tmp_path)
    assert main(["check", *flags, "--bind", f"127.0.0.1:{free_port}"]) == 0
    assert everything_in(tmp_path) == before


def test_check_tells_an_older_database_and_leaves_it_at_its_version(
    tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo"]) == 0
    make_older(tmp_path / "webchat-data" / "webchat.db", version=2)
    before = everything_in(tmp_path)
    assert main(["check", "--bind", f"127.0.0.1:{free_port}"]) == 0
    assert "is of an older version; serve brings it up to date" in capsys.readouterr().out
    assert main(["check", "--deep"]) == 0
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("data", ["webchat-data", "some/where/else"])
def test_a_start_that_is_refused_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", "--bind", f"127.0.0.1:{port}", "--data-dir", data]) == 1
    assert f"Port {port}" in capsys.readouterr().err
    assert everything_in(tmp_path) == {}
    (tmp_path / data).mkdir(parents=True)
    with socket.create_server(("127.0.0.1", port)):
        assert main(["serve", "--bind", f"127.0.0.1:{port}", "--data-dir", data]) == 1
    assert (tmp_path / data).is_dir()


def test_check_tells_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["check", "--bind", f"127.0.0.1:{port}"]) == 1
    shown = capsys.readouterr().out
    assert results(shown) == {"folder": "OK", "database": "OK", "port": "FAILED"}
    assert str(port) in shown.splitlines()[-1]


def test_check_tells_a_data_folder_that_a_service_holds(
    tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold_data_folder(tmp_path / "webchat-data"):
        assert main(["check", "--bind", f"127.0.0.1:{free_port}"]) == 1
    assert results(capsys.readouterr().out)["folder"] == "FAILED"


def test_check_tells_a_database_that_is_none(
    tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "webchat-data").mkdir()
    (tmp_path / "webchat-data" / "webchat.db").write_bytes(b"no database at all, but long enough to be read" * 100)
    assert main(["check", "--bind", f"127.0.0.1:{free_port}"]) == 1
    assert results(capsys.readouterr().out) == {"folder": "OK", "database": "FAILED", "port": "OK"}


def test_wsdl_prints_the_document_with_the_address_asked_for(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["wsdl", "--url", "https://chat.example.com/support"]) == 0
    document = capfdbinary.readouterr().out
    assert ElementTree.fromstring(document).tag.endswith("definitions")
    assert b"https://chat.example.com/support/webchat" in document


def test_wsdl_takes_the_public_url_and_else_the_bound_address(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["wsdl"]) == 0
    assert b"http://127.0.0.1:8000/webchat" in capfdbinary.readouterr().out
    monkeypatch.setenv("WEBCHAT_PUBLIC_URL", "https://chat.example.com")
    assert main(["wsdl"]) == 0
    assert b"https://chat.example.com/webchat" in capfdbinary.readouterr().out


def test_demo_makes_its_chat_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    assert capsys.readouterr().out == "Made the chat demo.\n"
    assert main(["demo"]) == 0
    assert capsys.readouterr().out == "The chat demo is there already.\n"


def test_demo_says_that_its_chat_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    with sqlite3.connect("webchat-data/webchat.db") as connection:
        connection.execute("UPDATE chats SET status = 'ENDED', ended_at = started_at")
    connection.close()
    capsys.readouterr()
    assert main(["demo"]) == 0
    assert "has ended" in capsys.readouterr().out


def test_demo_that_a_limit_does_not_let_be_whole_fails_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEBCHAT_MAX_FILES_PER_CHAT", "2")
    assert main(["demo"]) == 1
    told = capsys.readouterr().err
    assert "2 files" in told
    assert told.count("\n") == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("free_bytes", [0, 20_000, 60_000])
def test_a_full_disk_is_told_as_one(
    small_disk: Path, free_port: int, capsys: pytest.CaptureFixture[str], free_bytes: int
) -> None:
    disk = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(bytes(disk.f_bavail * disk.f_frsize - free_bytes))
    for command in ("check", "demo"):
        assert main([command, "--data-dir", str(small_disk / "data"), "--bind", f"127.0.0.1:{free_port}"]) == 1
        shown = capsys.readouterr()
        told = shown.out + shown.err
        assert "o space left" in told
        assert "clientToken" not in told


def test_a_damaged_database_is_told_with_what_to_do(free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    with Path("webchat-data/webchat.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 200_000)
    assert main(["check", "--bind", f"127.0.0.1:{free_port}"]) == 1
    shown = capsys.readouterr().out
    assert results(shown) == {"folder": "OK", "database": "FAILED", "port": "OK"}
    assert "is damaged (SQLITE_CORRUPT" in shown
    assert "restore a backup" in shown
    assert main(["demo"]) == 1
    assert "is damaged" in capsys.readouterr().err


def test_a_database_whose_lock_another_program_holds_is_told(
    free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo"]) == 0
    other = sqlite3.connect("webchat-data/webchat.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert main(["check", "--bind", f"127.0.0.1:{free_port}"]) == 1
    other.close()
    assert "Another program holds the lock of the database" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "demo"])
def test_files_of_another_database_are_refused_and_no_database_is_made(
    free_port: int, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main(["demo"]) == 0
    other = Path("webchat-data/other.db").absolute()
    flags = ["--database-url", f"sqlite:///{other}", "--bind", f"127.0.0.1:{free_port}"]
    assert main([command, *flags]) == 1
    shown = capsys.readouterr()
    assert f"There is no database at {other}" in shown.out + shown.err
    assert not other.exists()


def test_demo_keeps_off_a_data_folder_that_a_service_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hold_data_folder(tmp_path / "webchat-data"):
        assert main(["demo"]) == 1
    assert str(tmp_path / "webchat-data") in capsys.readouterr().err


def test_a_data_folder_that_cannot_be_made_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--data-dir", "/proc/no/such"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("webchat-soap: ")
    assert told.count("\n") == 1
    assert "/proc/no" in told
