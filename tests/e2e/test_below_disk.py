"""Faults of the disk under a running service: each is a clear fault, leaves nothing half done, and passes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.below import (
    Client,
    assert_busy,
    faulty_calls,
    files_under,
    fill,
    need,
    needs_root,
    serving,
    small_disk,
)
from tests.e2e.console_script import Running, is_alive, until

WITHOUT_PRIVILEGES = ("setpriv", "--bounding-set=-all") if os.geteuid() == 0 else ()
"""Root without its capabilities is held to permissions as anybody else is, and can still read what belongs to root."""


@needs_root
def test_a_full_disk_is_busy_and_passes(client: Client) -> None:
    ballast = fill(client.data.parent)
    assert_busy(client.text(), client.data)
    assert_busy(client.text("new"), client.data)
    assert_busy(client.upload(), client.data)
    client.assert_whole()
    both = {"database": "disk full", "files": "disk full"}
    until(lambda: client.causes() == both, seconds=5, what="readyz does not tell")
    ballast.unlink()
    client.assert_full_service()
    assert client.call("GetMessages", CHATID="new").code == "ChatNotFound"
    client.assert_logs("cause=disk full")


@needs_root
def test_a_disk_that_gets_full_in_the_middle_of_a_write_keeps_what_was_acknowledged(client: Client) -> None:
    disk = client.data.parent
    assert client.text().code is None
    # Room for a part of the file in the spool, or of some commits in the log.
    ballast = fill(disk, leave=200_000)
    assert_busy(client.upload(), client.data)
    client.assert_whole()
    ballast.unlink()
    ballast = fill(disk, leave=50_000)
    answers = [client.text(text="x" * 3000, token=f"token-{number}") for number in range(20)]
    stored = [answer.code is None for answer in answers]
    assert True in stored
    assert False in stored
    for number, answer in enumerate(answers):
        if answer.code is not None:
            assert_busy(answer, client.data)
            assert client.text(text="x" * 3000, token=f"token-{number}").code == "Busy"
    ballast.unlink()
    for number, answer in enumerate(answers):
        again = client.text(text="x" * 3000, token=f"token-{number}")
        assert again["duplicate"] == ("true" if answer.code is None else "false")
    client.assert_full_service()


@needs_root
def test_a_start_that_the_disk_does_not_let_says_why_and_works_once_it_does(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        data = tmp_path / "data"
        data.symlink_to(disk / "data")  # its log lies beside the link, where there is room
        (disk / "data").mkdir()
        ballast = fill(disk)
        assert "no space left" in refused(data)
        ballast.unlink()
        with serving(data) as client:
            client.assert_full_service()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert "read-only file system" in refused(data)


def refused(data: Path) -> str:
    """What a start says that ends at once, in small letters."""
    service = Running(data)
    assert service.process.wait(timeout=30) == 1
    told = service.log.read_text()
    assert "Traceback" not in told
    return told.lower()


@needs_root
def test_text_is_taken_while_the_disk_of_the_files_is_read_only(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with small_disk(data / "files") as files, serving(data) as client:
        assert client.upload().code is None
        subprocess.run(["mount", "-o", "remount,ro", files], check=True)
        assert_busy(client.upload(), data)
        assert client.text().code is None
        until(lambda: client.causes() == {"files": "read-only"}, seconds=5, what="readyz does not tell")
        assert client.ready()["database"] == "ok"
        client.assert_whole()
        subprocess.run(["mount", "-o", "remount,rw", files], check=True)
        client.assert_full_service()
        client.assert_logs("cause=read-only")


@contextmanager
def read_only(client: Client, log: Path) -> Iterator[None]:
    """The data folder as on a disk that has turned read-only under a service that has its files open. Only a disk that
    found itself damaged, or one over the network, does that: Linux refuses to remount one on which files are open to be
    written. So what is opened by name is on a mount that is read-only, and writing to what is open fails likewise."""
    (worker,) = client.service.workers
    subprocess.run(["mount", "--bind", client.data, client.data], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", client.data], check=True)
        with faulty_calls(worker, "pwrite64,write,ftruncate:error=EROFS", path=client.data / "webchat.db-wal", log=log):
            yield
    finally:
        subprocess.run(["umount", "--lazy", client.data], check=True)


@needs_root
def test_a_disk_that_turns_read_only_is_busy_for_text_and_file_and_passes(client: Client, tmp_path: Path) -> None:
    assert client.text("b", token="before").code is None
    with read_only(client, tmp_path / "calls"):
        for _ in range(2):  # the first finds the files open, and the next does not
            assert_busy(client.text("b", token="meanwhile"), client.data)
            assert_busy(client.text("new"), client.data)
            assert_busy(client.upload("b", token="file"), client.data)
        both = {"database": "read-only", "files": "read-only"}
        until(lambda: client.causes() == both, seconds=5, what="readyz does not tell")
        assert_busy(client.text("b", token="before"), client.data)
        client.assert_whole()
    until(lambda: client.causes() == {}, seconds=10, what="the service does not become ready again")
    for token, duplicate in (("before", "true"), ("meanwhile", "false")):
        assert client.text("b", token=token)["duplicate"] == duplicate
    assert client.upload("b", token="file")["duplicate"] == "false"
    client.assert_full_service()
    assert client.call("GetMessages", CHATID="new").code == "ChatNotFound"
    # By a write to what was open, of which SQLite keeps to itself why it failed, and by opening it again.
    client.assert_logs("nothing could be written (read-only): OperationalError")
    client.assert_logs("nothing could be written (read-only): OSError")


def test_lost_permissions_are_busy_and_pass(client: Client) -> None:
    data = client.data
    (day,) = (folder for folder in (data / "files").iterdir() if folder.name.isdecimal())
    for folder in (day, data / "files", data / "spool"):
        folder.chmod(0o500)
    for folder in (data / "spool").iterdir():
        folder.chmod(0o500)
    assert_busy(client.upload(), data)
    assert client.text().code is None
    until(lambda: client.causes() == {"files": "no permission"}, seconds=5, what="readyz does not tell")
    data.chmod(0)
    assert_busy(client.text(), data)
    assert_busy(client.upload(), data)
    both = {"database": "no permission", "files": "no permission"}
    until(lambda: client.causes() == both, seconds=5, what="readyz does not tell of the database")
    data.chmod(0o700)
    for folder in (day, data / "files", data / "spool", *(data / "spool").iterdir()):
        folder.chmod(0o700)
    client.assert_full_service()
    client.assert_logs("cause=no permission")


def test_what_a_failed_sync_left_in_the_log_never_comes_back(tmp_path: Path) -> None:
    need("strace")
    data = tmp_path / "data"
    with serving(data) as client:
        assert client.text().code is None
        assert client.upload().code is None
        (worker,) = client.service.workers
        with faulty_calls(worker, "fdatasync:error=EIO", path=data / "webchat.db-wal", log=tmp_path / "calls"):
            until(lambda: client.causes() == {"database": "I/O error"}, seconds=5, what="readyz does not tell")
            assert_busy(client.text(), data)
            # The last thing that is written: whatever came after it would overwrite it.
            assert_busy(client.upload(token="again"), data)
            client.service.kill()
            until(lambda: not is_alive(worker), seconds=10, what="the worker outlives its parent")
        before = client.acknowledged
        client.assert_logs("cause=I/O error")
    with serving(data) as client:
        client.acknowledged = before
        client.assert_whole()
        answer = client.upload(token="again")
        assert answer["duplicate"] == "false"
        client.assert_full_service()
        assert "are missing" not in client.service.log.read_text()


@pytest.mark.parametrize(
    ("fault", "path"),
    [("fdatasync:error=EIO", "webchat.db-wal"), ("pwrite64:error=EIO", "webchat.db-wal"), ("fsync:error=EIO", None)],
)
def test_an_input_output_error_is_busy_and_passes_with_the_error(client: Client, fault: str, path: str | None) -> None:
    (worker,) = client.service.workers
    log = client.data.parent / "calls"
    with faulty_calls(worker, fault, path=path and client.data / path, log=log):
        if path is not None:
            assert_busy(client.text(), client.data)
        assert_busy(client.upload(), client.data)
        client.assert_whole()
    client.assert_full_service()


def test_a_quota_that_is_used_up_is_told_as_a_full_disk(client: Client, tmp_path: Path) -> None:
    (worker,) = client.service.workers
    with faulty_calls(worker, "pwrite64:error=EDQUOT", log=tmp_path / "calls"):
        assert_busy(client.text(), client.data)
        until(lambda: client.causes() == {"database": "disk full"}, seconds=5, what="readyz does not tell")
    client.assert_full_service()


def test_what_can_be_neither_kept_nor_removed_is_removed_later(client: Client, tmp_path: Path) -> None:
    (worker,) = client.service.workers
    before = files_under(client.data / "files")
    # The bytes get their name, its folder cannot be synced, and then the name cannot be taken away either.
    with faulty_calls(worker, "fsync,unlink:error=EIO", log=tmp_path / "calls"):
        assert_busy(client.upload(), client.data)
        assert len(files_under(client.data / "files")) == len(before) + 1
    client.assert_full_service()


def test_a_file_whose_sync_failed_is_thrown_away_and_not_synced_again(client: Client, tmp_path: Path) -> None:
    (worker,) = client.service.workers
    tries = 0
    # The first sync of each thread fails: those of the requests that take the file, then the writer's.
    with faulty_calls(worker, "fdatasync:error=EIO:when=1", log=tmp_path / "calls") as calls:
        while (answer := client.upload(token="retried")).code is not None:
            assert_busy(answer, client.data)
            client.assert_whole()
            tries += 1
            assert tries < 10
    assert tries >= 1
    assert answer["duplicate"] == "false"
    synced = [line.partition("<")[2].partition(">")[0] for line in calls.read_text().splitlines() if "/spool/" in line]
    assert len(synced) > tries
    assert len(set(synced)) == len(synced), "a later try synced what an earlier one had lost"
    client.assert_full_service()


LARGE_FILE = """
import sys, time
from pathlib import Path
from webchat_soap.domain.errors import Busy
from webchat_soap.files.spool import SYNC_BYTES, Spool
root = Path(sys.argv[1])
chunk = memoryview(bytes(1 << 20))
try:
    with Spool(root).new_file() as file:
        for _ in range(SYNC_BYTES // len(chunk)):
            file.write(chunk)
        if sys.argv[2] == "goes on":
            give_up = time.monotonic() + 20
            while time.monotonic() < give_up:
                file.write(chunk[:1])
        file.close()
        print("kept")
except Busy:
    print("busy", sum(1 for path in root.rglob("*") if path.is_file()))
"""


@pytest.mark.parametrize(
    ("fault", "then"), [("fdatasync:error=EIO:when=1", "goes on"), ("fdatasync:error=EIO:when=1", "ends"), ("", "ends")]
)
def test_a_sync_that_fails_while_a_large_file_still_comes_is_not_forgotten(
    tmp_path: Path, then: str, fault: str
) -> None:
    need("strace")
    inject = ["-e", f"inject={fault}"] if fault else []
    command = ["strace", "-f", "-qq", "-o", tmp_path / "calls", "-e", "trace=fdatasync", *inject]
    run = subprocess.run(
        [*command, sys.executable, "-W", "ignore", "-c", LARGE_FILE, tmp_path / "spool", then],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout.split() == (["busy", "0"] if fault else ["kept"]), run.stderr
    assert "fdatasync" in (tmp_path / "calls").read_text()


@pytest.fixture(scope="module")
def _service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    need("strace")
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("below") / "disk"
        if os.geteuid() == 0:
            stack.enter_context(small_disk(folder, "32m"))
        client = stack.enter_context(serving(folder / "data", by=WITHOUT_PRIVILEGES))
        assert client.upload().code is None
        yield client


@pytest.fixture
def client(_service: Client) -> Client:
    """One service for all that passes: that it does is the promise."""
    assert files_under(_service.data / "spool") == set()
    return _service
