"""The console's page: a template filled with the agent's name, the token for changes and all words of one language."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

LANGUAGES: Final = ("en", "tr")
"""The first one is for who asks for none of them."""


def preferred_language(accepted: str) -> str:
    """The language of the page, by a request's Accept-Language."""
    best, best_weight = LANGUAGES[0], 0.0
    for part in accepted[:500].split(","):
        tag, _, weight = part.partition(";")
        language = tag.strip().partition("-")[0].lower()
        try:
            wanted = float(weight.partition("=")[2]) if weight else 1.0
        except ValueError:
            continue
        if language in LANGUAGES and wanted > best_weight:
            best, best_weight = language, wanted
    return best


def render_console(
    *, accepted_languages: str, agent_name: str, csrf_token: str, static_url: Callable[[str], str]
) -> str:
    """`static_url` gives the address of a file of static/agent."""
    language = preferred_language(accepted_languages)
    return (
        _templates()
        .get_template("agent/console.html")
        .render(
            language=language,
            catalogue=_catalogue(language),
            agent_name=agent_name,
            csrf_token=csrf_token,
            static_url=static_url,
        )
    )


@cache
def _catalogue(language: str) -> dict[str, Any]:
    path = files("webchat_soap.web").joinpath("static", "agent", f"{language}.json")
    try:
        words: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return words


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("webchat_soap.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
