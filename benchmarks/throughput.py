"""a. SendMessage over HTTP: ours, durable, against peers that store nothing or commit once a call.

Every server is started once and stays up; they are driven in turns (A B C … A B C …) and the medians of the rounds are
taken, so that a noise of the machine meets all alike. All of them and the load generator share the same cores.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.load import CHATS, Load, WrongAnswers, drive, texts
from benchmarks.results import Bar, Bound, Chart, Figures, Panel, Part, Table, number, ratio
from benchmarks.servers import NotInstalled, Server

CONNECTIONS = (1, 16, 64, 256)
BASE = "stock"
THREADS = (1, 2, 8)
"""What Granian's WSGI mode is tried with for a peer; the best at 64 connections is taken."""

NAMES = {
    "ours": "webchat-soap, 1 worker",
    "ours-2": "webchat-soap, 2 workers",
    "none": "without its store, 1 worker",
    "none-2": "without its store, 2 workers",
    "stock": "stock Spyne, no-op",
    "stock-commit": "stock Spyne, commit a call",
    "soapbar": "soapbar, no-op",
    "npm-soap": "npm soap, no-op",
    "strong-soap": "strong-soap, no-op",
}

_Start = Callable[[Path, int], AbstractContextManager[Server]]
_THREADED: dict[str, _Start] = {
    "stock": lambda folder, threads: servers.stock_spyne(folder, threads=threads),
    "stock-commit": lambda folder, threads: servers.stock_spyne(folder, threads=threads, commits=True),
    "soapbar": lambda folder, threads: servers.soapbar(folder, threads=threads),
}
_PLAIN: dict[str, _Start] = {
    "ours": lambda folder, _: servers.ours(folder),
    "ours-2": lambda folder, _: servers.ours(folder, workers=2),
    "none": lambda folder, _: servers.ours(folder, store=False),
    "none-2": lambda folder, _: servers.ours(folder, store=False, workers=2),
    "npm-soap": lambda folder, _: servers.npm(folder, library="soap"),
    "strong-soap": lambda folder, _: servers.npm(folder, library="strong-soap"),
}


def measure(
    *,
    folder: Path,
    quick: bool,
    only: Sequence[str] | None = None,
    connections: Sequence[int] | None = None,
    rounds: int | None = None,
    seconds: float | None = None,
) -> Figures:
    """Run it. `only` names peers by their keys in NAMES; the base is always among them."""
    wanted = [name for name in NAMES if only is None or name in only or name == BASE]
    counts = tuple(connections or ((1, 16) if quick else CONNECTIONS))
    rounds = rounds or (1 if quick else 3)
    seconds = seconds or (0.3 if quick else 1.2)
    with ExitStack() as stack:
        running: dict[str, Server] = {}
        threads: dict[str, int] = {}
        for name in wanted:
            try:
                if name in _THREADED:
                    candidates = THREADS[:1] if quick else THREADS
                    threads[name], running[name] = _best(stack, name, folder, candidates, seconds)
                else:
                    running[name] = stack.enter_context(_PLAIN[name](folder / name, 0))
            except NotInstalled as missing:
                print(f"{missing} is not installed: benchmarks/install brings it", file=sys.stderr)
        for server in () if quick else running.values():
            _drive(server, connections=16, seconds=0.7)  # node compiles what runs often; all get the same
        seen: dict[str, dict[int, list[_Round]]] = {name: {count: [] for count in counts} for name in running}
        for _ in range(rounds):
            for count in counts:
                for name, server in running.items():
                    seen[name][count].append(_drive(server, connections=count, seconds=seconds))
        stored = {name: _stored(server) for name, server in running.items()}
    return {
        "connections": list(counts),
        "rounds": rounds,
        "seconds": seconds,
        "chats": CHATS,
        "peers": {
            name: _figures(seen[name], threads.get(name), stored[name]) if name in running else None for name in wanted
        },
    }


def _best(stack: ExitStack, name: str, folder: Path, candidates: Sequence[int], seconds: float) -> tuple[int, Server]:
    """The peer with the number of blocking threads that makes the most requests at 64 connections."""
    if len(candidates) == 1:
        return candidates[0], stack.enter_context(_THREADED[name](folder / name, candidates[0]))
    with ExitStack() as trial:
        tried = {count: trial.enter_context(_THREADED[name](folder / f"{name}-{count}", count)) for count in candidates}
        reached: dict[int, list[float]] = {count: [] for count in tried}
        for _ in range(2):
            for count, server in tried.items():
                reached[count].append(_drive(server, connections=64, seconds=seconds / 2).load.per_second)
    best = max(tried, key=lambda count: max(reached[count]))
    return best, stack.enter_context(_THREADED[name](folder / name, best))


@dataclass(frozen=True)
class _Round:
    load: Load
    server_us: float
    """The server's processor time for a call."""

    @property
    def generator_us(self) -> float:
        return self.load.cpu_seconds / max(self.load.sent, 1) * 1e6


def _drive(server: Server, *, connections: int, seconds: float) -> _Round:
    before = server.cpu_seconds()
    load = drive(server.port, texts(), connections=connections, seconds=seconds)
    server.sent += load.acknowledged
    return _Round(load, (server.cpu_seconds() - before) / max(load.sent, 1) * 1e6)


def _stored(server: Server) -> int | None:
    """Messages in the database. WrongAnswers where ours did not store exactly those that it acknowledged."""
    stored = server.stored()
    if stored is not None and stored != server.sent:
        raise WrongAnswers(f"{server.sent} messages were acknowledged, but {stored} are stored.")
    return stored


