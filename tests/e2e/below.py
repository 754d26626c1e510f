"""What the tests of faults from below stand on: disks, a service's own record of what it acknowledged, and a look at
whether all of it is there and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from lxml import etree

from tests.e2e.console_script import Running, is_alive, running, until
from tests.file_host import FileHost

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk of the test's own needs root")

_ENVELOPE = (
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
    '<{operation} xmlns="urn:webchat:v1">{parameters}</{operation}></s:Body></s:Envelope>'
)
TEXT_FILE = b"a line of a text file\n" * 15_000
"""330,000 bytes: several writes into the spool."""


def need(*programs: str) -> None:
    """Fail with the name of what is missing: a skipped test would silently stop telling anything."""
    for program in programs:
        assert shutil.which(program), f"{program} is not installed; .ci/run says how"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a call came to: the texts of all elements by name, the last of each; `code` is None for a result."""

    code: str | None
    texts: dict[str, str]
    body: bytes

    def __getitem__(self, name: str) -> str:
        return self.texts[name]

    def all(self, name: str) -> list[str]:
        """The texts of all elements of this name."""
        return [element.text or "" for element in etree.fromstring(self.body).iter(f"{{urn:webchat:v1}}{name}")]


class Client:
    """Calls a service over SOAP 1.1 and remembers what it acknowledged."""

    def __init__(self, service: Running, data: Path, host: FileHost) -> None:
        self.service = service
        self.data = data
        self.host = host
        self.acknowledged: dict[str, list[str]] = {}
        """By chat: the ids of messages with a receipt."""
        self.file_url = host.serve("/notes.txt", TEXT_FILE)

    def call(self, operation: str, **parameters: str | int | None) -> Answer:
        """Call; a fault is an answer too."""
        given = "".join(f"<{name}>{value}</{name}>" for name, value in parameters.items() if value is not None)
        body = _ENVELOPE.format(operation=operation, parameters=given).encode()
        url = f"{self.service.url}/webchat"
        answer = requests.post(url, data=body, headers={"Content-Type": "text/xml"}, timeout=30)
        if not answer.headers["Content-Type"].startswith("text/xml"):
            return Answer(code=str(answer.status_code), texts={"message": answer.text}, body=answer.content)
        texts = {
            etree.QName(element).localname: element.text or "" for element in etree.fromstring(answer.content).iter()
        }
        return Answer(code=texts.get("code"), texts=texts, body=answer.content)

    def text(self, chat_id: str = "a", *, token: str | None = None, text: str = "hello") -> Answer:
        """SendMessage."""
        details = json.dumps({"text": text})
        return self._noted(chat_id, self.call("SendMessage", CHATID=chat_id, fileDetails=details, clientToken=token))

    def upload(self, chat_id: str = "a", *, token: str | None = None, url: str | None = None) -> Answer:
        """UploadFile."""
        details = json.dumps({"fileUrl": url or self.file_url})
        return self._noted(chat_id, self.call("UploadFile", CHATID=chat_id, fileDetails=details, clientToken=token))

    def _noted(self, chat_id: str, answer: Answer) -> Answer:
        if answer.code is None:
            ids = self.acknowledged.setdefault(chat_id, [])
            if answer["messageId"] not in ids:
                ids.append(answer["messageId"])
        return answer

    def ready(self) -> dict[str, object]:
        """/readyz, which must answer soon whatever is broken and name nothing inner."""
        began = time.monotonic()
        answer = requests.get(f"{self.service.url}/readyz", timeout=20)
        assert time.monotonic() - began < 3, "readyz takes too long"
        assert str(self.data) not in answer.text
        state: dict[str, object] = answer.json()
        assert answer.status_code == (200 if state["status"] == "ready" else 503)
        return state

    def causes(self) -> dict[str, str]:
        """What /readyz says is broken."""
        causes = self.ready().get("causes", {})
        assert isinstance(causes, dict)
        return causes

    def assert_logs(self, words: str) -> None:
        """The service's log holds the words, or will in a moment."""
        log = self.service.log
        until(lambda: words in log.read_text(), seconds=10, what=f"the log does not say {words!r}")

    def assert_full_service(self) -> None:
        """Text and file are taken again, at the latest when the clients' retries come, and /readyz says so."""
        until(lambda: self.causes() == {}, seconds=10, what="the service does not become ready again")
        answer = self.text()
        assert answer.code is None, answer.body
        answer = self.upload()
        assert answer.code is None, answer.body
        self.assert_whole()

    def assert_whole(self) -> None:
        """Every acknowledged message is there and no other, in sequences without gap; the files are those of the rows,
        and nothing lies in the spool."""
        names: set[str] = set()
        for chat_id, ids in self.acknowledged.items():
            seen, sequences = [], []
            while True:
                page = self.call("GetMessages", CHATID=chat_id, afterSequence=len(seen), maxMessages=100)
                assert page.code is None, page.body
                seen += page.all("messageId")
                sequences += [int(sequence) for sequence in page.all("sequence")]
                names |= set(page.all("fileName"))
                if page["hasMore"] == "false":
                    break
            assert sorted(seen) == sorted(ids)
            assert sequences == list(range(1, len(ids) + 1))
        assert files_under(self.data / "files") == names
        assert files_under(self.data / "spool") == set()


def files_under(folder: Path) -> set[str]:
    """The names of all files there, of whatever kind."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


def assert_busy(answer: Answer, data: Path) -> None:
    """A fault that a program can act on, and that tells a person what to do but nothing inner."""
    assert answer.code == "Busy", answer.body
    assert int(answer["retryAfterSeconds"]) > 0
    assert answer["retryable"] == "true"
    assert "try again" in answer["message"]
    for inner in (str(data), "Traceback", "sqlite", "Errno"):
        assert inner not in answer.body.decode()


@contextmanager
def serving(data: Path, *, by: tuple[str, ...] = (), **settings: str) -> Iterator[Client]:
    """A service that answers, a host that it may fetch from, and a client."""
    with FileHost() as host, running(data, by=by, FETCH_ALLOW=f"127.0.0.1:{host.port}", **settings) as service:
        yield Client(service, data, host)


@contextmanager
def small_disk(path: Path, size: str = "4m") -> Iterator[Path]:
    """A disk of its own at `path` for as long."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Take all room of the disk but `leave` bytes; the file that does."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65_536))
    os.truncate(ballast, ballast.stat().st_size - leave)
    return ballast


@contextmanager
def faulty_calls(pid: int, fault: str, *, log: Path, path: Path | None = None) -> Iterator[Path]:
    """Have system calls of the process fail as strace's `inject` says, those on `path` where one is given; yields the
    record of all those calls."""
    where = [] if path is None else ["-P", str(path)]
    calls = fault.partition(":")[0]
    command = ["strace", "-f", "-qq", "-y", "-o", str(log), "-p", str(pid), *where, "-e", f"trace={calls}"]
    tracer = subprocess.Popen([*command, "-e", f"inject={fault}"])
    try:
        until(lambda: _is_traced(pid), seconds=10, what="strace does not get hold of the process")
        yield log
    finally:
        if is_alive(pid):
            tracer.terminate()
        else:  # strace may miss that what it traced was killed
            tracer.kill()
        try:
            tracer.wait(timeout=5)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()


def _is_traced(pid: int) -> bool:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return all("TracerPid:\t0\n" not in (task / "status").read_text() for task in tasks)
    except FileNotFoundError:  # a thread has just ended
        return False
