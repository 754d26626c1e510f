"""`check --deep`: everything that can be wrong is told in one line that says what to do, and nothing else is."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from tests.full_folder import Full, fill, grow_log
from webchat_soap.cli import main
from webchat_soap.server import hold_data_folder

DAY = "20261105"


class Kept:
    """A data folder with 40 messages in 4 chats and 8 files, and what `check --deep` says of it."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data = data
        self.capsys = capsys
        fill(data, Full(messages=40, files=8, chats=4, days=2, last_day=DAY))
        self.names = [name for (name,) in self.sql("SELECT name FROM files ORDER BY chat_key, sequence")]

    def sql(self, statement: str, *parameters: object) -> list[tuple[str]]:
        with closing(sqlite3.connect(self.data / "webchat.db", isolation_level=None)) as connection:
            return connection.execute(statement, parameters).fetchall()

    def path(self, name: str) -> Path:
        return self.data / "files" / name[:8] / name

    def replace(self, name: str, content: bytes) -> None:
        """Other bytes, and only under this name: all are links to one file."""
        self.path(name).unlink()
        self.path(name).write_bytes(content)

    def findings(self) -> list[str]:
        status = main(["check", "--deep", "--data-dir", str(self.data)])
        told = self.capsys.readouterr()
        *lines, summary = told.out.splitlines()
        assert told.err == ""
        assert status == (1 if lines else 0)
        assert summary.startswith("Checked ")
        assert summary.endswith(f"{len(lines)} finding(s)." if lines else "nothing wrong.")
        assert all("; " in line for line in lines), "each says what to do"
        return lines


@pytest.fixture
def kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Kept:
    return Kept(tmp_path / "data", capsys)


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def test_a_folder_in_order_has_no_findings_and_is_left_as_it_was(kept: Kept) -> None:
    before = everything_in(kept.data)
    assert kept.findings() == []
    assert everything_in(kept.data) == before


def test_the_summary_counts_what_was_looked_at_and_says_the_rate(kept: Kept) -> None:
    main(["check", "--deep", "--data-dir", str(kept.data)])
    told = kept.capsys.readouterr()
    assert re.search(
        r"Checked 40 message\(s\) in 4 chat\(s\) and 8 file\(s\) with 0\.0 MiB in .* s \(files: \d+/s, .* MiB/s\)",
        told.out,
    )
    assert told.err == "", "no progress but on a terminal"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it has 0 bytes where its row says 7"),
        (b"bytes", "it has 5 bytes where its row says 7"),
        (b"BYTES 0", "its bytes are not those that were stored (sha256 "),
        (b"bytes 0 and more", "it has 16 bytes where its row says 7"),
    ],
)
def test_bytes_that_changed_are_found(kept: Kept, content: bytes, told: str) -> None:
    name = kept.names[3]
    kept.replace(name, content)
    (line,) = kept.findings()
    assert line.startswith(f"{name}: {told}")
    assert "bring the file back from a backup" in line


def test_missing_bytes_and_what_lies_in_their_place_are_found(kept: Kept, tmp_path: Path) -> None:
    gone, linked, directory, wandered, aside, pipe = kept.names[:6]
    (tmp_path / "same").write_bytes(b"bytes 0")
    for name in (gone, linked, directory, wandered, aside, pipe):
        kept.path(name).unlink()
    kept.path(linked).symlink_to(tmp_path / "same")
    kept.path(directory).mkdir()
    os.mkfifo(kept.path(pipe))
    (kept.data / "files" / wandered).write_bytes(b"bytes 0")
    (kept.data / "orphans" / aside[:8]).mkdir(parents=True)
    (kept.data / "orphans" / aside[:8] / aside).write_bytes(b"bytes 0")
    found = dict(line.split(": ", 1) for line in kept.findings())
    assert set(found) == {gone, linked, directory, wandered, aside, pipe}
    assert "its bytes are missing; bring the file back" in found[gone]
    assert "its bytes are missing; bring the file back" in found[wandered]
    assert "cannot be read" in found[linked]
    assert "cannot be read" in found[directory]
    assert "cannot be read" in found[pipe]
    assert "among the orphans; the next start brings them back" in found[aside]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_a_file_that_may_not_be_read_is_found(kept: Kept, tmp_path: Path) -> None:
    kept.replace(kept.names[0], b"bytes 0")
    kept.path(kept.names[0]).chmod(0)
    for folder in [tmp_path, *tmp_path.parents[:-2]]:
        folder.chmod(folder.stat().st_mode | 0o011)
    subprocess.run(["chown", "-R", "nobody", kept.data], check=True)
    code = (
        "import os, sys; from webchat_soap import app, server; from webchat_soap.cli import main; os.setuid(65534); "
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "--deep", "--data-dir", str(kept.data)],
        capture_output=True, text=True, check=False, cwd=tmp_path.root,
    )  # fmt: skip
    assert f"{kept.names[0]}: its bytes cannot be read" in done.stdout, done.stderr
    assert (done.returncode, done.stdout.count("\n")) == (1, 2)


