"""Stock Spyne: `WsgiApplication`, `Soap11(validator="lxml")`, with a SendMessage that does nothing or commits.

Run under Granian's own WSGI mode: `granian --interface wsgi --factory benchmarks.peers.stock_spyne:make_no_op`.
"""

from __future__ import annotations

import webchat_soap.soap  # noqa: F401  (before Spyne: from Python 3.12 on it cannot be imported otherwise)

# isort: split

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from spyne import Application, Boolean, ComplexModel, DateTime, Long, ServiceBase, Unicode, rpc
from spyne.protocol.soap import Soap11
from spyne.server.wsgi import WsgiApplication

MESSAGE_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
SENT_AT = datetime(2026, 1, 1, tzinfo=UTC)
DATABASE = "PEER_DATABASE"
"""The environment variable that names the file of `make_committing`."""


class Receipt(ComplexModel):
    _type_info = [
        ("messageId", Unicode),
        ("CHATID", Unicode),
        ("sequence", Long),
        ("sentAt", DateTime),
        ("duplicate", Boolean),
    ]


def make_no_op() -> Callable[..., Any]:
    """An operation of our SendMessage's signature that returns a ready receipt."""
    receipt = Receipt(messageId=MESSAGE_ID, CHATID="12345", sequence=1, sentAt=SENT_AT, duplicate=False)

    class Webchat(ServiceBase):
        @rpc(Unicode, Unicode, Unicode(min_occurs=0), _returns=Receipt)
        def SendMessage(ctx, CHATID, fileDetails, clientToken):
            return receipt

    return _application(Webchat)


def make_committing() -> Callable[..., Any]:
    """The same with what one writes first: a row and a commit per call, as durable as ours (WAL, synchronous FULL)."""
    path = os.environ[DATABASE]
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, chat_id, body, sent_at)")
    connection.close()
    own = threading.local()

    def connection_of_thread() -> sqlite3.Connection:
        if not hasattr(own, "connection"):
            own.connection = sqlite3.connect(path, timeout=30)
            own.connection.execute("PRAGMA synchronous=FULL")
        connection: sqlite3.Connection = own.connection
        return connection

    class Webchat(ServiceBase):
        @rpc(Unicode, Unicode, Unicode(min_occurs=0), _returns=Receipt)
        def SendMessage(ctx, CHATID, fileDetails, clientToken):
            with connection_of_thread() as connection:
                cursor = connection.execute(
                    "INSERT INTO messages (chat_id, body, sent_at) VALUES (?, ?, ?)", (CHATID, fileDetails, time.time())
                )
            return Receipt(
                messageId=MESSAGE_ID, CHATID=CHATID, sequence=cursor.lastrowid, sentAt=SENT_AT, duplicate=False
            )

    return _application(Webchat)


def _application(service: type) -> Callable[..., Any]:
    application: Callable[..., Any] = WsgiApplication(
        Application([service], tns="urn:webchat:v1", in_protocol=Soap11(validator="lxml"), out_protocol=Soap11())
    )
    return application
