"""The console's page: a template filled with the agent's name, the token for changes and all words of one language."""

from __future__ import annotations

from collections.abc import Callable

from webchat_soap.web.render import templates
from webchat_soap.web.words import catalogue, words_in


def render_console(
    *, accepted_languages: str, agent_name: str, csrf_token: str, static_url: Callable[[str], str]
) -> str:
    """`static_url` gives the address of a file of static/agent."""
    language = words_in(accepted_languages).language
    return (
        templates()
        .get_template("agent/console.html")
        .render(
            language=language,
            catalogue=catalogue(language),
            agent_name=agent_name,
            csrf_token=csrf_token,
            static_url=static_url,
        )
    )
