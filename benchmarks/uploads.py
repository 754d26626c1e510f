"""c. UploadFile from a file host on loopback, beside curl writing the same file and making it durable.

The file is a WAV of random samples: its type is proved from its structure, like most. What we do besides: prove the
type, count and hash every byte, and post the message.
"""

from __future__ import annotations

import http.client
import re
import secrets
import statistics
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.load import WrongAnswers, upload_file
from benchmarks.results import Bar, Bound, Chart, Figures, Panel, Part, Table, number, ratio
from benchmarks.servers import Server

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SIZES = {"1 KiB": KIB, "1 MiB": MIB, "100 MiB": 100 * MIB, "1 GiB": GIB}
ROUNDS = {"1 KiB": 15, "1 MiB": 15, "100 MiB": 6, "1 GiB": 3}
QUICK = {"1 KiB": 2, "1 MiB": 2}
TOGETHER, TOGETHER_BYTES = 50, 10 * MIB

LEAST_SPEED = 0.8
SPEED_FROM_BYTES = 100 * MIB
MOST_GROWTH_MIB = 32
MOST_GROWTH_TOGETHER_MIB = 64

_HEADER_BYTES = 44
_SETTINGS = {
    "MAX_AUDIO": "2GiB",
    "MAX_BYTES_PER_CHAT": "1TiB",
    "MAX_FILES_PER_CHAT": "1000000",
    "FETCH_TOTAL_SECONDS": "600",
}


def measure(*, folder: Path, quick: bool) -> Figures:
    """Run it: for each size ours and curl in turns, then 50 at once."""
    rounds = QUICK if quick else ROUNDS
    together, together_bytes = (4, MIB) if quick else (TOGETHER, TOGETHER_BYTES)
    files = folder / "files"
    files.mkdir()
    hashes = {name: _make_wav(files / _file_name(name), SIZES[name]) for name in rounds}
    hashes["together"] = _make_wav(files / "together.wav", together_bytes)
    with servers.file_host(folder) as host:
        settings = _SETTINGS | {"FETCH_ALLOW": f"127.0.0.1:{host.port}"}
        with servers.ours(folder / "ours", settings=settings) as server:
            _upload(server, host, _file_name("1 KiB"), hashes["1 KiB"])  # opens what the first call opens
            sizes = {}
            for name, count in rounds.items():
                memory = _Memory(server)
                ours, curl = [], []
                for _ in range(count):
                    ours.append(_upload(server, host, _file_name(name), hashes[name]))
                    curl.append(_curl(host, _file_name(name), folder))
                sizes[name] = {
                    "bytes": SIZES[name],
                    "ours_seconds": [round(seconds, 4) for seconds in ours],
                    "curl_seconds": [round(seconds, 4) for seconds in curl],
                    "growth_mib": memory.growth_mib(),
                }
            memory = _Memory(server)
            started = time.perf_counter()
            query = f"together.wav?together={together}"
            with ThreadPoolExecutor(together) as pool:
                list(pool.map(lambda _: _upload(server, host, query, hashes["together"]), range(together)))
            at_once = {
                "count": together,
                "bytes": together_bytes,
                "seconds": round(time.perf_counter() - started, 2),
                "growth_mib": memory.growth_mib(),
            }
    return {"sizes": sizes, "together": at_once}


class _Memory:
    """How much the workers' resident memory grows at its peak from now on."""

    def __init__(self, server: Server) -> None:
        self._workers = server.workers()
        for pid in self._workers:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        self._before = {pid: _status_kib(pid, "VmRSS") for pid in self._workers}

    def growth_mib(self) -> float:
        return round(max(_status_kib(pid, "VmHWM") - self._before[pid] for pid in self._workers) / KIB, 1)


def _status_kib(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None
    return int(found[1])


def _file_name(size: str) -> str:
    return f"{size.replace(' ', '')}.wav"


def _make_wav(path: Path, size: int) -> str:
    """A mono WAV of 16 bits with random samples, so many bytes in all; its SHA-256."""
    samples = size - _HEADER_BYTES
    header = b"RIFF" + (size - 8).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += b"\x01\0\x01\0" + (44_100).to_bytes(4, "little") + (88_200).to_bytes(4, "little") + b"\x02\0\x10\0"
    header += b"data" + samples.to_bytes(4, "little")
    block = secrets.token_bytes(min(samples, 4 * MIB))
    digest = sha256(header)
    with path.open("wb") as file:
        file.write(header)
        left = samples
        while left:
            piece = block[:left]
            file.write(piece)
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def _upload(server: Server, host: Server, name: str, digest: str) -> float:
    """Seconds that the call took. An upload that is told to come again later does so, as a client would."""
    message = upload_file(f"upload-{secrets.token_hex(4)}", f"http://127.0.0.1:{host.port}/{name}")
    head, _, body = message.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    while True:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=700)) as connection:
            started = time.perf_counter()
            connection.request("POST", "/webchat", body, headers)
            answer = connection.getresponse().read()
            took = time.perf_counter() - started
        if f"<sha256>{digest}<".encode() in answer:
            return took
        again = re.search(rb"<code>Busy<.*<retryAfterSeconds>(\d+)<", answer, re.S)
        if again is None:
            raise WrongAnswers(f"An upload was answered: {answer[:2000].decode()}")
        time.sleep(int(again[1]))


