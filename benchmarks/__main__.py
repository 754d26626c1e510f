"""Measures, prints tables of ratios, and keeps figures and charts.

python -m benchmarks              all parts; figures and charts go to docs/benchmarks, tables to the README
python -m benchmarks a c          these parts
python -m benchmarks --quick      in seconds, with few rounds: shows that it works, not how fast (build/bench/quick)
python -m benchmarks a --only ours,stock --connections 64 --rounds 5
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    beside,
    charts,
    consoles,
    footprint,
    growth,
    hostile,
    in_process,
    machine,
    readme,
    throughput,
    uploads,
)
from benchmarks.results import Figures, Part, load, save
from benchmarks.servers import BUILD, ROOT

PARTS = {
    part.letter: part
    for part in (
        throughput.PART,
        in_process.PART,
        uploads.PART,
        beside.PART,
        growth.PART,
        footprint.PART,
        consoles.PART,
    )
}
DOCS = ROOT / "docs" / "benchmarks"
QUICK = BUILD / "quick"


def run(part: Part, *, quick: bool, **options: Any) -> Figures:
    """Measure a part in a folder of its own, which is removed."""
    BUILD.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{part.letter}-", dir=BUILD))
    started = time.monotonic()
    try:
        figures: Figures = {
            "part": part.letter,
            "title": part.title,
            "quick": quick,
            "machine": machine.describe(folder),
            "measured_at": f"{datetime.now(UTC):%Y-%m-%d}",
        }
        figures |= part.measure(folder=folder, quick=quick, **options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures["took_seconds"] = round(time.monotonic() - started)
    return figures


def report(part: Part, figures: Figures) -> str:
    """All that a run says, for a terminal."""
    lines = [f"{part.letter}. {part.title}", machine.line(figures["machine"]), *part.notes]
    for table in part.tables(figures):
        lines += ["", table.text()]
    lines += ["", *(bound.sentence() for bound in part.bounds(figures)), f"({figures['took_seconds']} s)"]
    return "\n".join(lines)


def keep(part: Part, figures: Figures, folder: Path) -> None:
    """Figures and chart as files."""
    folder.mkdir(parents=True, exist_ok=True)
    save(figures, folder / f"{part.letter}.json")
    (folder / f"{part.letter}.svg").write_text(charts.svg(part.chart(figures)), encoding="utf-8")


def kept(folder: Path) -> dict[str, Figures]:
    """The figures of all parts that were measured, by letter."""
    return {letter: load(path) for letter in sorted(PARTS) if (path := folder / f"{letter}.json").exists()}


def draw(folder: Path) -> None:
    """Charts anew, and for docs/benchmarks the README's section."""
    figures = kept(folder)
    for letter, seen in figures.items():
        keep(PARTS[letter], seen, folder)
    if folder == DOCS:
        readme.write(ROOT / "README.md", PARTS, figures)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "hostile", []], metavar="PART", help="default: all")
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, help="folder for figures and charts")
    parser.add_argument("--only", help="part a: these peers only, by key: " + ",".join(throughput.NAMES))
    parser.add_argument("--connections", help="part a: these numbers of connections, as 1,64")
    parser.add_argument("--rounds", type=int, help="part a: so many rounds")
    parser.add_argument("--seconds", type=float, help="part a: seconds a measurement")
    arguments = parser.parse_args(argv)
    if arguments.draw:
        draw(arguments.out or DOCS)
        return 0
    wanted = arguments.parts or [*PARTS, "hostile"]
    options: dict[str, Any] = {}
    if arguments.only:
        options["only"] = arguments.only.split(",")
    if arguments.connections:
        options["connections"] = [int(count) for count in arguments.connections.split(",")]
    options |= {name: value for name in ("rounds", "seconds") if (value := getattr(arguments, name)) is not None}
    # What was measured in part or in haste is not what the README shows.
    out = arguments.out or (QUICK if arguments.quick or options else DOCS)
    machine.share_cores()
    for letter in wanted:
        if letter == "hostile":
            hostile.main([])
            continue
        part = PARTS[letter]
        figures = run(part, quick=arguments.quick, **(options if letter == "a" else {}))
        keep(part, figures, out)
        print(report(part, figures) + "\n", flush=True)
    if out == DOCS:
        draw(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
