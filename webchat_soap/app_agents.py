"""Agents put together: what the console's pages stand on, and what the commands do with agents."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

from webchat_soap.access.gate import TRIAL_MINUTES, AgentGate, SessionRules, utc_now
from webchat_soap.access.passwords import Passwords
from webchat_soap.access.tokens import new_token, token_id
from webchat_soap.app_data import check_same_database, open_stores
from webchat_soap.domain.agent_ports import AgentStore
from webchat_soap.domain.agents import Agent, check_agent_name, check_new_password
from webchat_soap.settings import Settings
from webchat_soap.web.agent_door import Door
from webchat_soap.web.agent_pages import AgentPages

GENERATED_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without those that are taken for others when they are read out."""


def make_agent_pages(settings: Settings, agents: AgentStore) -> AgentPages:
    """All of /agent over the store of the agents."""
    access = AgentGate(agents=agents, passwords=Passwords(), rules=_rules(settings))
    door = Door(access, public_url=settings.public_url)
    return AgentPages(access, door=door, is_trial_possible=_is_trial_possible(settings))


class AgentCommands:
    """What the command `agent` can do, also beside a running service. Every method raises as `app_data.sweep`, and
    InvalidRequest or Conflict with a sentence."""

    def __init__(self, agents: AgentStore, *, idle: timedelta) -> None:
        self._agents = agents
        self._idle = idle
        self._passwords = Passwords()

    def add(self, name: str, password: str) -> str:
        """Make the agent; its name as it is kept."""
        name = check_agent_name(name)
        password = check_new_password(password, name=name)
        self._agents.add_agent(name, password_hash=self._passwords.hash(password), at=utc_now())
        return name

    def list(self) -> tuple[Agent, ...]:
        """All agents by name."""
        return self._agents.list_agents(at=utc_now(), idle=self._idle)

    def set_password(self, name: str, password: str) -> bool:
        """Set it and end all sessions; False when there is no such agent."""
        name = check_agent_name(name)
        password = check_new_password(password, name=name)
        return self._agents.set_password(name, password_hash=self._passwords.hash(password))

    def disable(self, name: str) -> bool:
        """End all sessions and take no password any more; False when there is no such agent."""
        return self._agents.set_disabled(check_agent_name(name), at=utc_now())

    def enable(self, name: str) -> bool:
        """Take the password again; False when there is no such agent."""
        return self._agents.set_disabled(check_agent_name(name), at=None)

    def sign_out(self, name: str) -> int | None:
        """End all sessions; how many that were, None when there is no such agent."""
        return self._agents.end_sessions_of(check_agent_name(name))


def generate_password() -> str:
    """20 letters and digits in groups of five: 100 random bits."""
    letters = "".join(secrets.choice(GENERATED_LETTERS) for _ in range(20))
    return "-".join(letters[start : start + 5] for start in range(0, 20, 5))


@contextmanager
def agent_commands(settings: Settings, *, makes_database: bool) -> Iterator[AgentCommands | None]:
    """The commands on the database of the settings; None where there is none and none is to be made."""
    if not check_same_database(settings) and not makes_database:
        yield None
        return
    database, _ = open_stores(settings)
    with closing(database):
        yield AgentCommands(database.agents, idle=timedelta(minutes=settings.agent_idle_minutes))


def prepare_trial(settings: Settings, *, offer: bool) -> str | None:
    """At a start: the link by which somebody on this machine can try the console, once, where it is to be offered.

    None when there is an agent, or when the service can be reached from elsewhere. What an earlier start offered ends
    in any case. Raises as `app_data.sweep`.
    """
    database, _ = open_stores(settings)
    with closing(database):
        key = new_token()
        until = utc_now() + timedelta(minutes=TRIAL_MINUTES)
        if offer and _is_trial_possible(settings) and database.agents.offer_trial(token_id(key), until=until):
            return f"{settings.bind.url}/agent/try?key={key}"
        database.agents.end_trial()
        return None


def _is_trial_possible(settings: Settings) -> bool:
    # WEBCHAT_BIND takes loopback addresses only, and a public URL means that a proxy lets others in.
    return settings.public_url is None


def _rules(settings: Settings) -> SessionRules:
    return SessionRules(idle_seconds=settings.agent_idle_minutes * 60, most_seconds=settings.agent_session_hours * 3600)
