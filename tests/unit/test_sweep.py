"""What a start puts in order, over real folders and a real database: which days it looks at, what it leaves alone."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
import uuid
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.full_folder import Full, fill
from tests.unit.test_chat_store import new_file, new_message, send
from webchat_soap.domain.file import StoredFile
from webchat_soap.domain.sweep import SweepReport, sweep
from webchat_soap.files.local import LocalFileStore
from webchat_soap.stores import open_chat_store
from webchat_soap.stores.sqlite import SqliteChatStore

DAY, OTHER_DAY = "20261104", "20261105"


class Folder:
    """A data folder whose file store thinks that so many seconds have passed since everything in it changed."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.files = data / "files"
        self.orphans = data / "orphans"
        self.later_seconds = 3600

    def chats(self) -> SqliteChatStore:
        return open_chat_store(f"sqlite:///{self.data}/webchat.db", lock_folder=self.data / "locks")

    def sweep(self, *, at_most_seconds: float = 60) -> SweepReport:
        store = LocalFileStore(
            self.files, aside=self.orphans, now_ns=lambda: time.time_ns() + self.later_seconds * 1_000_000_000
        )
        with closing(self.chats()) as chats:
            return sweep(
                chats=chats, files=store, database="webchat.db", folder="files", at_most_seconds=at_most_seconds
            )

    def post(self, *days: str) -> list[str]:
        """A message with a file of each day, bytes and rows; their names."""
        files = [named(day) for day in days]
        for file in files:
            self.put(file.name)
        with closing(self.chats()) as chats:
            for file in files:
                send(chats, new_message(chat_id=file.name[:45], files=(file,)))
        return [file.name for file in files]

    def put(self, name: str | None = None, *, day: str = DAY) -> str:
        """Bytes without a row."""
        name = name or named(day).name
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes")
        return name

    def path(self, name: str) -> Path:
        return self.files / name[:8] / name

    def aside(self) -> set[str]:
        return {path.name for path in self.orphans.rglob("*") if path.is_file()}


