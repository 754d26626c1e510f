"""f. From the command to the first answer, the memory of an idle worker, and of a client that waits."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from benchmarks import servers
from benchmarks.load import drive, texts
from benchmarks.results import Bar, Bound, Chart, Figures, Panel, Part, Table, number
from benchmarks.servers import ROOT, Server

MOST_START_SECONDS = 1.5
MOST_IDLE_MIB = 90
_KIB = 1024


def measure(*, folder: Path, quick: bool) -> Figures:
    """Run it: starts on a new and on a used data folder; then memory after a few calls, and with a crowd waiting."""
    waiting = 20 if quick else 500
    times = 1 if quick else 5
    starts = [_start_seconds(folder / f"start-{place}") for place in range(times)]
    again = [_start_seconds(folder / "start-0") for _ in range(times)]
    idle = {}
    for workers in (1,) if quick else (2, 1):
        with servers.ours(folder / f"idle-{workers}", workers=workers) as server:
            drive(server.port, texts(), connections=4, seconds=0.2)
            memory = [_memory_mib(pid) for pid in server.workers()]
            parent = _memory_mib(server.process.pid)
            idle[str(workers)] = {
                "rss_mib": round(max(one["Rss"] for one in memory), 1),
                "pss_mib": round(max(one["Pss"] for one in memory), 1),
                "all_pss_mib": round(sum(one["Pss"] for one in (*memory, parent)), 1),
            }
            if workers == 1:
                kib_each = _grown_mib(server, waiting) * _KIB / waiting
    return {
        "start_seconds": [round(seconds, 3) for seconds in starts],
        "start_again_seconds": [round(seconds, 3) for seconds in again],
        "idle": idle,
        "waiting": {"count": waiting, "kib_each": round(kib_each, 1)},
    }


def _grown_mib(server: Server, waiting: int) -> float:
    """How much the only worker's memory has grown with so many clients waiting."""
    (worker,) = server.workers()
    before = _memory_mib(worker)["Rss"]
    command = [sys.executable, "-m", "benchmarks.crowd", "wait", str(server.port), str(waiting)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        assert crowd.stdout is not None
        try:
            json.loads(crowd.stdout.readline())
            return _memory_mib(worker)["Rss"] - before
        finally:
            crowd.kill()


def _start_seconds(folder: Path) -> float:
    """From the command to the first answer, a page of the service over a new connection."""
    started = time.perf_counter()
    with servers.ours(folder, ready=False) as server:
        while True:
            if server.process.poll() is not None:
                raise RuntimeError(f"The service ended at its start: {server.log.read_text()[-2000:]}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
                    connection.request("GET", "/readyz")
                    if connection.getresponse().status == 200:
                        return time.perf_counter() - started
            time.sleep(0.005)


def _memory_mib(pid: int) -> dict[str, float]:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {name: int(kib) / _KIB for name, kib in re.findall(r"^(Rss|Pss):\s+(\d+) kB$", rollup, re.M)}


def tables(figures: Figures) -> list[Table]:
    idle = figures["idle"]
    rows = [
        ["command to first answer, new data folder", f"{number(statistics.median(figures['start_seconds']))} s"],
        ["command to first answer, the folder again", f"{number(statistics.median(figures['start_again_seconds']))} s"],
    ]
    for workers, memory in sorted(idle.items()):
        rows.append(
            [f"a worker of {workers}, idle", f"{number(memory['rss_mib'])} MiB (PSS {number(memory['pss_mib'])} MiB)"]
        )
        rows.append([f"all processes with {workers}", f"PSS {number(memory['all_pss_mib'])} MiB"])
    waiting = figures["waiting"]
    rows.append([f"a waiting client ({waiting['count']} of them)", f"{number(waiting['kib_each'])} KiB"])
    return [Table(title="Start and memory", columns=["", ""], rows=rows)]


def bounds(figures: Figures) -> list[Bound]:
    return [
        Bound(
            what="command to first answer",
            value=max(statistics.median(figures[name]) for name in ("start_seconds", "start_again_seconds")),
            at_most=MOST_START_SECONDS,
            unit=" s",
        ),
        Bound(
            what="idle memory of a worker (RSS)",
            value=max(memory["rss_mib"] for memory in figures["idle"].values()),
            at_most=MOST_IDLE_MIB,
            unit=" MiB",
        ),
    ]


def chart(figures: Figures) -> Chart:
    start = statistics.median(figures["start_seconds"])
    again = statistics.median(figures["start_again_seconds"])
    memory = [
        Bar(label=f"{name}, {workers} worker{'s' if workers != '1' else ''}", value=values[key],
            text=f"{number(values[key])} MiB", kind=kind)
        for workers, values in sorted(figures["idle"].items())
        for name, key, kind in (("RSS", "rss_mib", "ours"), ("PSS", "pss_mib", "other"))
    ]  # fmt: skip
    return Chart(
        title="Start and idle memory",
        description=(
            f"The first answer comes {number(start)} s after the command on a new data folder and {number(again)} s "
            "after it on a used one; an idle worker holds "
            f"{number(figures['idle']['1']['rss_mib'])} MiB, and a waiting client "
            f"{number(figures['waiting']['kib_each'])} KiB."
        ),
        panels=[
            Panel(
                title="Command to first answer",
                bars=[
                    Bar(label="new data folder", value=start, text=f"{number(start)} s", kind="ours"),
                    Bar(label="the same again", value=again, text=f"{number(again)} s", kind="ours"),
                ],
                mark=MOST_START_SECONDS,
                mark_text=f"{MOST_START_SECONDS} s",
            ),
            Panel(title="Memory of an idle worker", bars=memory, mark=MOST_IDLE_MIB, mark_text=f"{MOST_IDLE_MIB} MiB"),
        ],
    )


PART = Part(
    letter="f",
    title="Start and memory",
    measure=measure,
    tables=tables,
    bounds=bounds,
    chart=chart,
)