def test_a_file_without_a_message_is_found_and_what_is_not_the_services_is_not(kept: Kept) -> None:
    orphan = f"{DAY}-{uuid.uuid4()}.txt"
    kept.path(orphan).write_bytes(b"bytes")
    (kept.data / "files" / DAY / "notes.txt").write_bytes(b"")
    (kept.data / "files" / "lost+found").mkdir()
    assert kept.findings() == [
        f"{orphan}: no message names it; the next start puts it into the folder of orphans, and it may be deleted there"
    ]


def test_beside_a_service_a_file_that_is_about_to_get_its_row_is_no_finding(kept: Kept) -> None:
    kept.path(f"{DAY}-{uuid.uuid4()}.txt").write_bytes(b"bytes")
    with hold_data_folder(kept.data):
        assert kept.findings() == []
        main(["check", "--deep", "--data-dir", str(kept.data)])
        assert "(1 more of calls under way)" in kept.capsys.readouterr().out
    assert len(kept.findings()) == 1


@pytest.mark.parametrize(
    ("damage", "subject", "told"),
    [
        ("DELETE FROM messages WHERE chat_key = 2 AND sequence = 9", "chat chat-2", "9 message(s) have the sequences"),
        ("DELETE FROM messages WHERE chat_key = 2 AND sequence = 10", "chat chat-2", "1 to 10 without gaps are due"),
        ("UPDATE chats SET last_sequence = 11 WHERE chat_key = 3", "chat chat-3", "1 to 11 without gaps are due"),
        ("UPDATE chats SET file_count = 3 WHERE chat_key = 3", "chat chat-3", "it counts 3 file(s) with 14 bytes"),
        ("UPDATE chats SET file_bytes = 1 WHERE chat_key = 3", "chat chat-3", "its files are 2 with 14"),
        (
            "UPDATE messages SET file_count = 2 WHERE chat_key = 1 AND sequence = 1",
            "chat chat-1",
            "message 1 says it has 2 file(s) and 1 are there",
        ),
        ("UPDATE files SET position = 1 WHERE chat_key = 1 AND sequence = 1", "chat chat-1", "message 1 says"),
        ("INSERT INTO tokens VALUES ('chat:chat-1', 't', 'f', 1, 11)", "database", "message 11 of chat number 1"),
        ("INSERT INTO tokens VALUES ('account:', 't', 'f', 9, NULL)", "database", "a clientToken is of chat number 9"),
        (
            "INSERT INTO messages VALUES (9, 1, 'm', 'CUSTOMER', NULL, 0, 'x', 0, NULL, NULL)",
            "database",
            "a message is of message 1 of chat number 9",
        ),
    ],
)
def test_rows_that_contradict_each_other_are_found(kept: Kept, damage: str, subject: str, told: str) -> None:
    kept.sql(damage)
    (line,) = kept.findings()
    assert line.startswith(f"{subject}: ")
    assert told in line
    assert "restore a backup" in line


def test_a_file_without_its_message_is_found(kept: Kept) -> None:
    kept.sql("DELETE FROM messages WHERE chat_key = 1 AND sequence = 1")
    assert any("a file is of message 1 of chat number 1, which is not there" in line for line in kept.findings())


