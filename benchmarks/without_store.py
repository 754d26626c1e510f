"""`webchat-soap serve` with messages kept nowhere: how processes scale when nothing must wait for a disk.

    python -m benchmarks.without_store serve --bind 127.0.0.1:PORT --data-dir FOLDER --workers N

The server, the URL map, the SOAP face and the use case are the service's own; only the store is the benchmark's.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from webchat_soap import server
from webchat_soap.app import Application, set_up_logging
from webchat_soap.domain.chat import ChatQuota, MessageReceipt, NewMessage
from webchat_soap.domain.outcome import Done
from webchat_soap.files.store import open_file_store
from webchat_soap.service import ChatService, ServiceRules
from webchat_soap.settings import Settings, load_settings
from webchat_soap.soap.endpoint import SoapEndpoint
from webchat_soap.soap.protocol import make_transport

SENT_AT = datetime(2026, 1, 1, tzinfo=UTC)


class NoStore:
    """Takes every message and keeps none."""

    def append(self, message: NewMessage, **limits: Any) -> Done[MessageReceipt]:
        receipt = MessageReceipt(message_id=message.message_id, chat_id=message.chat_id, sequence=1, sent_at=SENT_AT)
        return Done(receipt)

    def ping(self) -> None:
        pass

    def wake_all(self) -> None:
        pass

    def close(self) -> None:
        pass


def create_app(settings: Settings) -> Application:
    """The application as `webchat_soap.app.create_app` puts it together, over `NoStore`."""
    set_up_logging(settings.log)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    chats: Any = NoStore()
    transport = make_transport(make_service(chats, settings), max_text_length=settings.max_text)
    endpoint = SoapEndpoint(
        transport=transport,
        max_request_bytes=settings.max_request_bytes,
        call_seconds=45,
        soap12_sender_status=settings.soap12_sender_status,
    )
    files = open_file_store(settings.files_url, folder=settings.data_dir / "files")
    nobody: Any = None  # no agent comes here
    return Application(
        settings=settings, chats=chats, files=files, endpoint=endpoint, transport=transport, agent_pages=nobody
    )


def make_service(chats: Any, settings: Settings) -> ChatService:
    """The use cases over a store, for texts only."""
    rules = ServiceRules(
        open_unknown_chats=True,
        max_text_length=settings.max_text,
        quota=ChatQuota(max_files=settings.max_files_per_chat, max_bytes=settings.max_bytes_per_chat),
        max_waiting=1,
    )
    nothing: Any = None
    return ChatService(chats=chats, files=nothing, intake=nothing, rules=rules)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--bind", required=True)
    parser.add_argument("--data-dir", required=True, type=Path)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    settings = load_settings(
        environ={"WEBCHAT_BIND": arguments.bind, "WEBCHAT_DATA_DIR": str(arguments.data_dir)}, toml_path=None
    )
    set_up_logging(settings.log)
    return server.serve(
        server.ServeOptions(
            host=settings.bind.host,
            port=settings.bind.port,
            workers=arguments.workers,
            data_dir=settings.data_dir,
            application_factory="benchmarks.without_store:create_app",
            settings=settings,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
