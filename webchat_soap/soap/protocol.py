"""Protocol and transport on Spyne's extension points: the way of a call between Spyne's types and our bytes.

Stock `WsgiApplication` with `Soap11` or `Soap12` is not what we serve with (design.md section 3 has the figures): here
one protocol answers both SOAP versions, readers and writers are made once from Spyne's types, and whatever an operation
raises goes straight to the endpoint, which alone writes faults.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spyne.application import Application
from spyne.context import MethodContext
from spyne.protocol import ProtocolBase
from spyne.server import ServerBase

from webchat_soap.domain.chat import Caller
from webchat_soap.domain.errors import InvalidRequest
from webchat_soap.domain.outcome import Outcome
from webchat_soap.service import ChatService
from webchat_soap.soap import wsdl
from webchat_soap.soap.addressing import response_action
from webchat_soap.soap.envelope import Bounds, Envelope, bounds_for, check_bounds, read_envelope
from webchat_soap.soap.forms import Forms
from webchat_soap.soap.operations import make_service
from webchat_soap.soap.readers import OperationReader, make_reader
from webchat_soap.soap.tools import Tools
from webchat_soap.soap.types import NAMESPACE
from webchat_soap.soap.versions import SoapVersion
from webchat_soap.soap.writers import Writer, make_response_writer


class CallContext(MethodContext):
    """Spyne's context of a call, with what one call of ours needs.

    The stock one fills forty attributes through a guarded `__setattr__`, a fifth of a whole SendMessage.
    """

    __setattr__ = object.__setattr__

    def __init__(self, transport: WebchatTransport, *, body: bytes, hint: SoapVersion, caller: Caller) -> None:
        self.app = transport.app
        self.udc = caller
        self.in_string = [body]
        self.tools = transport.tools
        self.in_document = Envelope(version=hint)
        self.in_body_doc: Any = None
        self.method_request_string = ""
        self.in_object: list[Any] = []
        self.out_object: list[Any] = []
        self.out_document = ""
        self.out_string: list[bytes] = []


class WebchatProtocol(ProtocolBase):
    """SOAP 1.1 and 1.2 in document/literal, both ways."""

    # What Spyne's WSDL generator asks for; the SOAP 1.2 half is made from the 1.1 half (soap.wsdl).
    type = {"soap", "soap11"}  # noqa: RUF012  (Spyne's own attribute)
    mime_type = "text/xml"

    def set_app(self, value: Any) -> None:
        """Spyne calls this once, with the finished interface."""
        super().set_app(value)
        if value is None:
            return
        descriptors = [handles[0] for handles in value.interface.service_method_map.values()]
        self._descriptors = {f"{{{NAMESPACE}}}{descriptor.name}": descriptor for descriptor in descriptors}
        self._readers: dict[str, OperationReader] = {
            descriptor.name: make_reader(descriptor, _schema_type_name) for descriptor in descriptors
        }
        self._writers: dict[str, Writer] = {
            descriptor.name: make_response_writer(descriptor, namespace=NAMESPACE) for descriptor in descriptors
        }

    @property
    def operation_names(self) -> frozenset[str]:
        return frozenset(self._readers)

    def create_in_document(self, ctx: Any, charset: str | None = None) -> None:
        """Bytes to a checked envelope. `ctx.in_string` is `[UTF-8 bytes]`."""
        read_envelope(ctx.in_string[0], ctx.tools.parser, ctx.in_document)

    def decompose_incoming_envelope(self, ctx: Any, message: Any = ProtocolBase.REQUEST) -> None:
        """Find the operation."""
        envelope: Envelope = ctx.in_document
        ctx.in_body_doc = envelope.operation
        ctx.method_request_string = envelope.operation.tag

    def generate_method_contexts(self, ctx: Any) -> tuple[Any, ...]:
        """One context, the given one: there are no auxiliary methods, for which Spyne would copy it."""
        descriptor = self._descriptors.get(ctx.method_request_string)
        if descriptor is None:
            raise _unknown_operation(ctx.in_body_doc, self.operation_names)
        ctx.descriptor = descriptor
        return (ctx,)

    def deserialize(self, ctx: Any, message: Any) -> None:
        """The operation's element to its arguments."""
        reader = self._readers[ctx.descriptor.name]
        ctx.in_object = reader.read(ctx.in_body_doc, ctx.tools.schema, body=ctx.in_string[0])

    def takes_texts(self, ctx: Any) -> bool:
        """Whether all that was given to the operation are plain texts."""
        return self._readers[ctx.descriptor.name].are_texts(ctx.in_object)

    def serialize(self, ctx: Any, message: Any) -> None:
        """The result to the response element."""
        ctx.out_document = self._writers[ctx.descriptor.name](ctx.out_object[0], ctx.udc.base_url)

    def create_out_string(self, ctx: Any, charset: str | None = None) -> None:
        """The response element to the whole envelope, UTF-8."""
        envelope: Envelope = ctx.in_document
        blocks = ""
        if envelope.addressing is not None:
            blocks = envelope.addressing.answer_blocks(response_action(ctx.descriptor.name))
        ctx.out_string = [envelope.version.envelope(ctx.out_document, header_blocks=blocks).encode()]


