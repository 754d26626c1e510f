"""Another program's lock, and a clock that jumps."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests

from tests.e2e.below import Answer, Client, assert_busy, need, said, serving
from tests.e2e.console_script import until


def test_a_database_locked_by_another_program_is_busy_within_seconds_and_passes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as client:
        assert client.upload().code is None
        with closing(sqlite3.connect(data / "webchat.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            answers: list[Answer] = []
            calls = [
                threading.Thread(target=lambda: answers.append(client.text("b", token="retried"))),
                threading.Thread(target=lambda: answers.append(client.upload("b"))),
            ]
            began = time.monotonic()
            for call in calls:
                call.start()
            until(
                lambda: client.causes() == {"database": "locked by another program"},
                seconds=5,
                what="readyz does not tell",
            )
            assert client.call("GetMessages", CHATID="a")["lastSequence"] == "1"
            for call in calls:
                call.join()
            assert time.monotonic() - began < 15
            for answer in answers:
                assert_busy(answer, data)
            assert said(client.service, "cause=locked by another program")
            other.execute("ROLLBACK")
        assert client.call("GetMessages", CHATID="b").code == "ChatNotFound"
        until(lambda: client.causes() == {}, seconds=10, what="the service does not become ready again")
        assert client.text("b", token="retried")["duplicate"] == "false"
        client.assert_full_service()


def library() -> str:
    """The file of libfaketime, as the program faketime preloads it."""
    need("faketime")
    shown = subprocess.run(["faketime", "-m", "2020-01-01", "env"], capture_output=True, text=True, check=True).stdout
    (preloaded,) = (line for line in shown.splitlines() if line.startswith("LD_PRELOAD="))
    return preloaded


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_clock_that_jumps_back_disorders_nothing(tmp_path: Path) -> None:
    data, clock = tmp_path / "data", tmp_path / "clock"

    def set_clock(offset: timedelta) -> None:
        new = tmp_path / "new-clock"
        new.write_text(f"{offset.total_seconds():+.0f}s\n")
        new.rename(clock)

    set_clock(timedelta(0))
    faked = ("env", library(), f"FAKETIME_TIMESTAMP_FILE={clock}", "FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1")
    with serving(data, by=faked) as client:
        now = datetime.now(UTC)
        first = client.upload(token="once")
        assert abs(moment(first["sentAt"]) - now) < timedelta(minutes=1)
        waited: list[float] = []
        waiting = threading.Thread(target=lambda: waited.append(seconds_waited(client)))
        waiting.start()

        set_clock(timedelta(days=-2))
        new = client.call("StartChat", CHATID="new")
        assert moment(new["startedAt"]) < now - timedelta(days=1), "the clock did not jump"
        # In a chat that has messages no time goes backwards: the last one's holds until the clock has caught up.
        second = client.text()
        assert (second["sequence"], second["sentAt"]) == ("2", first["sentAt"])
        third = client.upload()
        assert (third["sequence"], third["sentAt"]) == ("3", first["sentAt"])
        assert client.upload(token="once")["duplicate"] == "true"
        waiting.join()
        waited.append(seconds_waited(client))
        assert all(1.5 < seconds < 10 for seconds in waited), waited
        assert client.causes() == {}
        for name in {*client.call("GetMessages", CHATID="a").all("fileUrl")}:
            assert requests.get(name, timeout=10).status_code == 200

        set_clock(timedelta(days=2))
        fourth = client.text()
        assert moment(fourth["sentAt"]) > now + timedelta(days=1)
        set_clock(timedelta(0))
        assert client.text()["sentAt"] == fourth["sentAt"]
        page = client.call("GetMessages", CHATID="a")
        times = [moment(text) for text in page.all("sentAt")]
        assert times == sorted(times)
        assert moment(client.call("EndChat", CHATID="a")["endedAt"]) >= times[-1]
        client.assert_whole()


def seconds_waited(client: Client) -> float:
    """How long a GetMessages takes that may wait two seconds for news which do not come."""
    began = time.monotonic()
    client.call("GetMessages", CHATID="a", afterSequence=1000, waitSeconds=2)
    return time.monotonic() - began
