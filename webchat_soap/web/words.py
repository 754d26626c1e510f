"""The words of the agents' pages: one catalogue a language, `static/agent/LANGUAGE.json`, chosen by Accept-Language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LANGUAGES: Final = ("en", "tr")
"""The first is for those who ask for none of them."""


class Words:
    """A language's words by their keys. KeyError for a key that the catalogue does not have."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._words = catalogue(language)

    def __call__(self, key: str, **values: str | int) -> str:
        """The words, with `{name}` filled in."""
        words = self._words[key]
        for name, value in values.items():
            words = words.replace("{" + name + "}", str(value))
        return words


def words_for(environ: WSGIEnvironment) -> Words:
    """In the language that the browser likes best of those that there are."""
    return words_in(environ.get("HTTP_ACCEPT_LANGUAGE", ""))


def words_in(accepted_languages: str) -> Words:
    """The same for the header's value."""
    liked = parse_accept_header(accepted_languages[:1000], LanguageAccept)
    return Words(liked.best_match(LANGUAGES) or LANGUAGES[0])


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """All words of one of LANGUAGES."""
    text = files("webchat_soap.web").joinpath("static", "agent", f"{language}.json").read_text(encoding="utf-8")
    words: dict[str, str] = json.loads(text)
    return words
