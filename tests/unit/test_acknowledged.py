"""What was acknowledged and is gone with the database's log is noticed, while it is served and at the next start."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.test_chat_store import new_message, send, texts
from tests.unit.test_chat_store_sqlite import PREAMBLE
from webchat_soap.cli import main
from webchat_soap.domain.errors import Busy
from webchat_soap.stores import open_chat_store
from webchat_soap.stores.database import DatabaseGoneError, LostMessagesError
from webchat_soap.stores.sqlite import ACKNOWLEDGED, SqliteChatStore

LOGS = ("chats.db-wal", "chats.db-shm")


def opened(folder: Path) -> SqliteChatStore:
    return open_chat_store(f"sqlite:///{folder}/chats.db", lock_folder=folder / "locks")


def note(folder: Path) -> str:
    return (folder / "locks" / ACKNOWLEDGED).read_text()


def killed_after(folder: Path, code: str) -> None:
    """Run the code in a process with a store of this folder, and end it by SIGKILL."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{PREAMBLE}{code}\nsay('done')\ntime.sleep(60)", folder],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        process.send_signal(signal.SIGKILL)


def lost(folder: Path) -> str:
    """What an operator is told when the store is opened, which must be refused."""
    with closing(opened(folder)) as store, pytest.raises(Busy) as caught:
        store.store_id()
    assert isinstance(caught.value.__cause__, LostMessagesError)
    return str(caught.value.__cause__)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A folder whose service was killed after five messages; the newest three are in the log alone."""
    with closing(opened(tmp_path)) as store:
        for text in ("1", "2"):
            send(store, new_message("c1", text))
    killed_after(tmp_path, "for text in '345': send('c1', text)")
    return tmp_path


def take_away(folder: Path, *names: str) -> Path:
    away = folder / "away"
    away.mkdir()
    for name in names:
        (folder / name).rename(away / name)
    return away


@pytest.mark.parametrize("names", [LOGS, LOGS[:1]])
def test_a_log_that_was_taken_away_after_a_kill_refuses_until_it_is_back(killed: Path, names: tuple[str, ...]) -> None:
    away = take_away(killed, *names)
    for _ in range(2):
        told = lost(killed)
        assert "lacks message 5 of chat c1" in told
        assert f"{killed}/chats.db-wal was removed or replaced" in told
        assert str(killed / "locks" / ACKNOWLEDGED) in told
    for log in LOGS:
        (killed / log).unlink(missing_ok=True)
    for path in away.iterdir():
        path.rename(killed / path.name)
    with closing(opened(killed)) as store:
        assert texts(store) == ["1", "2", "3", "4", "5"]


def test_what_is_lost_for_good_can_be_done_without(killed: Path) -> None:
    take_away(killed, *LOGS)
    lost(killed)
    (killed / "locks" / ACKNOWLEDGED).unlink()
    with closing(opened(killed)) as store:
        assert texts(store) == ["1", "2"]
        send(store, new_message("c1", "3 again"))


def test_a_kill_alone_refuses_nothing(killed: Path) -> None:
    for _ in range(2):
        with closing(opened(killed)) as store:
            assert texts(store) == ["1", "2", "3", "4", "5"]


def test_a_chat_that_is_lost_as_a_whole_is_noticed_too(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        store.ping()
    killed_after(tmp_path, "send('new', 'first')")
    take_away(tmp_path, *LOGS)
    assert "lacks message 1 of chat new" in lost(tmp_path)


def test_after_an_orderly_stop_an_older_copy_may_take_the_place(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        send(store, new_message("c1", "1"))
    shutil.copy(tmp_path / "chats.db", tmp_path / "older.db")
    with closing(opened(tmp_path)) as store:
        send(store, new_message("c1", "2"))
        assert " 2 c1 " in note(tmp_path)
    assert note(tmp_path) == ""
    shutil.copy(tmp_path / "older.db", tmp_path / "chats.db")
    with closing(opened(tmp_path)) as store:
        assert texts(store) == ["1"]


def test_a_process_that_stops_beside_another_leaves_the_note(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as first:
        send(first, new_message("c1", "1"))
        with closing(opened(tmp_path)) as second:
            send(second, new_message("c1", "2"))
        assert " 2 c1 " in note(tmp_path)
        send(first, new_message("a-longer-name", "1"))
        assert " 1 a-longer-name " in note(tmp_path)
        send(first, new_message("c1", "3"))
        assert note(tmp_path).split()[1:] == ["3", "c1"]
    assert note(tmp_path) == ""


@pytest.mark.parametrize("text", ["", "garbage", "\xff\xfe", "{id} 99", "{id} x c1", "\0" * 128, "0" * 32 + " 99 c1\n"])
def test_a_note_that_is_none_or_of_another_database_is_no_reason(tmp_path: Path, text: str) -> None:
    with closing(opened(tmp_path)) as store:
        send(store)
        store_id = store.store_id()
    assert store_id is not None
    (tmp_path / "locks" / ACKNOWLEDGED).write_text(text.replace("{id}", store_id), "latin-1")
    with closing(opened(tmp_path)) as store:
        assert texts(store) == ["test message"]


def test_a_note_that_cannot_be_written_hinders_nobody(tmp_path: Path) -> None:
    (tmp_path / "locks" / ACKNOWLEDGED).mkdir(parents=True)
    with closing(opened(tmp_path)) as store:
        send(store)
        assert texts(store) == ["test message"]


@pytest.mark.parametrize("names", [LOGS, LOGS[:1], LOGS[1:]])
def test_a_log_that_is_taken_away_while_it_is_served_ends_receipts_and_loses_none(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    with closing(opened(tmp_path)) as store:
        send(store, new_message("c1", "1"))
        for name in names:
            (tmp_path / name).unlink()
        for _ in range(2):
            with pytest.raises(Busy) as caught:
                send(store, new_message("c1", "2"))
            assert isinstance(caught.value.__cause__, DatabaseGoneError)
        with pytest.raises(Busy):
            store.ping()
    with closing(opened(tmp_path)) as store:
        assert texts(store) == ["1"]


def test_a_copy_that_is_in_another_journal_mode_is_brought_back_to_the_log(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        send(store, new_message("c1", "1"))
    with closing(sqlite3.connect(tmp_path / "chats.db")) as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    shutil.copy(tmp_path / "copy.db", tmp_path / "chats.db")
    with closing(opened(tmp_path)) as store:
        send(store, new_message("c1", "2"))
        assert (tmp_path / "chats.db-wal").exists()
        assert texts(store) == ["1", "2"]


def test_check_tells_what_is_lost_and_clears_nothing(
    tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "webchat-data"
    data.mkdir()
    with closing(open_chat_store(f"sqlite:///{data}/webchat.db", lock_folder=data / "locks")) as store:
        send(store)
        shutil.copy(data / "webchat.db", tmp_path / "without-log.db")
        for name in ("webchat.db-wal", "webchat.db-shm", "locks/acknowledged"):
            shutil.copy(data / name, tmp_path / Path(name).name)
    shutil.copy(tmp_path / "without-log.db", data / "webchat.db")
    shutil.copy(tmp_path / "acknowledged", data / "locks" / "acknowledged")
    for _ in range(2):
        assert main(["check", "--bind", f"127.0.0.1:{free_port}"]) == 1
        assert "lacks message 1 of chat c1" in capsys.readouterr().out
        assert main(["check", "--deep"]) == 1
        assert "lacks message 1 of chat c1" in capsys.readouterr().out
        assert main(["serve", "--bind", f"127.0.0.1:{free_port}"]) == 1
        assert "lacks message 1 of chat c1" in capsys.readouterr().err
    (data / "webchat.db-wal").unlink(missing_ok=True)
    shutil.copy(tmp_path / "webchat.db-wal", data / "webchat.db-wal")
    assert main(["check", "--bind", f"127.0.0.1:{free_port}"]) == 0
