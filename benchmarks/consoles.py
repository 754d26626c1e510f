"""g. What 200 open consoles cost, and how soon a customer's message is on an agent's screen.

Messages are timed one after the other from their receipt to each console that looks at their chat, and to the screen of
one console in Chromium. Throughput is that of SendMessage in a closed loop, with and without the consoles, in turns.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from benchmarks import servers
from benchmarks.load import Load, drive, send_message, texts
from benchmarks.results import Bar, Bound, Chart, Figures, Panel, Part, Table, number, ratio
from benchmarks.servers import CONSOLE_SCRIPT, ROOT, Server

CONSOLES = 200
AGENTS = 20
CONNECTIONS = 64
MOST_MILLISECONDS = 300
LEAST_RATIO = 0.8
_PASSWORD = "for a measurement only"


def measure(*, folder: Path, quick: bool) -> Figures:
    """Run it: throughput in turns, then the times, with the service otherwise at rest."""
    count = 20 if quick else CONSOLES
    rounds = 1 if quick else 5
    seconds = 0.3 if quick else 1.5
    messages = 5 if quick else 100
    with servers.ours(folder) as server:
        drive(server.port, texts(), connections=16, seconds=0.5)
        cookies = _sign_in(server, 2 if quick else AGENTS)
        without: list[Load] = []
        with_them: list[Load] = []
        for _ in range(rounds):
            without.append(drive(server.port, texts(), connections=CONNECTIONS, seconds=seconds))
            with _consoles(server, cookies, count):
                with_them.append(drive(server.port, texts(), connections=CONNECTIONS, seconds=seconds))
        requests.post(
            f"http://127.0.0.1:{server.port}/webchat",
            data=send_message("bench-00").partition(b"\r\n\r\n")[2],
            headers={"Content-Type": "text/xml"},
            timeout=10,
        )
        with _consoles(server, cookies, count) as crowd:
            has_screen = not quick and crowd("screen")["screen"]
            seen = crowd(f"time {messages}")
    return {
        "consoles": count,
        "agents": len(cookies),
        "rounds": rounds,
        "messages": messages,
        "per_second": {
            "without": round(statistics.median(load.per_second for load in without)),
            "with": round(statistics.median(load.per_second for load in with_them)),
            "rounds_ratio": [
                round(one.per_second / other.per_second, 3) for one, other in zip(with_them, without, strict=True)
            ],
        },
        "streams_ms": _percentiles(seen["streams"]),
        "screen_ms": _percentiles(seen["screen"]) if has_screen else None,
    }


def _percentiles(milliseconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return {"p50": round(cuts[49], 1), "p95": round(cuts[94], 1), "longest": round(max(milliseconds), 1)}


def _sign_in(server: Server, agents: int) -> list[str]:
    """So many agents' session cookies; one agent may hold 20 streams."""
    cookies = []
    for agent in range(agents):
        command = [CONSOLE_SCRIPT, "agent", "add", f"Agent {agent}", "--password-stdin", "--data-dir", str(server.data)]
        subprocess.run(command, input=_PASSWORD, text=True, check=True, capture_output=True)
        browser = requests.Session()
        url = f"http://127.0.0.1:{server.port}/agent/sign-in"
        form = dict(
            re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', browser.get(url, timeout=10).text)
        )
        form |= {"name": f"Agent {agent}", "password": _PASSWORD}
        browser.post(url, data=form, timeout=20, allow_redirects=False).raise_for_status()
        cookies.append(browser.cookies["webchat_agent"])
    return cookies


@contextmanager
def _consoles(server: Server, cookies: list[str], count: int) -> Iterator[Any]:
    """The consoles, open, in a process of their own; gives what asks that process."""
    command = [sys.executable, "-m", "benchmarks.console_crowd", str(server.port), str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(line: str) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(line + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                raise RuntimeError("the consoles did not come up")
            told: dict[str, Any] = json.loads(answer)
            return told

        try:
            ask(json.dumps(cookies))
            yield ask
        finally:
            process.kill()


def _ratio(figures: Figures) -> float | None:
    return ratio(figures["per_second"]["with"], figures["per_second"]["without"])


def tables(figures: Figures) -> list[Table]:
    rows = [
        ["SendMessage a second without a console", number(figures["per_second"]["without"])],
        [
            f"with {figures['consoles']} consoles open",
            f"{number(figures['per_second']['with'])} ({number(_ratio(figures))})",
        ],
    ]
    for what, name in (("streams_ms", "receipt to a console's event"), ("screen_ms", "receipt to the screen")):
        seen = figures[what]
        if seen is not None:
            rows.append([f"{name}, ms p50 / p95 / longest", " / ".join(number(seen[each]) for each in seen)])
    return [Table(title="Open consoles (in brackets: times without)", columns=["", "seen"], rows=rows)]


def bounds(figures: Figures) -> list[Bound]:
    screen = figures["screen_ms"]
    return [
        Bound(
            what=f"SendMessage with {figures['consoles']} consoles, times without",
            value=_ratio(figures),
            at_least=LEAST_RATIO,
        ),
        Bound(
            what="p95 from receipt to a console's event",
            value=figures["streams_ms"]["p95"],
            at_most=MOST_MILLISECONDS,
            unit=" ms",
        ),
        Bound(
            what="p95 from receipt to the screen",
            value=None if screen is None else screen["p95"],
            at_most=MOST_MILLISECONDS,
            unit=" ms",
        ),
    ]


def chart(figures: Figures) -> Chart:
    without, with_them = figures["per_second"]["without"], figures["per_second"]["with"]
    times = [("a console's event", figures["streams_ms"]), ("the screen", figures["screen_ms"])]
    return Chart(
        title=f"{figures['consoles']} open consoles",
        description=(
            f"With {figures['consoles']} consoles open SendMessage reaches {number(_ratio(figures))} of its throughput "
            f"without, and a message is at a console {number(figures['streams_ms']['p95'])} ms after its receipt (p95)."
        ),
        panels=[
            Panel(
                title="SendMessage a second, 64 connections",
                bars=[
                    Bar(label="without consoles", value=without, text=number(without), kind="other"),
                    Bar(
                        label="with them",
                        value=with_them,
                        text=f"{number(with_them)} · {number(_ratio(figures))}×",
                        kind="ours",
                    ),
                ],
                mark=without * LEAST_RATIO,
                mark_text=f"{LEAST_RATIO} × without",
            ),
            Panel(
                title="From the receipt, p95",
                bars=[
                    Bar(label=name, value=seen["p95"], text=f"{number(seen['p95'])} ms", kind="ours")
                    for name, seen in times
                    if seen is not None
                ],
                mark=MOST_MILLISECONDS,
                mark_text=f"{MOST_MILLISECONDS} ms",
            ),
        ],
    )


PART = Part(
    letter="g",
    title="Open consoles",
    measure=measure,
    tables=tables,
    bounds=bounds,
    chart=chart,
)
