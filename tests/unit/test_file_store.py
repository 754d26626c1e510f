"""The promises of the port FileStore and of the sweep, over every backend and the fake."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fakes import FakeChatStore, FakeFileStore
from tests.unit.test_chat_store import new_file, new_message, send
from webchat_soap.domain.file import CheckedFile, FileType, ProvedType
from webchat_soap.domain.sweep import SweepableFileStore, SweepReport, sweep
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


def test_a_sweep_removes_bytes_without_a_row_and_tells_rows_without_bytes(
    store: SweepableFileStore, spooled: Spool
) -> None:
    chats = FakeChatStore()
    kept, missing = new_file(), new_file()
    send(chats, new_message(files=(kept, missing)))
    store.save(spooled(b"kept"), name=kept.name)
    orphans = [new_name(), new_name("20990101")]
    for orphan in orphans:
        store.save(spooled(b"orphan"), name=orphan)
    assert sweep(chats=chats, files=store) == SweepReport(removed_files=2, missing_files=(missing.name,))
    assert list(store.names()) == [kept.name]
    assert sweep(chats=chats, files=store) == SweepReport(removed_files=0, missing_files=(missing.name,))


def test_an_empty_store_has_no_names_and_nothing_to_sweep(store: SweepableFileStore) -> None:
    assert list(store.names()) == []
    assert sweep(chats=FakeChatStore(), files=store) == SweepReport(removed_files=0, missing_files=())
    store.ping()
    assert list(store.names()) == []
