"""soapbar with a SendMessage that does nothing, in an environment of its own: it does not need ours.

Run under Granian's own WSGI mode: `granian --interface wsgi --factory benchmarks.peers.soapbar_no_op:make_no_op`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from soapbar import SoapApplication, SoapService, soap_operation  # type: ignore[import-not-found]
from soapbar.core.binding import OperationParameter  # type: ignore[import-not-found]
from soapbar.core.types import ComplexXsdType, xsd  # type: ignore[import-not-found]
from soapbar.server.wsgi import WsgiSoapApp  # type: ignore[import-not-found]

NAMESPACE = "urn:webchat:v1"
RECEIPT = {
    "messageId": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "CHATID": "12345",
    "sequence": 1,
    "sentAt": "2026-01-01T00:00:00Z",
    "duplicate": False,
}


def make_no_op() -> Callable[..., Any]:
    """An operation of our SendMessage's signature that returns a ready receipt. By default no schema is validated."""
    text = xsd.resolve("string")
    receipt = ComplexXsdType(
        "Receipt",
        [
            ("messageId", text),
            ("CHATID", text),
            ("sequence", xsd.resolve("long")),
            ("sentAt", text),
            ("duplicate", xsd.resolve("boolean")),
        ],
        target_namespace=NAMESPACE,
        qualified=True,
    )

    class Webchat(SoapService):  # type: ignore[misc]
        __service_name__ = "Webchat"
        __tns__ = NAMESPACE

        @soap_operation(  # type: ignore[untyped-decorator]
            soap_action="SendMessage",
            input_params=[
                OperationParameter(name="CHATID", xsd_type=text),
                OperationParameter(name="fileDetails", xsd_type=text),
                OperationParameter(name="clientToken", xsd_type=text, required=False),
            ],
            output_params=[OperationParameter(name="SendMessageResult", xsd_type=receipt)],
        )
        def SendMessage(self, CHATID: str, fileDetails: str, clientToken: str | None = None) -> dict[str, Any]:
            return {"SendMessageResult": RECEIPT}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that http is no https
        application = SoapApplication(service_url="http://127.0.0.1/webchat")
    application.register(Webchat())
    adapter: Callable[..., Any] = WsgiSoapApp(application)
    return adapter