def _figures(seen: dict[int, list[_Round]], threads: int | None, stored: int | None) -> dict[str, Any]:
    loads = [each.load for rounds in seen.values() for each in rounds]
    sent = sum(load.sent for load in loads)
    statuses: dict[str, int] = {}
    for load in loads:
        for status, times in load.statuses.items():
            statuses[status] = statuses.get(status, 0) + times
    return {
        "threads": threads,
        "acknowledged": sum(load.acknowledged for load in loads),
        "not_acknowledged": sent - sum(load.acknowledged for load in loads),
        "statuses": statuses,
        "reconnects": sum(load.reconnects for load in loads),
        "stored": stored,
        "generator_us": round(sum(load.cpu_seconds for load in loads) / max(sent, 1) * 1e6, 1),
        "at": {
            str(count): {
                "per_second": round(statistics.median(each.load.per_second for each in rounds), 1),
                "p50_us": round(statistics.median(each.load.p50_us for each in rounds)),
                "p99_us": round(statistics.median(each.load.p99_us for each in rounds)),
                "server_us": round(statistics.median(each.server_us for each in rounds), 1),
                "rounds": [round(each.load.per_second) for each in rounds],
            }
            for count, rounds in seen.items()
        },
    }


def _at(figures: Figures, name: str, count: int, what: str) -> float | None:
    peer = figures["peers"].get(name)
    if peer is None or str(count) not in peer["at"]:
        return None
    return float(peer["at"][str(count)][what])


def _label(figures: Figures, name: str) -> str:
    peer = figures["peers"][name]
    if peer is None or peer["threads"] is None:
        return NAMES[name]
    return f"{NAMES[name]} ({peer['threads']} thr.)"


def tables(figures: Figures) -> list[Table]:
    counts = figures["connections"]
    rows = []
    for name in figures["peers"]:
        if figures["peers"][name] is None:
            rows.append([NAMES[name], *(["not installed"] + [""] * (2 * len(counts) - 1))])
            continue
        row = [_label(figures, name)]
        for count in counts:
            per_second = _at(figures, name, count, "per_second")
            row.append(f"{number(per_second)} ({number(ratio(per_second, _at(figures, BASE, count, 'per_second')))})")
            p99 = _at(figures, name, count, "p99_us")
            row.append(f"{number((p99 or 0) / 1000)} ({number(ratio(p99, _at(figures, BASE, count, 'p99_us')))})")
        rows.append(row)
    columns = ["", *(f"{what} @{count}" for count in counts for what in ("calls/s", "p99 ms"))]
    failed = [
        [
            NAMES[name],
            str(peer["acknowledged"]),
            str(peer["not_acknowledged"]),
            "–" if peer["stored"] is None else str(peer["stored"]),
            str(peer["reconnects"]),
            str(peer["generator_us"]),
            number(_at(figures, name, counts[-1] if 64 not in counts else 64, "server_us")),
        ]
        for name, peer in figures["peers"].items()
        if peer is not None
    ]
    return [
        Table(
            title="Calls a second and p99 at so many connections (in brackets: times stock Spyne's no-op)",
            columns=columns,
            rows=rows,
        ),
        Table(
            title="What came of them (stored: all since the start, of the trial runs too)",
            columns=["", "acknowledged", "failed", "stored", "reconnects", "generator µs/call", "server µs/call @64"],
            rows=failed,
        ),
    ]


def bounds(figures: Figures) -> list[Bound]:
    def against(name: str, other: str, what: str = "per_second") -> float | None:
        return ratio(_at(figures, name, 64, what), _at(figures, other, 64, what))

    return [
        Bound(
            what="1 worker at 64 connections, calls/s against stock Spyne", value=against("ours", BASE), at_least=2.5
        ),
        Bound(what="the same against npm soap", value=against("ours", "npm-soap"), at_least=0.5),
        Bound(what="2 workers against 1 at 64 connections", value=against("ours-2", "ours"), at_least=1),
        Bound(what="p99 of 2 workers against 1", value=against("ours-2", "ours", "p99_us"), at_most=2),
        Bound(what="2 workers against 1 without the store", value=against("none-2", "none"), at_least=1.4),
    ]


def chart(figures: Figures) -> Chart:
    panels = []
    for count in figures["connections"]:
        bars = []
        for name, peer in figures["peers"].items():
            if peer is None:
                bars.append(Bar(label=NAMES[name], value=0, text="not installed"))
                continue
            per_second = _at(figures, name, count, "per_second") or 0
            times = ratio(per_second, _at(figures, BASE, count, "per_second"))
            kind = "ours" if name.startswith("ours") else "other" if name.startswith("none") else "plain"
            bars.append(
                Bar(label=NAMES[name], value=per_second, text=f"{number(per_second)}/s · {number(times)}×", kind=kind)
            )
        panels.append(Panel(title=f"{count} connection{'s' if count > 1 else ''}", bars=bars))
    best = ratio(_at(figures, "ours", 64, "per_second"), _at(figures, BASE, 64, "per_second"))
    return Chart(
        title="SendMessage over HTTP, calls a second (× stock Spyne's no-op)",
        description=(
            "With one worker and 64 connections webchat-soap, which stores every message durably, makes "
            f"{number(best)} times the calls of stock Spyne, which stores nothing."
        ),
        panels=panels,
    )


PART = Part(
    letter="a",
    title="SendMessage over HTTP, durable, beside peers",
    measure=measure,
    tables=tables,
    bounds=bounds,
    chart=chart,
    notes=(
        "Keep-alive connections, closed loop, 64 chats; all servers and the load generator share the same two cores.",
        "Every answer must be a 200 with a receipt, and as many messages stored as acknowledged.",
        "Spyne and soapbar: Granian's WSGI mode, one worker, the best of 1, 2 and 8 threads; npm: node's http.",
    ),
)
