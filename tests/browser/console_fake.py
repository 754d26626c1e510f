"""A console's server out of nothing but memory, for tests of the page: errors and long chats as a test wants them.

It answers what the page asks as the service does, and keeps what it was told, so that a test can look at it.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jinja2 import Environment, PackageLoader, StrictUndefined
from werkzeug.wrappers import Request, Response

from tests.browser.console_files import FakeFiles, Fault

STATIC = Path(str(files("webchat_soap.web"))) / "static" / "agent"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
MIB = 1024 * 1024
LIMITS = {
    "fileLimit": [
        {"fileType": "IMAGE", "maxSize": MIB, "contentType": ["image/png", "image/jpeg", "image/gif"]},
        {"fileType": "AUDIO", "maxSize": 16 * MIB, "contentType": ["audio/mpeg", "audio/wav"]},
        {"fileType": "VIDEO", "maxSize": 64 * MIB, "contentType": ["video/mp4", "video/webm"]},
        {"fileType": "DOCUMENT", "maxSize": 100 * MIB, "contentType": ["application/pdf", "text/plain", "text/csv"]},
    ],
    "maxTextLength": 4096,
    "maxFilesPerChat": 50,
    "maxBytesPerChat": 500 * MIB,
}


def zulu(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class FakeConsole(FakeFiles):
    """Chats in memory. Set `before` to a function of the request that may raise a Fault or call `cut`."""

    def __init__(self, *, agent: str = "Ayşe Yılmaz", language: str = "en") -> None:
        super().__init__()
        self.agent = agent
        self.language = language
        self.before: Any = lambda request: None
        self.signed_in = True
        self.csrf_token = "csrf-0123456789"
        self.bye: str | None = None  # what the next stream that looks ends with
        self.streams = 0
        self.requests: list[tuple[str, str]] = []
        self.unattended: list[str] = []
        self.hide: str | None = None  # a chat that the list does not have yet
        self.chats: dict[str, dict[str, Any]] = {}
        self.uploads: dict[tuple[str, str], bytearray] = {}
        self.receipts: dict[tuple[str, str], dict[str, Any]] = {}
        self.piece_bytes = 512 * 1024
        self._news = threading.Condition()
        self._changes: list[str] = []
        self._stopped = False
        self._template = Environment(
            loader=PackageLoader("webchat_soap.web", "templates/agent"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        ).get_template("console.html")

    # -- what tests do

    def stop(self) -> None:
        with self._news:
            self._stopped = True
            self._news.notify_all()

    def chat(self, chat_id: str, name: str | None = None, *, started: datetime | None = None) -> dict[str, Any]:
        with self._news:
            chat = self.chats.setdefault(
                chat_id,
                {"CHATID": chat_id, "status": "OPEN", "startedAt": zulu(started or datetime.now(UTC)), "messages": []},
            )
            if name:
                chat["customerName"] = name
            chat.setdefault("read", 0)
        return chat

    def say(
        self,
        chat_id: str,
        text: str | None = None,
        *,
        files: tuple[dict[str, Any], ...] = (),
        agent: str | None = None,
        at: datetime | None = None,
        token: str | None = None,
    ) -> dict[str, Any]:
        """A message, from the customer unless `agent` says who answers."""
        chat = self.chat(chat_id)
        with self._news:
            message: dict[str, Any] = {
                "messageId": f"{chat_id}-{len(chat['messages']) + 1}",
                "sequence": len(chat["messages"]) + 1,
                "sender": "AGENT" if agent else "CUSTOMER",
                "sentAt": zulu(at or datetime.now(UTC)),
                "file": list(files),
            }
            message |= {"agentName": agent} if agent else {}
            message |= {"text": text} if text is not None else {}
            message |= {"clientToken": token} if token else {}
            chat["messages"].append(message)
            self._changes.append(chat_id)
            self._news.notify_all()
        return message

    def fill(self, chat_id: str, count: int) -> None:
        start = datetime.now(UTC) - timedelta(minutes=count)
        messages = self.chat(chat_id, started=start)["messages"]
        for number in range(1, count + 1):
            own = number % 3 == 0
            messages.append(
                {
                    "messageId": f"{chat_id}-{number}",
                    "sequence": number,
                    "sender": "AGENT" if own else "CUSTOMER",
                    "sentAt": zulu(start + timedelta(minutes=number)),
                    "text": f"Message {number} " + "and some more words of it " * (number % 7),
                    "file": [],
                }
                | ({"agentName": self.agent} if own else {})
            )

    def end(self, chat_id: str, by: str) -> None:
        with self._news:
            chat = self.chats[chat_id]
            chat |= {"status": "ENDED", "endedAt": zulu(datetime.now(UTC)), "endedBy": by}
            self._changes.append(chat_id)
            self._news.notify_all()

    def texts(self, chat_id: str) -> list[str]:
        return [message["text"] for message in self.chats[chat_id]["messages"] if "text" in message]

    # -- HTTP

    def app(self, environ, start_response):
        request = Request(environ)
        self.requests.append((request.method, request.full_path.rstrip("?")))
        try:
            self.before(request)
            response = self._respond(request)
        except Fault as fault:
            response = _json({"error": fault.error}, fault.status)
        return response(environ, start_response)

    @staticmethod
    def cut(request: Request) -> None:
        """Break the connection instead of answering."""
        request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError

    def _respond(self, request: Request) -> Response:
        path = request.path
        if path.startswith("/public_files/"):
            return self._public_files.respond(request.environ, path.removeprefix("/public_files/"))
        if path == "/agent/":
            return self._page()
        if path.startswith("/agent/static/"):
            return _static(path.removeprefix("/agent/static/"))
        if path.startswith("/agent/api/"):
            if not self.signed_in:
                raise Fault(401, "Unauthorized", "Sign in again.")
            if request.method != "GET" and request.headers.get("X-CSRF-Token") != self.csrf_token:
                raise Fault(403, "CsrfRefused", "The request does not carry this session's token; reload the page.")
            return self._api(request, [unquote(part) for part in path.removeprefix("/agent/api/").split("/")])
        if path == "/agent/sign-in":
            return Response("<!doctype html><title>Sign in</title>", content_type="text/html")
        return Response(status=404)

    def _page(self) -> Response:
        catalogue = json.loads((STATIC / f"{self.language}.json").read_text())
        html = self._template.render(
            language=self.language,
            catalogue=catalogue,
            agent_name=self.agent,
            csrf_token=self.csrf_token,
            static_url=lambda name: f"static/{name}?v=1",
        )
        response = Response(html, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = POLICY
        return response

    def _api(self, request: Request, path: list[str]) -> Response:
        asked = request.args
        if "X-Unattended" in request.headers:
            self.unattended.append(request.path)
        match request.method, path:
            case "GET", ["session"]:
                return _json(self._session())
            case "GET", ["chats"]:
                return self._list(asked)
            case "GET", ["events"]:
                return Response(
                    self._counted(self._events(asked.get("chat"), int(asked.get("after", 0)))),
                    content_type="text/event-stream",
                )
            case _, ["chats", chat_id, *rest]:
                chat_id = chat_id.removeprefix("~")
                if chat_id not in self.chats:
                    raise Fault(404, "ChatNotFound", "There is no such chat; check the CHATID.")
                return self._chat(request, self.chats[chat_id], rest)
        return Response(status=404)

    def _chat(self, request: Request, chat: dict[str, Any], rest: list[str]) -> Response:
        chat_id = chat["CHATID"]
        match request.method, rest:
            case "GET", []:
                files = [file for message in chat["messages"] for file in message["file"]]
                return _json(
                    {
                        "chat": self._summary(chat),
                        "usage": {"files": len(files), "bytes": sum(f["size"] for f in files)},
                    }
                )
            case "GET", ["messages"]:
                return self._messages(chat, request.args)
            case "POST", ["messages"]:
                told = request.get_json()
                return self._post(chat, told["clientToken"], text=told["text"])
            case "POST", ["read"]:
                with self._news:
                    chat["read"] = max(chat["read"], request.get_json()["sequence"])
                    self._changes.append(chat_id)
                    self._news.notify_all()
                return Response(status=204)
            case "POST", ["end"]:
                self.end(chat_id, self.agent)
                return _json({"chat": self._summary(chat)})
            case "PUT", ["uploads", token]:
                return self._piece(request, chat_id, token)
            case "GET", ["uploads", token]:
                return _json({"offset": len(self.uploads.get((chat_id, token), b""))})
            case "DELETE", ["uploads", token]:
                self.uploads.pop((chat_id, token), None)
                return Response(status=204)
            case "POST", ["uploads", token, "post"]:
                if (chat_id, token) in self.receipts:
                    return self._post(chat, token)
                data = bytes(self.uploads.pop((chat_id, token)))
                return self._post(chat, token, files=(self.store(data, request.get_json()["fileName"]),))
            case "GET", ["transcript.json"]:
                return _json(chat["messages"])
        return Response(status=404)

    def _piece(self, request: Request, chat_id: str, token: str) -> Response:
        there = self.uploads.setdefault((chat_id, token), bytearray())
        if int(request.args["offset"]) != len(there):
            raise Fault(409, "WrongOffset", "The piece does not follow what is there.", offset=len(there))
        there += request.get_data()
        return _json({"offset": len(there)})

    def _post(self, chat: dict[str, Any], token: str, *, text: str | None = None, files: Any = ()) -> Response:
        key = (chat["CHATID"], token)
        if chat["status"] == "ENDED":
            raise Fault(409, "ChatEnded", "The chat has ended; start a new one.")
        if key in self.receipts:
            return _json(self.receipts[key] | {"duplicate": True}, 201)
        message = self.say(chat["CHATID"], text, files=files, agent=self.agent, token=token)
        receipt = {name: message[name] for name in ("messageId", "sequence", "sentAt", "file")}
        self.receipts[key] = receipt | {"CHATID": chat["CHATID"], "duplicate": False}
        return _json(self.receipts[key], 201)

    def _session(self) -> dict[str, Any]:
        return {
            "agent": {"name": self.agent},
            "csrfToken": self.csrf_token,
            "limits": LIMITS,
            "pieceBytes": self.piece_bytes,
            "idleMinutes": 60,
            "expiresAt": zulu(datetime.now(UTC) + timedelta(hours=12)),
            "serverTime": zulu(datetime.now(UTC)),
            "version": "0.1.0",
        }

    def _counts(self) -> dict[str, int]:
        told = [self._summary(chat) for chat in list(self.chats.values())]
        opened = [chat for chat in told if chat["status"] == "OPEN"]
        return {"open": len(opened), "unread": sum(chat["unread"] > 0 for chat in opened)}

    def _summary(self, chat: dict[str, Any]) -> dict[str, Any]:
        messages = chat["messages"]
        told = {name: chat[name] for name in chat if name not in ("messages", "read")}
        told |= {
            "lastSequence": len(messages),
            "lastSentAt": messages[-1]["sentAt"] if messages else chat["startedAt"],
            "unread": sum(each["sender"] == "CUSTOMER" for each in messages[chat["read"] :]),
            "readSequence": chat["read"],
        }
        if messages:
            names = ("sequence", "sender", "agentName", "sentAt", "file")
            last = {name: messages[-1][name] for name in names if name in messages[-1]}
            if "text" in messages[-1]:
                last["text"] = messages[-1]["text"][:200]
            told["lastMessage"] = last
        return told

    def _list(self, asked) -> Response:
        wanted = asked.get("q", "").casefold()
        found = []
        for chat in list(self.chats.values()):
            summary = self._summary(chat)
            if summary["status"].lower() != asked["status"] or summary["CHATID"] == self.hide:
                continue
            hit = next((m["text"] for m in chat["messages"] if wanted and wanted in m.get("text", "").casefold()), None)
            named = wanted in (summary["CHATID"] + " " + summary.get("customerName", "")).casefold()
            if hit or named:
                found.append(summary | ({"match": hit[:120]} if hit and not named else {}))
        found.sort(key=lambda chat: (chat["unread"] > 0, chat["lastSentAt"]), reverse=True)
        start, size = int(asked.get("before", 0)), int(asked.get("max", 50))
        return _json(
            {
                "chat": found[start : start + size],
                "next": str(start + size) if len(found) > start + size else None,
                "counts": self._counts(),
                "searchedAll": True,
            }
        )

    def _messages(self, chat: dict[str, Any], asked) -> Response:
        messages = chat["messages"]
        if "after" in asked:
            page = messages[int(asked["after"]) :][: int(asked.get("max", 100))]
        else:
            before = int(asked.get("before", len(messages) + 1))
            page = messages[: before - 1][-int(asked.get("max", 50)) :]
        told = {"CHATID": chat["CHATID"], "status": chat["status"], "message": page, "firstSequence": 1}
        return _json(told | {"lastSequence": len(messages)})

    def _counted(self, events: Iterator[bytes]) -> Iterator[bytes]:
        with self._news:
            self.streams += 1
        try:
            yield from events
        finally:
            with self._news:
                self.streams -= 1

    def _events(self, chat_id: str | None, after: int) -> Iterator[bytes]:
        def event(name: str, data: object) -> bytes:
            return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()

        seen = len(self._changes)
        yield event("hello", {"serverTime": zulu(datetime.now(UTC)), "counts": self._counts()})
        spoken = time.monotonic()
        while not self._stopped and self.signed_in:
            chat = self.chats.get(chat_id) if chat_id else None
            if chat and len(chat["messages"]) > after:
                fresh = chat["messages"][after : after + 100]
                after = fresh[-1]["sequence"]
                told = {"CHATID": chat_id, "status": chat["status"], "message": fresh, "lastSequence": after}
                yield event("messages", told)
            fresh_changes = self._changes[seen:]
            seen += len(fresh_changes)
            changed = set(fresh_changes)
            if changed:
                yield event(
                    "chats", {"chat": [self._summary(self.chats[each]) for each in changed], "counts": self._counts()}
                )
            if self.bye:
                reason, self.bye = self.bye, None
                yield event("bye", {"reason": reason})
                return
            if time.monotonic() - spoken > 1:
                spoken = time.monotonic()
                yield b": still here\n\n"
            with self._news:
                if len(self._changes) == seen:
                    self._news.wait(0.5)
        if not self.signed_in:
            yield event("bye", {"reason": "session"})


def _json(data: object, status: int = 200) -> Response:
    return Response(json.dumps(data), status=status, content_type="application/json")


def _static(name: str) -> Response:
    path = STATIC / name
    if path.parent != STATIC or not path.is_file():
        return Response(status=404)
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json"}
    return Response(path.read_bytes(), content_type=types[path.suffix])
