"""The service's own description, for tests of the page: only it shows that it fits."""

from __future__ import annotations

from functools import cache
from typing import Any

from webchat_soap.domain.description import ServiceDescription
from webchat_soap.soap.describe import describe
from webchat_soap.soap.protocol import make_transport


@cache
def description() -> ServiceDescription:
    nobody: Any = None  # a description needs no use cases: nothing is called
    return describe(make_transport(nobody, max_text_length=4096))
