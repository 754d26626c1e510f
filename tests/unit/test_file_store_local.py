"""What the local file store promises beyond the port: modes, other file systems, full and broken disks, URLs."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_file_store import Spool, content_of, new_name, spooled
from webchat_soap.domain.errors import Busy
from webchat_soap.domain.file import CheckedFile
from webchat_soap.domain.sweep import FilesOfDay
from webchat_soap.files.store import open_file_store

__all__ = ["spooled"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_files_and_folders_are_their_owners_alone(tmp_path: Path, spooled: Spool) -> None:
    old = os.umask(0)
    try:
        checked = spooled(b"bytes")
        checked.path.chmod(0o666)
        folder = tmp_path / "files"
        name = new_name()
        open_file_store(None, folder=folder).save(checked, name=name)
    finally:
        os.umask(old)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / name[:8], folder / name[:8] / name)]
    assert [oct(mode) for mode in modes] == ["0o700", "0o700", "0o600"]


def test_a_spool_on_another_file_system_is_copied_whole(small_disk: Path, tmp_path: Path, spooled: Spool) -> None:
    content = os.urandom(700_001)
    checked = spooled(content)
    name = new_name()
    store = open_file_store(None, folder=small_disk / "files")
    store.save(checked, name=name)
    assert content_of(store, name) == content
    assert not checked.path.exists()
    assert len(files_under(small_disk)) == 1


def test_a_full_disk_is_busy_leaves_nothing_and_works_again(small_disk: Path, spooled: Spool) -> None:
    store = open_file_store(None, folder=small_disk / "files")
    kept, refused = new_name(), new_name()
    store.save(spooled(bytes(600_000)), name=kept)
    checked = spooled(bytes(600_000))
    with pytest.raises(Busy) as caught:
        store.save(checked, name=refused)
    assert caught.value.retry_after_seconds
    assert str(small_disk) not in caught.value.message
    assert checked.path.exists()
    assert [path.name for path in files_under(small_disk)] == [kept]
    store.remove(kept)
    store.save(checked, name=refused)
    assert len(content_of(store, refused)) == 600_000


def test_a_disk_without_write_is_busy_but_can_be_read(small_disk: Path, spooled: Spool) -> None:
    store = open_file_store(None, folder=small_disk / "files")
    name, copy = new_name(), new_name()
    store.save(spooled(b"bytes"), name=name)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for call in (
        store.ping,
        lambda: store.save(spooled(b"more"), name=new_name()),
        lambda: store.copy(source=name, name=copy),
    ):
        with pytest.raises(Busy):
            call()
    assert content_of(store, name) == b"bytes"
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    store.ping()
    store.copy(source=name, name=copy)
    assert content_of(store, copy) == b"bytes"


def test_what_cannot_be_removed_now_is_removed_later(small_disk: Path, spooled: Spool) -> None:
    store = open_file_store(None, folder=small_disk / "files")
    name = new_name()
    store.save(spooled(b"bytes"), name=name)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    store.remove(name)
    assert content_of(store, name) == b"bytes"
    with pytest.raises(Busy):
        store.ping()
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    store.ping()
    assert files_under(small_disk) == []


def test_too_few_descriptors_are_busy(tmp_path: Path) -> None:
    program = """
import os, resource, sys
from pathlib import Path
from webchat_soap.domain.errors import Busy
from webchat_soap.files.store import open_file_store
store = open_file_store(None, folder=Path(sys.argv[1]))
store.ping()
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) - 1, most))
try:
    store.ping()
except Busy:
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))
    store.ping()
    print("busy")
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=60)
    assert done.stdout == "busy\n", done.stderr


def test_a_copy_is_a_link_to_the_same_bytes(tmp_path: Path, spooled: Spool) -> None:
    store = open_file_store(None, folder=tmp_path)
    source, copy = new_name(), new_name()
    store.save(spooled(b"bytes"), name=source)
    store.copy(source=source, name=copy)
    assert (tmp_path / source[:8] / source).samefile(tmp_path / copy[:8] / copy)


def test_a_symbolic_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    name = new_name()
    (tmp_path / "files" / name[:8]).mkdir(parents=True)
    (tmp_path / "files" / name[:8] / name).symlink_to(secret)
    with pytest.raises(Busy):
        open_file_store(None, folder=tmp_path / "files").open(name)


def test_other_files_in_the_folder_are_passed_over_and_unfinished_ones_swept(tmp_path: Path, spooled: Spool) -> None:
    store = open_file_store(None, folder=tmp_path / "files")
    name = new_name()
    store.save(spooled(b"bytes"), name=name)
    (tmp_path / "files" / "notes.txt").touch()
    (tmp_path / "files" / name[:8] / "notes.txt").touch()
    (tmp_path / "files" / name[:8] / ".tmp-half").touch()
    (tmp_path / "files" / ".tmp-probe").touch()
    assert list(store.names()) == [name]
    assert store.sweep_temporary() == 1
    assert store.sweep_day(name[:8]) == FilesOfDay(names=frozenset({name}), removed_unfinished=1)
    assert (store.sweep_temporary(), store.sweep_day(name[:8]).removed_unfinished) == (0, 0)
    assert {path.name for path in files_under(tmp_path / "files")} == {name, "notes.txt"}


