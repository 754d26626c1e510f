"""The tables as the code uses them, and the numbered steps that bring a database there.

The tables (Core metadata) describe the newest shape and are what statements are made from; a step, once released, is
never changed: a new shape is a new step. A test compares the two.

Why these keys. Appending and reading a page must cost the same with five million messages, so the tables hold no index
over anything random that a message would have to touch: messages are clustered by (chat_key, sequence), a page is a
run of neighbours, and nobody looks a message up by its messageId. Counters and the last sequence stand in the chat's
row: one update gives the next sequence, keeps sentAt from running backwards and counts files and bytes.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()

SCHEMA_VERSION = Table("schema_version", METADATA, Column("version", Integer, nullable=False))

IDENTITY = Table("identity", METADATA, Column("store_id", Text, nullable=False))
"""One row, made with the table and never changed: 32 hex digits that tell this database and its copies from others."""

CHATS = Table(
    "chats",
    METADATA,
    Column("chat_key", Integer, primary_key=True),
    Column("chat_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("customer_name", Text),
    Column("agent_name", Text),
    Column("started_at", Integer, nullable=False),
    Column("ended_at", Integer),
    Column("ended_by", Text),
    Column("account", Text),
    Column("last_sequence", Integer, nullable=False),
    Column("last_sent_at", Integer, nullable=False),
    Column("file_count", Integer, nullable=False),
    Column("file_bytes", Integer, nullable=False),
    Column("unread_count", Integer, nullable=False),
    Column("read_sequence", Integer, nullable=False),
    UniqueConstraint("chat_id"),
)
"""Times here and below are milliseconds since 1970 in UTC. `account` opened the chat, `agent_name` answered last.
`read_sequence` is how far the agents have read, for all of them together, and `unread_count` counts the customer's
messages beyond it."""

MESSAGES = Table(
    "messages",
    METADATA,
    Column("chat_key", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("account", Text),
    Column("sent_at", Integer, nullable=False),
    Column("text", Text),
    Column("file_count", Integer, nullable=False),
    Column("agent_name", Text),
    Column("client_token", Text),
    PrimaryKeyConstraint("chat_key", "sequence"),
    ForeignKeyConstraint(["chat_key"], ["chats.chat_key"]),
)
"""`client_token` stands in an agent's messages alone, so that the page that sent one knows it again. Which token made a
message is asked of the tokens: that a customer's token stood here too would only make the rows longer."""

