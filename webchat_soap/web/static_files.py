"""The console's own files (CSS, modules, icons, words), `/agent/static/NAME?v=HASH`.

With the right hash a file may be kept for ever, since another content has another address; without it (a module that
another module imports by its name) it is asked for again each time and answered 304.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from werkzeug.wrappers import Response

from webchat_soap.web.answers import NOTHING_ACTIVE, method_not_allowed, not_found
from webchat_soap.web.conditional import judge

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "webp": "image/webp",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
}
"""By what a name ends with; nothing else is served."""

_MAX_NAME: Final = 200
_is_name = re.compile(r"(?:[A-Za-z0-9_-]+/){0,4}[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.([a-z0-9]+)", re.ASCII).fullmatch
"""No part begins with a dot, so none leads elsewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    content: bytes
    content_type: str
    version: str


def static_url(name: str) -> str:
    """The address of one of our files as a page right under /agent/ names it: `static/console.css?v=HASH`.

    FileNotFoundError when there is none: a template that names it is wrong.
    """
    found = _find(name)
    if found is None:
        raise FileNotFoundError(name)
    return f"static/{name}?v={found.version}"


def respond_static(environ: WSGIEnvironment, name: str) -> Response:
    """The file; `name` is the path behind /agent/static/, decoded."""
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return method_not_allowed(("GET", "HEAD"))
    found = _find(name)
    if found is None:
        return not_found()
    asked = parse_qs(environ.get("QUERY_STRING", "")).get("v", [""])[0]
    etag = f'"{found.version}"'
    verdict = judge(environ, etag=etag, last_modified=None, size=len(found.content))
    if verdict.status in (304, 412):
        response = Response(status=verdict.status)
    else:  # files of ours are small: a range is answered with the whole, as RFC 9110 section 14.2 allows
        response = Response(found.content, content_type=found.content_type)
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = (
        "public, max-age=31536000, immutable" if asked == found.version else "public, no-cache"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = NOTHING_ACTIVE
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def _find(name: str) -> _File | None:
    named = _is_name(name) if len(name) <= _MAX_NAME else None
    if named is None or named[1] not in _TYPES:
        return None
    path = Path(str(files("webchat_soap.web"))) / "static" / "agent" / name
    try:
        found = path.stat()
        return _load(path, found.st_mtime_ns, _TYPES[named[1]])
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


@lru_cache(maxsize=256)
def _load(path: Path, _changed_at: int, content_type: str) -> _File:
    content = path.read_bytes()
    return _File(content=content, content_type=content_type, version=hashlib.sha256(content).hexdigest()[:16])
