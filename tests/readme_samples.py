"""The samples of the README: fenced blocks that a comment `<!-- sample: NAME -->` stands right above."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"
README_BASE_URL = "http://127.0.0.1:8000"

_FENCE = re.compile(
    r"(?:<!-- sample: (?P<name>[a-z0-9-]+) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A fenced block. `line` is where its text begins in the file, counted from 1."""

    name: str | None
    language: str
    text: str
    line: int

    def at(self, base_url: str) -> Sample:
        """The same against a service that does not listen where the README's does."""
        return replace(self, text=self.text.replace(README_BASE_URL, base_url))

    def run(self, **names: Any) -> dict[str, Any]:
        """Run a python sample and return its names; a traceback points into the README."""
        assert self.language == "python"
        namespace: dict[str, Any] = {"__name__": "readme", **names}
        exec(compile("\n" * (self.line - 1) + self.text, str(README), "exec"), namespace)
        return namespace


def blocks(text: str | None = None) -> list[Sample]:
    """All fenced blocks, marked or not, in their order."""
    whole = README.read_text(encoding="utf-8") if text is None else text
    return [
        Sample(
            name=match["name"],
            language=match["language"],
            text=match["text"],
            line=whole.count("\n", 0, match.start("text")) + 1,
        )
        for match in _FENCE.finditer(whole)
    ]


def samples() -> dict[str, Sample]:
    """The marked blocks by their names."""
    return {block.name: block for block in blocks() if block.name is not None}
