"""The README's section "Data and backup": what a start does with files and a database that do not fit."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.e2e.console_script import Running, is_alive, running, until
from tests.serving import Soap


def files_in(data: Path) -> set[str]:
    return {path.name for path in (data / "files").rglob("*") if path.is_file()}


def causes(service: Running) -> object:
    """What /readyz says is broken."""
    answer = requests.get(f"{service.url}/readyz", timeout=10)
    found = answer.json()
    assert answer.status_code == (503 if "causes" in found else 200)
    return found.get("causes")


def refused(data: Path, **settings: str) -> str:
    """What a start prints that must fail."""
    service = Running(data, **settings)
    try:
        assert service.process.wait(timeout=30) == 1
    finally:
        service.process.kill()
        service.process.wait()
    return service.log.read_text()


def replace_worker(service: Running, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Kill the only worker, and return once another one answers."""
    (worker,) = service.workers
    os.kill(service.process.pid, signal.SIGSTOP)  # so that the new one comes after what is done meanwhile
    os.kill(worker, signal.SIGKILL)
    until(lambda: not is_alive(worker), seconds=10, what="the worker lives on")
    meanwhile()
    os.kill(service.process.pid, signal.SIGCONT)

    def answers() -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{service.url}/healthz", timeout=5).ok
        return False

    until(answers, seconds=20, what="no other worker comes")


def assert_all_files_are_served(service: Running, *, count: int) -> None:
    page = Soap(f"{service.url}/webchat?wsdl", "WebchatSoap11").GetMessages(CHATID="demo")
    urls = [stored.fileUrl for message in page.message for stored in message.file]
    assert len(urls) == count
    assert [requests.get(url, timeout=10).status_code for url in urls] == [200] * count


def test_a_start_with_another_database_or_none_is_refused_and_deletes_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, flags=("--demo",)):
        before = files_in(data)
    assert len(before) == 4
    other = data / "other.db"
    told = refused(data, DATABASE_URL=f"sqlite:///{other}")
    assert f"There is no database at {other}, but {data}/files holds 4 file(s) of one: restore" in told
    assert "Traceback" not in told
    assert not other.exists()
    with running(tmp_path / "elsewhere"):
        pass
    shutil.copy(tmp_path / "elsewhere" / "webchat.db", other)
    told = refused(data, DATABASE_URL=f"sqlite:///{other}")
    assert f"{data}/files holds 4 file(s) of another database than {other}" in told
    (data / "webchat.db").rename(data / "saved.db")
    assert "There is no database" in refused(data)
    assert files_in(data) == before
    (data / "saved.db").rename(data / "webchat.db")
    with running(data) as service:
        assert_all_files_are_served(service, count=4)


def test_an_older_backup_puts_newer_files_aside_and_the_newer_database_brings_them_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data):
        pass
    shutil.copy(data / "webchat.db", tmp_path / "backup.db")
    with running(data, flags=("--demo",)):
        before = files_in(data)
    shutil.copy(data / "webchat.db", tmp_path / "newer.db")
    shutil.copy(tmp_path / "backup.db", data / "webchat.db")
    with running(data) as service:
        assert "Put 4 file(s) that no message names aside, nothing was deleted" in service.log.read_text()
        assert files_in(data) == set()
    assert {path.name for path in (data / "orphans").rglob("*") if path.is_file()} == before
    shutil.copy(tmp_path / "newer.db", data / "webchat.db")
    with running(data) as service:
        assert "Brought 4 file(s) back" in service.log.read_text()
        assert files_in(data) == before
        assert_all_files_are_served(service, count=4)


@pytest.mark.parametrize("what", ["webchat.db", "."])
def test_a_service_whose_data_is_removed_acknowledges_nothing_and_is_not_ready(tmp_path: Path, what: str) -> None:
    data = tmp_path / "data"
    with running(data) as service:
        client = Soap(f"{service.url}/webchat?wsdl", "WebchatSoap11")
        client.SendMessage(CHATID="a", fileDetails='{"text": "kept"}')
        (data / what).resolve().rename(tmp_path / "away")
        fault = client.fault("SendMessage", CHATID="a", fileDetails='{"text": "lost"}')
        assert (fault.code, fault.retryable) == ("Busy", True)
        # It may say for a second what it saw before.
        until(lambda: causes(service) == {"database": "removed"}, seconds=10, what="readyz does not tell")
        replace_worker(service)
        client = Soap(f"{service.url}/webchat?wsdl", "WebchatSoap11")
        assert client.fault("SendMessage", CHATID="a", fileDetails='{"text": "lost"}').code == "Busy"
        assert not (data / "webchat.db").exists()


def test_a_database_that_is_overwritten_is_busy_and_not_ready_also_for_a_new_worker(tmp_path: Path) -> None:

    data = tmp_path / "data"

    def overwrite() -> None:
        with (data / "webchat.db").open("r+b") as file:
            file.write(b"garbage " * 10_000)
        for name in ("webchat.db-wal", "webchat.db-shm"):
            (data / name).unlink(missing_ok=True)

    with running(data, flags=("--demo",)) as service:
        page = Soap(f"{service.url}/webchat?wsdl", "WebchatSoap11").GetMessages(CHATID="demo")
        url = page.message[1].file[0].fileUrl
        replace_worker(service, overwrite)
        ready = requests.get(f"{service.url}/readyz", timeout=20)
        assert (ready.status_code, ready.json()["database"]) == (503, "failing")
        file = requests.get(url, timeout=20)
        assert file.status_code == 503
        for answer in (ready, file):
            assert "webchat.db" not in answer.text
        assert "Traceback" not in service.log.read_text()
    told = refused(data)
    assert "is not an SQLite database" in told
