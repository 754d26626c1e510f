"""What is the same in a search: upper and lower case of a letter, and the four letters i of Turkish and the others.

Letter by letter, so that a database can look for a pattern by itself: `ß` is not `ss`, and accents count.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from webchat_soap.domain.console import MAX_SEARCH
from webchat_soap.domain.errors import InvalidRequest

DOT_ABOVE: Final = "\u0307"
"""What is left of a Turkish İ that a program without Turkish made small; it does not count."""

_ALL_I: Final = "iIıİ"
_SPECIAL: Final = "*?["
_BEFORE, _AFTER = 60, 100
"""Code points around what was found."""


class Words:
    """What is searched for. InvalidRequest for nothing, too much, and characters that no text can hold."""

    def __init__(self, text: str) -> None:
        text = unicodedata.normalize("NFC", text).replace(DOT_ABOVE, "").strip()
        if not text or len(text) > MAX_SEARCH:
            raise InvalidRequest(
                f"q has {len(text)} characters; search for 1 to {MAX_SEARCH}.", field="q", limit=MAX_SEARCH
            )
        if any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t" for char in text):
            raise InvalidRequest("q holds a control character; search for words of a text.", field="q")
        variants = [_variants(char) for char in text]
        self.glob = "*" + "".join(_glob(letters) for letters in variants) + "*"
        """For SQLite's GLOB, over text without DOT_ABOVE."""
        self._find = re.compile(
            "".join(f"[{re.escape(letters)}]{DOT_ABOVE}?" for letters in variants), re.DOTALL
        ).search

    def found_in(self, text: str) -> bool:
        """Whether a text has them."""
        return self._find(text) is not None

    def excerpt(self, text: str) -> str:
        """What surrounds them in a text, on one line; the text's beginning where they are not in it."""
        found = self._find(text)
        start, end = found.span() if found else (0, 0)
        first, last = max(0, start - _BEFORE), min(len(text), end + _AFTER)
        shown = " ".join(text[first:last].split())
        return f"{'… ' if first else ''}{shown}{' …' if last < len(text) else ''}"


def _variants(char: str) -> str:
    if char in _ALL_I:
        return _ALL_I
    folded = char.casefold()
    others = {char, char.lower(), char.upper(), char.title(), folded, folded.upper(), *_OTHERS.get(folded, "")}
    return "".join(sorted(letter for letter in others if len(letter) == 1))


_OTHERS: Final = {"k": "\u212a", "s": "\u017f", "å": "\u212b", "σ": "ςΣ", "ß": "ẞ", "ω": "\u2126", "μ": "µ"}
"""Further letters that fold to these."""


def _glob(letters: str) -> str:
    return f"[{letters}]" if len(letters) > 1 or letters in _SPECIAL else letters
