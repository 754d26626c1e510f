"""Puts the agent console together, for app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webchat_soap.app_data import UPLOADS
from webchat_soap.domain.agents import AgentSession
from webchat_soap.domain.console import ConsoleStore
from webchat_soap.domain.ports import FileStore
from webchat_soap.files.uploads import UploadFolder
from webchat_soap.service import ChatService
from webchat_soap.service_agents import AgentService
from webchat_soap.settings import Settings
from webchat_soap.web.console import Console, ConsoleRules, Gate
from webchat_soap.web.console_live import Live
from webchat_soap.web.console_page import render_console
from webchat_soap.web.console_transcript import Transcripts
from webchat_soap.web.static_files import static_url

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment


def make_console(
    settings: Settings,
    *,
    gate: Gate,
    service: ChatService,
    chats: ConsoleStore,
    files: FileStore,
    version: str,
) -> Console:
    """The console behind `gate`. Opens and starts nothing."""
    agents = AgentService(service=service, chats=chats, pieces=UploadFolder(settings.data_dir / UPLOADS))

    def render_page(session: AgentSession, environ: WSGIEnvironment) -> str:
        return render_console(
            accepted_languages=environ.get("HTTP_ACCEPT_LANGUAGE", ""),
            agent_name=session.agent_name,
            csrf_token=session.csrf_token,
            static_url=static_url,
        )

    return Console(
        gate=gate,
        agents=agents,
        live=Live(chats=chats, prefix=gate.prefix, is_current=gate.is_current),
        transcripts=Transcripts(agents=agents, files=files),
        rules=ConsoleRules(
            max_request_bytes=settings.max_request_bytes,
            idle_minutes=settings.agent_idle_minutes,
            version=version,
        ),
        render_page=render_page,
    )
