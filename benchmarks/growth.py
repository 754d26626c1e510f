"""e. What SendMessage and GetMessages cost with more and more in the database.

Six services over six databases stand side by side and are driven in turns. Where there are 100,000 chats the calls go
to 1,000 of them, far apart, so that they cannot all be in a cache; these hold ten messages each also where there are
none else, because a GetMessages must have the same page to read everywhere.
"""

from __future__ import annotations

import random
import statistics
from contextlib import ExitStack
from pathlib import Path

from benchmarks import servers
from benchmarks.fill import chat_id, fill
from benchmarks.load import Load, WrongAnswers, drive, get_messages, send_message
from benchmarks.results import Bar, Bound, Chart, Figures, Panel, Part, Table, number, ratio
from benchmarks.servers import Server

MESSAGES = (0, 100_000, 5_000_000)
CHATS = (1, 100_000)
PROBES = 1000
PAGE = 10
CONNECTIONS = 16
MOST_RATIO = 1.2
OPERATIONS = {"send": "SendMessage", "read": "GetMessages"}


def measure(*, folder: Path, quick: bool) -> Figures:
    """Run it."""
    amounts = (0, 2_000) if quick else MESSAGES
    chat_counts = (100,) if quick else CHATS
    probes = 20 if quick else PROBES
    rounds = 1 if quick else 9
    seconds = 0.2 if quick else 0.8
    with ExitStack() as stack:
        running: dict[tuple[int, int], Server] = {}
        for chats in chat_counts:
            for messages in amounts:
                place = folder / f"{chats}-{messages}"
                fill(place / "data", chats=chats, messages=messages, probes=min(probes, chats), probe_messages=PAGE)
                server = running[chats, messages] = stack.enter_context(servers.ours(place))
                server.sent = server.stored() or 0
        requests = {key: _requests(*key, probes=min(probes, key[0])) for key in running}
        seen: dict[tuple[int, int], dict[str, list[Load]]] = {
            key: {operation: [] for operation in OPERATIONS} for key in running
        }
        for _ in range(rounds):
            for operation in OPERATIONS:
                for key, server in running.items():
                    load = drive(
                        server.port,
                        requests[key][operation],
                        connections=CONNECTIONS,
                        seconds=seconds,
                        warmup_seconds=0.1,
                    )
                    if not load.is_clean:
                        raise WrongAnswers(f"{OPERATIONS[operation]} was answered {load.statuses}")
                    server.sent += load.acknowledged if operation == "send" else 0
                    seen[key][operation].append(load)
        for server in running.values():
            if server.stored() != server.sent:
                raise WrongAnswers(f"{server.sent} messages were acknowledged, but {server.stored()} are stored.")
    return {
        "connections": CONNECTIONS,
        "rounds": rounds,
        "seconds": seconds,
        "page": PAGE,
        "databases": [
            {
                "chats": chats,
                "messages": messages,
                **{
                    operation: {
                        "cost_us": round(1e6 / statistics.median(load.per_second for load in loads), 1),
                        "p99_us": round(statistics.median(load.p99_us for load in loads)),
                    }
                    for operation, loads in seen[chats, messages].items()
                },
            }
            for chats, messages in running
        ],
    }


def _requests(chats: int, messages: int, *, probes: int) -> dict[str, list[bytes]]:
    """The calls for one database, in an order that leaves neighbours apart."""
    choose = random.Random(4)
    ids = [chat_id(1 + place * (chats // probes)) for place in range(probes)]
    choose.shuffle(ids)
    each = max(PAGE, messages // chats)
    reads = [
        get_messages(choose.choice(ids), after=choose.randint(0, each - PAGE), most=PAGE) for _ in range(max(PROBES, 1))
    ]
    return {"send": [send_message(one) for one in ids], "read": reads}


def _costs(figures: Figures, chats: int, operation: str) -> dict[int, float]:
    """By messages."""
    return {
        database["messages"]: database[operation]["cost_us"]
        for database in figures["databases"]
        if database["chats"] == chats
    }


def _chats(figures: Figures) -> list[int]:
    return sorted({database["chats"] for database in figures["databases"]})


def _growth(figures: Figures, chats: int, operation: str) -> float | None:
    costs = _costs(figures, chats, operation)
    return ratio(costs[max(costs)], costs[0])


def _name(chats: int) -> str:
    return f"{chats:,} chat{'s' if chats > 1 else ''}"


def tables(figures: Figures) -> list[Table]:
    rows = []
    for database in figures["databases"]:
        row = [f"{_name(database['chats'])}, {database['messages']:,} messages"]
        for operation in OPERATIONS:
            base = _costs(figures, database["chats"], operation)[0]
            cost = database[operation]["cost_us"]
            row.append(f"{number(cost)} µs ({number(ratio(cost, base))})")
            row.append(f"{number(database[operation]['p99_us'] / 1000)} ms")
        rows.append(row)
    return [
        Table(
            title=(
                f"Time a call, {figures['connections']} connections in a closed loop, GetMessages of "
                f"{figures['page']} messages (in brackets: times the empty database)"
            ),
            columns=["", "SendMessage", "p99", "GetMessages", "p99"],
            rows=rows,
        )
    ]


def bounds(figures: Figures) -> list[Bound]:
    most = max(database["messages"] for database in figures["databases"])
    return [
        Bound(
            what=f"{name} with {most:,} messages in {_name(chats)}, times empty",
            value=_growth(figures, chats, operation),
            at_most=MOST_RATIO,
        )
        for operation, name in OPERATIONS.items()
        for chats in _chats(figures)
    ]


def chart(figures: Figures) -> Chart:
    panels = []
    for operation, name in OPERATIONS.items():
        for chats in _chats(figures):
            costs = _costs(figures, chats, operation)
            bars = [
                Bar(
                    label=f"{messages:,} messages",
                    value=cost,
                    text=f"{number(cost)} µs · {number(ratio(cost, costs[0]))}×",
                    kind="ours",
                )
                for messages, cost in costs.items()
            ]
            panels.append(
                Panel(title=f"{name}, {_name(chats)}", bars=bars, mark=costs[0] * MOST_RATIO, mark_text="1.2 × empty")
            )
    worst = max(_growth(figures, chats, operation) or 0 for operation in OPERATIONS for chats in _chats(figures))
    most = max(database["messages"] for database in figures["databases"])
    return Chart(
        title="Time a call as the database grows (× the empty one)",
        description=(
            f"With {most:,} messages stored a durable SendMessage and a GetMessages take at most {number(worst)} times "
            "what they take with none."
        ),
        panels=panels,
    )


PART = Part(
    letter="e",
    title="Cost as the database grows",
    measure=measure,
    tables=tables,
    bounds=bounds,
    chart=chart,
)
