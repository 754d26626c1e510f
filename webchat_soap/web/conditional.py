"""Preconditions and ranges for bytes that never change (RFC 9110 sections 13 and 14).

werkzeug parses the headers; the order in which they count is decided here, because `Response.make_conditional` of
werkzeug 3.1 answers 206 where If-None-Match asks for 304, and 416 to several ranges, to other units, and to a suffix
longer than the file, all of which RFC 9110 wants answered with the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from werkzeug.http import parse_date, parse_etags, parse_range_header

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What to answer: 200, 206, 304, 412 or 416. Bytes `start` up to, not including, `stop` for 200 and 206."""

    status: int
    start: int = 0
    stop: int = 0


def judge(environ: WSGIEnvironment, *, etag: str, last_modified: datetime | None, size: int) -> Verdict:
    """Apply the request's conditions in the order of RFC 9110 section 13.2.2.

    `etag` is strong and quoted, `last_modified` in UTC without microseconds, `size` in bytes and above 0. A header that
    cannot be parsed counts as absent; several ranges are answered with the whole (section 14.2 leaves that free).
    """
    refused = _precondition(environ, etag=etag, last_modified=last_modified)
    if refused is not None:
        return Verdict(status=refused)
    whole = Verdict(status=200, start=0, stop=size)
    # A Range on HEAD is ignored: section 14.2 defines range handling for GET only.
    if environ["REQUEST_METHOD"] != "GET" or not _range_still_holds(environ, etag=etag, last_modified=last_modified):
        return whole
    wanted = parse_range_header(environ.get("HTTP_RANGE"))
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return whole
    start, stop = wanted.ranges[0]
    if stop is None:
        start, stop = (max(0, size + start) if start < 0 else start), size
    if start >= size:
        return Verdict(status=416)
    return Verdict(status=206, start=start, stop=min(stop, size))


def _precondition(environ: WSGIEnvironment, *, etag: str, last_modified: datetime | None) -> int | None:
    tag = etag.strip('"')
    if "HTTP_IF_MATCH" in environ:
        wanted = parse_etags(environ["HTTP_IF_MATCH"])
        if not wanted.star_tag and not wanted.is_strong(tag):
            return 412
    elif last_modified is not None:
        unmodified_since = parse_date(environ.get("HTTP_IF_UNMODIFIED_SINCE"))
        if unmodified_since is not None and last_modified > unmodified_since:
            return 412
    if "HTTP_IF_NONE_MATCH" in environ:
        known = parse_etags(environ["HTTP_IF_NONE_MATCH"])
        if known.star_tag or known.contains_weak(tag):
            return 304
    elif last_modified is not None:
        modified_since = parse_date(environ.get("HTTP_IF_MODIFIED_SINCE"))
        if modified_since is not None and last_modified <= modified_since:
            return 304
    return None


def _range_still_holds(environ: WSGIEnvironment, *, etag: str, last_modified: datetime | None) -> bool:
    """If-Range: a strong comparison, so a weak tag never holds and a date must be the very same."""
    condition = environ.get("HTTP_IF_RANGE")
    if condition is None:
        return True
    condition = condition.strip()
    if condition.startswith(('"', "W/")):
        return bool(condition == etag)
    return last_modified is not None and parse_date(condition) == last_modified
