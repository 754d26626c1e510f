"""The pages around the console: sign-in, sign-out, the trial, and the static files. `/agent/…`"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response
from werkzeug.wsgi import get_input_stream

from webchat_soap.domain.agent_ports import AgentAccess
from webchat_soap.domain.agents import MAX_AGENT_NAME, MAX_PASSWORD, AgentSession
from webchat_soap.domain.errors import TooManyRequests, Unauthorized, WebchatError
from webchat_soap.web.agent_door import BROWSER_COOKIE, FORM_COOKIE, Door, csrf_refused, is_same, tokens_in
from webchat_soap.web.answers import method_not_allowed, not_found, plain
from webchat_soap.web.render import templates
from webchat_soap.web.static_files import respond_static, static_url
from webchat_soap.web.words import Words, words_for

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_MAX_FORM_BYTES: Final = 64 * 1024
"""A password of 1,000 code points takes up to 12,000, percent-encoded."""
_MAX_FIELDS: Final = 10

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


class AgentPages:
    """Answers all of /agent. `console` answers what is neither signing in nor out, once it is known who asks."""

    def __init__(
        self,
        access: AgentAccess,
        *,
        door: Door,
        is_trial_possible: bool,
        console: Callable[[WSGIEnvironment, AgentSession], Response] | None = None,
    ) -> None:
        """`is_trial_possible` tells that this service can be reached from this machine alone."""
        self._access = access
        self._door = door
        self._is_trial_possible = is_trial_possible
        self._console = console or (lambda environ, session: not_found())

    @property
    def door(self) -> Door:
        """What lets people into all else under /agent/."""
        return self._door

    def respond(self, environ: WSGIEnvironment) -> Response:
        """The answer to a request whose path is /agent or begins with /agent/."""
        path: str = environ.get("PATH_INFO", "")
        if path.startswith("/agent/static/"):
            return respond_static(environ, path.removeprefix("/agent/static/"))
        pages: dict[str, Callable[[WSGIEnvironment], Response]] = {
            "/agent": lambda _: self._door.to("/agent/"),
            "/agent/sign-in": self._sign_in,
            "/agent/sign-out": lambda environ: self._sign_out(environ, self._access.sign_out),
            "/agent/sign-out-everywhere": lambda environ: self._sign_out(environ, self._access.sign_out_everywhere),
            "/agent/try": self._try,
        }
        page = pages.get(path)
        if page is not None:
            return page(environ)
        entered = self._door.enter(environ)
        return entered if isinstance(entered, Response) else self._console(environ, entered)

    # -- in

    def _sign_in(self, environ: WSGIEnvironment) -> Response:
        method = environ["REQUEST_METHOD"]
        if method == "POST":
            return self._take_password(environ)
        if method not in ("GET", "HEAD"):
            return method_not_allowed(("GET", "HEAD", "POST"))
        asked = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        goal = self._door.own_path(asked.get("next", [""])[0])
        try:
            if self._door.find(environ) is not None:
                return self._door.to(goal)
        except WebchatError:
            return self._form(environ, 503, goal=goal, problem="sign-in.busy")
        return self._form(environ, 200, goal=goal, note="sign-in.ended" if "out" in asked else None)

    def _take_password(self, environ: WSGIEnvironment) -> Response:
        fields = _read_form(environ)
        if isinstance(fields, Response):
            return fields
        goal, name = self._door.own_path(fields.get("next", "")), fields.get("name", "")
        if not self._is_own_form(environ, fields):
            return self._form(environ, 403, goal=goal, name=name, problem="sign-in.stale")
        try:
            signed_in = self._access.sign_in(
                name=name,
                password=fields.get("password", ""),
                address=environ.get("REMOTE_ADDR", ""),
                known_browser=next(tokens_in(environ, BROWSER_COOKIE), None),
                replaced_token=next(tokens_in(environ, "webchat_agent"), None),
            )
        except Unauthorized:
            return self._form(environ, 403, goal=goal, name=name, problem="sign-in.wrong")
        except TooManyRequests as error:
            seconds = error.retry_after_seconds or 1
            response = self._form(environ, 429, goal=goal, name=name, problem="sign-in.wait", seconds=seconds)
            response.headers["Retry-After"] = str(seconds)
            return response
        except WebchatError as error:
            response = self._form(environ, 503, goal=goal, name=name, problem="sign-in.busy")
            response.headers["Retry-After"] = str(error.retry_after_seconds or 2)
            return response
        return self._door.let_in(signed_in, self._door.to(goal))

    def _form(
        self,
        environ: WSGIEnvironment,
        status: int,
        *,
        goal: str,
        name: str = "",
        problem: str | None = None,
        note: str | None = None,
        seconds: int = 0,
    ) -> Response:
        words = words_for(environ)
        token = self._form_token(environ)
        response = _page(
            "sign_in.html",
            status,
            words=words,
            action="sign-in",
            csrf=token,
            goal=goal,
            name=name[:MAX_AGENT_NAME],
            max_name=MAX_AGENT_NAME,
            max_password=MAX_PASSWORD,
            problem=words(problem, seconds=seconds) if problem else None,
            note=words(note) if note else None,
        )
        return self._door.set_form_token(response, token)

    # -- out

    def _sign_out(self, environ: WSGIEnvironment, end: Callable[[AgentSession], None]) -> Response:
        if environ["REQUEST_METHOD"] != "POST":
            return method_not_allowed(("POST",))
        fields = _read_form(environ)
        if isinstance(fields, Response):
            return fields
        try:
            session = self._door.find(environ)
            if session is not None:
                given = environ.get("HTTP_X_CSRF_TOKEN") or fields.get("csrf", "")
                if not (self._door.is_from_here(environ) and is_same(given, session.csrf_token)):
                    return csrf_refused(environ)
                end(session)
        except WebchatError as error:
            return plain(503, str(error), {"Retry-After": str(error.retry_after_seconds or 2)})
        return self._door.let_out(self._door.to("/agent/sign-in?out"))

    # -- the trial

    def _try(self, environ: WSGIEnvironment) -> Response:
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD", "POST"):
            return method_not_allowed(("GET", "HEAD", "POST"))
        fields = _read_form(environ) if method == "POST" else {}
        if isinstance(fields, Response):
            return fields
        key = fields.get("key") or parse_qs(environ.get("QUERY_STRING", "")).get("key", [""])[0]
        is_open = self._is_trial_possible and _is_loopback(environ.get("REMOTE_ADDR", ""))
        try:
            if method == "POST":
                if not self._is_own_form(environ, fields):
                    return csrf_refused(environ)
                signed_in = self._access.take_trial(key) if is_open else None
                if signed_in is not None:
                    return self._door.let_in(signed_in, self._door.to("/agent/"))
                is_open = False
            else:
                is_open = is_open and self._access.has_trial(key)
        except WebchatError as error:
            return plain(503, str(error), {"Retry-After": str(error.retry_after_seconds or 2)})
        token = self._form_token(environ)
        response = _page(
            "try.html", 200 if is_open else 403, words=words_for(environ), csrf=token, key=key, is_open=is_open
        )
        return self._door.set_form_token(response, token)

    # -- forms

    def _form_token(self, environ: WSGIEnvironment) -> str:
        """The one that the browser has already, so that a second tab does not spoil the first one's form."""
        return next(tokens_in(environ, FORM_COOKIE), None) or secrets.token_urlsafe(32)

    def _is_own_form(self, environ: WSGIEnvironment, fields: dict[str, str]) -> bool:
        given = fields.get("csrf", "")
        return self._door.is_from_here(environ) and any(
            is_same(given, token) for token in tokens_in(environ, FORM_COOKIE)
        )


def _read_form(environ: WSGIEnvironment) -> dict[str, str] | Response:
    """The form's fields, each once; what is no form of ours has none."""
    try:
        body = get_input_stream(environ, max_content_length=_MAX_FORM_BYTES).read()
    except RequestEntityTooLarge:
        return plain(413, "The form is larger than any of ours; go back and try again.")
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return {}
    try:
        fields = parse_qs(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="replace"
        )
    except ValueError:
        return plain(400, "The form has more fields than any of ours; go back and try again.")
    return {name: values[0] for name, values in fields.items()}


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _page(template: str, status: int, *, words: Words, **values: object) -> Response:
    html = templates().get_template(f"agent/{template}").render(words=words, static_url=static_url, **values)
    response = Response(html, status=status, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept-Language, Cookie"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    # Not no-referrer: a browser would send `Origin: null` with the form then.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response
