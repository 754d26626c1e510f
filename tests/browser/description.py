"""The service's own description, for tests of the page: only it shows that it fits."""

from __future__ import annotations

from functools import cache
from typing import Any

from webchat_soap.domain.description import ServiceDescription
from webchat_soap.soap.describe import describe
from webchat_soap.soap.protocol import WebchatTransport, make_transport
from webchat_soap.web.pages import ServicePage

PICTURE = "20261122-4865c412-7c28-45e4-9f55-012345678901.png"
"""A stored name that also holds the digits of the samples' CHATID."""


@cache
def _transport() -> WebchatTransport:
    nobody: Any = None  # a description needs no use cases: nothing is called
    return make_transport(nobody, max_text_length=4096)


@cache
def description() -> ServiceDescription:
    return describe(_transport())


def wsdl_at(address: str) -> bytes:
    return _transport().wsdl_at(address)


def service_page(*, readme: str | None = None, picture: str | None = PICTURE) -> ServicePage:
    return ServicePage(
        description=description(), wsdl_at=wsdl_at, version="0.1.0", readme=readme, find_picture=lambda: picture
    )
