"""The one place that writes faults, for both SOAP versions (contract section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from webchat_soap.domain.errors import SenderError, WebchatError
from webchat_soap.soap.types import NAMESPACE, WebchatFault
from webchat_soap.soap.versions import SOAP11, SOAP12, SoapVersion
from webchat_soap.soap.writers import escape_text, make_writer

_XML = "http://www.w3.org/XML/1998/namespace"


class EnvelopeFault(Exception):
    """A fault that the SOAP specifications rule: its own code, no detail."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def code(self) -> str:
        return type(self).__name__

    def blocks(self, version: SoapVersion) -> str:
        """Header blocks that the specification wants beside the fault, as XML."""
        return ""


class VersionMismatch(EnvelopeFault):
    """The envelope is of neither SOAP version. SOAP 1.1 section 4.4.1, SOAP 1.2 Part 1 section 5.4.7."""

    def blocks(self, version: SoapVersion) -> str:
        if version is SOAP11:
            return ""
        supported = "".join(
            f'<soap:SupportedEnvelope qname="ns{number}:Envelope" xmlns:ns{number}="{known.namespace}"/>'
            for number, known in enumerate((SOAP12, SOAP11), start=1)
        )
        return f"<soap:Upgrade>{supported}</soap:Upgrade>"


class MustUnderstand(EnvelopeFault):
    """A header block that must be understood is not. SOAP 1.1 section 4.2.3, SOAP 1.2 Part 1 section 5.4.8."""

    def __init__(self, message: str, *, blocks: tuple[tuple[str, str], ...]) -> None:
        super().__init__(message)
        self.missed = blocks

    def blocks(self, version: SoapVersion) -> str:
        if version is SOAP11:
            return ""
        return "".join(
            # This namespace may have no other prefix, and no other namespace may have this one.
            f'<soap:NotUnderstood qname="xml:{name}"/>'
            if namespace == _XML
            else f'<soap:NotUnderstood qname="ns{number}:{name}" xmlns:ns{number}="{escape_text(namespace)}"/>'
            for number, (namespace, name) in enumerate(self.missed, start=1)
        )


class DataEncodingUnknown(EnvelopeFault):
    """An encodingStyle that we do not know. SOAP 1.2 Part 1 sections 5.1.1 and 5.4.6."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Detail:
    code: str
    message: str
    retryable: bool
    request_id: str
    field: str | None
    limit: int | None
    actual: int | None
    declared_type: str | None
    detected_type: str | None
    http_status: int | None
    line: int | None
    column: int | None
    retry_after_seconds: int | None


_write_detail = make_writer("WebchatFault", WebchatFault, namespace=NAMESPACE)


def status_of(error: WebchatError | EnvelopeFault, *, version: SoapVersion, soap12_sender_status: int) -> int:
    """The HTTP status: 500, since WCF and others read no fault from a 400, unless the operator chose 400 for 1.2.

    SOAP 1.2 Part 2, table 20, has 400 for Sender alone.
    """
    return soap12_sender_status if version is SOAP12 and isinstance(error, SenderError) else 500


def write_fault(
    error: WebchatError | EnvelopeFault, *, version: SoapVersion, request_id: str, header_blocks: str = ""
) -> bytes:
    """The whole answer. `faultstring` and Reason begin with the code: some clients show nothing else.

    `header_blocks` is XML for the Header, beside what the fault itself wants there.
    """
    if isinstance(error, WebchatError):
        side = version.sender if isinstance(error, SenderError) else version.receiver
        subcode: str | None = error.code
        reason = f"{error.code}: {error.message}"
        detail = _write_detail(
            _Detail(
                code=error.code,
                message=error.message,
                retryable=error.retryable,
                request_id=request_id,
                field=error.field,
                limit=error.limit,
                actual=error.actual,
                declared_type=error.declared_type,
                detected_type=error.detected_type,
                http_status=error.http_status,
                line=error.line,
                column=error.column,
                retry_after_seconds=error.retry_after_seconds,
            ),
            "",
        )
    else:
        side, subcode, reason, detail = error.code, None, error.message, ""
        header_blocks = error.blocks(version) + header_blocks
    reason = escape_text(reason)
    if version is SOAP11:
        body = f"<faultcode>soap:{side}</faultcode><faultstring>{reason}</faultstring>"
        body += f"<detail>{detail}</detail>" if detail else ""
        fault = f"<soap:Fault>{body}</soap:Fault>"
    else:
        # JAX-WS takes a Subcode only with a prefix, and only one that is declared on the Fault or above.
        inner = f"<soap:Subcode><soap:Value>webchat:{subcode}</soap:Value></soap:Subcode>" if subcode else ""
        body = f"<soap:Code><soap:Value>soap:{side}</soap:Value>{inner}</soap:Code>"
        body += f'<soap:Reason><soap:Text xml:lang="en">{reason}</soap:Text></soap:Reason>'
        body += f"<soap:Detail>{detail}</soap:Detail>" if detail else ""
        fault = f'<soap:Fault xmlns:webchat="{NAMESPACE}">{body}</soap:Fault>'
    return version.envelope(fault, header_blocks=header_blocks).encode()