def _curl(host: Server, name: str, folder: Path) -> float:
    """Seconds that curl and sync took.

    The file stays, as ours does: blocks that were just freed take four times as much a second on a virtual disk.
    """
    target = folder / f"curl-{secrets.token_hex(4)}"
    started = time.perf_counter()
    subprocess.run(
        ["sh", "-c", 'curl -sS -o "$0" "$1" && sync "$0"', str(target), f"http://127.0.0.1:{host.port}/{name}"],
        check=True,
    )
    return time.perf_counter() - started


def _seconds(size: dict[str, Any], who: str) -> float:
    return float(statistics.median(size[f"{who}_seconds"]))


def _speed(size: dict[str, Any]) -> float | None:
    """Times the speed of curl and sync."""
    return ratio(_seconds(size, "curl"), _seconds(size, "ours"))


def _per_second(size: dict[str, Any], who: str) -> str:
    return f"{number(size['bytes'] / _seconds(size, who) / MIB)} MiB/s"


def tables(figures: Figures) -> list[Table]:
    rows = [
        [
            name,
            f"{number(_seconds(size, 'ours') * 1000)} ms",
            f"{number(_seconds(size, 'curl') * 1000)} ms",
            _per_second(size, "ours"),
            number(_speed(size)),
            f"{number(size['growth_mib'])} MiB",
        ]
        for name, size in figures["sizes"].items()
    ]
    together = figures["together"]
    rows.append(
        [
            f"{together['count']} × {together['bytes'] // MIB} MiB at once",
            f"{number(together['seconds'] * 1000)} ms",
            "–",
            f"{number(together['count'] * together['bytes'] / together['seconds'] / MIB)} MiB/s",
            "–",
            f"{number(together['growth_mib'])} MiB",
        ]
    )
    return [
        Table(
            title="UploadFile from loopback, median; curl is `curl -o FILE` and `sync FILE`",
            columns=["", "UploadFile", "curl + sync", "UploadFile's speed", "times curl's", "peak memory growth"],
            rows=rows,
        )
    ]


def bounds(figures: Figures) -> list[Bound]:
    sizes = figures["sizes"]
    large = [Bound(what=f"{name}, times the speed of curl + sync", value=_speed(size), at_least=LEAST_SPEED)
             for name, size in sizes.items() if size["bytes"] >= SPEED_FROM_BYTES]  # fmt: skip
    growth = max(size["growth_mib"] for size in sizes.values())
    return [
        *large,
        Bound(what="peak memory growth at any size", value=growth, at_most=MOST_GROWTH_MIB, unit=" MiB"),
        Bound(
            what=f"peak memory growth with {figures['together']['count']} at once",
            value=figures["together"]["growth_mib"],
            at_most=MOST_GROWTH_TOGETHER_MIB,
            unit=" MiB",
        ),
    ]


def chart(figures: Figures) -> Chart:
    sizes: dict[str, dict[str, Any]] = figures["sizes"]
    together = figures["together"]

    def speeds(names: Sequence[str]) -> list[Bar]:
        return [
            Bar(
                label=f"{who_label}, {name}",
                value=sizes[name]["bytes"] / _seconds(sizes[name], who) / MIB,
                text=_per_second(sizes[name], who) + (f" · {number(_speed(sizes[name]))}×" if who == "ours" else ""),
                kind="ours" if who == "ours" else "plain",
            )
            for name in names
            for who, who_label in (("ours", "UploadFile"), ("curl", "curl + sync"))
        ]

    memory = [
        Bar(label=name, value=size["growth_mib"], text=f"{number(size['growth_mib'])} MiB", kind="ours")
        for name, size in sizes.items()
    ]
    memory.append(
        Bar(
            label=f"{together['count']} × {together['bytes'] // MIB} MiB",
            value=together["growth_mib"],
            text=f"{number(together['growth_mib'])} MiB",
            kind="ours",
        )
    )
    largest = list(sizes)[-1]
    return Chart(
        title="UploadFile beside curl + sync of the same file (× curl + sync)",
        description=(
            f"A file of {largest} is fetched, proved, hashed and stored durably at "
            f"{number(_speed(sizes[largest]))} times the speed of curl and sync; {together['count']} uploads at once "
            f"take {number(together['growth_mib'])} MiB of memory at their peak."
        ),
        panels=[
            Panel(title="Speed", bars=speeds(list(sizes))),
            Panel(
                title="Peak memory growth of the worker",
                bars=memory,
                mark=MOST_GROWTH_TOGETHER_MIB,
                mark_text=f"{MOST_GROWTH_TOGETHER_MIB} MiB",
            ),
        ],
    )


PART = Part(
    letter="c",
    title="UploadFile beside curl",
    measure=measure,
    tables=tables,
    bounds=bounds,
    chart=chart,
    notes=("curl's time holds the start of two processes, a few milliseconds, which tell in small files only.",),
)
