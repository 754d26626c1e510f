"""d. What a text takes while others keep the service busy with what takes long.

SendMessage comes at a fixed rate, a third of what one worker reaches in a closed loop, since at its limit a service's
times tell of the queue before it and not of its neighbours. Each message is timed from the moment when it was due.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.load import Load, WrongAnswers, drive, texts
from benchmarks.results import Bar, Bound, Chart, Figures, Panel, Part, Table, number, ratio
from benchmarks.servers import ROOT, Server

CONNECTIONS = 16
SHARE_OF_CAPACITY = 1 / 3
MOST_RATIO = 2.0
MOST_SECONDS_HALF_SENT = 30.0

CROWDS = {"drip": 200, "wait": 500, "half": 200}
NAMES = {
    "alone": "alone",
    "drip": "200 uploads that drip",
    "wait": "500 waiting GetMessages",
    "half": "200 half-sent requests",
}


def measure(*, folder: Path, quick: bool) -> Figures:
    """Run it: in each round alone and beside, for each crowd."""
    rounds = 1 if quick else 3
    seconds = 0.4 if quick else 3.0
    share = 20 if quick else 1
    host_port = servers.free_port()
    settings = {"FETCH_ALLOW": f"127.0.0.1:{host_port}"}
    if quick:
        settings["REQUEST_SECONDS"] = "1"
    seen: dict[str, list[Load]] = {name: [] for name in NAMES}
    reports: dict[str, dict[str, Any]] = {}
    with servers.ours(folder, settings=settings) as server:
        capacity = statistics.median(_drive(server, seconds=seconds / 2).per_second for _ in range(3))
        rate = capacity * SHARE_OF_CAPACITY
        for one in range(rounds):
            for kind, count in CROWDS.items():
                # Each time anew: a noise of the machine that met it once would make all the others look good.
                seen["alone"].append(_drive(server, seconds=seconds, rate=rate))
                last = one == rounds - 1
                with _crowd(kind, server, count // share, host_port, last=last) as report:
                    seen[kind].append(_drive(server, seconds=seconds, rate=rate))
                reports[kind] = report
        stored = server.stored()
        if stored != server.sent:
            raise WrongAnswers(f"{server.sent} messages were acknowledged, but {stored} are stored.")
    return {
        "connections": CONNECTIONS,
        "rounds": rounds,
        "seconds": seconds,
        "closed_loop_per_second": round(capacity),
        "rate_per_second": round(rate),
        "crowds": {kind: {"count": count // share, **reports[kind]} for kind, count in CROWDS.items()},
        "situations": {
            name: {
                "p50_us": round(statistics.median(load.p50_us for load in loads)),
                "p99_us": round(statistics.median(load.p99_us for load in loads)),
                "max_us": round(max(load.max_us for load in loads)),
                "rounds_p99_us": [round(load.p99_us) for load in loads],
                "calls": sum(load.acknowledged for load in loads),
            }
            for name, loads in seen.items()
        },
    }


@contextmanager
def _crowd(kind: str, server: Server, count: int, host_port: int, *, last: bool) -> Iterator[dict[str, Any]]:
    """The crowd at work, in a process of its own; what it reports is in the dictionary afterwards."""
    command = [sys.executable, "-m", "benchmarks.crowd", kind, str(server.port), str(count), str(host_port)]
    report: dict[str, Any] = {}
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if not process.stdout.readline():
                raise RuntimeError(f"the crowd {kind} did not come up")
            yield report
            process.stdin.write("until closed\n" if last else "now\n")
            process.stdin.flush()
            report |= json.loads(process.stdout.readline())
            server.sent += report["posted"]
        finally:
            process.kill()


def _drive(server: Server, *, seconds: float, rate: float = 0) -> Load:
    load = drive(server.port, texts(), connections=CONNECTIONS, seconds=seconds, rate=rate)
    server.sent += load.acknowledged
    if not load.is_clean:
        raise WrongAnswers(f"{load.sent - load.acknowledged} of {load.sent} messages were refused: {load.statuses}")
    return load


def _times(figures: Figures, name: str, what: str) -> float | None:
    situations = figures["situations"]
    return ratio(situations[name][what], situations["alone"][what])


def tables(figures: Figures) -> list[Table]:
    rows = []
    for name, seen in figures["situations"].items():
        crowd = figures["crowds"].get(name, {})
        saw = []
        if name == "drip":
            saw.append(f"{crowd['dripping']} dripping, others told Busy")
        if "closed" in crowd:
            saw.append(f"all closed after {number(crowd['closed_after_seconds']['longest'])} s")
        rows.append(
            [
                NAMES[name],
                f"{number(seen['p50_us'] / 1000)} ({number(_times(figures, name, 'p50_us'))})",
                f"{number(seen['p99_us'] / 1000)} ({number(_times(figures, name, 'p99_us'))})",
                number(seen["max_us"] / 1000),
                "; ".join(saw),
            ]
        )
    return [
        Table(
            title=(
                f"SendMessage at {number(figures['rate_per_second'])}/s, a third of what a closed loop reaches, "
                f"over {figures['connections']} connections (in brackets: times alone)"
            ),
            columns=["", "p50 ms", "p99 ms", "longest ms", "the crowd"],
            rows=rows,
        )
    ]


def bounds(figures: Figures) -> list[Bound]:
    closed = figures["crowds"]["half"]
    all_closed = closed["closed"] == closed["count"]
    return [
        *(
            Bound(
                what=f"p99 beside {NAMES[name]}, times alone", value=_times(figures, name, "p99_us"), at_most=MOST_RATIO
            )
            for name in CROWDS
        ),
        Bound(
            what="last half-sent request closed after",
            value=closed["closed_after_seconds"]["longest"] if all_closed else float("inf"),
            at_most=MOST_SECONDS_HALF_SENT,
            unit=" s",
        ),
    ]


def chart(figures: Figures) -> Chart:
    alone = figures["situations"]["alone"]["p99_us"] / 1000
    worst = max(_times(figures, name, "p99_us") or 0 for name in CROWDS)

    def bars(what: str) -> list[Bar]:
        return [
            Bar(
                label=NAMES[name],
                value=seen[what] / 1000,
                text=f"{number(seen[what] / 1000)} ms · {number(_times(figures, name, what))}×",
                kind="other" if name == "alone" else "ours",
            )
            for name, seen in figures["situations"].items()
        ]

    return Chart(
        title="SendMessage, alone and beside what takes long (× alone)",
        description=(
            f"At a third of its capacity a durable SendMessage has a p99 of {number(alone)} ms alone, and at most "
            f"{number(worst)} times that beside 200 dripping uploads, 500 waiting reads or 200 half-sent requests."
        ),
        panels=[
            Panel(title="p50", bars=bars("p50_us")),
            Panel(title="p99", bars=bars("p99_us"), mark=alone * MOST_RATIO, mark_text="twice alone"),
        ],
    )


PART = Part(
    letter="d",
    title="SendMessage beside what takes long",
    measure=measure,
    tables=tables,
    bounds=bounds,
    chart=chart,
)
