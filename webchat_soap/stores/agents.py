"""AgentStore over the tables beside the chats: changes by the group writer, reads by the readers' connections."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar
from uuid import uuid4

from webchat_soap.domain.agents import Agent, AgentSecret, NewSession, SessionRow, Turnstile, agent_name_key
from webchat_soap.domain.errors import Conflict, WebchatError
from webchat_soap.domain.outcome import Outcome
from webchat_soap.stores.rows import to_milliseconds, to_moment
from webchat_soap.stores.transaction import Transaction

T = TypeVar("T")

MAX_BROWSERS: Final = 50
"""An agent's known browsers, the newest; a browser that forgets its cookies is a new one each time."""

_NO_PASSWORD: Final = "!"  # noqa: S105 - what no hash looks like

_INSERT_AGENT = """
    INSERT INTO agents (agent_id, name, name_key, password_hash, made_at, is_trial) VALUES (?, ?, ?, ?, ?, ?)
"""
_INSERT_SESSION = """
    INSERT INTO agent_sessions (session_id, agent_id, made_at, last_seen_at, expires_at) VALUES (?, ?, ?, ?, ?)
"""
_SELECT_SESSION = """
    SELECT s.session_id, s.agent_id, a.name, s.last_seen_at, s.expires_at, a.is_trial
    FROM agent_sessions AS s JOIN agents AS a USING (agent_id) WHERE s.session_id = ?
"""
_SELECT_AGENTS = """
    SELECT a.agent_id, a.name, a.made_at, a.disabled_at, max(s.last_seen_at), count(s.session_id)
    FROM agents AS a LEFT JOIN agent_sessions AS s
      ON s.agent_id = a.agent_id AND s.expires_at > ? AND s.last_seen_at > ?
    WHERE a.is_trial = 0 GROUP BY a.agent_id ORDER BY a.name_key
"""
_SELECT_ANY_AGENT = "SELECT 1 FROM agents WHERE is_trial = 0 LIMIT 1"
_SELECT_SECRET = "SELECT agent_id, password_hash, disabled_at FROM agents WHERE name_key = ? AND is_trial = 0"  # noqa: S105
_SELECT_ID = "SELECT agent_id FROM agents WHERE name_key = ? AND is_trial = 0"
_UPDATE_PACE = """
    INSERT INTO sign_in_pace (turnstile, even_at) VALUES (?, ?)
    ON CONFLICT (turnstile) DO UPDATE SET even_at = excluded.even_at
"""
_KNOW_BROWSER = """
    INSERT INTO agent_browsers (browser_id, agent_id, known_at) VALUES (?, ?, ?)
    ON CONFLICT (browser_id, agent_id) DO UPDATE SET known_at = excluded.known_at
"""
_FORGET_BROWSERS = """
    DELETE FROM agent_browsers WHERE agent_id = ?1 AND browser_id NOT IN
      (SELECT browser_id FROM agent_browsers WHERE agent_id = ?1 ORDER BY known_at DESC LIMIT ?2)
"""


class _Begin(Protocol):
    """As GroupWriter.begin."""

    def __call__(self, command: Callable[[Transaction], T], /) -> Outcome[T]: ...


class _Read(Protocol):
    """As SqliteChatStore's own reading."""

    def __call__(self, work: Callable[[sqlite3.Cursor], T], /) -> T: ...


