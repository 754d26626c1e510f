"""The README's section "Measured", made from the figures in docs/benchmarks, so that the two cannot disagree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks import machine
from benchmarks.results import Bound, Figures, Part, number

BEGIN = "<!-- measured: begin, written by make bench -->"
END = "<!-- measured: end -->"


def section(parts: Mapping[str, Part], figures: Mapping[str, Figures]) -> str:
    """What stands between the marks: the machine, what was promised and what was seen, and the charts."""
    lines = [f"On {machine.line(next(iter(figures.values()))['machine'])}:", ""]
    lines += ["| | measured | bound |", "| --- | ---: | ---: |"]
    for letter, seen in figures.items():
        lines += [_row(letter, bound) for bound in parts[letter].bounds(seen)]
    for letter, seen in figures.items():
        chart = parts[letter].chart(seen)
        lines += ["", f"![{chart.title}. {chart.description}](docs/benchmarks/{letter}.svg)"]
    return "\n".join(lines)


def _row(letter: str, bound: Bound) -> str:
    sign, limit = ("≥", bound.at_least) if bound.at_least is not None else ("≤", bound.at_most)
    seen = f"{number(bound.value)}{bound.unit}" if bound.value is not None else "not measured"
    missed = " (missed)" if bound.holds is False else ""
    return f"| {letter}. {bound.what} | {seen}{missed} | {sign} {limit:g}{bound.unit} |"


def replaced(text: str, made: str) -> str:
    """The README's text with the section made anew."""
    found = re.search(f"{re.escape(BEGIN)}.*?{re.escape(END)}", text, re.S)
    if found is None:
        raise ValueError(f"The README has no {BEGIN} … {END}.")
    return f"{text[: found.start()]}{BEGIN}\n{made}\n{END}{text[found.end() :]}"


def write(readme: Path, parts: Mapping[str, Part], figures: Mapping[str, Figures]) -> None:
    """Write the section anew."""
    readme.write_text(replaced(readme.read_text(encoding="utf-8"), section(parts, figures)), encoding="utf-8")
