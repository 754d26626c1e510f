"""Small answers that every part of the web room gives: plain sentences and the redirect to the human page."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from werkzeug.wrappers import Response

NOTHING_ACTIVE = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy of an answer that needs nothing at all."""


def plain(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """A sentence as text/plain, not stored by any cache unless `headers` says so.

    The sentence says what is wrong and what to do; it must not repeat anything inner (paths, SQL).
    """
    response = Response(sentence + "\n", status=status, content_type="text/plain; charset=utf-8")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = NOTHING_ACTIVE
    response.headers["Referrer-Policy"] = "no-referrer"
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response


def not_found() -> Response:
    """404 for a path that the service does not have."""
    return plain(404, "There is nothing at this address; the service's page is /webchat.")


def method_not_allowed(allowed: tuple[str, ...]) -> Response:
    """405 with the Allow header (RFC 9110 section 15.5.6 requires it)."""
    methods = ", ".join(allowed)
    return plain(405, f"This address takes {methods} only; send the request with one of these.", {"Allow": methods})


def not_in_this_version(what: str) -> Response:
    """501 for a path that a later release serves, such as `/metrics`."""
    return plain(501, f"{what} is not in this version yet.")


def to_service_page(base_url: str) -> Response:
    """302 to the human page, for `/`.

    Only the path of `base_url` goes into Location: a forged Host header cannot send anybody elsewhere.
    """
    location = quote(urlsplit(base_url).path.rstrip("/"), safe="/%") + "/webchat"
    return plain(302, "The service's page is /webchat.", {"Location": "/" + location.lstrip("/")})
