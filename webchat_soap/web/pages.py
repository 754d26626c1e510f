"""The human page, `GET /webchat`: what the service is, with samples that work when pasted. Contract: section 1."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, metadata
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from werkzeug.wrappers import Response

from webchat_soap.domain.description import ServiceDescription
from webchat_soap.web.answers import method_not_allowed, not_found, plain

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

FAULT_SAMPLE = """\
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">
  <soap:Body>
    <soap:Fault>
      <faultcode>soap:Client</faultcode>
      <faultstring>ChatEnded: The chat 12345 has ended; open another one with StartChat.</faultstring>
      <detail>
        <WebchatFault xmlns="urn:webchat:v1">
          <code>ChatEnded</code>
          <message>The chat 12345 has ended; open another one with StartChat.</message>
          <retryable>false</retryable>
          <requestId>5d41402abc4b2a76</requestId>
          <field>CHATID</field>
        </WebchatFault>
      </detail>
    </soap:Fault>
  </soap:Body>
</soap:Envelope>"""
"""What a fault looks like (contract section 6)."""

_TAG = re.compile(r"(<\?.*?\?>|<!--.*?-->|</?[^\s<>/]+(?:\s[^<>]*)?/?>)", re.DOTALL)
_ATTRIBUTE = re.compile(r"""(\s[^\s=<>]+=)("[^"]*"|'[^']*')""")


class ServicePage:
    """Answers `GET /webchat` and `GET /webchat?readme`.

    `readme` is the README's text (see `installed_readme`); without it the second is 404.
    """

    def __init__(self, *, description: ServiceDescription, version: str, readme: str | None) -> None:
        self._readme = readme
        # Rendering takes some milliseconds. One address is the rule; a few more for a service reached by several names.
        self._html = lru_cache(maxsize=4)(
            lambda base_url: render_service_page(description, base_url=base_url, version=version)
        )

    def respond(self, environ: WSGIEnvironment, *, base_url: str, from_host: bool) -> Response:
        """The page. `base_url` has no trailing slash; `from_host` tells that it was made from this request's Host
        header, so that no cache may keep the answer for anybody else."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return method_not_allowed(("GET", "HEAD", "POST"))
        response = Response(self._html(base_url), content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = page_policy()
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        if from_host:
            response.headers["Cache-Control"] = "no-store"
            return response
        response.headers["Cache-Control"] = "no-cache"
        response.add_etag()
        return response.make_conditional(environ)

    def respond_readme(self, environ: WSGIEnvironment) -> Response:
        """The README as plain text, so that the page's link to it works wherever the service runs."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return method_not_allowed(("GET", "HEAD", "POST"))
        if self._readme is None:
            return not_found()
        return plain(200, self._readme.rstrip("\n"), {"Cache-Control": "no-cache"})


def render_service_page(description: ServiceDescription, *, base_url: str, version: str) -> str:
    """The page as HTML. Everything is escaped; links on the page are relative, so no forged Host can bend them."""
    sample = next((each for each in description.operations if each.name == "SendMessage"), description.operations[0])
    return (
        _templates()
        .get_template("webchat.html")
        .render(
            description=description,
            endpoint=f"{base_url}/webchat",
            version=version,
            fault_sample=FAULT_SAMPLE,
            curl_body=sample.request_soap11.strip(),
            style=Markup(_style()),  # noqa: S704 - our own file, in the package
        )
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
    environment = Environment(
        loader=PackageLoader("webchat_soap.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
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
