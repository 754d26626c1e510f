"""The promises of the port FileStore and of the sweep, over every backend and the fake."""

from __future__ import annotations

import copy
import hashlib
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import FakeChatStore, FakeFileStore
from tests.unit.test_chat_store import new_file, new_message, send
from webchat_soap.domain.file import CheckedFile, FileType, ProvedType
from webchat_soap.domain.sweep import ForeignFilesError, SweepableFileStore, SweepReport, sweep
from webchat_soap.files.store import open_file_store

BAD_NAMES = [
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "20260304",
    "20260304/20260304-4865c412-7c28-45e4-9f55-3bd039401734.png",
    "20260304-4865c412-7c28-45e4-9f55-3bd039401734.png/../x",
    "20260304-4865c412-7c28-45e4-9f55-3bd039401734.png\n",
    "20260304-4865c412-7c28-45e4-9f55-3bd039401734.png\0",
    "20260304-4865c412-7c28-45e4-9f55-3bd039401734",
    "20260304-4865C412-7C28-45E4-9F55-3BD039401734.png",
    "٢٠٢٦٠٣٠٤-4865c412-7c28-45e4-9f55-3bd039401734.png",
    ".tmp-4865c412-7c28-45e4-9f55-3bd039401734",
    "caf\udce9",
]


