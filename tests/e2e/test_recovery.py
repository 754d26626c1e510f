"""After a crash: what a start puts in order and tells, what callers see of files that were lost, and `check --deep`."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import uuid
from pathlib import Path

import requests

from tests.e2e.console_script import SCRIPT, Running, is_alive, running, until
from tests.e2e.test_data_and_backup import refused
from tests.full_folder import Full, fill, grow_log
from tests.serving import Soap


def soap(service: Running) -> Soap:
    return Soap(f"{service.url}/webchat?wsdl", "WebchatSoap11")


def kill(service: Running) -> None:
    """SIGKILL to all of it at once."""
    processes = [service.process.pid, *service.workers]
    service.kill()
    until(lambda: not any(is_alive(pid) for pid in processes), seconds=10, what="a worker lives on")


def check_deep(data: Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [SCRIPT, "check", "--deep", "--data-dir", data], capture_output=True, text=True, timeout=60, check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("WEBCHAT_")}, cwd=data.parent,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_a_start_after_a_kill_tells_what_it_did_and_callers_what_was_lost(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, flags=("--demo",)) as service:
        files = [file for message in soap(service).GetMessages(CHATID="demo").message for file in message.file]
        kill(service)
    lost, short, whole, _ = files
    paths = {file.fileName: data / "files" / file.fileName[:8] / file.fileName for file in files}
    orphan = f"{whole.fileName[:8]}-{uuid.uuid4()}.png"
    (paths[whole.fileName].parent / orphan).write_bytes(b"of a call that was cut short")
    paths[lost.fileName].rename(tmp_path / "backup")
    kept = paths[short.fileName].read_bytes()
    paths[short.fileName].write_bytes(kept[:-1])
    with running(data) as service:
        log = service.log.read_text()
        assert f"1 stored file(s) are missing ({lost.fileName})" in log
        assert "4 file(s), 1 day(s) looked at, 0 unchanged; 1 set aside, 0 brought back, 0 unfinished" in log
        assert "1 missing" in log
        assert "Traceback" not in log
        assert (data / "orphans" / orphan[:8] / orphan).exists()
        client = soap(service)
        listed = [file for message in client.GetMessages(CHATID="demo").message for file in message.file]
        assert [file.fileName for file in listed] == [file.fileName for file in files]
        assert [file.removedAt for file in listed] == [None] * 4, "nobody has removed it; it may come back"
        for file, at in ((lost, listed[0]), (short, listed[1])):
            answer = requests.get(at.fileUrl, timeout=10)
            assert (answer.status_code, answer.text.split(";")[0]) == (404, "This file was lost on the server")
            fault = client.fault("UploadFile", CHATID="other", fileDetails=json.dumps({"fileUrl": at.fileUrl}))
            assert (fault.code, fault.httpStatus, fault.retryable) == ("DownloadFailed", 404, False)
            assert file.fileName not in fault.message
        assert requests.get(listed[2].fileUrl, timeout=10).status_code == 200
        status, lines = check_deep(data)
        assert status == 1
        assert sorted(line.split(": ")[0] for line in lines[:-1]) == sorted([lost.fileName, short.fileName])
    (tmp_path / "backup").rename(paths[lost.fileName])
    paths[short.fileName].write_bytes(kept)
    with running(data) as service:
        assert [requests.get(f"{service.url}/public_files/{file.fileName}", timeout=10).ok for file in files] == [
            True
        ] * 4
    assert check_deep(data)[0] == 0


def test_a_start_after_a_kill_recovers_the_log_and_the_next_one_looks_at_nothing_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    fill(data, Full(messages=20_000, files=5_000, chats=200, days=30))
    grow_log(data, 8)
    # A folder that changed in the last two seconds is looked at again the next time.
    newest = max(day.stat().st_ctime for day in (data / "files").iterdir())
    until(lambda: time.time() > newest + 2.1, seconds=10, what="the folders are too new")
    with running(data) as service:
        assert ": 5000 file(s), 30 day(s) looked at, 0 unchanged; 0 set aside" in service.log.read_text()
        kill(service)
    second = Running(data)
    try:
        second.wait()
        assert ": 0 file(s), 0 day(s) looked at, 30 unchanged" in second.log.read_text()
    finally:
        second.stop()
    status, lines = check_deep(data)
    assert (status, len(lines)) == (0, 1)


def test_a_log_that_is_taken_away_after_a_kill_refuses_the_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as service:
        soap(service).SendMessage(CHATID="a", fileDetails='{"text": "kept"}')
        kill(service)
    for name in ("webchat.db-wal", "webchat.db-shm"):
        (data / name).rename(tmp_path / name)
    told = refused(data)
    assert "lacks message 1 of chat a, which was acknowledged" in told
    assert "Traceback" not in told
    for name in ("webchat.db-wal", "webchat.db-shm"):
        (data / name).unlink(missing_ok=True)
        (tmp_path / name).rename(data / name)
    with running(data) as service:
        assert [message.text for message in soap(service).GetMessages(CHATID="a").message] == ["kept"]


def test_a_log_that_is_taken_away_from_a_running_service_ends_receipts_until_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as service:
        client = soap(service)
        client.SendMessage(CHATID="a", fileDetails='{"text": "kept"}')
        for name in ("webchat.db-wal", "webchat.db-shm"):
            (data / name).unlink()
        assert client.fault("SendMessage", CHATID="a", fileDetails='{"text": "lost"}').code == "Busy"
        # An answer holds for a second.
        until(lambda: requests.get(f"{service.url}/readyz", timeout=10).status_code == 503, seconds=10, what="no 503")
    with running(data) as service:
        client = soap(service)
        assert [message.text for message in client.GetMessages(CHATID="a").message] == ["kept"]
        client.SendMessage(CHATID="a", fileDetails='{"text": "again"}')


def test_a_deep_check_beside_a_service_that_takes_texts_and_files_finds_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, flags=("--demo",), MAX_FILES_PER_CHAT="100000", WORKERS="2") as service:
        own = soap(service).GetMessages(CHATID="demo").message[1].file[0].fileUrl
        stop = threading.Event()

        def send() -> None:
            client = soap(service)
            while not stop.is_set():
                client.SendMessage(CHATID="busy", fileDetails='{"text": "text"}')
                client.UploadFile(CHATID="busy", fileDetails=json.dumps({"fileUrl": own}))

        senders = [threading.Thread(target=send) for _ in range(2)]
        for sender in senders:
            sender.start()
        try:
            for _ in range(3):
                status, lines = check_deep(data)
                assert (status, len(lines)) == (0, 1), lines
        finally:
            stop.set()
            for sender in senders:
                sender.join()
    status, lines = check_deep(data)
    assert (status, len(lines)) == (0, 1), lines
