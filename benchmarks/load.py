"""Drives the load generator (load.c): builds it, writes its requests, checks its answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.servers import BUILD, NotInstalled

SOURCE = Path(__file__).parent / "load.c"
PROGRAM = BUILD / "load"
CHATS = 64
"""Messages are spread over so many chats."""

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"


class WrongAnswers(Exception):
    """A server did not answer as it must, so that its figures would mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a run of the generator saw."""

    per_second: float
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    acknowledged: int
    """Answers of status 200 with what was expected, warm-up included."""
    sent: int
    unanswered: int
    wrong: int
    statuses: dict[str, int]
    reconnects: int
    sent_late: int
    cpu_seconds: float
    """The generator's own."""
    wall_seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether every request was answered as it must."""
        return self.sent == self.acknowledged


def send_message(chat_id: str, text: str = "test message") -> bytes:
    """A SendMessage as the README's caller sends it."""
    details = json.dumps({"CHATID": chat_id, "message": {"text": text}})
    return request(
        "SendMessage",
        f'<SendMessage xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID>'
        f"<fileDetails>{details}</fileDetails></SendMessage>",
    )


def get_messages(chat_id: str, *, after: int, most: int = 50, wait: int = 0) -> bytes:
    """A GetMessages."""
    waiting = f"<waitSeconds>{wait}</waitSeconds>" if wait else ""
    return request(
        "GetMessages",
        f'<GetMessages xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID><afterSequence>{after}</afterSequence>'
        f"<maxMessages>{most}</maxMessages>{waiting}</GetMessages>",
    )


def upload_file(chat_id: str, url: str) -> bytes:
    """An UploadFile."""
    details = json.dumps({"fileUrl": url})
    return request(
        "UploadFile",
        f'<UploadFile xmlns="urn:webchat:v1"><CHATID>{chat_id}</CHATID>'
        f"<fileDetails>{details}</fileDetails></UploadFile>",
    )


def request(operation: str, call: str) -> bytes:
    """A whole HTTP request with a SOAP 1.1 envelope."""
    body = f'<soap:Envelope xmlns:soap="{_SOAP}"><soap:Body>{call}</soap:Body></soap:Envelope>'.encode()
    head = (
        "POST /webchat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/xml; charset=utf-8\r\n"
        f'SOAPAction: "{operation}"\r\nContent-Length: {len(body)}\r\n\r\n'
    )
    return head.encode() + body


def texts() -> list[bytes]:
    """One SendMessage for each of the chats."""
    return [send_message(f"bench-{number:02}") for number in range(CHATS)]


def generator() -> Path:
    """The program, compiled where it is missing or older than its source. NotInstalled without a C compiler."""
    if not PROGRAM.exists() or PROGRAM.stat().st_mtime < SOURCE.stat().st_mtime:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise NotInstalled("a C compiler, which the load generator needs (Debian: gcc libc6-dev)")
        PROGRAM.parent.mkdir(parents=True, exist_ok=True)
        made = PROGRAM.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, "-O2", "-o", str(made), str(SOURCE)], check=True)
        made.replace(PROGRAM)
    return PROGRAM


def drive(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    warmup_seconds: float = 0.3,
    rate: float = 0,
    expected: str = "sequence>",
) -> Load:
    """Send for so long, over so many connections; `rate` a second, or 0 for as fast as the answers come."""
    with tempfile.NamedTemporaryFile(prefix="requests-", dir=BUILD) as file:
        for one in requests:
            file.write(b"%d\n%b" % (len(one), one))
        file.flush()
        arguments = [port, connections, warmup_seconds, seconds, rate, expected, file.name]
        done = subprocess.run(
            [str(generator()), *map(str, arguments)],
            stdout=subprocess.PIPE,
            check=True,
            timeout=warmup_seconds + seconds + 60,
        )
    seen: dict[str, Any] = json.loads(done.stdout)
    return Load(**{name: seen[name] for name in Load.__dataclass_fields__})