def _unknown_operation(element: Any, names: frozenset[str]) -> InvalidRequest:
    name = element.tag.rpartition("}")[2]
    if name in names:
        return InvalidRequest(f"{name} must be in the namespace {NAMESPACE}.", field=name)
    known = ", ".join(sorted(names))
    return InvalidRequest(f"There is no such operation; there are {known}.")


def _schema_type_name(model: Any) -> str:
    return f"xs:{model.get_type_name()}"


class WebchatTransport(ServerBase):
    """One call from its bytes to its answer, without HTTP: the endpoint is around it."""

    transport = wsdl.HTTP_TRANSPORT

    def __init__(self, app: Application, *, bounds: Bounds) -> None:
        super().__init__(app)
        self.bounds = bounds
        self.wsdl_at: Callable[[str], bytes] = wsdl.build_wsdl(app)
        self.schema: bytes = wsdl.build_schema(app)
        # It makes a schema here and now, before there are threads: libxml2 sets up the types of all schemas with the
        # first, unguarded. When threads did that side by side, calls were Internal or the process ended (double free).
        self.tools = Tools(self.schema)
        self._forms = Forms()

    @property
    def operation_names(self) -> frozenset[str]:
        names: frozenset[str] = self.app.in_protocol.operation_names
        return names

    def new_call(self, body: bytes, *, hint: SoapVersion, caller: Caller) -> CallContext:
        """The context of a call, to be given to `read`, `call` and then `write`. `body` is UTF-8."""
        return CallContext(self, body=body, hint=hint, caller=caller)

    def read(self, ctx: CallContext) -> None:
        """Read the message and find it valid. Raises InvalidRequest or an EnvelopeFault.

        What `ctx.in_document` has by then says how to answer.
        """
        body = ctx.in_string[0]
        check_bounds(body, self.bounds)
        known = self._forms.read(body)
        if known is not None:
            form, ctx.in_object = known
            ctx.descriptor = form.descriptor
            ctx.in_document.version = form.version
            return
        self.tools.count(len(body))
        protocol = self.app.in_protocol
        try:
            protocol.create_in_document(ctx)
            protocol.decompose_incoming_envelope(ctx)
            protocol.generate_method_contexts(ctx)
            protocol.deserialize(ctx, protocol.REQUEST)
            if protocol.takes_texts(ctx):
                self._forms.learn(
                    body, version=ctx.in_document.version, descriptor=ctx.descriptor, arguments=ctx.in_object
                )
        finally:
            # The tree is read; nothing below sees it.
            ctx.in_body_doc = ctx.in_document.operation = None

    def call(self, ctx: CallContext) -> Outcome[Any]:
        """Begin the operation. Raises whatever the use case raises at once."""
        # Not process_request: it would turn every exception into a Fault of Spyne's with the exception's own words.
        # And the service's own wrapper: the application's would only find it, and find out what the arguments are.
        outcome: Outcome[Any] = ctx.descriptor.service_class.call_wrapper(ctx, (ctx, *ctx.in_object))
        return outcome

    def write(self, ctx: CallContext, result: Any) -> bytes:
        """The answer to a call that came to `result`."""
        ctx.out_object = [result]
        protocol = self.app.out_protocol
        protocol.serialize(ctx, protocol.RESPONSE)
        protocol.create_out_string(ctx)
        answer: bytes = ctx.out_string[0]
        return answer


def make_transport(service: ChatService, *, max_text_length: int) -> WebchatTransport:
    """The whole SOAP face over a ChatService, but for HTTP."""
    application = Application(
        [make_service(service, max_text_length=max_text_length)],
        tns=NAMESPACE,
        name="Webchat",
        in_protocol=WebchatProtocol(),
        out_protocol=WebchatProtocol(),
        documents_container=wsdl.Documents,
    )
    return WebchatTransport(application, bounds=bounds_for(max_text_length))
