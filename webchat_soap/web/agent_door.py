"""The door to everything under /agent/: whose session a request belongs to, and whether it comes from our own pages.

Sources: RFC 6265 (cookies); OWASP's cheat sheets on sessions and on cross-site request forgery; Fetch, section 3.2
(Origin is `null` where a page's Referrer-Policy is no-referrer, so that pages with forms must say same-origin).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hmac import compare_digest
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from werkzeug.http import dump_cookie, parse_cookie
from werkzeug.wrappers import Response

from webchat_soap.domain.agent_ports import AgentAccess
from webchat_soap.domain.agents import AgentSession, SignedIn
from webchat_soap.domain.errors import WebchatError
from webchat_soap.web.answers import plain

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

AGENT_PATH: Final = "/agent"
API_PATH: Final = "/agent/api/"
SESSION_COOKIE: Final = "webchat_agent"
BROWSER_COOKIE: Final = "webchat_agent_browser"
FORM_COOKIE: Final = "webchat_agent_form"

_BROWSER_SECONDS: Final = 180 * 86400
_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))

_is_token = re.compile(r"[A-Za-z0-9_-]{20,100}", re.ASCII).fullmatch
_is_own_path = re.compile(r"/agent/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*", re.ASCII).fullmatch
_leads_up = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE).search


class Door:
    """Lets requests in. `public_url` is WEBCHAT_PUBLIC_URL: cookies and links follow its scheme and path prefix."""

    def __init__(self, access: AgentAccess, *, public_url: str | None) -> None:
        self._access = access
        parts = urlsplit(public_url or "")
        self.prefix = parts.path.rstrip("/")
        """What stands before /agent in the browser's address bar; a proxy takes it away."""
        self._origin = f"{parts.scheme}://{parts.netloc}" if public_url else None
        self._is_secure = parts.scheme == "https"

    # -- who asks

    def enter(self, environ: WSGIEnvironment, *, is_activity: bool = True) -> AgentSession | Response:
        """Whose session the request carries, or what to answer instead; raises nothing.

        For every path under /agent/ but the sign-in's and the static files. A request that changes something must
        come from our own pages and carry the session's CSRF token in X-CSRF-Token. `is_activity` False does not keep
        the session from becoming idle: for what a page does by itself.
        """
        try:
            session = self.find(environ, is_activity=is_activity)
        except WebchatError as error:
            return _refusal(environ, 503, error.code, str(error), retry_after_seconds=error.retry_after_seconds or 2)
        if session is None:
            return self._unknown(environ)
        if environ["REQUEST_METHOD"] not in _SAFE and not (
            self.is_from_here(environ) and is_same(environ.get("HTTP_X_CSRF_TOKEN", ""), session.csrf_token)
        ):
            return csrf_refused(environ)
        return session

    def find(self, environ: WSGIEnvironment, *, is_activity: bool = True) -> AgentSession | None:
        """The session that the request's cookie names, whatever it wants. WebchatError."""
        # A cookie of a neighbouring host or path may stand beside ours and before it.
        for token in tokens_in(environ, SESSION_COOKIE):
            session = self._access.find(token, is_activity=is_activity)
            if session is not None:
                return session
        return None

    def is_current(self, session: AgentSession) -> bool:
        """Whether the session holds still: for streams, which outlive the request that began them. WebchatError."""
        return self._access.is_current(session)

    def is_from_here(self, environ: WSGIEnvironment) -> bool:
        """Whether a request comes from a page of ours, as far as the browser says."""
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site is not None and site not in ("same-origin", "none"):
            return False
        origin = environ.get("HTTP_ORIGIN")
        if origin is None:
            return True
        here = f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}"
        return origin.lower() in (here.lower(), self._origin)

    def _unknown(self, environ: WSGIEnvironment) -> Response:
        path: str = environ.get("PATH_INFO", "")
        if path.startswith(API_PATH):
            return _refusal(environ, 401, "Unauthorized", "You are not signed in (any more); sign in again.")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return self.to("/agent/sign-in")
        # What WSGI decoded as Latin-1 goes back into the link as the bytes that came.
        asked = quote(path.encode("latin-1", "replace"), safe="/")
        query = environ.get("QUERY_STRING", "")
        if query:
            asked += "?" + quote(query.encode("latin-1", "replace"), safe="=&%/:@!$'()*+,;?-._~")
        return self.to("/agent/sign-in?next=" + quote(asked, safe="/"))

    # -- where to

    def own_path(self, asked: str) -> str:
        """A page of the console from what came with a request, without the prefix: /agent/ where it is none of ours."""
        path = asked.removeprefix(self.prefix) if self.prefix else asked
        if len(path) > 2000 or _is_own_path(path) is None or _leads_up(path.partition("?")[0]):
            return "/agent/"
        if path.partition("?")[0].startswith(("/agent/sign-", "/agent/try", API_PATH, "/agent/static/")):
            return "/agent/"
        return path

    def to(self, path: str) -> Response:
        """303 to a path of ours, which begins with /agent."""
        return plain(303, "Go on there.", {"Location": self.prefix + path})

    # -- cookies

    def let_in(self, signed_in: SignedIn, response: Response) -> Response:
        """Give the browser what it needs to come back."""
        self._set(response, SESSION_COOKIE, signed_in.token, path=AGENT_PATH)
        if signed_in.known_browser is not None:
            self._set(
                response,
                BROWSER_COOKIE,
                signed_in.known_browser,
                path="/agent/sign-in",
                seconds=_BROWSER_SECONDS,
                samesite="Strict",
            )
        return response

    def let_out(self, response: Response) -> Response:
        """Take the session's cookie back."""
        self._set(response, SESSION_COOKIE, "", path=AGENT_PATH, seconds=0)
        return response

    def set_form_token(self, response: Response, token: str) -> Response:
        """What a form's field `csrf` must say where there is no session yet."""
        self._set(response, FORM_COOKIE, token, path=AGENT_PATH)
        return response

    def _set(
        self,
        response: Response,
        name: str,
        value: str,
        *,
        path: str,
        seconds: int | None = None,
        samesite: str = "Lax",
    ) -> None:
        response.headers.add(
            "Set-Cookie",
            dump_cookie(
                name,
                value,
                max_age=seconds,
                path=self.prefix + path,
                secure=self._is_secure,
                httponly=True,
                samesite=samesite,
            ),
        )


