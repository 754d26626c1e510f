"""The folder of uploads in pieces: what a crash, a full disk and hostile names leave there."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from webchat_soap.domain.errors import Busy, InvalidRequest
from webchat_soap.domain.uploads import ABANDONED_SECONDS, MAX_UPLOADS, UploadKey, WrongOffset
from webchat_soap.files.uploads import UploadFolder, sweep_uploads


def key(token: str = "t", *, agent: str = "a", chat: str = "c1") -> UploadKey:
    return UploadKey(agent_id=agent, chat_id=chat, token=token)


@pytest.fixture
def folder(tmp_path: Path) -> UploadFolder:
    return UploadFolder(tmp_path / "uploads")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_pieces_become_the_file_and_nothing_else_of_it_is_in_the_folder(folder: UploadFolder, tmp_path: Path) -> None:
    assert folder.offset(key()) == 0
    assert folder.append(key(), b"abc", offset=0, size=5) == 3
    assert folder.append(key(), b"de", offset=3, size=5) == 5
    with folder.open(key()) as stream:
        assert stream.read() == b"abcde"
    (path,) = (path for path in (tmp_path / "uploads").rglob("*") if path.is_file())
    assert path.stat().st_mode & 0o777 == 0o600
    folder.remove(key())
    folder.remove(key())
    assert folder.offset(key()) == 0


@pytest.mark.parametrize("token", ["", "a/b", "..", "a.b", "ş", "x" * 101, "a\n", "a\0"])
def test_a_token_that_could_be_a_path_is_none(token: str) -> None:
    with pytest.raises(InvalidRequest):
        key(token)


def test_uploads_of_agents_chats_and_tokens_are_apart(folder: UploadFolder) -> None:
    keys = [key(), key("t2"), key(chat="c2"), key(agent="b"), key(agent="../../etc")]
    for number, each in enumerate(keys):
        folder.append(each, bytes([number]), offset=0, size=1)
    for number, each in enumerate(keys):
        with folder.open(each) as stream:
            assert stream.read() == bytes([number])


def test_a_disk_that_is_full_in_a_piece_leaves_what_was_there(folder: UploadFolder) -> None:
    folder.append(key(), b"x" * 1000, offset=0, size=5000)
    with files_of_at_most(1500), pytest.raises(Busy):
        folder.append(key(), b"y" * 1000, offset=1000, size=5000)
    assert folder.offset(key()) == 1000
    assert folder.append(key(), b"z", offset=1000, size=5000) == 1001


def test_a_piece_after_a_cancel_leaves_nothing_and_takes_no_place(folder: UploadFolder, tmp_path: Path) -> None:
    for number in range(MAX_UPLOADS + 1):
        late = key(f"late{number}")
        folder.append(late, b"abc", offset=0, size=9)
        folder.remove(late)
        with pytest.raises(WrongOffset) as caught:
            folder.append(late, b"def", offset=3, size=9)
        assert caught.value.actual == 0
    assert [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()] == []
    assert folder.append(key("next"), b"abc", offset=0, size=9) == 3


def test_a_file_with_pieces_missing_cannot_be_opened(folder: UploadFolder) -> None:
    with pytest.raises(WrongOffset) as caught, folder.open(key()):
        pass
    assert caught.value.actual == 0
    folder.append(key(), b"abc", offset=0, size=5)
    with pytest.raises(WrongOffset) as caught, folder.open(key()):
        pass
    assert caught.value.actual == 3


def test_a_file_that_is_being_posted_takes_no_piece_and_is_not_opened_twice(folder: UploadFolder) -> None:
    folder.append(key(), b"abc", offset=0, size=3)
    with folder.open(key()), pytest.raises(Busy), folder.open(key()):
        pass
    with folder.open(key()) as stream:
        folder.remove(key())  # a cancel while it is posted takes nothing away from the post
        assert stream.read() == b"abc"


def test_the_sweep_takes_what_nobody_went_on_with_and_leaves_the_rest(folder: UploadFolder, tmp_path: Path) -> None:
    folder.append(key("old"), b"abc", offset=0, size=5)
    folder.append(key("new"), b"abc", offset=0, size=5)
    (old,) = (path for path in (tmp_path / "uploads").rglob("*.5") if path.stat().st_size == 3 and _is(path, "old"))
    long_ago = time.time() - ABANDONED_SECONDS - 1
    os.utime(old, (long_ago, long_ago))
    assert sweep_uploads(tmp_path / "uploads") == 1
    assert folder.offset(key("old")) == 0
    assert folder.offset(key("new")) == 3
    assert sweep_uploads(tmp_path / "nothing") == 0


def _is(path: Path, token: str) -> bool:
    return path.name.startswith(hashlib.sha256(f"a\0c1\0{token}".encode()).hexdigest()[:40])
