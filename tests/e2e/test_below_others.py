"""Another program's lock, and a clock that jumps."""

from __future__ import annotations

import sqlite3
import struct
import subprocess
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests

from tests.e2e.below import Answer, Client, assert_busy, need, serving
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
            client.assert_logs("cause=locked by another program")
            other.execute("ROLLBACK")
        assert client.call("GetMessages", CHATID="b").code == "ChatNotFound"
        until(lambda: client.causes() == {}, seconds=10, what="the service does not become ready again")
        assert client.text("b", token="retried")["duplicate"] == "false"
        client.assert_full_service()


class Clock:
    """The wall clock of a process that is started with `environ`, to be set while it runs."""

    def __init__(self, folder: Path) -> None:
        need("cc")
        library = folder / "clock.so"
        source = Path(__file__).parents[1] / "data" / "clock.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self._file = folder / "clock-offset"
        self._file.write_bytes(bytes(8))
        self.environ = (f"LD_PRELOAD={library}", f"CLOCK_OFFSET_FILE={self._file}")

    def set(self, offset: timedelta) -> None:
        with self._file.open("r+b") as file:
            file.write(struct.pack("l", int(offset.total_seconds())))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_clock_that_jumps_back_disorders_nothing(tmp_path: Path) -> None:
    data, clock = tmp_path / "data", Clock(tmp_path)
    with serving(data, by=("env", *clock.environ)) as client:
        now = datetime.now(UTC)
        first = client.upload(token="once")
        assert abs(moment(first["sentAt"]) - now) < timedelta(minutes=1)
        assert client.text("quiet").code is None
        waited: list[float] = []
        waiting = threading.Thread(target=lambda: waited.append(seconds_waited(client)))
        waiting.start()

        clock.set(timedelta(days=-2))
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

        clock.set(timedelta(days=2))
        fourth = client.text()
        assert moment(fourth["sentAt"]) > now + timedelta(days=1)
        clock.set(timedelta(0))
        assert client.text()["sentAt"] == fourth["sentAt"]
        page = client.call("GetMessages", CHATID="a")
        times = [moment(text) for text in page.all("sentAt")]
        assert times == sorted(times)
        assert moment(client.call("EndChat", CHATID="a")["endedAt"]) >= times[-1]
        client.assert_whole()


def seconds_waited(client: Client) -> float:
    """How long a GetMessages takes that may wait two seconds for news which do not come."""
    began = time.monotonic()
    client.call("GetMessages", CHATID="quiet", afterSequence=1, waitSeconds=2)
    return time.monotonic() - began
