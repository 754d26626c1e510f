"""The agent console's server side: its page, and its JSON API under /agent/api/.

Signing in and the static files are others' (web.agent_door, web.static_files); who comes here has been let in by the
door, which also looks at where a change comes from.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import parse_qsl

from werkzeug.wrappers import Response

from webchat_soap.domain.agents import AgentSession
from webchat_soap.domain.console_requests import (
    check_file_name,
    check_page_token,
    parse_file_post,
    parse_mark,
    parse_nothing,
    parse_text_post,
    whole_number,
)
from webchat_soap.domain.details import is_chat_id
from webchat_soap.domain.errors import Internal, InvalidRequest, WebchatError
from webchat_soap.domain.uploads import MAX_PIECE_BYTES
from webchat_soap.service_agents import AgentService
from webchat_soap.web import console_json as shapes
from webchat_soap.web.console_live import Live
from webchat_soap.web.console_stream import EventStream
from webchat_soap.web.console_transcript import Transcripts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

API_PATH: Final = "/agent/api/"

MAX_PAGE: Final = 100
_DEFAULT_PAGE: Final = 50

log = logging.getLogger(__name__)
request_log = logging.getLogger("webchat_soap.request")


class Gate(Protocol):
    """What the console asks of the door (web.agent_door.Door)."""

    @property
    def prefix(self) -> str:
        """What stands before /agent in the browser's address bar."""

    def enter(self, environ: WSGIEnvironment, *, is_activity: bool = True) -> AgentSession | Response:
        """Whose session this is, or what to answer instead; a change was looked at. Raises nothing."""

    def is_current(self, session: AgentSession) -> bool:
        """Whether it holds still. Raises Busy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsoleRules:
    """What the operator decides of the console, and what its page is told of it."""

    max_request_bytes: int
    idle_minutes: float
    version: str


@dataclass(frozen=True, slots=True)
class _Ask:
    """A request that was let in."""

    session: AgentSession
    environ: WSGIEnvironment
    query: dict[str, str]
    chat_id: str = ""
    token: str = ""

    @property
    def body(self) -> bytes:
        given: str = self.environ.get("CONTENT_LENGTH") or "0"
        body: bytes = self.environ["wsgi.input"].read(int(given) if given.isdigit() else 0)
        return body


_Handler = Callable[[_Ask], Response | EventStream]


class Console:
    """Answers everything under /agent/ that needs a session. One object serves all threads."""

    def __init__(
        self,
        *,
        gate: Gate,
        agents: AgentService,
        live: Live,
        transcripts: Transcripts,
        rules: ConsoleRules,
        render_page: Callable[[AgentSession, WSGIEnvironment], str],
    ) -> None:
        self._gate = gate
        self._agents = agents
        self._live = live
        self._transcripts = transcripts
        self._rules = rules
        self._render_page = render_page
        self._shapes = shapes.Shapes(gate.prefix)
        chat, upload = r"chats/([^/]+)", r"chats/([^/]+)/uploads/([^/]+)"
        routes: tuple[tuple[str, Mapping[str, _Handler]], ...] = (
            ("session", {"GET": self._session}),
            ("chats", {"GET": self._list}),
            ("events", {"GET": self._events}),
            (chat, {"GET": self._chat}),
            (f"{chat}/messages", {"GET": self._messages, "POST": self._post_text}),
            (f"{chat}/read", {"POST": self._mark_read}),
            (f"{chat}/end", {"POST": self._end}),
            (f"{chat}/transcript[.](?:zip|json)", {"GET": self._transcript}),
            (upload, {"GET": self._offset, "PUT": self._piece, "DELETE": self._discard}),
            (f"{upload}/post", {"POST": self._post_file}),
        )
        self._routes = tuple((re.compile(pattern), handlers) for pattern, handlers in routes)

    def respond(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; raises nothing."""
        began = time.monotonic()
        path: str = environ.get("PATH_INFO", "")
        operation, agent = "console", "-"
        code = "OK"
        try:
            # What the page does by itself keeps nobody signed in.
            is_activity = path != API_PATH + "events" and "HTTP_X_UNATTENDED" not in environ
            session = self._gate.enter(environ, is_activity=is_activity)
            response: Response | EventStream
            if isinstance(session, Response):
                response = session
                code = str(session.status_code)
            else:
                agent = session.agent_name
                operation, response = self._answer(environ, path, session)
        except WebchatError as error:
            response, code = shapes.refusal(error), error.code
        except Exception:
            log.exception("unforeseen in the console")
            response, code = shapes.refusal(Internal()), "Internal"
        if request_log.isEnabledFor(logging.INFO):
            milliseconds = round((time.monotonic() - began) * 1000, 1)
            status = getattr(response, "status_code", 200)
            fields = {
                "operation": operation,
                "agent": agent,
                "milliseconds": milliseconds,
                "code": code,
                "status": status,
            }
            request_log.info(operation, extra={"fields": fields})
        if isinstance(response, EventStream):
            return self._live.respond(response, environ, start_response)
        return response(environ, start_response)

    def stop(self) -> None:
        """End all live events: the process is stopping. Idempotent."""
        self._live.stop()

    def _answer(self, environ: WSGIEnvironment, path: str, session: AgentSession) -> tuple[str, Response | EventStream]:
        method: str = environ["REQUEST_METHOD"]
        if path == "/agent/":
            return "console.page", self._page(environ, session)
        if not path.startswith(API_PATH):
            return "console", shapes.plain_refusal(404, "NotFound", "There is nothing at this address.")
        for pattern, handlers in self._routes:
            found = pattern.fullmatch(path, len(API_PATH))
            if found is None:
                continue
            handler = handlers.get("GET" if method == "HEAD" else method)
            if handler is None:
                allowed = ", ".join(handlers)
                sentence = f"This address takes {allowed} only."
                return "console", shapes.plain_refusal(405, "MethodNotAllowed", sentence, Allow=allowed)
            # "~" stands before a CHATID that a browser would take for a folder: "." and "..".
            chat_id, *token = found.groups() or ("",)
            ask = _Ask(session, environ, _query(environ), chat_id.removeprefix("~"), *token)
            if found.groups() and not is_chat_id(ask.chat_id):
                raise InvalidRequest("CHATID in the path is none; take it as the list gives it.", field="CHATID")
            return f"console.{handler.__name__.strip('_')}", handler(ask)
        return "console", shapes.plain_refusal(404, "NotFound", "There is nothing at this address of the API.")

    # -- the page, and who looks at it

    def _page(self, environ: WSGIEnvironment, session: AgentSession) -> Response:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return shapes.plain_refusal(405, "MethodNotAllowed", "This address takes GET only.", Allow="GET, HEAD")
        response = Response(self._render_page(session, environ), content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Vary"] = "Accept-Language"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response

    def _session(self, ask: _Ask) -> Response:
        session = ask.session
        return shapes.answer(
            {
                "agent": {"name": session.agent_name},
                "csrfToken": session.csrf_token,
                "limits": shapes.limits(self._agents.limits()),
                "pieceBytes": min(MAX_PIECE_BYTES, self._rules.max_request_bytes),
                "idleMinutes": self._rules.idle_minutes,
                "expiresAt": shapes.time_of(session.expires_at),
                "serverTime": shapes.time_of(datetime.now(UTC)),
                "version": self._rules.version,
            }
        )

    # -- reading

    def _list(self, ask: _Ask) -> Response:
        status = ask.query.get("status", "open")
        if status not in ("open", "ended"):
            raise InvalidRequest("status must be open or ended.", field="status")
        words = ask.query.get("q", "").strip()
        page = self._agents.list_chats(
            words=words or None,
            ended=status == "ended",
            before=ask.query.get("before") or None,
            max_chats=_page_size(ask),
        )
        return shapes.answer(
            {
                "chat": shapes.summaries(page.chats),
                "next": page.next,
                "counts": shapes.counts(self._agents.count_open()),
                "searchedAll": page.searched_all,
            }
        )

    def _chat(self, ask: _Ask) -> Response:
        found = self._agents.chat_details(ask.chat_id)
        usage = {"files": found.usage.files, "bytes": found.usage.bytes}
        return shapes.answer({"chat": shapes.summary(found.summary), "usage": usage})

    def _messages(self, ask: _Ask) -> Response:
        after = whole_number(ask.query, "after", default=None)
        before = whole_number(ask.query, "before", default=None)
        if after is not None and before is not None:
            raise InvalidRequest("after and before exclude each other; give one of them.", field="after")
        most = _page_size(ask)
        if after is not None:
            page = self._agents.read_after(ask.chat_id, after=after, max_messages=most)
        else:
            page = self._agents.read_before(ask.chat_id, before=before, max_messages=most)
        return shapes.answer(self._shapes.page(page))

    def _events(self, ask: _Ask) -> EventStream:
        chat_id = ask.query.get("chat") or None
        if chat_id is not None and not is_chat_id(chat_id):
            raise InvalidRequest("chat is no CHATID; take it as the list gives it.", field="chat")
        after = whole_number(ask.query, "after", default=None)
        last_id = ask.environ.get("HTTP_LAST_EVENT_ID", "")
        if last_id:
            # The browser's own word on a reconnect: later than what stood in the address when the stream began.
            after = max(after or 0, whole_number({"Last-Event-ID": last_id}, "Last-Event-ID", default=0) or 0)
        if chat_id is not None:
            self._agents.find_chat(chat_id)
        return self._live.subscribe(ask.session, chat_id=chat_id, after=after, environ=ask.environ)

    def _transcript(self, ask: _Ask) -> Response:
        found = self._agents.find_chat(ask.chat_id)
        is_zip = ask.environ["PATH_INFO"].endswith(".zip")
        languages: str = ask.environ.get("HTTP_ACCEPT_LANGUAGE", "")
        return self._transcripts.as_zip(found, languages) if is_zip else self._transcripts.as_json(found, self._shapes)

    # -- acting

    def _post_text(self, ask: _Ask) -> Response:
        post = parse_text_post(ask.body, max_text_length=self._agents.limits().max_text_length)
        posted = self._agents.post_text(ask.session, ask.chat_id, text=post.text, token=post.client_token)
        return shapes.answer(self._shapes.receipt(posted.result()), 201)

    def _mark_read(self, ask: _Ask) -> Response:
        self._agents.mark_read(ask.chat_id, sequence=parse_mark(ask.body)).result()
        return shapes.nothing()

    def _end(self, ask: _Ask) -> Response:
        parse_nothing(ask.body)
        self._agents.end_chat(ask.session, ask.chat_id).result()
        return shapes.answer({"chat": shapes.summary(self._agents.find_chat(ask.chat_id))})

    # -- files

    def _offset(self, ask: _Ask) -> Response:
        return shapes.answer({"offset": self._agents.upload_offset(ask.session, ask.chat_id, ask.token)})

    def _piece(self, ask: _Ask) -> Response:
        offset, size = (whole_number(ask.query, name, default=None) for name in ("offset", "size"))
        if offset is None or size is None:
            missing = "offset" if offset is None else "size"
            raise InvalidRequest(f"{missing} is missing; give offset and size of the piece's file.", field=missing)
        name = check_file_name(ask.query.get("name"))
        offset = self._agents.upload_piece(
            ask.session, ask.chat_id, ask.token, piece=ask.body, offset=offset, size=size, name=name or ""
        )
        return shapes.answer({"offset": offset})

    def _discard(self, ask: _Ask) -> Response:
        self._agents.discard_upload(ask.session, ask.chat_id, ask.token)
        return shapes.nothing()

    def _post_file(self, ask: _Ask) -> Response:
        check_page_token(ask.token)
        post = parse_file_post(ask.body, max_text_length=self._agents.limits().max_text_length)
        return shapes.answer(
            self._shapes.receipt(self._agents.post_upload(ask.session, ask.chat_id, ask.token, post)), 201
        )


PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


def _page_size(ask: _Ask) -> int:
    most = whole_number(ask.query, "max", default=_DEFAULT_PAGE, at_least=1)
    assert most is not None
    return min(MAX_PAGE, most)


def _query(environ: WSGIEnvironment) -> dict[str, str]:
    """The query's parameters. InvalidRequest for what is not UTF-8, and for more than anybody needs."""
    try:
        pairs = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise InvalidRequest("The query cannot be read; percent-encode it as UTF-8.", field="query") from None
    query = dict(pairs)
    if len(query) != len(pairs):
        raise InvalidRequest("A parameter stands twice in the query; give it once.", field="query")
    return query