class SqliteAgentStore:
    """AgentStore. Opened and closed together with the chats' store that it belongs to."""

    def __init__(self, *, begin: _Begin, read: _Read) -> None:
        self._begin = begin
        self._read = read

    # -- agents

    def add_agent(self, name: str, *, password_hash: str, at: datetime) -> Agent:
        key, agent_id = agent_name_key(name), uuid4().hex

        def add(transaction: Transaction) -> Agent:
            if transaction.run(_SELECT_ID, key):
                raise Conflict(f"There is an agent {name!r} already; take another name.", field="name")
            _end_trial(transaction)
            transaction.run(_INSERT_AGENT, agent_id, name, key, password_hash, to_milliseconds(at), 0)
            return Agent(agent_id=agent_id, name=name, made_at=at)

        return self._begin(add).result()

    def list_agents(self, *, at: datetime, idle: timedelta) -> tuple[Agent, ...]:
        rows = self._read(
            lambda cursor: cursor.execute(_SELECT_AGENTS, (to_milliseconds(at), to_milliseconds(at - idle))).fetchall()
        )
        return tuple(
            Agent(
                agent_id=agent_id,
                name=name,
                made_at=to_moment(made_at),
                disabled_at=None if disabled_at is None else to_moment(disabled_at),
                last_seen_at=None if last_seen_at is None else to_moment(last_seen_at),
                sessions=sessions,
            )
            for agent_id, name, made_at, disabled_at, last_seen_at, sessions in rows
        )

    def has_agents(self) -> bool:
        return self._read(lambda cursor: cursor.execute(_SELECT_ANY_AGENT).fetchone()) is not None

    def set_password(self, name: str, *, password_hash: str) -> bool:
        def replace(transaction: Transaction, agent_id: str) -> bool:
            transaction.run("UPDATE agents SET password_hash = ? WHERE agent_id = ?", password_hash, agent_id)
            _end_sessions(transaction, agent_id)
            transaction.run("DELETE FROM agent_browsers WHERE agent_id = ?", agent_id)
            return True

        return self._change(name, replace) is not None

    def set_disabled(self, name: str, *, at: datetime | None) -> bool:
        def disable(transaction: Transaction, agent_id: str) -> bool:
            since = None if at is None else to_milliseconds(at)
            transaction.run("UPDATE agents SET disabled_at = ? WHERE agent_id = ?", since, agent_id)
            if since is not None:
                _end_sessions(transaction, agent_id)
            return True

        return self._change(name, disable) is not None

    def end_sessions_of(self, name: str) -> int | None:
        return self._change(name, _end_sessions)

    def find_secret(self, name_key: str) -> AgentSecret | None:
        row = self._read(lambda cursor: cursor.execute(_SELECT_SECRET, (name_key,)).fetchone())
        if row is None:
            return None
        return AgentSecret(agent_id=row[0], password_hash=row[1], is_disabled=row[2] is not None)

    # -- signing in

    def count_attempt(self, turnstiles: Iterable[Turnstile], *, at: datetime) -> float:
        counted = tuple(turnstiles)
        now = to_milliseconds(at)

        def count(transaction: Transaction) -> float:
            transaction.run("DELETE FROM sign_in_pace WHERE even_at <= ?", now)
            passed: list[tuple[str, int]] = []
            longest = 0.0
            for turnstile in counted:
                step = _step(turnstile)
                most = now + turnstile.pace.at_once * step
                even_at = _even_at(transaction, turnstile) or now
                if even_at > most:  # the clock was set back; kept as it is, it would refuse until that time is back
                    even_at = most
                    transaction.run(_UPDATE_PACE, turnstile.key, even_at)
                longest = max(longest, even_at + step - most)
                passed.append((turnstile.key, even_at + step))
            if longest > 0:
                return longest / 1000
            for row in passed:
                transaction.run(_UPDATE_PACE, *row)
            return 0.0

        return self._begin(count).result()

    def knows_browser(self, browser_id: str, *, agent_id: str) -> bool:
        found = self._read(
            lambda cursor: cursor.execute(
                "SELECT 1 FROM agent_browsers WHERE browser_id = ? AND agent_id = ?", (browser_id, agent_id)
            ).fetchone()
        )
        return found is not None

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
        turnstiles = tuple(forgiven)
        now = to_milliseconds(session.made_at)

        def make(transaction: Transaction) -> bool:
            found = transaction.run("SELECT password_hash, disabled_at FROM agents WHERE agent_id = ?", agent_id)
            if not found or found[0][0] != verified_hash or found[0][1] is not None:
                return False
            transaction.run("DELETE FROM agent_sessions WHERE expires_at <= ? OR session_id = ?", now, replaced)
            _insert_session(transaction, session, agent_id)
            if new_hash is not None:
                transaction.run("UPDATE agents SET password_hash = ? WHERE agent_id = ?", new_hash, agent_id)
            transaction.run(_KNOW_BROWSER, browser_id, agent_id, now)
            transaction.run(_FORGET_BROWSERS, agent_id, MAX_BROWSERS)
            for turnstile in turnstiles:
                even_at = _even_at(transaction, turnstile)
                if even_at is not None:
                    transaction.run(_UPDATE_PACE, turnstile.key, even_at - _step(turnstile))
            return True

        return self._begin(make).result()

    # -- sessions

    def find_session(self, session_id: str) -> SessionRow | None:
        row = self._read(lambda cursor: cursor.execute(_SELECT_SESSION, (session_id,)).fetchone())
        if row is None:
            return None
        return SessionRow(
            session_id=row[0],
            agent_id=row[1],
            agent_name=row[2],
            last_seen_at=to_moment(row[3]),
            expires_at=to_moment(row[4]),
            is_trial=bool(row[5]),
        )

    def see_session(self, session_id: str, *, at: datetime, unless_since: datetime) -> None:
        statement = "UPDATE agent_sessions SET last_seen_at = ? WHERE session_id = ? AND last_seen_at < ?"
        with contextlib.suppress(WebchatError):
            self._begin(
                lambda transaction: transaction.run(
                    statement, to_milliseconds(at), session_id, to_milliseconds(unless_since)
                )
            )

    def end_session(self, session_id: str) -> None:
        self._begin(
            lambda transaction: transaction.run("DELETE FROM agent_sessions WHERE session_id = ?", session_id)
        ).result()

    def end_sessions(self, agent_id: str) -> None:
        self._begin(lambda transaction: _end_sessions(transaction, agent_id)).result()

    # -- the trial

    def offer_trial(self, key_id: str, *, until: datetime) -> bool:
        def offer(transaction: Transaction) -> bool:
            _end_trial(transaction)
            if transaction.run(_SELECT_ANY_AGENT):
                return False
            transaction.run("INSERT INTO agent_trials (key_id, until) VALUES (?, ?)", key_id, to_milliseconds(until))
            return True

        return self._begin(offer).result()

    def has_trial(self, key_id: str, *, at: datetime) -> bool:
        asked = (key_id, to_milliseconds(at))
        found = self._read(
            lambda cursor: cursor.execute("SELECT 1 FROM agent_trials WHERE key_id = ? AND until > ?", asked).fetchone()
        )
        return found is not None

    def take_trial(self, key_id: str, session: NewSession, *, name: str, agent_id: str) -> bool:
        now = to_milliseconds(session.made_at)

        def take(transaction: Transaction) -> bool:
            taken = transaction.run(
                "DELETE FROM agent_trials WHERE key_id = ? AND until > ? RETURNING key_id", key_id, now
            )
            if not taken or transaction.run(_SELECT_ANY_AGENT):
                return False
            _end_trial(transaction)
            transaction.run(_INSERT_AGENT, agent_id, name, agent_name_key(name), _NO_PASSWORD, now, 1)
            _insert_session(transaction, session, agent_id)
            return True

        return self._begin(take).result()

    def end_trial(self) -> None:
        found = self._read(
            lambda cursor: cursor.execute(
                "SELECT 1 FROM agent_trials UNION ALL SELECT 1 FROM agents WHERE is_trial = 1"
            ).fetchone()
        )
        if found is not None:
            self._begin(_end_trial).result()

    def _change(self, name: str, change: Callable[[Transaction, str], T]) -> T | None:
        key = agent_name_key(name)

        def find_and_change(transaction: Transaction) -> T | None:
            found = transaction.run(_SELECT_ID, key)
            return change(transaction, found[0][0]) if found else None

        return self._begin(find_and_change).result()


def _insert_session(transaction: Transaction, session: NewSession, agent_id: str) -> None:
    made_at, expires_at = to_milliseconds(session.made_at), to_milliseconds(session.expires_at)
    transaction.run(_INSERT_SESSION, session.session_id, agent_id, made_at, made_at, expires_at)


def _end_sessions(transaction: Transaction, agent_id: str) -> int:
    return len(transaction.run("DELETE FROM agent_sessions WHERE agent_id = ? RETURNING session_id", agent_id))


def _end_trial(transaction: Transaction) -> None:
    transaction.run("DELETE FROM agent_trials")
    transaction.run("DELETE FROM agent_sessions WHERE agent_id IN (SELECT agent_id FROM agents WHERE is_trial = 1)")
    transaction.run("DELETE FROM agents WHERE is_trial = 1")


def _step(turnstile: Turnstile) -> int:
    return round(turnstile.pace.seconds * 1000)


def _even_at(transaction: Transaction, turnstile: Turnstile) -> int | None:
    found = transaction.run("SELECT even_at FROM sign_in_pace WHERE turnstile = ?", turnstile.key)
    return int(found[0][0]) if found else None
