"""What a part of the benchmarks gives: figures as JSON, tables and a chart made from nothing but them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
"""A part's result as it stands in its JSON file."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A promise about a figure."""

    what: str
    value: float | None
    """None where a peer is not installed."""
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""

    @property
    def holds(self) -> bool | None:
        if self.value is None:
            return None
        if self.at_least is not None:
            return self.value >= self.at_least
        assert self.at_most is not None
        return self.value <= self.at_most

    def sentence(self) -> str:
        """What was promised and what was seen."""
        promised = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        seen = "not measured" if self.value is None else f"{number(self.value)}{self.unit}"
        verdict = {True: "holds", False: "MISSED", None: "not known"}[self.holds]
        return f"{self.what}: {seen} ({promised}{self.unit}) {verdict}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under a sentence; the first column is left-aligned, the others right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """For a terminal."""
        rows = [list(self.columns), *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([self.title, *lines])

    def markdown(self) -> str:
        """For the README."""
        ruler = ["---", *("---:" for _ in self.columns[1:])]
        lines = ["| " + " | ".join(row) + " |" for row in (self.columns, ruler, *self.rows)]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar of a chart. `kind` is its colour: ours, other, or plain."""

    label: str
    value: float
    text: str
    kind: str = "plain"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Bars on one scale, from 0. `mark` is a line across them, where a bound lies."""

    title: str
    bars: Sequence[Bar]
    mark: float | None = None
    mark_text: str = ""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Panels under a title; `description` says the same to those who cannot see it."""

    title: str
    description: str
    panels: Sequence[Panel]
    columns: int = 2


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the benchmarks. `measure(quick, options)` runs it; the others only look at what it gave."""

    letter: str
    title: str
    measure: Callable[..., Figures]
    tables: Callable[[Figures], Sequence[Table]]
    bounds: Callable[[Figures], Sequence[Bound]]
    chart: Callable[[Figures], Chart]
    notes: Sequence[str] = field(default_factory=tuple)


def save(figures: Figures, path: Path) -> None:
    """As JSON that a person can compare."""
    path.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> Figures:
    """What `save` wrote."""
    figures: Figures = json.loads(path.read_text(encoding="utf-8"))
    return figures


def ratio(value: float | None, base: float | None) -> float | None:
    """None where one of the two was not measured."""
    return value / base if value is not None and base else None


def number(value: float | None) -> str:
    """With three figures, and thousands parted."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
