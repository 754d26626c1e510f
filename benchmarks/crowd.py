"""A crowd that keeps a service busy with what takes long: uploads that drip, waiting reads, half-sent requests.

    python -m benchmarks.crowd drip|wait|half PORT COUNT [HOST_PORT]

Prints one line of JSON when all of them are there, goes on until its standard input ends, and prints another line that
says what they saw. `HOST_PORT` is where `drip` serves its file, a byte at a time. One thread, asleep but for a byte.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
import time
from typing import Any

from benchmarks.load import get_messages, request, send_message, upload_file

DRIP_SECONDS = 0.25
"""Between two bytes of a file: 200 files are 800 bytes a second, which costs the sender next to nothing."""

_DECLARED_BYTES = 8 << 20
_CLOSE_SECONDS = 45.0
_BEYOND = 1_000_000
"""afterSequence of those who wait: beyond whatever their chats hold."""

_RETRY = re.compile(rb"<retryAfterSeconds>(\d+)<")
_BODY_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)


class Crowd:
    """So many clients of one kind, and what came of them."""

    def __init__(self, *, port: int, count: int, host_port: int) -> None:
        self.port = port
        self.count = count
        self.host_port = host_port
        self.begun = 0
        """Clients whose first request is sent."""
        self.dripping = 0
        self.most_dripping = 0
        self.answers: dict[str, int] = {}
        self.closed_seconds: list[float] = []
        self.posted = 0
        self.ending = False

    async def run(self, kind: str) -> None:
        """Until standard input ends, and for half-sent requests until the service has closed them all."""
        host = await asyncio.start_server(self._drip_file, "127.0.0.1", self.host_port) if kind == "drip" else None
        client = {"drip": self._upload, "wait": self._wait, "half": self._send_half}[kind]
        tasks = [asyncio.create_task(client(number)) for number in range(self.count)]
        while self.begun < self.count or (kind == "drip" and self._settled() < self.count):
            await asyncio.sleep(0.02)
        if kind == "wait":
            await asyncio.sleep(1)  # what was sent last is read, too, and the rush is over
        _say({"ready": True})
        ended = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        report: dict[str, Any] = {"dripping": self.dripping, "answers": self.answers.copy()}
        if kind == "half" and ended.strip() == "until closed":
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
            report["closed"] = len(self.closed_seconds)
            report["closed_after_seconds"] = {
                "median": round(statistics.median(self.closed_seconds or [0]), 1),
                "longest": round(max(self.closed_seconds, default=0), 1),
            }
        if kind == "wait":
            # A service goes on waiting for a client that is gone, so the next crowd would find its places taken.
            self.ending = True
            await asyncio.gather(*(self._wake(number) for number in range(self.count)))
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
        report["most_dripping"] = self.most_dripping
        report["posted"] = self.posted
        _say(report)
        for task in tasks:
            task.cancel()
        if host is not None:
            host.close()

    def _settled(self) -> int:
        return self.most_dripping + sum(self.answers.values())

    async def _upload(self, number: int) -> None:
        """Uploads a file that never ends, and tries again when the answer says so."""
        call = upload_file(f"drip-{number}", f"http://127.0.0.1:{self.host_port}/{number}.wav")
        while True:
            answer = await self._call(call)
            found = _RETRY.search(answer)
            await asyncio.sleep(int(found[1]) if found else 1)

    async def _wait(self, number: int) -> None:
        """Waits for the next message of a chat that gets none, again and again."""
        chat = f"wait-{number}"
        await self._call(
            request("StartChat", f'<StartChat xmlns="urn:webchat:v1"><CHATID>{chat}</CHATID></StartChat>'), begins=False
        )
        while not self.ending:
            await self._call(get_messages(chat, after=_BEYOND, wait=30))

    async def _wake(self, number: int) -> None:
        await self._call(send_message(f"wait-{number}"), begins=False)
        self.posted += 1

    async def _call(self, message: bytes, *, begins: bool = True) -> bytes:
        """One call on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(message)
            if begins:
                self.begun += 1
            head = await reader.readuntil(b"\r\n\r\n")
            length = _BODY_LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length else b""
        finally:
            writer.close()
        found = re.search(rb"<code>(\w+)<", body)
        code = found[1].decode() if found else head.split(b" ")[1].decode()
        if begins:
            self.answers[code] = self.answers.get(code, 0) + 1
        return body

    async def _send_half(self, number: int) -> None:
        """Sends a request up to the middle of its head or of its body, and waits for what becomes of it."""
        whole = get_messages("half", after=0)
        head = whole.index(b"\r\n\r\n") + 4
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(whole[: head // 2] if number % 2 else whole[: (head + len(whole)) // 2])
        began = time.monotonic()
        self.begun += 1
        try:
            while await reader.read(65536):
                pass
        except OSError:
            pass
        finally:
            writer.close()
        self.closed_seconds.append(time.monotonic() - began)

    async def _drip_file(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n")
            writer.write(f"Content-Length: {_DECLARED_BYTES}\r\n\r\n".encode())
            self.dripping += 1
            self.most_dripping = max(self.most_dripping, self.dripping)
            try:
                while True:
                    writer.write(b"R")
                    await writer.drain()
                    await asyncio.sleep(DRIP_SECONDS)
            finally:
                self.dripping -= 1
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


async def _main() -> None:
    kind, port, count, *rest = sys.argv[1:]
    crowd = Crowd(port=int(port), count=int(count), host_port=int(rest[0]) if rest else 0)
    await crowd.run(kind)


if __name__ == "__main__":
    asyncio.run(_main())