FILES = Table(
    "files",
    METADATA,
    Column("chat_key", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("file_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("original_name", Text, nullable=False),
    Column("file_type", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("duration_milliseconds", Integer),
    Column("removed_at", Integer),
    PrimaryKeyConstraint("chat_key", "sequence", "position"),
    UniqueConstraint("name"),
    ForeignKeyConstraint(["chat_key", "sequence"], ["messages.chat_key", "messages.sequence"]),
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("scope", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("chat_key", Integer, nullable=False),
    Column("sequence", Integer),
    PrimaryKeyConstraint("scope", "token"),
    ForeignKeyConstraint(["chat_key"], ["chats.chat_key"]),
)
"""What a clientToken made: a message (with `sequence`) or a chat (without). Kept as long as the chat."""

SWEPT_DAYS = Table(
    "swept_days",
    METADATA,
    Column("day", Text, nullable=False),
    Column("stamp", Text, nullable=False),
    PrimaryKeyConstraint("day"),
)
"""How the last sweep found and left the folder of a day (`YYYYMMDD`) whose files were all in order (domain.sweep)."""

AGENTS = Table(
    "agents",
    METADATA,
    Column("agent_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("made_at", Integer, nullable=False),
    Column("disabled_at", Integer),
    Column("is_trial", Integer, nullable=False),
    PrimaryKeyConstraint("agent_id"),
    UniqueConstraint("name_key"),
)
"""`name_key` is domain.agents.agent_name_key. The trial's agent has no password hash that anything would match."""

AGENT_SESSIONS = Table(
    "agent_sessions",
    METADATA,
    Column("session_id", Text, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("made_at", Integer, nullable=False),
    Column("last_seen_at", Integer, nullable=False),
    Column("expires_at", Integer, nullable=False),
    PrimaryKeyConstraint("session_id"),
    ForeignKeyConstraint(["agent_id"], ["agents.agent_id"]),
)
"""Those that are over are taken away when somebody signs in. All ids here are SHA-256 of what only a browser holds."""

AGENT_BROWSERS = Table(
    "agent_browsers",
    METADATA,
    Column("browser_id", Text, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("known_at", Integer, nullable=False),
    PrimaryKeyConstraint("browser_id", "agent_id"),
    ForeignKeyConstraint(["agent_id"], ["agents.agent_id"]),
)

AGENT_TRIALS = Table(
    "agent_trials",
    METADATA,
    Column("key_id", Text, nullable=False),
    Column("until", Integer, nullable=False),
    PrimaryKeyConstraint("key_id"),
)

SIGN_IN_PACE = Table(
    "sign_in_pace",
    METADATA,
    Column("turnstile", Text, nullable=False),
    Column("even_at", Integer, nullable=False),
    PrimaryKeyConstraint("turnstile"),
)
"""Until when attempts to sign in have used up what may come at once; rows of the past are taken away."""

_CREATE = (
    """CREATE TABLE chats (
        chat_key INTEGER PRIMARY KEY,
        chat_id TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL CHECK (status IN ('OPEN', 'ENDED')),
        customer_name TEXT,
        agent_name TEXT,
        started_at INTEGER NOT NULL,
        ended_at INTEGER,
        ended_by TEXT,
        account TEXT,
        last_sequence INTEGER NOT NULL,
        last_sent_at INTEGER NOT NULL,
        file_count INTEGER NOT NULL,
        file_bytes INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE messages (
        chat_key INTEGER NOT NULL REFERENCES chats (chat_key),
        sequence INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        sender TEXT NOT NULL,
        account TEXT,
        sent_at INTEGER NOT NULL,
        text TEXT,
        file_count INTEGER NOT NULL,
        PRIMARY KEY (chat_key, sequence)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE files (
        chat_key INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        position INTEGER NOT NULL,
        file_id TEXT NOT NULL,
        name TEXT NOT NULL UNIQUE,
        original_name TEXT NOT NULL,
        file_type TEXT NOT NULL,
        content_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        width INTEGER,
        height INTEGER,
        duration_milliseconds INTEGER,
        removed_at INTEGER,
        PRIMARY KEY (chat_key, sequence, position),
        FOREIGN KEY (chat_key, sequence) REFERENCES messages (chat_key, sequence)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE tokens (
        scope TEXT NOT NULL,
        token TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        chat_key INTEGER NOT NULL REFERENCES chats (chat_key),
        sequence INTEGER,
        PRIMARY KEY (scope, token)
    ) STRICT, WITHOUT ROWID""",
)

_IDENTIFY = (
    "CREATE TABLE identity (store_id TEXT NOT NULL) STRICT",
    "INSERT INTO identity VALUES (lower(hex(randomblob(16))))",
)

_REMEMBER_SWEEPS = (
    """CREATE TABLE swept_days (
        day TEXT NOT NULL,
        stamp TEXT NOT NULL,
        PRIMARY KEY (day)
    ) STRICT, WITHOUT ROWID""",
    # So that a day's names come from an index alone: a look at each row for its removed_at takes eight times as long.
    "CREATE INDEX removed_files ON files (name) WHERE removed_at IS NOT NULL",
)

_AGENTS_AND_SESSIONS = (
    """CREATE TABLE agents (
        agent_id TEXT NOT NULL,
        name TEXT NOT NULL,
        name_key TEXT NOT NULL UNIQUE,
        password_hash TEXT NOT NULL,
        made_at INTEGER NOT NULL,
        disabled_at INTEGER,
        is_trial INTEGER NOT NULL,
        PRIMARY KEY (agent_id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE agent_sessions (
        session_id TEXT NOT NULL,
        agent_id TEXT NOT NULL REFERENCES agents (agent_id),
        made_at INTEGER NOT NULL,
        last_seen_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (session_id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE agent_browsers (
        browser_id TEXT NOT NULL,
        agent_id TEXT NOT NULL REFERENCES agents (agent_id),
        known_at INTEGER NOT NULL,
        PRIMARY KEY (browser_id, agent_id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE agent_trials (
        key_id TEXT NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (key_id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE sign_in_pace (
        turnstile TEXT NOT NULL,
        even_at INTEGER NOT NULL,
        PRIMARY KEY (turnstile)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX sessions_of_agents ON agent_sessions (agent_id)",
    "CREATE INDEX browsers_of_agents ON agent_browsers (agent_id)",
    "CREATE INDEX even_turnstiles ON sign_in_pace (even_at)",
)

_CONSOLE = (
    "ALTER TABLE chats ADD COLUMN unread_count INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE chats ADD COLUMN read_sequence INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE messages ADD COLUMN agent_name TEXT",
    "ALTER TABLE messages ADD COLUMN client_token TEXT",
    # Neither holds anything that a message changes, so that an append touches no index but the messages' own. That of
    # the open chats is for finding them among millions of ended ones; they are sorted when they are asked for.
    "CREATE INDEX open_chats ON chats (status) WHERE status = 'OPEN'",
    "CREATE INDEX ended_chats ON chats (ended_at) WHERE status = 'ENDED'",
    # Nobody has read what came before there was a console; in ended chats nobody will. 1 µs for each message.
    """UPDATE chats SET unread_count = (
        SELECT count(*) FROM messages AS m WHERE m.chat_key = chats.chat_key AND m.sender = 'CUSTOMER'
    ) WHERE status = 'OPEN'""",
    "UPDATE chats SET read_sequence = last_sequence WHERE status = 'ENDED'",
)

SQLITE_STEPS: tuple[tuple[str, ...], ...] = (_CREATE, _IDENTIFY, _REMEMBER_SWEEPS, _AGENTS_AND_SESSIONS, _CONSOLE)
"""Step n (from 1) leads from version n - 1 to version n, in one transaction."""

NEWEST_VERSION = len(SQLITE_STEPS)
