"""The benchmarks run, count what they sent, and the README shows what they measured. Nothing here looks at a time."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks import charts, readme
from benchmarks.__main__ import DOCS, PARTS, kept
from benchmarks.fill import STARTED_AT, chat_id, fill
from benchmarks.results import Bar, Bound, Chart, Panel, Table, number
from webchat_soap.domain.chat import ChatQuota, NewMessage, Sender
from webchat_soap.stores import open_chat_store

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
UUID_4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The short form of every part, with stock Spyne as the only peer: the others need not be installed for it."""
    out = tmp_path_factory.mktemp("benchmarks")
    command = [sys.executable, "-m", "benchmarks", *PARTS, "--quick", "--only", "ours,stock,stock-commit"]
    # Each process that it starts holds on to few cores; this one is to keep its own.
    done = subprocess.run(
        [*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=280, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = {letter: json.loads((out / f"{letter}.json").read_text()) for letter in PARTS}
    figures["out"], figures["printed"] = out, done.stdout
    return figures


# About 20 s of two cores for all parts together, which is the first test's to wait for.
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("letter", PARTS)
def test_every_part_runs_and_says_on_what_machine(letter: str, quick: dict[str, Any]) -> None:
    figures = quick[letter]
    assert figures["quick"]
    assert figures["machine"].keys() == {
        "cores", "processor", "memory_gib", "python", "sqlite", "kernel", "file_system", "fsync_us",
    }  # fmt: skip
    assert figures["machine"]["fsync_us"] > 0
    part = PARTS[letter]
    assert f"{letter}. {part.title}\n" in quick["printed"]
    for table in part.tables(figures):
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert table.text() in quick["printed"]
    for bound in part.bounds(figures):
        assert bound.sentence() in quick["printed"]
    ET.fromstring((quick["out"] / f"{letter}.svg").read_text())


def test_part_a_acknowledges_and_stores_the_same_number_of_messages(quick: dict[str, Any]) -> None:
    peers = quick["a"]["peers"]
    for name in ("ours", "stock-commit"):
        assert peers[name]["stored"] >= peers[name]["acknowledged"] > 0
        assert peers[name]["not_acknowledged"] == 0
    assert peers["stock"]["stored"] is None
    assert peers["ours"]["statuses"].keys() == {"200"}
    for count in quick["a"]["connections"]:
        seen = peers["ours"]["at"][str(count)]
        assert seen["per_second"] > 0
        assert seen["p99_us"] >= seen["p50_us"] > 0


def test_part_b_splits_a_call(quick: dict[str, Any]) -> None:
    figures = quick["b"]
    assert sum(figures["parts_us"].values()) == pytest.approx(figures["whole_us"], abs=1)
    assert figures["store_us"] > 0


def test_part_c_tells_of_each_size(quick: dict[str, Any]) -> None:
    for size in quick["c"]["sizes"].values():
        assert len(size["ours_seconds"]) == len(size["curl_seconds"]) > 0
        assert size["growth_mib"] >= 0
    assert quick["c"]["together"]["growth_mib"] >= 0


def test_part_d_has_its_crowds_there(quick: dict[str, Any]) -> None:
    crowds = quick["d"]["crowds"]
    assert crowds["drip"]["dripping"] > 0
    assert crowds["wait"]["posted"] == crowds["wait"]["count"]
    assert crowds["half"]["closed"] == crowds["half"]["count"]
    assert all(seen["calls"] > 0 for seen in quick["d"]["situations"].values())


def test_part_e_measures_each_database(quick: dict[str, Any]) -> None:
    databases = quick["e"]["databases"]
    assert len({(one["chats"], one["messages"]) for one in databases}) == len(databases) == 2
    assert all(one[operation]["cost_us"] > 0 for one in databases for operation in ("send", "read"))


def test_part_f_finds_start_and_memory(quick: dict[str, Any]) -> None:
    figures = quick["f"]
    assert all(seconds > 0 for seconds in figures["start_seconds"] + figures["start_again_seconds"])
    assert all(memory["rss_mib"] >= memory["pss_mib"] > 0 for memory in figures["idle"].values())


def test_all_parts_were_measured_in_full() -> None:
    figures = kept(DOCS)
    assert figures.keys() == PARTS.keys()
    assert [letter for letter, seen in figures.items() if seen["quick"]] == []


def test_the_readme_and_the_charts_show_what_was_measured() -> None:
    figures = kept(DOCS)
    text = README.read_text(encoding="utf-8")
    assert readme.replaced(text, readme.section(PARTS, figures)) == text, "write it with: python -m benchmarks --draw"
    for letter, seen in figures.items():
        drawn = (DOCS / f"{letter}.svg").read_text(encoding="utf-8")
        assert drawn == charts.svg(PARTS[letter].chart(seen)), "draw it with: python -m benchmarks --draw"


def test_figures_name_no_folder_and_no_host() -> None:
    for path in DOCS.iterdir():
        assert not re.search(r"/(home|root|tmp|work|usr)/|https?://(?!www\.w3\.org)", path.read_text()), path.name


def test_a_chart_can_be_read_without_seeing_it_and_on_dark_pages() -> None:
    bars = [Bar(label="a & b", value=0, text="0"), Bar(label="<c>", value=2, text="2", kind="ours")]
    chart = Chart(title="T", description="D", panels=[Panel(title="P", bars=bars, mark=3, mark_text="three")])
    drawn = charts.svg(chart)
    root = ET.fromstring(drawn)
    assert root.attrib["role"] == "img"
    named = root.attrib["aria-labelledby"].split()
    assert [root.find(f"{SVG}{kind}").attrib["id"] for kind in ("title", "desc")] == named
    assert {"T", "P", "a & b", "<c>", "three"} <= {text.text for text in root.iter(f"{SVG}text")}
    assert "prefers-color-scheme: dark" in drawn


def test_a_bound_says_whether_it_holds() -> None:
    assert Bound(what="x", value=2, at_least=2).holds is True
    assert Bound(what="x", value=2.1, at_most=2).holds is False
    assert Bound(what="x", value=None, at_most=2).holds is None
    assert Bound(what="x", value=3, at_most=2, unit=" s").sentence() == "x: 3.00 s (at most 2 s) MISSED"


def test_a_table_is_made_for_terminals_and_for_the_readme() -> None:
    table = Table(title="T", columns=["", "n"], rows=[["long name", "1"], ["x", "10,000"]])
    assert table.text().splitlines() == ["T", "                n", "long name       1", "x          10,000"]
    assert table.markdown().splitlines()[1] == "| --- | ---: |"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0"), (0.123, "0.12"), (1.5, "1.50"), (15.26, "15.3"), (12345.6, "12,346")]
)
def test_numbers_have_three_figures(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_filled_database_is_like_one_that_the_store_wrote(tmp_path: Path) -> None:
    fill(tmp_path / "filled", chats=3, messages=7, probes=1, probe_messages=4)
    written = tmp_path / "written" / "webchat.db"
    written.parent.mkdir()
    with closing(open_chat_store(f"sqlite:///{written}", lock_folder=tmp_path / "locks")) as store:
        message = NewMessage(
            message_id="0f8fad5b-d9cb-469f-a165-70867728950e", chat_id=chat_id(1), sender=Sender.CUSTOMER,
            text="test message", files=(), token=None, account=None,
        )  # fmt: skip
        store.append(message, open_unknown=True, quota=ChatQuota(max_files=1, max_bytes=1)).result()

    def shapes(path: Path) -> dict[str, list[tuple[object, ...]]]:
        """The columns' types in each table, and the schema."""
        with closing(sqlite3.connect(path)) as connection:
            tables: dict[str, list[tuple[object, ...]]] = {}
            for table in ("chats", "messages", "files", "tokens", "schema_version", "identity"):
                rows = connection.execute(f"SELECT * FROM {table}")
                tables[table] = sorted({tuple(type(value) for value in row) for row in rows}, key=str)
            return tables | {"schema": connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()}

    assert shapes(tmp_path / "filled" / "webchat.db") == shapes(written)

    with closing(open_chat_store(f"sqlite:///{tmp_path}/filled/webchat.db", lock_folder=tmp_path / "own")) as store:
        sizes = {}
        for place in (1, 2, 3):
            page = store.read_messages(chat_id(place), after_sequence=0, max_messages=100)
            assert [one.sequence for one in page.messages] == list(range(1, page.last_sequence + 1))
            assert all(UUID_4.fullmatch(one.message_id) for one in page.messages)
            sizes[place] = page.last_sequence
        assert sizes == {1: 4, 2: 2, 3: 2}
        last = page.messages[-1].sent_at.timestamp() * 1000
        assert round(last) == STARTED_AT + sizes[3]
        receipt = store.append(message, open_unknown=False, quota=ChatQuota(max_files=1, max_bytes=1)).result()
        assert receipt.sequence == 5
