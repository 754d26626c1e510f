"""Agents: the people who answer customers in the console, how their names are written, and their sessions.

Contract: section 7. Who signs in gets a session, whose token only the browser holds; what is kept is the token's
SHA-256, so that whoever reads the database, or a copy of it, can take over nobody's session.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from webchat_soap.domain.chat import Sender
from webchat_soap.domain.errors import InvalidRequest

MAX_AGENT_NAME: Final = 100
MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 1000
"""Code points. More is refused before anything is computed from it."""

TRIAL_NAME: Final = "Try"
"""Who the console's trial session says that it is."""

_JOINERS: Final = "\u200c\u200d"
"""Persian and Indic names need them; they tell no two names apart."""
_ONE_LETTER: Final = str.maketrans({"ı": "i", "\u0307": None, "\u200c": None, "\u200d": None})


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """Somebody who may sign in, unless `disabled_at` is set. Times are aware, in UTC."""

    agent_id: str
    """32 hex digits; never given twice."""
    name: str
    """As shown to customers and colleagues."""
    made_at: datetime
    disabled_at: datetime | None = None
    last_seen_at: datetime | None = None
    """Of the sessions that there are still; up to a minute late. None when there are none."""
    sessions: int = 0
    """Signed in on so many browsers, as far as they are not over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentSecret:
    """What signing in needs of an agent."""

    agent_id: str
    password_hash: str
    is_disabled: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRow:
    """A session as it is kept. Times are aware, in UTC."""

    session_id: str
    """The SHA-256 of the token in the cookie, in hex."""
    agent_id: str
    agent_name: str
    last_seen_at: datetime
    expires_at: datetime
    is_trial: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSession:
    """A session to be made."""

    session_id: str
    made_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentSession:
    """Who asks, proved. What the console gets from the door."""

    session_id: str
    """Tells this session from others; of no use to anybody who would sign in with it."""
    agent_id: str
    agent_name: str
    csrf_token: str
    """What each change must carry: the header X-CSRF-Token, or the form's field `csrf`."""
    expires_at: datetime
    """By when it ends whatever is done with it. Aware, in UTC."""
    is_trial: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIn:
    """A session that was just made, with what the browser must keep to come back to it."""

    token: str
    """For the session's cookie. Nobody else is told it."""
    session: AgentSession
    known_browser: str | None
    """For the cookie that tells this browser as one that this agent uses; None for the trial."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How often something may happen: `at_once` times, and then once in `seconds`."""

    at_once: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Turnstile:
    """Where attempts to sign in are counted. `key` says for whom, and tells nobody who reads it whom."""

    key: str
    pace: Pace


def check_agent_name(text: str) -> str:
    """The name as it is kept: NFC, trimmed, one space between words, 1 to 100 code points. InvalidRequest.

    Contract: section 3 (agentName).
    """
    if len(text) > 4 * MAX_AGENT_NAME:
        raise _wrong_name(f"has {len(text):,} characters, but may have at most {MAX_AGENT_NAME}; shorten it.")
    # Only the space: a tab or a line break is a mistake to be told, not one to be mended.
    name = " ".join(part for part in unicodedata.normalize("NFC", text).strip().split(" ") if part)
    for position, character in enumerate(name, 1):
        category = unicodedata.category(character)
        if (category[0] == "C" and character not in _JOINERS) or category in ("Zl", "Zp"):
            raise _wrong_name(
                f"holds the character U+{ord(character):04X} at position {position}, which is invisible or no "
                "letter; take it out."
            )
    if not agent_name_key(name):
        raise _wrong_name("is empty; give it at least one letter.")
    if name in tuple(Sender):  # `endedBy` holds one of these or a name
        raise _wrong_name(f"is {name}, which would say that somebody else did what this agent does; take another one.")
    if len(name) > MAX_AGENT_NAME:
        raise _wrong_name(f"has {len(name)} characters, but may have at most {MAX_AGENT_NAME}; shorten it.")
    return name


def agent_name_key(name: str) -> str:
    """The same for all ways to write a name: case, compatibility forms, and both Turkish pairs of i do not count."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.translate(_ONE_LETTER).split())


def check_new_password(password: str, *, name: str) -> str:
    """The password as it is hashed (NFC), good enough to be set. InvalidRequest; it is in no message."""
    if len(password) > MAX_PASSWORD:
        raise _wrong_password(f"has more than {MAX_PASSWORD:,} characters; shorten it.")
    password = normal_password(password)
    if len(password) < MIN_PASSWORD:
        raise _wrong_password(f"has fewer than {MIN_PASSWORD} characters; take a longer one, such as four words.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise _wrong_password("holds a control character, which a browser's form cannot send; take it out.")
    if len(set(password)) < 4:
        raise _wrong_password("is made of too few different characters; take another one.")
    if agent_name_key(password) == agent_name_key(name):
        raise _wrong_password("is the agent's name; take another one.")
    return password


def normal_password(password: str) -> str:
    """The same for all ways to type it: keyboards and systems write ş and ü in one code point or in two."""
    return unicodedata.normalize("NFC", password)


def _wrong_name(sentence: str) -> InvalidRequest:
    return InvalidRequest(f"The agent's name {sentence}", field="name", limit=MAX_AGENT_NAME)


def _wrong_password(sentence: str) -> InvalidRequest:
    return InvalidRequest(f"The password {sentence}", field="password")