def named(day: str) -> StoredFile:
    return replace(new_file(), name=f"{day}-{uuid.uuid4()}.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def looked(report: SweepReport) -> tuple[int, int, int]:
    return report.looked_at, report.days_looked_at, report.days_unchanged


def test_a_day_in_which_no_name_came_or_went_is_not_looked_at_again(folder: Folder) -> None:
    folder.post(DAY, DAY, OTHER_DAY)
    assert looked(folder.sweep()) == (3, 2, 0)
    assert looked(folder.sweep()) == (0, 0, 2)
    folder.post(OTHER_DAY)
    assert looked(folder.sweep()) == (2, 1, 1)


@pytest.mark.parametrize("day", ["19700101", DAY, "20991231", "00000000", "99999999"])
def test_an_orphan_is_found_whatever_day_a_wrong_clock_gave_it(folder: Folder, day: str) -> None:
    kept = folder.post(day, OTHER_DAY)
    folder.sweep()
    orphan = folder.put(day=day)
    report = folder.sweep()
    assert (report.set_aside, report.days_looked_at, report.missing_files) == (1, 1, ())
    assert folder.aside() == {orphan}
    assert all(folder.path(name).read_bytes() == b"bytes" for name in kept)
    assert folder.sweep().set_aside == 0


def test_what_changed_in_the_last_moments_is_looked_at_again_since_the_clock_is_coarse(folder: Folder) -> None:
    folder.post(DAY)
    folder.later_seconds = 0
    assert looked(folder.sweep()) == (1, 1, 0)
    assert looked(folder.sweep()) == (1, 1, 0)


def test_a_missing_file_is_told_at_every_start_until_it_is_back(folder: Folder) -> None:
    name, _ = folder.post(DAY, DAY)
    folder.sweep()
    away = folder.path(name).rename(folder.data / "away")
    for _ in range(2):
        report = folder.sweep()
        assert report.missing_files == (name,)
        assert any(name in line and "1 stored file" in line for line in report.troubles())
    away.rename(folder.path(name))
    assert folder.sweep().missing_files == ()
    assert looked(folder.sweep()) == (0, 0, 1)


def test_a_day_whose_folder_is_gone_is_missing_as_a_whole(folder: Folder) -> None:
    names = folder.post(DAY, DAY, OTHER_DAY)
    folder.sweep()
    shutil.rmtree(folder.files / DAY)
    for _ in range(2):
        assert folder.sweep().missing_files == tuple(sorted(names[:2]))


def test_a_file_that_was_removed_on_purpose_is_not_missing_and_its_bytes_are_put_aside(folder: Folder) -> None:
    gone, lingering = folder.post(DAY, DAY)
    folder.sweep()
    with closing(sqlite3.connect(folder.data / "webchat.db", isolation_level=None)) as connection:
        connection.execute("UPDATE files SET removed_at = 1")
    folder.path(gone).unlink()
    report = folder.sweep()
    assert (report.missing_files, report.set_aside) == ((), 1)
    assert folder.aside() == {lingering}


def test_an_older_database_has_its_own_memory_and_the_newer_one_brings_back_what_it_put_aside(folder: Folder) -> None:
    folder.post(DAY, OTHER_DAY)
    folder.sweep()
    shutil.copy(folder.data / "webchat.db", folder.data / "older.db")
    newer = folder.post(DAY)
    folder.sweep()
    assert looked(folder.sweep()) == (0, 0, 2)
    shutil.copy(folder.data / "webchat.db", folder.data / "newer.db")
    shutil.copy(folder.data / "older.db", folder.data / "webchat.db")
    assert folder.sweep().set_aside == 1
    assert folder.aside() == set(newer)
    folder.sweep()
    shutil.copy(folder.data / "newer.db", folder.data / "webchat.db")
    assert folder.sweep().brought_back == 1
    assert folder.path(newer[0]).read_bytes() == b"bytes"
    assert folder.aside() == set()


def test_a_copy_of_the_folder_is_looked_at_as_a_whole(folder: Folder, tmp_path: Path) -> None:
    folder.post(DAY, OTHER_DAY)
    folder.sweep()
    shutil.copytree(folder.data, tmp_path / "copy", copy_function=shutil.copy2)
    assert looked(Folder(tmp_path / "copy").sweep()) == (2, 2, 0)


def test_what_there_is_no_time_for_waits_for_the_next_starts_the_newest_day_first(folder: Folder) -> None:
    folder.post(DAY, OTHER_DAY)
    old, new = folder.put(day=DAY), folder.put(day=OTHER_DAY)
    first = folder.sweep(at_most_seconds=0)
    assert (first.days_looked_at, first.days_left, folder.aside()) == (1, 1, {new})
    folder.sweep(at_most_seconds=0)  # the day that was just changed is looked at once more
    third = folder.sweep(at_most_seconds=0)
    assert (third.days_looked_at, third.days_left, folder.aside()) == (1, 0, {old, new})


def test_what_is_no_file_of_the_service_is_left_alone_and_is_nobodys_bytes(folder: Folder, tmp_path: Path) -> None:
    link, directory, fifo, elsewhere = folder.post(DAY, DAY, DAY, DAY)
    folder.sweep()
    for name in (link, directory, fifo, elsewhere):
        folder.path(name).unlink()
    (tmp_path / "secret").write_bytes(b"secret")
    day = folder.files / DAY
    (day / link).symlink_to(tmp_path / "secret")
    (day / directory).mkdir()
    os.mkfifo(day / fifo)
    (folder.files / OTHER_DAY).mkdir()
    (folder.files / OTHER_DAY / elsewhere).write_bytes(b"in the folder of another day")
    unnamed = named(DAY).name
    (day / unnamed).symlink_to("/nowhere")
    (day / named(DAY).name).mkdir()
    for name in ("notes.txt", "x" * 200, "new\nline", ".hidden", "caf\udce9", f"{DAY}-not-a-uuid.png"):
        (day / name).write_bytes(b"not ours")
        (folder.files / name).write_bytes(b"not ours")
    (folder.files / "lost+found").mkdir()
    before = sorted(str(path) for path in folder.files.rglob("*"))
    report = folder.sweep()
    assert report.missing_files == tuple(sorted([link, directory, fifo, elsewhere]))
    assert (report.set_aside, report.looked_at, report.days_in_trouble) == (0, 0, ())
    assert sorted(str(path) for path in folder.files.rglob("*")) == before


def test_a_day_that_was_moved_to_another_disk_and_linked_is_there(folder: Folder, tmp_path: Path) -> None:
    folder.post(DAY)
    (folder.files / DAY).rename(tmp_path / "elsewhere")
    (folder.files / DAY).symlink_to(tmp_path / "elsewhere")
    orphan = folder.put(day=DAY)
    report = folder.sweep()
    assert (report.missing_files, report.set_aside, folder.aside()) == ((), 1, {orphan})
    (tmp_path / "elsewhere").rename(tmp_path / "not mounted")
    assert len(folder.sweep().missing_files) == 1


def test_unfinished_files_are_removed_where_something_changed(folder: Folder) -> None:
    folder.post(DAY)
    for place in (folder.files, folder.files / DAY):
        (place / f".tmp-{uuid.uuid4()}").write_bytes(b"half")
    (folder.files / DAY / ".tmp-folder").mkdir()
    assert folder.sweep().removed_unfinished == 2
    assert folder.sweep().removed_unfinished == 0


def test_a_day_that_cannot_be_put_in_order_is_told_and_does_not_hinder_the_others(folder: Folder) -> None:
    folder.post(DAY, OTHER_DAY)
    stuck, orphan = folder.put(day=OTHER_DAY), folder.put(day=DAY)
    folder.orphans.mkdir()
    (folder.orphans / OTHER_DAY).write_bytes(b"a file where a folder is due")
    report = folder.sweep()
    assert (report.days_in_trouble, report.set_aside) == ((OTHER_DAY,), 1)
    assert any(OTHER_DAY in line for line in report.troubles())
    assert folder.path(stuck).exists()
    (folder.orphans / OTHER_DAY).unlink()
    assert folder.sweep().set_aside == 1
    assert folder.aside() == {stuck, orphan}


def test_a_day_whose_disk_does_not_answer_is_told_and_does_not_hinder_the_start(folder: Folder) -> None:
    (name,) = folder.post(DAY)
    folder.sweep()
    folder.put(day=DAY)
    (folder.files / OTHER_DAY).symlink_to(OTHER_DAY)  # nothing can be asked of it, as of a dead mount
    report = folder.sweep()
    assert (report.days_in_trouble, report.missing_files, report.looked_at) == ((OTHER_DAY,), (), 2)
    assert folder.path(name).exists()
    (folder.files / OTHER_DAY).unlink()
    assert folder.sweep().days_in_trouble == ()


def test_a_sweep_costs_what_has_changed_and_not_what_there_is(tmp_path: Path) -> None:
    fill(tmp_path / "full", Full(messages=4000, files=2000, chats=100, days=500))
    full = Folder(tmp_path / "full")
    assert looked(full.sweep()) == (2000, 500, 0)
    assert looked(full.sweep()) == (0, 0, 500)
    full.put(day="20261105")
    report = full.sweep()
    assert looked(report) == (5, 1, 499)
    assert report.set_aside == 1
