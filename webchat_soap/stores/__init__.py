"""Durable chats and messages: `open_chat_store(url)` gives the port's implementation for a URL."""

from webchat_soap.stores.database import UnusableDatabaseError
from webchat_soap.stores.open import open_chat_store, sqlite_url

__all__ = ["UnusableDatabaseError", "open_chat_store", "sqlite_url"]
