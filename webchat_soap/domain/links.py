"""Public links, `BASE/public_files/NAME`: made when an answer is written, recognised when a caller sends one back."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit

PUBLIC_PATH = "/public_files/"

_DEFAULT_PORTS = {"http": 80, "https": 443}
_STORED_NAME = re.compile(r"[0-9]{8}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[a-z0-9]{1,8}")


def public_url(base_url: str, name: str) -> str:
    """The link to a stored name. `base_url` has no trailing slash."""
    return f"{base_url}{PUBLIC_PATH}{name}"


def is_stored_name(name: str) -> bool:
    """Whether this is `YYYYMMDD-UUID.ext`; nothing else is ever looked up in a store."""
    return _STORED_NAME.fullmatch(name) is not None


def own_file_name(url: str, own_base_urls: tuple[str, ...]) -> str | None:
    """What stands behind `/public_files/` when the URL is one of this service's own links, else None.

    Scheme and host compare without case, ports by what they mean. The name may be anything; see `is_stored_name`.
    """
    given = _split(url)
    if given is None or given.username is not None or given.password is not None:
        return None
    for base_url in own_base_urls:
        base = _split(base_url)
        if base is None or _authority(base) != _authority(given):
            continue
        folder = base.path + PUBLIC_PATH
        if given.path.startswith(folder):
            return unquote(given.path[len(folder) :], errors="replace")
    return None


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (a property that raises for what is no port)
    except ValueError:
        return None
    return parts


def _authority(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme.lower(), parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme.lower())