def tokens_in(environ: WSGIEnvironment, name: str) -> Iterator[str]:
    """The values of the cookie that could be tokens of ours: no more than a few, the most particular first."""
    # Programs on other ports and paths of this host set cookies too, in whatever bytes; parse_cookie takes UTF-8 only.
    header = environ.get("HTTP_COOKIE", "")[:16_384].encode("ascii", "replace").decode("ascii")
    values = parse_cookie(header).getlist(name)[:4]
    return (value for value in values if _is_token(value))


def is_same(given: str, expected: str) -> bool:
    """Whether two secrets are the same, in the same time for all that are not."""
    return compare_digest(given.encode("utf-8", "replace"), expected.encode())


def csrf_refused(environ: WSGIEnvironment) -> Response:
    """403 for a change that comes from elsewhere, or without the session's CSRF token."""
    sentence = "This request did not come from a page of this console; reload the page and try again."
    return _refusal(environ, 403, "CsrfRefused", sentence)


def _refusal(
    environ: WSGIEnvironment, status: int, code: str, sentence: str, *, retry_after_seconds: int | None = None
) -> Response:
    """As JSON under /agent/api/, elsewhere as a plain sentence."""
    if environ.get("PATH_INFO", "").startswith(API_PATH):
        error: dict[str, object] = {"code": code, "message": sentence, "retryable": status >= 500}
        if retry_after_seconds is not None:
            error["retryAfterSeconds"] = retry_after_seconds
        response = plain(status, json.dumps({"error": error}))
        response.content_type = "application/json"
    else:
        response = plain(status, sentence)
    if retry_after_seconds is not None:
        response.headers["Retry-After"] = str(retry_after_seconds)
    return response
