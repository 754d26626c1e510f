"""The promises that only a whole process can break: crashes, second starts, large files, many callers."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import zeep

from tests.e2e.console_script import SCRIPT, Running, is_alive, resident_bytes, running, threads_of, until
from tests.file_host import Connection, FileHost, Request, head
from tests.serving import SAMPLES, Soap

MIB = 1 << 20

_UNREAD = "import os, sys; r, w = os.pipe(); os.dup2(w, 1); os.close(r); os.execv(sys.argv[1], sys.argv[1:])"
"""Becomes a command whose stdout nobody reads."""


def wav(megabytes: int) -> tuple[bytes, int]:
    """The head of a WAV of so many MiB of 8-bit sound, and the whole file's size."""
    size = megabytes * MIB
    fmt = b"fmt " + (16).to_bytes(4, "little") + bytes.fromhex("01000100401f0000401f000001000800")
    data = b"data" + size.to_bytes(4, "little")
    return b"RIFF" + (4 + len(fmt) + 8 + size).to_bytes(4, "little") + b"WAVE" + fmt + data, 44 + size


def test_a_file_of_1_gib_is_taken_in_flat_memory(tmp_path: Path) -> None:
    start, size = wav(1024)
    block = b"\x80" * MIB
    digest = hashlib.sha256(start)
    for _ in range(1024):
        digest.update(block)

    def send(connection: Connection, request: Request) -> None:
        connection.send(head("HTTP/1.1 200 OK", f"Content-Length: {size}", "Connection: close") + start)
        for _ in range(1024):
            connection.send(block)

    raised = {"MAX_AUDIO": "2GiB", "MAX_BYTES_PER_CHAT": "4GiB", "FETCH_TOTAL_SECONDS": "300"}
    with FileHost() as host:
        url = host.script("/large.wav", send)
        with running(tmp_path / "data", FETCH_ALLOW=f"127.0.0.1:{host.port}", **raised) as service:
            client = zeep.Client(f"{service.url}/webchat?wsdl", transport=zeep.Transport(operation_timeout=300))
            client.service.SendMessage(CHATID="large", fileDetails='{"text": "first"}')
            (worker,) = service.workers
            before = resident_bytes(worker)
            peak = [before]
            done = threading.Event()

            def watch() -> None:
                while not done.wait(0.02):
                    peak.append(resident_bytes(worker))

            watcher = threading.Thread(target=watch)
            watcher.start()
            receipt = client.service.UploadFile(CHATID="large", fileDetails=json.dumps({"fileUrl": url}))
            done.set()
            watcher.join()
            (stored,) = receipt.file
            assert (stored.size, stored.sha256) == (size, digest.hexdigest())
            assert (stored.contentType, stored.durationMilliseconds) == ("audio/wav", 1024 * MIB * 1000 // 8000)
            growth = (max(peak) - before) / MIB
            print(f"1 GiB: resident memory {before / MIB:.0f} MiB, grew by {growth:.1f} MiB")
            assert growth <= 32


def test_a_second_serve_on_the_same_folder_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with running(tmp_path / "data") as service:
        second = Running(tmp_path / "data")
        assert second.process.wait(timeout=20) == 1
        said = second.log.read_text()
        assert str(tmp_path / "data") in said
        assert "Traceback" not in said
        assert requests.get(f"{service.url}/healthz", timeout=5).status_code == 200


def test_after_a_kill_of_the_parent_in_the_middle_of_50_uploads_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    picture = (SAMPLES / "image" / "still.png") if (SAMPLES / "image" / "still.png").exists() else None
    content = (picture or next((SAMPLES / "image").glob("*.png"))).read_bytes()
    opened = threading.Event()

    def send(connection: Connection, request: Request) -> None:
        """The later half of the uploads get half of their file until the test says go on, which it never does."""
        connection.send(head("HTTP/1.1 200 OK", f"Content-Length: {len(content)}", "Connection: close"))
        connection.send(content[: len(content) // 2])
        if int(request.path.rpartition("/")[2]) >= 25:
            connection.wait(opened)
        connection.send(content[len(content) // 2 :])

    data = tmp_path / "data"
    receipts: list[tuple[str, str]] = []
    with FileHost() as host:
        allow = f"127.0.0.1:{host.port}"
        service = Running(data, FETCH_ALLOW=allow).wait()
        client = zeep.Client(f"{service.url}/webchat?wsdl")
        urls = [host.script(f"/{number}", send) for number in range(50)]

        def upload(number: int) -> None:
            own = zeep.Client(f"{service.url}/webchat?wsdl").service if number % 10 == 0 else client.service
            try:
                receipt = own.UploadFile(CHATID=f"chat-{number % 5}", fileDetails=json.dumps({"fileUrl": urls[number]}))
            except (requests.RequestException, zeep.exceptions.Error):
                return
            receipts.append((receipt.messageId, receipt.file[0].fileName))

        callers = [threading.Thread(target=upload, args=(number,)) for number in range(50)]
        for caller in callers:
            caller.start()
        until(lambda: len(receipts) >= 10 and len(host.requests) >= 40, seconds=60, what="the uploads do not get going")
        workers = service.workers
        assert workers
        service.kill()
        until(lambda: not any(is_alive(pid) for pid in workers), seconds=5, what="a worker outlives its parent")
        for caller in callers:
            caller.join(timeout=60)
        acknowledged = dict(receipts)
        with running(data, port=service.port, FETCH_ALLOW=allow) as again:
            found: dict[str, str] = {}
            for chat in range(5):
                client_again = zeep.Client(f"{again.url}/webchat?wsdl").service
                client_again.StartChat(CHATID=f"chat-{chat}")
                page = client_again.GetMessages(CHATID=f"chat-{chat}", maxMessages=100)
                assert [message.sequence for message in page.message] == list(range(1, page.lastSequence + 1))
                for message in page.message:
                    (stored,) = message.file
                    assert message.messageId not in found
                    found[message.messageId] = stored.fileName
                    answer = requests.get(stored.fileUrl, timeout=10)
                    assert hashlib.sha256(answer.content).hexdigest() == stored.sha256
            assert acknowledged.items() <= found.items()
            kept = {path.name for path in (data / "files").rglob("*") if path.is_file()}
            assert kept == set(found.values())
            assert not [path for path in (data / "spool").rglob("*") if path.is_file()]


def invalid_requests(numbers: Iterator[int]) -> Iterator[tuple[str, str]]:
    """Different invalid requests, each with a word of its own that must not turn up in anybody else's fault."""
    shapes = (
        (
            "<SendMessage xmlns='urn:webchat:v1'><CHATID>{word}</CHATID>"
            '<fileDetails>{{"{word}": 1}}</fileDetails></SendMessage>'
        ),
        "<SendMessage xmlns='urn:webchat:v1'><{word}>x</{word}></SendMessage>",
        "<GetMessages xmlns='urn:webchat:v1'><CHATID>a</CHATID><maxMessages>{word}</maxMessages></GetMessages>",
        "<GetMessages xmlns='urn:webchat:v1'><CHATID {word}='x'>a</CHATID></GetMessages>",
        "<EndChat xmlns='urn:webchat:v1'><CHATID>{word}</CHATID></EndChat>",
        "<EndChat xmlns='urn:{word}'><CHATID>a</CHATID></EndChat>",
        "<{word} xmlns='urn:webchat:v1'/>",
        "<GetLimits xmlns='urn:webchat:v1'><CHATID>a</CHATID><CHATID>{word}</CHATID></GetLimits>",
        '<UploadFile xmlns=\'urn:webchat:v1\'><CHATID>a</CHATID><fileDetails>{{"fileUrl": "ftp://{word}/"}}</fileDetails></UploadFile>',
        "<UploadFile xmlns='urn:webchat:v1'><CHATID>a</CHATID><fileDetails>{word}</fileDetails></UploadFile>",
        "<unclosed{word}>",
    )
    for number in numbers:
        word = f"w{number:08d}w"
        yield word, shapes[number % len(shapes)].format(word=word)


def test_no_fault_ever_holds_a_word_of_anothers_request(tmp_path: Path) -> None:
    # 2,000 rounds in every run of the tests; the release is checked with 20,000.
    rounds = int(os.environ.get("WEBCHAT_TEST_ISOLATION_ROUNDS", "2000"))
    envelopes = (
        ("text/xml", "http://schemas.xmlsoap.org/soap/envelope/"),
        ("application/soap+xml", "http://www.w3.org/2003/05/soap-envelope"),
    )
    leaks: list[str] = []
    counted = [0] * 8

    def call(lane: int, url: str) -> None:
        session = requests.Session()
        for word, body in invalid_requests(itertools.islice(itertools.count(lane, 8), rounds // 8)):
            media_type, namespace = envelopes[random.getrandbits(1)]
            message = f'<s:Envelope xmlns:s="{namespace}"><s:Body>{body}</s:Body></s:Envelope>'
            answer = session.post(url, data=message.encode(), headers={"Content-Type": media_type}, timeout=60)
            words = set(re.findall(r"w[0-9]{8}w", answer.text))
            if answer.status_code != 500 or not words <= {word}:
                leaks.append(f"{word}: {answer.status_code} {answer.text}")
            counted[lane] += 1

    with running(tmp_path / "data") as service:
        lanes = [threading.Thread(target=call, args=(lane, f"{service.url}/webchat")) for lane in range(8)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        assert leaks == []
        assert sum(counted) == rounds // 8 * 8
        assert "Traceback" not in service.log.read_text()


def test_what_the_server_refuses_by_itself_leaves_a_log_line_too(tmp_path: Path) -> None:
    with running(tmp_path / "data", MAX_REQUEST="2KiB", LOG="json") as service:
        answer = requests.post(f"{service.url}/webchat", data=bytes(3000), timeout=10)
        assert answer.status_code == 413
        until(lambda: '"code": 413' in service.log.read_text(), seconds=10, what="there is no line")
        last = json.loads(service.log.read_text().splitlines()[-1])
        assert last["status"] == 413
        assert last["time"].endswith("Z")


def test_a_token_works_after_a_restart(tmp_path: Path) -> None:
    data, token = tmp_path / "data", str(uuid.uuid4())
    with running(data) as service:
        first = Soap(f"{service.url}/webchat?wsdl", "WebchatSoap12").SendMessage(
            CHATID="a", fileDetails='{"text": "once"}', clientToken=token
        )
        port = service.port
    with running(data, port=port) as service:
        again = Soap(f"{service.url}/webchat?wsdl", "WebchatSoap11").SendMessage(
            CHATID="a", fileDetails='{"text": "once"}', clientToken=token
        )
    assert (again.messageId, again.duplicate) == (first.messageId, True)


def test_a_waiting_call_is_woken_by_a_message_in_another_process(tmp_path: Path) -> None:
    with running(tmp_path / "data", WORKERS="3") as service:
        until(lambda: len(service.workers) >= 3, seconds=20, what="there are not three workers")
        wsdl = f"{service.url}/webchat?wsdl"
        Soap(wsdl, "WebchatSoap11").StartChat(CHATID="a")
        pages: list[object] = []

        def wait() -> None:
            pages.append(Soap(wsdl, "WebchatSoap11").GetMessages(CHATID="a", waitSeconds=30))

        waiters = [threading.Thread(target=wait) for _ in range(6)]
        for waiter in waiters:
            waiter.start()
        Soap(wsdl, "WebchatSoap12").SendMessage(CHATID="a", fileDetails='{"text": "news"}')
        for waiter in waiters:
            waiter.join(timeout=20)
        assert [page.message[0].text for page in pages] == ["news"] * 6


def test_sigterm_ends_waiting_calls_with_an_empty_page_and_exits_0(tmp_path: Path) -> None:
    service = Running(tmp_path / "data").wait()
    wsdl = f"{service.url}/webchat?wsdl"
    client = Soap(wsdl, "WebchatSoap11")
    client.StartChat(CHATID="a")
    pages: list[object] = []
    (worker,) = service.workers
    before = threads_of(worker)
    waiter = threading.Thread(target=lambda: pages.append(client.GetMessages(CHATID="a", waitSeconds=30)))
    waiter.start()
    # The first call that waits starts the thread that looks for news of other processes.
    until(lambda: threads_of(worker) > before, seconds=10, what="nobody waits")
    assert service.stop() == 0
    waiter.join(timeout=10)
    assert [page.message for page in pages] == [[]]


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["serve", "--help"], 0), (["nothing"], 2), (["account", "add", "x"], 1)]
)
def test_the_command_line_says_how_it_ended(arguments: list[str], code: int) -> None:
    ended = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=30)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr


def test_signals_that_come_while_it_starts_do_what_they_do_later(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    gone = subprocess.Popen(["true"])
    gone.wait()
    # Held as by a worker of a parent that was killed, for which a start waits.
    with (data / "lock").open("w") as lock:
        lock.write(f"{gone.pid}\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        service = Running(data)
        descriptors = Path(f"/proc/{service.process.pid}/fd")

        def waits() -> bool:
            return any(each.exists() and each.samefile(data / "lock") for each in descriptors.iterdir())

        until(waits, seconds=30, what="it does not come to the lock")
        service.process.send_signal(signal.SIGHUP)
        assert service.stop() == 0
    assert service.log.read_text() == ""


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_without_open_streams_it_serves_and_replaces_workers(tmp_path: Path, closed: str) -> None:
    with running(tmp_path / "data", by=("sh", "-c", f'exec "$0" "$@" {closed}'), WORKERS="2") as service:
        before = set(service.workers)
        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(set(service.workers) - before) == 1, seconds=10, what="the worker is not replaced")
        assert service.wait().stop() == 0
    assert "Traceback" not in service.log.read_text()


@pytest.mark.parametrize("output", ["full", "unread"])
def test_what_cannot_be_said_on_stdout_does_not_keep_it_from_serving(tmp_path: Path, output: str) -> None:
    by = ("sh", "-c", 'exec "$0" "$@" >/dev/full') if output == "full" else (sys.executable, "-c", _UNREAD)
    with running(tmp_path / "data", by=by) as service:
        (before,) = service.workers
        until(lambda: "is dropped" in service.log.read_text(), seconds=10, what="it does not notice")
        os.kill(before, signal.SIGKILL)
        until(lambda: service.workers not in ([], [before]), seconds=10, what="the worker is not replaced")
        assert service.wait().stop() == 0
    assert "Traceback" not in service.log.read_text()
