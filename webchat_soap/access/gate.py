"""Signing in and out, and whose session a token is: domain.agent_ports.AgentAccess."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Final
from uuid import uuid4

from webchat_soap.access.passwords import Passwords
from webchat_soap.access.tokens import csrf_token_of, new_token, token_id, turnstile_key
from webchat_soap.domain.agent_ports import AgentStore
from webchat_soap.domain.agents import (
    MAX_AGENT_NAME,
    MAX_PASSWORD,
    TRIAL_NAME,
    AgentSession,
    NewSession,
    Pace,
    SessionRow,
    SignedIn,
    Turnstile,
    agent_name_key,
    normal_password,
)
from webchat_soap.domain.errors import TooManyRequests, Unauthorized

NAME_PACE: Final = Pace(at_once=5, seconds=60.0)
"""Wrong passwords for one name, by whomever: some 1,400 a day, where a good password has 10^18."""
BROWSER_PACE: Final = Pace(at_once=5, seconds=60.0)
"""The same from a browser that the agent uses. It has a count of its own, so that nobody who tries passwords for a name
keeps its owner out (OWASP calls this device cookies)."""
ADDRESS_PACE: Final = Pace(at_once=50, seconds=5.0)
"""Wrong passwords from one address for any names: behind a proxy all agents have the same."""

TRIAL_MINUTES: Final = 15
SEEN_SECONDS: Final = 60.0
"""That a session was used is written at most so often, or four times within the idle time where that is short."""

_MAX_TOKEN: Final = 200


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRules:
    """How long a session holds: `idle_seconds` without a request, `most_seconds` in all."""

    idle_seconds: float
    most_seconds: float


class AgentGate:
    """AgentAccess over a store. Used by many threads at once."""

    def __init__(
        self,
        *,
        agents: AgentStore,
        passwords: Passwords,
        rules: SessionRules,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._agents = agents
        self._passwords = passwords
        self._idle = timedelta(seconds=rules.idle_seconds)
        self._most = timedelta(seconds=rules.most_seconds)
        self._seen = timedelta(seconds=min(SEEN_SECONDS, rules.idle_seconds / 4))
        self._clock = clock

    def sign_in(
        self, *, name: str, password: str, address: str, known_browser: str | None, replaced_token: str | None
    ) -> SignedIn:
        """AgentAccess.sign_in."""
        if len(password) > MAX_PASSWORD or len(name) > 4 * MAX_AGENT_NAME:
            raise _wrong()
        name_key = agent_name_key(name)
        # The place first: who is told to come again has used up nothing.
        with self._passwords.room():
            secret = self._agents.find_secret(name_key)
            agent_id = "" if secret is None else secret.agent_id
            browser = self._known(known_browser, agent_id)
            turnstiles = _turnstiles(name_key, address, browser)
            wait_seconds = self._agents.count_attempt(turnstiles, at=self._clock())
            if wait_seconds > 0:
                raise _too_many(wait_seconds)
            password = normal_password(password)
            verified_hash = None if secret is None or secret.is_disabled else secret.password_hash
            if not self._passwords.matches(verified_hash, password) or verified_hash is None:
                raise _wrong()
            new_hash = self._passwords.hash(password) if self._passwords.is_outdated(verified_hash) else None
        token = new_token()
        session = self._new_session(token)
        # One that is not known yet gets a new token, so that nobody can have planted it there.
        browser = browser or new_token()
        made = self._agents.sign_in(
            agent_id,
            session,
            verified_hash=verified_hash,
            new_hash=new_hash,
            replaced=None if replaced_token is None else token_id(replaced_token),
            browser_id=token_id(browser),
            forgiven=turnstiles,
        )
        found = self._agents.find_session(session.session_id) if made else None
        if found is None:  # disabled, or another password, since it was looked at
            raise _wrong()
        return SignedIn(token=token, session=_proved(found, token), known_browser=browser)

    def find(self, token: str, *, is_activity: bool) -> AgentSession | None:
        """AgentAccess.find."""
        if len(token) > _MAX_TOKEN:
            return None
        row = self._holding(token_id(token))
        if row is None:
            return None
        now = self._clock()
        if is_activity and now - row.last_seen_at >= self._seen:
            self._agents.see_session(row.session_id, at=now, unless_since=now - self._seen / 2)
        return _proved(row, token)

    def is_current(self, session: AgentSession) -> bool:
        """AgentAccess.is_current."""
        return self._holding(session.session_id) is not None

    def sign_out(self, session: AgentSession) -> None:
        """AgentAccess.sign_out."""
        self._agents.end_session(session.session_id)

    def sign_out_everywhere(self, session: AgentSession) -> None:
        """AgentAccess.sign_out_everywhere."""
        self._agents.end_sessions(session.agent_id)

    def has_trial(self, key: str) -> bool:
        """AgentAccess.has_trial."""
        return len(key) <= _MAX_TOKEN and self._agents.has_trial(token_id(key), at=self._clock())

    def take_trial(self, key: str) -> SignedIn | None:
        """AgentAccess.take_trial."""
        if len(key) > _MAX_TOKEN:
            return None
        token = new_token()
        session = self._new_session(token)
        if not self._agents.take_trial(token_id(key), session, name=TRIAL_NAME, agent_id=uuid4().hex):
            return None
        row = self._agents.find_session(session.session_id)
        return None if row is None else SignedIn(token=token, session=_proved(row, token), known_browser=None)

    def _new_session(self, token: str) -> NewSession:
        now = self._clock()
        return NewSession(session_id=token_id(token), made_at=now, expires_at=now + self._most)

    def _holding(self, session_id: str) -> SessionRow | None:
        row = self._agents.find_session(session_id)
        now = self._clock()
        if row is None or now >= row.expires_at or now - row.last_seen_at >= self._idle:
            return None
        return row

    def _known(self, browser: str | None, agent_id: str) -> str | None:
        """The browser's token, where the agent has signed in from it before."""
        if browser is None or len(browser) > _MAX_TOKEN:
            return None
        return browser if self._agents.knows_browser(token_id(browser), agent_id=agent_id) else None


def _turnstiles(name_key: str, address: str, browser: str | None) -> tuple[Turnstile, ...]:
    if browser is not None:
        return (Turnstile(key=turnstile_key("browser", f"{browser}\n{name_key}"), pace=BROWSER_PACE),)
    return (
        Turnstile(key=turnstile_key("name", name_key), pace=NAME_PACE),
        Turnstile(key=turnstile_key("address", _network_of(address)), pace=ADDRESS_PACE),
    )


def _proved(row: SessionRow, token: str) -> AgentSession:
    return AgentSession(
        session_id=row.session_id,
        agent_id=row.agent_id,
        agent_name=row.agent_name,
        csrf_token=csrf_token_of(token),
        expires_at=row.expires_at,
        is_trial=row.is_trial,
    )


def _network_of(address: str) -> str:
    """What one household or server gets: an IPv4 address, 64 bits of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def _wrong() -> Unauthorized:
    return Unauthorized("The name or the password is wrong; try again, or ask your operator for a new password.")


def _too_many(wait_seconds: float) -> TooManyRequests:
    seconds = max(1, ceil(wait_seconds))
    return TooManyRequests(
        f"There were too many wrong passwords; try again in {seconds} seconds.", retry_after_seconds=seconds
    )
