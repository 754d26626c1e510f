"""The human page, `GET /webchat`: what the service is, with samples that work when pasted. Contract: section 1."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, metadata
from importlib.resources import files
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape as escape_xml

from jinja2 import Environment
from markupsafe import Markup, escape
from werkzeug.wrappers import Response

from webchat_soap.domain.description import ServiceDescription
from webchat_soap.domain.links import public_url
from webchat_soap.web.answers import method_not_allowed, not_found, plain
from webchat_soap.web.render import templates
from webchat_soap.web.snippets import RETRY, SNIPPETS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_CHAT_MARK = "try-00000000"
"""Stands for the CHATID in a page that is kept rendered; each view gets one of its own, of the same length."""

EXAMPLES = {
    "Python": "webchat_client.py",
    "PHP": "webchat_client.php",
    "Node": "webchat_client.mjs",
    "Java": "WebchatClient.java",
    "C#": "WebchatClient.cs",
}
"""Whole clients by their language; web/examples is the folder examples of the repository."""

_TAG = re.compile(r"(<\?.*?\?>|<!--.*?-->|</?[^\s<>/]+(?:\s[^<>]*)?/?>)", re.DOTALL)
_ATTRIBUTE = re.compile(r"""(\s[^\s=<>]+=)("[^"]*"|'[^']*')""")


class ServicePage:
    """Answers `GET /webchat`, `GET /webchat?readme` and `GET /webchat?example=NAME`.

    `wsdl_at` makes the WSDL for an address. `readme` is the README's text (see `installed_readme`); without it the
    second is 404. `find_picture` tells the stored name of a PNG that anybody may see, for UploadFile's sample, or None.
    """

    def __init__(
        self,
        *,
        description: ServiceDescription,
        wsdl_at: Callable[[str], bytes],
        version: str,
        readme: str | None,
        find_picture: Callable[[], str | None],
    ) -> None:
        self._readme = readme
        self._find_picture = find_picture
        # Rendering takes some milliseconds. One address is the rule; a few more for a service reached by several names.
        self._html = lru_cache(maxsize=4)(
            lambda base_url, picture: render_service_page(
                description, wsdl_at=wsdl_at, base_url=base_url, version=version, picture=picture, chat_id=_CHAT_MARK
            )
        )

    def respond(self, environ: WSGIEnvironment, *, base_url: str, from_host: bool) -> Response:
        """The page. `base_url` has no trailing slash; `from_host` tells that it was made from this request's Host
        header, so that no cache may keep the answer for anybody else.

        Every view has samples with a CHATID of its own, so that they work whatever others have pasted before.
        """
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return method_not_allowed(("GET", "HEAD", "POST"))
        page = self._html(base_url, self._find_picture()).replace(_CHAT_MARK, f"try-{secrets.token_hex(4)}")
        response = Response(page, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = page_policy()
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        # Going back to the page shows the same samples where a browser may keep it.
        response.headers["Cache-Control"] = "no-store" if from_host else "private, no-cache"
        return response

    def respond_readme(self, environ: WSGIEnvironment) -> Response:
        """The README as plain text, so that the page's link to it works wherever the service runs."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return method_not_allowed(("GET", "HEAD", "POST"))
        if self._readme is None:
            return not_found()
        return plain(200, self._readme.rstrip("\n"), {"Cache-Control": "no-cache"})

    def respond_example(self, environ: WSGIEnvironment, name: str) -> Response:
        """One of EXAMPLES as plain text; 404 for any other name."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return method_not_allowed(("GET", "HEAD", "POST"))
        if name not in EXAMPLES.values():
            return not_found()
        text = files("webchat_soap.web").joinpath("examples", name).read_text(encoding="utf-8")
        return plain(200, text.rstrip("\n"), {"Cache-Control": "no-cache"})


def render_service_page(
    description: ServiceDescription,
    *,
    wsdl_at: Callable[[str], bytes],
    base_url: str,
    version: str,
    picture: str | None,
    chat_id: str,
) -> str:
    """The page as HTML, its samples in the chat `chat_id` and with the link to `picture` where there is one.

    Everything is escaped; links on the page are relative, so no forged Host can bend them.
    """
    endpoint = f"{base_url}/webchat"
    filled = _fill_in(description, chat_id=chat_id, picture_url=picture and public_url(base_url, picture))
    sample = next((each for each in filled.operations if each.name == "SendMessage"), filled.operations[0])
    return (
        _templates()
        .get_template("webchat.html")
        .render(
            description=filled,
            endpoint=endpoint,
            version=version,
            examples=EXAMPLES,
            snippets=[snippet.at(endpoint) for snippet in SNIPPETS],
            retry=RETRY,
            wsdl=wsdl_at(endpoint).decode(),
            chat_id=chat_id,
            has_picture=picture is not None,
            curl_body=sample.request_soap11.strip(),
            style=Markup(_style()),  # noqa: S704 - our own file, in the package
        )
    )


def _fill_in(description: ServiceDescription, *, chat_id: str, picture_url: str | None) -> ServiceDescription:
    """The description with samples for this chat and this file."""
    # The link stands in a JSON string inside XML.
    link = escape_xml(json.dumps(picture_url or description.sample_file_url)[1:-1])

    def fill_in(sample: str) -> str:
        # The link last: a stored name may hold any digits.
        return sample.replace(description.sample_chat_id, chat_id).replace(description.sample_file_url, link)

    return replace(
        description,
        operations=tuple(
            replace(
                operation,
                request_soap11=fill_in(operation.request_soap11),
                request_soap12=fill_in(operation.request_soap12),
                response_soap11=fill_in(operation.response_soap11),
                response_soap12=fill_in(operation.response_soap12),
            )
            for operation in description.operations
        ),
        fault_soap11=fill_in(description.fault_soap11),
        fault_soap12=fill_in(description.fault_soap12),
    )


def page_policy() -> str:
    """The page's Content-Security-Policy: its one inline style sheet by hash, its icon, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def installed_readme() -> str | None:
    """The README as the package had it when it was installed, from its metadata; None where it has none."""
    try:
        text = metadata("webchat-soap").json.get("description")
    except PackageNotFoundError:
        return None
    return text if isinstance(text, str) and text.strip() else None


@cache
def _templates() -> Environment:
    environment = templates().overlay()
    environment.filters["xml"] = _coloured_xml
    environment.filters["prose"] = _prose
    return environment


@cache
def _style() -> str:
    loader = _templates().loader
    assert loader is not None
    return loader.get_source(_templates(), "webchat.css")[0]


def _prose(text: str) -> Markup:
    """Escaped text whose `backticks` become code elements."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def _coloured_xml(text: str) -> Markup:
    """Escaped XML with tags and attribute values marked, so that a reader's eye finds the values."""
    pieces = []
    for piece in _TAG.split(text.strip()):
        if not _TAG.fullmatch(piece):
            pieces.append(escape(piece))
            continue
        inside = [
            Markup('<span class="v">{}</span>').format(part) if part[:1] in ("'", '"') else escape(part)
            for part in _ATTRIBUTE.split(piece)
        ]
        pieces.append(Markup('<span class="t">{}</span>').format(Markup("").join(inside)))
    return Markup("").join(pieces)
