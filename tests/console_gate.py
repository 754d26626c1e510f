"""A door to the console that believes what a request says of itself, for tests of what is behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path

from werkzeug.wrappers import Response

from webchat_soap.app import Application, create_app
from webchat_soap.domain.agents import AgentSession
from webchat_soap.settings import load_settings


class FakeGate:
    """The cookie webchat_agent is the agent's name; a file of this name in `signed_out` ends its sessions."""

    prefix = ""

    def __init__(self, signed_out: Path) -> None:
        self.signed_out = signed_out

    def enter(self, environ, *, is_activity: bool = True) -> AgentSession | Response:
        cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get("webchat_agent")
        if cookie is None or not self._is_signed_in(cookie.value):
            return Response('{"error":{"code":"Unauthorized"}}', 401, content_type="application/json")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") and environ.get("HTTP_X_CSRF_TOKEN") != "token":
            return Response('{"error":{"code":"CsrfRefused"}}', 403, content_type="application/json")
        return AgentSession(
            session_id=f"s-{cookie.value}",
            agent_id=f"a-{cookie.value}",
            agent_name=cookie.value,
            csrf_token="token",
            expires_at=datetime.now(UTC) + timedelta(hours=1),
        )

    def is_current(self, session: AgentSession) -> bool:
        return self._is_signed_in(session.agent_name)

    def _is_signed_in(self, name: str) -> bool:
        return not (self.signed_out / f"signed-out-{name}").exists()


def make_app(environ: dict[str, str]) -> Application:
    """The whole application behind such a door; for ServeOptions.application_factory."""
    settings = load_settings(environ=environ, toml_path=None)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return create_app(settings, gate=FakeGate(settings.data_dir))


def make_real_app(environ: dict[str, str]) -> Application:
    """The whole application behind its own door."""
    return create_app(load_settings(environ=environ, toml_path=None))
