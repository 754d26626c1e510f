"""Durable chats and messages: `open_chat_store(url)` gives the port's implementation for a URL."""

from webchat_soap.stores.database import UnusableDatabaseError
from webchat_soap.stores.inspection import SqliteInspection
from webchat_soap.stores.open import open_chat_store, open_inspection, sqlite_url
from webchat_soap.stores.reasons import operators_reason

__all__ = [
    "SqliteInspection",
    "UnusableDatabaseError",
    "open_chat_store",
    "open_inspection",
    "operators_reason",
    "sqlite_url",
]