def test_a_token_that_names_what_is_there_is_in_order(kept: Kept) -> None:
    kept.sql("INSERT INTO tokens VALUES ('chat:chat-1', 't', 'f', 1, 10)")
    kept.sql("INSERT INTO tokens VALUES ('account:', 't', 'f', 1, NULL)")
    assert kept.findings() == []


def test_a_damaged_database_is_found_and_the_files_are_looked_at_all_the_same(kept: Kept) -> None:
    (root,) = kept.sql("SELECT rootpage FROM sqlite_master WHERE name = 'messages'")[0]
    (size,) = kept.sql("PRAGMA page_size")[0]
    with (kept.data / "webchat.db").open("r+b") as file:
        file.seek((int(root) - 1) * int(size))
        file.write(b"\xa5" * int(size))
    kept.path(kept.names[0]).unlink()
    lines = kept.findings()
    assert any("damaged" in line and "restore a backup" in line for line in lines)
    assert any(line.startswith(f"{kept.names[0]}: its bytes are missing") for line in lines)


def test_after_a_kill_the_log_is_read_and_stays_where_it_is(kept: Kept) -> None:
    grow_log(kept.data, 1)
    log = kept.data / "webchat.db-wal"
    before = (log.read_bytes(), (kept.data / "webchat.db").read_bytes())
    assert kept.findings() == []
    assert (log.read_bytes(), (kept.data / "webchat.db").read_bytes()) == before
    (kept.data / "webchat.db-shm").unlink()
    assert kept.findings() == []
    assert log.read_bytes() == before[0]


def test_files_and_rows_that_come_while_it_looks_are_no_findings(kept: Kept) -> None:
    stop = threading.Event()

    def serve() -> None:
        with closing(sqlite3.connect(kept.data / "webchat.db", isolation_level=None)) as connection:
            while not stop.is_set():
                name = f"{DAY}-{uuid.uuid4()}.txt"
                shutil.copy(kept.path(kept.names[0]), kept.path(name))
                connection.execute("BEGIN IMMEDIATE")
                (sequence,) = connection.execute(
                    "UPDATE chats SET last_sequence = last_sequence + 1, file_count = file_count + 1, "
                    "file_bytes = file_bytes + 7 WHERE chat_key = 1 RETURNING last_sequence"
                ).fetchall()[0]
                connection.execute(
                    "INSERT INTO messages VALUES (1, ?, ?, 'CUSTOMER', NULL, 0, NULL, 1, NULL, NULL)",
                    (sequence, str(uuid.uuid4())),
                )
                connection.execute(
                    "INSERT INTO files SELECT 1, ?, 0, file_id, ?, original_name, file_type, content_type, size, "
                    "sha256, NULL, NULL, NULL, NULL FROM files WHERE name = ?",
                    (sequence, name, kept.names[0]),
                )
                connection.execute("COMMIT")

    with hold_data_folder(kept.data):
        service = threading.Thread(target=serve)
        service.start()
        until = time.monotonic() + 3
        try:
            for _ in range(5):
                assert kept.findings() == []
                assert time.monotonic() < until + 60
        finally:
            stop.set()
            service.join()
    assert kept.findings() == []


def test_files_of_another_database_are_told_instead_of_a_list_of_them_all(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "other", Full(messages=1, chats=1))
    shutil.copy(tmp_path / "other" / "webchat.db", kept.data / "webchat.db")
    assert main(["check", "--deep", "--data-dir", str(kept.data)]) == 1
    told = capsys.readouterr()
    assert "of another database" in told.err
    assert told.out == ""


def test_memory_does_not_grow_with_what_there_is(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from webchat_soap.cli import main; status = main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024); sys.exit(status)"
    )
    used = []
    for messages, files in ((1000, 500), (40_000, 8_000)):
        data = tmp_path / f"with-{messages}"
        fill(data, Full(messages=messages, files=files, chats=100))
        done = subprocess.run(
            [sys.executable, "-c", code, "check", "--deep", "--data-dir", str(data)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        used.append(int(done.stdout.split()[-1]))
    assert used[1] < used[0] + 8, f"{used} MiB"
