"""What signing in needs from the outside, and what the console asks of it, as Protocols."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol

from webchat_soap.domain.agents import Agent, AgentSecret, AgentSession, NewSession, SessionRow, SignedIn, Turnstile


class AgentStore(Protocol):
    """Agents, their sessions, and attempts to sign in, durable and shared by all processes on the database.

    Every method may be called from many threads at once, returns when what it changed is durable, and is one step for
    all who look: nobody sees half of it. Times are given by the caller, aware and in UTC. Names are given as
    `agents.check_agent_name` made them, and found by `agents.agent_name_key`. Errors: Busy, and as told below.
    """

    def add_agent(self, name: str, *, password_hash: str, at: datetime) -> Agent:
        """A new agent. The trial ends: its link and its sessions. Conflict when the name is taken."""

    def list_agents(self, *, at: datetime, idle: timedelta) -> tuple[Agent, ...]:
        """All agents by name, without the trial's. A session that was idle for longer is over and not counted."""

    def has_agents(self) -> bool:
        """Whether there is any agent, disabled ones too, the trial's not."""

    def set_password(self, name: str, *, password_hash: str) -> bool:
        """Replace it and end the agent's sessions, known browsers too. False when there is no such agent."""

    def set_disabled(self, name: str, *, at: datetime | None) -> bool:
        """Disable (`at`) and end the sessions, or enable (None). False when there is no such agent."""

    def end_sessions_of(self, name: str) -> int | None:
        """End all of the agent's sessions; how many that were, None when there is no such agent."""

    def find_secret(self, name_key: str) -> AgentSecret | None:
        """What signing in needs, by `agents.agent_name_key`."""

    def count_attempt(self, turnstiles: Iterable[Turnstile], *, at: datetime) -> float:
        """0.0 when an attempt may be made now; it then counts at all turnstiles. Else the seconds until one may, and
        nothing is counted."""

    def knows_browser(self, browser_id: str, *, agent_id: str) -> bool:
        """Whether the agent has signed in from this browser before (see `sign_in`)."""

    def sign_in(
        self,
        agent_id: str,
        session: NewSession,
        *,
        verified_hash: str,
        new_hash: str | None,
        replaced: str | None,
        browser_id: str,
        forgiven: Iterable[Turnstile],
    ) -> bool:
        """Make a session, after the password was found right; False, and nothing is done, when the agent is disabled by
        now or has another hash than `verified_hash`.

        `new_hash` takes its place where given. The session `replaced` ends. The browser is known from now on. The
        attempt does not count at the turnstiles `forgiven`.
        """

    def find_session(self, session_id: str) -> SessionRow | None:
        """One indexed read. Sessions that are over may still be found: who asks compares the times."""

    def see_session(self, session_id: str, *, at: datetime, unless_since: datetime) -> None:
        """It was used; written unless that was known since then already. Returns at once, before it is written, and
        leaves it out where that cannot be."""

    def end_session(self, session_id: str) -> None:
        """End it, if there is one."""

    def end_sessions(self, agent_id: str) -> None:
        """End all of the agent's sessions."""

    def offer_trial(self, key_id: str, *, until: datetime) -> bool:
        """Let the holder of the key make a trial session, once; earlier offers and trial sessions end.

        False when there is an agent.
        """

    def has_trial(self, key_id: str, *, at: datetime) -> bool:
        """Whether `take_trial` would give a session now."""

    def take_trial(self, key_id: str, session: NewSession, *, name: str, agent_id: str) -> bool:
        """Use the offer up and make the session; `name` and `agent_id` are for the trial's agent. False when there is
        no such offer (any more)."""

    def end_trial(self) -> None:
        """Take back offers, and end trial sessions."""


class AgentAccess(Protocol):
    """Who may use the console. What web asks of access. Every method may raise Busy."""

    def sign_in(
        self, *, name: str, password: str, address: str, known_browser: str | None, replaced_token: str | None
    ) -> SignedIn:
        """A new session for who knows the password; the browser's old one (`replaced_token`) ends.

        Unauthorized, the same whether the name or the password is wrong; TooManyRequests with retryAfterSeconds.
        `address` is the client's IP address; `known_browser` and `replaced_token` are what the browser's cookies say.
        """

    def find(self, token: str, *, is_activity: bool) -> AgentSession | None:
        """The session of the token, None when it is over or never was. `is_activity` keeps it from becoming idle."""

    def is_current(self, session: AgentSession) -> bool:
        """Whether the session still holds: for event streams, which look now and then. No activity."""

    def sign_out(self, session: AgentSession) -> None:
        """End the session."""

    def sign_out_everywhere(self, session: AgentSession) -> None:
        """End all of the agent's sessions."""

    def has_trial(self, key: str) -> bool:
        """Whether `take_trial` would give a session for this key now."""

    def take_trial(self, key: str) -> SignedIn | None:
        """A trial session, once; None for a key that is wrong or used up, and when there is an agent."""