def test_the_day_folder_is_made_again_when_it_went_away(tmp_path: Path, spooled: Spool) -> None:
    store = open_file_store(None, folder=tmp_path / "files")
    first, second = new_name(), new_name()
    store.save(spooled(b"bytes"), name=first)
    store.remove(first)
    (tmp_path / "files" / first[:8]).rmdir()
    store.save(spooled(b"bytes"), name=second)
    assert list(store.names()) == [second]


def test_no_descriptor_is_left_open(tmp_path: Path, spooled: Spool) -> None:
    store = open_file_store(None, folder=tmp_path / "files")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        name, copy = new_name(), new_name()
        store.save(spooled(b"bytes"), name=name)
        store.copy(source=name, name=copy)
        content_of(store, copy)
        list(store.names())
        store.ping()
        store.sweep_temporary()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_url_names_the_folder(tmp_path: Path, spooled: Spool) -> None:
    name = new_name()
    checked: CheckedFile = spooled(b"bytes")
    open_file_store(f"file://{tmp_path}/%C5%9F%20x", folder=tmp_path / "other").save(checked, name=name)
    assert (tmp_path / "ş x" / name[:8] / name).read_bytes() == b"bytes"
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://bucket/prefix", "not in this version yet"),
        ("file://host/folder", "on this machine"),
        ("file:///folder?x=1", "on this machine"),
        ("http://host/", "on this machine"),
        ("folder", "on this machine"),
    ],
)
def test_other_stores_are_refused_by_name(tmp_path: Path, url: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        open_file_store(url, folder=tmp_path)


def test_a_mark_is_no_file_of_the_store_and_goes_where_the_folder_goes(tmp_path: Path, spooled: Spool) -> None:
    store = open_file_store(None, folder=tmp_path / "files")
    store.mark("ab" * 16)
    store.save(spooled(b"bytes"), name=new_name())
    assert len(files_under(tmp_path)) == 1
    shutil.copytree(tmp_path / "files", tmp_path / "elsewhere")
    assert open_file_store(None, folder=tmp_path / "elsewhere").owners() == {"ab" * 16}
    store.mark("cd" * 16)
    assert store.owners() == {"cd" * 16}


@pytest.mark.parametrize(("folder", "aside"), [("files", "orphans"), ("orphans", "orphans-orphans")])
def test_what_is_set_aside_lies_beside_the_store_in_the_same_order(
    tmp_path: Path, spooled: Spool, folder: str, aside: str
) -> None:
    store = open_file_store(None, folder=tmp_path / folder)
    kept, name = new_name(), new_name()
    for each in (kept, name):
        store.save(spooled(b"bytes"), name=each)
    store.set_aside([name])
    assert (tmp_path / aside / name[:8] / name).read_bytes() == b"bytes"
    assert list(store.names()) == [kept]


def test_setting_aside_again_after_a_crash_in_the_middle_keeps_the_bytes(tmp_path: Path, spooled: Spool) -> None:
    store = open_file_store(None, folder=tmp_path / "files")
    name = new_name()
    store.save(spooled(b"bytes"), name=name)
    (tmp_path / "orphans" / name[:8]).mkdir(parents=True)
    (tmp_path / "orphans" / name[:8] / name).hardlink_to(tmp_path / "files" / name[:8] / name)
    store.set_aside([name])
    assert list(store.names()) == []
    assert store.bring_back([name]) == {name}
    assert content_of(store, name) == b"bytes"


def test_setting_aside_onto_another_file_system_copies_whole(small_disk: Path, tmp_path: Path, spooled: Spool) -> None:
    (tmp_path / "orphans").symlink_to(small_disk)
    store = open_file_store(None, folder=tmp_path / "files")
    name, content = new_name(), os.urandom(300_001)
    store.save(spooled(content), name=name)
    store.set_aside([name])
    assert [path.read_bytes() for path in files_under(small_disk)] == [content]
    assert list(store.names()) == []
    assert store.bring_back([name]) == {name}
    assert content_of(store, name) == content
    assert files_under(small_disk) == []


def test_a_full_disk_aside_takes_nothing_away(small_disk: Path, tmp_path: Path, spooled: Spool) -> None:
    (tmp_path / "orphans").symlink_to(small_disk)
    store = open_file_store(None, folder=tmp_path / "files")
    names = [new_name() for _ in range(3)]
    for name in names:
        store.save(spooled(bytes(600_000)), name=name)
    with pytest.raises(Busy):
        store.set_aside(names)
    assert sorted(store.names()) == sorted(names)


def test_what_lies_in_the_place_of_a_file_neither_holds_who_opens_it_nor_takes_a_descriptor(tmp_path: Path) -> None:
    store = open_file_store(None, folder=tmp_path / "files")
    directory, pipe = new_name(), new_name()
    for name in (directory, pipe):
        (tmp_path / "files" / name[:8]).mkdir(parents=True, exist_ok=True)
    (tmp_path / "files" / directory[:8] / directory).mkdir()
    os.mkfifo(tmp_path / "files" / pipe[:8] / pipe)
    opened = len([*Path("/proc/self/fd").iterdir()])
    for name in (directory, pipe):
        with pytest.raises(Busy):
            store.open(name)
    assert len([*Path("/proc/self/fd").iterdir()]) == opened