@pytest.fixture(params=["local", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SweepableFileStore:
    return FakeFileStore() if request.param == "fake" else open_file_store(None, folder=tmp_path / "files")


@pytest.fixture
def spooled(tmp_path: Path) -> Callable[[bytes], CheckedFile]:
    def spool(content: bytes) -> CheckedFile:
        path = tmp_path / f"spool-{uuid.uuid4()}"
        path.write_bytes(content)
        return CheckedFile(
            path=path,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            proved=ProvedType(file_type=FileType.IMAGE, content_type="image/png", extension="png"),
            original_name=None,
        )

    return spool


Spool = Callable[[bytes], CheckedFile]


def new_name(day: str = "20260304") -> str:
    return f"{day}-{uuid.uuid4()}.png"


def content_of(store: SweepableFileStore, name: str) -> bytes:
    with store.open(name) as file:
        return file.read()


def test_what_was_saved_is_read_back_and_the_spool_is_taken_over(store: SweepableFileStore, spooled: Spool) -> None:
    checked = spooled(b"png" * 1000)
    name = new_name()
    store.save(checked, name=name)
    assert not checked.path.exists()
    with store.open(name) as file:
        assert file.read(4) == b"pngp"
        file.seek(-3, 2)
        assert file.read() == b"png"
    assert list(store.names()) == [name]


def test_a_name_that_is_taken_is_never_written_again(store: SweepableFileStore, spooled: Spool) -> None:
    name, other = new_name(), new_name()
    store.save(spooled(b"first"), name=name)
    second = spooled(b"second")
    with pytest.raises(FileExistsError):
        store.save(second, name=name)
    store.save(spooled(b"other"), name=other)
    with pytest.raises(FileExistsError):
        store.copy(source=other, name=name)
    assert content_of(store, name) == b"first"
    assert second.path.exists()


def test_a_copy_lives_on_when_its_source_is_removed(store: SweepableFileStore, spooled: Spool) -> None:
    source, copy = new_name(), new_name("20270101")
    store.save(spooled(b"bytes"), name=source)
    store.copy(source=source, name=copy)
    assert sorted(store.names()) == [source, copy]
    store.remove(source)
    store.remove(source)
    assert content_of(store, copy) == b"bytes"
    with pytest.raises(FileNotFoundError):
        store.open(source)
    with pytest.raises(FileNotFoundError):
        store.copy(source=source, name=new_name())
    assert list(store.names()) == [copy]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_of_another_form_is_not_there(store: SweepableFileStore, spooled: Spool, name: str) -> None:
    kept = new_name()
    checked = spooled(b"bytes")
    with pytest.raises(FileNotFoundError):
        store.save(checked, name=name)
    assert checked.path.exists()
    store.save(checked, name=kept)
    with pytest.raises(FileNotFoundError):
        store.open(name)
    with pytest.raises(FileNotFoundError):
        store.copy(source=kept, name=name)
    with pytest.raises(FileNotFoundError):
        store.copy(source=name, name=new_name())
    store.remove(name)
    assert list(store.names()) == [kept]


def test_many_saves_at_once_do_not_disturb_each_other(store: SweepableFileStore, spooled: Spool) -> None:
    def work(number: int) -> tuple[str, bytes]:
        name, content = new_name(f"2026030{number % 4}"), b"%d" % number * 1000
        store.save(spooled(content), name=name)
        return name, content

    with ThreadPoolExecutor(16) as pool:
        saved = dict(pool.map(work, range(64)))
    assert {name: content_of(store, name) for name in store.names()} == saved


DATABASE, FOLDER = "/data/webchat.db", "/data/files"


def swept(chats: FakeChatStore, store: SweepableFileStore) -> SweepReport:
    done = sweep(chats=chats, files=store, database=DATABASE, folder=FOLDER)
    return replace(done, looked_at=0, days_looked_at=0, days_unchanged=0, seconds=0.0)


def report(*, set_aside: int = 0, brought_back: int = 0, missing: tuple[str, ...] = ()) -> SweepReport:
    return SweepReport(removed_unfinished=0, set_aside=set_aside, brought_back=brought_back, missing_files=missing)


def test_a_sweep_puts_bytes_without_a_row_aside_and_tells_rows_without_bytes(
    store: SweepableFileStore, spooled: Spool
) -> None:
    chats = FakeChatStore()
    kept, missing = new_file(), new_file()
    send(chats, new_message(files=(kept, missing)))
    store.save(spooled(b"kept"), name=kept.name)
    orphans = [new_name(), new_name("20990101")]
    for orphan in orphans:
        store.save(spooled(b"orphan"), name=orphan)
    assert swept(chats, store) == report(set_aside=2, missing=(missing.name,))
    assert list(store.names()) == [kept.name]
    assert swept(chats, store) == report(missing=(missing.name,))
    assert store.bring_back([*orphans, missing.name]) == frozenset(orphans)
    assert {content_of(store, orphan) for orphan in orphans} == {b"orphan"}
    assert store.bring_back(orphans) == frozenset()


def test_an_empty_store_has_no_names_and_nothing_to_sweep(store: SweepableFileStore) -> None:
    assert list(store.names()) == []
    assert swept(FakeChatStore(), store) == report()
    store.ping()
    assert list(store.names()) == []


def test_a_swept_store_is_marked_as_its_databases_alone(store: SweepableFileStore) -> None:
    assert store.owners() == frozenset()
    chats = FakeChatStore()
    assert chats.store_id() is None
    swept(chats, store)
    assert store.owners() == {chats.store_id()}
    other = FakeChatStore()
    swept(other, store)  # there is nothing in it that could be the first one's
    assert store.owners() == {other.store_id()}


@pytest.mark.parametrize("database", ["missing", "new", "other"])
def test_files_of_another_database_refuse_the_sweep_and_are_left_alone(
    store: SweepableFileStore, spooled: Spool, database: str
) -> None:
    chats, file = FakeChatStore(), new_file()
    swept(chats, store)
    send(chats, new_message(files=(file,)))
    store.save(spooled(b"kept"), name=file.name)
    other = FakeChatStore()
    if database != "missing":
        other.ping()
    if database == "other":
        send(other, new_message(files=(new_file(),)))
    for _ in range(2):
        with pytest.raises(ForeignFilesError, match=DATABASE) as caught:
            swept(other, store)
        assert FOLDER in str(caught.value)
        assert "restore" in str(caught.value)
    assert other.store_id() is None or database != "missing"
    assert store.owners() == {chats.store_id()}
    assert content_of(store, file.name) == b"kept"
    assert swept(chats, store) == report()


def test_files_without_a_mark_are_taken_by_the_database_that_names_one_of_them_and_by_no_other(
    store: SweepableFileStore, spooled: Spool
) -> None:
    chats, file = FakeChatStore(), new_file()
    orphan = new_name()
    send(chats, new_message(files=(file,)))
    for name in (file.name, orphan):
        store.save(spooled(b"bytes"), name=name)
    other = FakeChatStore()
    send(other, new_message(files=(new_file(),)))
    for stranger in (other, FakeChatStore()):
        with pytest.raises(ForeignFilesError):
            swept(stranger, store)
    assert sorted(store.names()) == sorted([file.name, orphan])
    assert swept(chats, store) == report(set_aside=1)
    assert store.owners() == {chats.store_id()}


def test_files_newer_than_a_restored_backup_come_back_with_the_newer_database(
    store: SweepableFileStore, spooled: Spool
) -> None:
    chats, files = FakeChatStore(), [new_file() for _ in range(3)]
    swept(chats, store)
    send(chats, new_message(files=(files[0],)))
    backup = copy.copy(chats)
    backup._chats = copy.deepcopy(chats._chats)
    send(chats, new_message(files=tuple(files[1:])))
    for file in files:
        store.save(spooled(file.name.encode()), name=file.name)
    assert swept(backup, store) == report(set_aside=2)
    assert list(store.names()) == [files[0].name]
    assert swept(chats, store) == report(brought_back=2)
    assert {content_of(store, file.name) for file in files} == {file.name.encode() for file in files}
