"""What the service says of itself, for the human page and wsdl/examples: read off the Spyne types."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree
from spyne.model.enum import EnumBase

from webchat_soap.domain.chat import (
    Chat,
    ChatQuota,
    ChatStatus,
    ChatUsage,
    FileLimit,
    Limits,
    Message,
    MessagePage,
    MessageReceipt,
    Sender,
)
from webchat_soap.domain.description import (
    FieldDescription,
    OperationDescription,
    ServiceDescription,
    TypeDescription,
)
from webchat_soap.domain.errors import ChatEnded
from webchat_soap.domain.file import FileType, StoredFile
from webchat_soap.soap import documentation, types
from webchat_soap.soap.faults import write_fault
from webchat_soap.soap.protocol import WebchatTransport
from webchat_soap.soap.types import NAMESPACE
from webchat_soap.soap.versions import SOAP11, SOAP12, SoapVersion
from webchat_soap.soap.writers import make_response_writer

_BASE_URL = "https://chat.example.com"
_CHAT_ID = "12345"
_FILE_URL = "https://files.example.com/receipt.png"
_TIME = datetime(2026, 11, 22, 9, 30, 15, 250_000, tzinfo=UTC)
_PICTURE_NAME = "20261122-4865c412-7c28-45e4-9f55-3bd039401734.png"

_PICTURE = StoredFile(
    file_id=_PICTURE_NAME[9:45],
    name=_PICTURE_NAME,
    original_name="receipt.png",
    file_type=FileType.IMAGE,
    content_type="image/png",
    size=48_213,
    sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    width=640,
    height=400,
)
_RECEIPT = MessageReceipt(
    message_id="0f8fad5b-d9cb-469f-a165-70867728950e", chat_id=_CHAT_ID, sequence=1, sent_at=_TIME
)
_CHAT = Chat(chat_id=_CHAT_ID, status=ChatStatus.OPEN, customer_name="Ayşe Yılmaz", started_at=_TIME, last_sequence=0)

# No clientToken: whoever pastes a sample, edits it and pastes it again would meet a Conflict.
_REQUESTS: dict[str, dict[str, str]] = {
    "UploadFile": {
        "CHATID": _CHAT_ID,
        "fileDetails": f'{{"fileUrl": "{_FILE_URL}", "fileName": "receipt.png", "fileType": "IMAGE"}}',
    },
    "SendMessage": {
        "CHATID": _CHAT_ID,
        "fileDetails": f'{{"CHATID": "{_CHAT_ID}", "message": {{"text": "test message"}}}}',
    },
    "StartChat": {"CHATID": _CHAT_ID, "customerName": "Ayşe Yılmaz"},
    "GetMessages": {"CHATID": _CHAT_ID, "afterSequence": "0", "maxMessages": "50", "waitSeconds": "0"},
    "EndChat": {"CHATID": _CHAT_ID},
    "GetLimits": {"CHATID": _CHAT_ID},
}

_RESULTS: dict[str, Any] = {
    "UploadFile": MessageReceipt(
        message_id=_RECEIPT.message_id, chat_id=_CHAT_ID, sequence=2, sent_at=_TIME, files=(_PICTURE,)
    ),
    "SendMessage": _RECEIPT,
    "StartChat": _CHAT,
    "GetMessages": MessagePage(
        chat_id=_CHAT_ID,
        status=ChatStatus.OPEN,
        messages=(
            Message(
                message_id=_RECEIPT.message_id,
                sequence=1,
                sender=Sender.CUSTOMER,
                sent_at=_TIME,
                text="test message",
            ),
            Message(
                message_id="7c9e6679-7425-40de-944b-e07fc1f90ae7",
                sequence=2,
                sender=Sender.CUSTOMER,
                sent_at=_TIME,
                files=(_PICTURE,),
            ),
        ),
        last_sequence=2,
        has_more=False,
    ),
    "EndChat": Chat(
        chat_id=_CHAT_ID,
        status=ChatStatus.ENDED,
        customer_name="Ayşe Yılmaz",
        started_at=_TIME,
        ended_at=_TIME,
        last_sequence=2,
        ended_by="CUSTOMER",
    ),
    "GetLimits": Limits(
        file_limits=tuple(
            FileLimit(file_type=family, max_bytes=size, content_types=(media_type,))
            for family, size, media_type in (
                (FileType.IMAGE, 10 << 20, "image/png"),
                (FileType.AUDIO, 16 << 20, "audio/wav"),
                (FileType.VIDEO, 64 << 20, "video/mp4"),
                (FileType.DOCUMENT, 100 << 20, "application/pdf"),
            )
        ),
        max_text_length=4096,
        quota=ChatQuota(max_files=50, max_bytes=500 << 20),
        used=ChatUsage(files=1, bytes=48_213),
    ),
}


def describe(transport: WebchatTransport) -> ServiceDescription:
    """The service's operations with samples, its types and its faults, in the contract's order."""
    methods = {handles[0].name: handles[0] for handles in transport.app.interface.service_method_map.values()}
    return ServiceDescription(
        operations=tuple(_describe_operation(methods[name]) for name in documentation.OPERATIONS),
        types=tuple(_describe_type(name) for name in documentation.TYPES),
        faults=documentation.FAULTS,
        fault_soap11=_fault(SOAP11),
        fault_soap12=_fault(SOAP12),
        sample_chat_id=_CHAT_ID,
        sample_file_url=_FILE_URL,
    )


def examples(transport: WebchatTransport) -> dict[str, str]:
    """The files of wsdl/examples: a request and a response per operation and version, and one fault in each version."""
    found: dict[str, str] = {}
    description = describe(transport)
    for operation in description.operations:
        found[f"{operation.name}-request-soap11.xml"] = operation.request_soap11
        found[f"{operation.name}-request-soap12.xml"] = operation.request_soap12
        found[f"{operation.name}-response-soap11.xml"] = operation.response_soap11
        found[f"{operation.name}-response-soap12.xml"] = operation.response_soap12
    found["fault-soap11.xml"] = description.fault_soap11
    found["fault-soap12.xml"] = description.fault_soap12
    return found


def _describe_operation(method: Any) -> OperationDescription:
    name = method.name
    ((result_name, result_model),) = method.out_message._type_info.items()
    result_type = result_model.get_type_name()
    return OperationDescription(
        name=name,
        text=documentation.OPERATIONS[name],
        parameters=tuple(
            _describe_field(parameter, model, documentation.PARAMETERS[name, parameter])
            for parameter, model in method.in_message._type_info.items()
        ),
        result=_describe_field(result_name, result_model, documentation.TYPES[result_type]),
        request_soap11=_request(name, SOAP11),
        request_soap12=_request(name, SOAP12),
        response_soap11=_response(method, SOAP11),
        response_soap12=_response(method, SOAP12),
    )


def _describe_type(name: str) -> TypeDescription:
    model = {"FileType": types.FILE_TYPE, "ChatStatus": types.CHAT_STATUS, "Sender": types.SENDER}.get(name)
    if model is None:
        model = getattr(types, name)
    if issubclass(model, EnumBase):
        return TypeDescription(
            name=name,
            text=documentation.TYPES[name],
            values=tuple((value, documentation.ENUMERATION_VALUES[name, value]) for value in model.__values__),
        )
    return TypeDescription(
        name=name,
        text=documentation.TYPES[name],
        fields=tuple(
            _describe_field(member, member_model, documentation.ELEMENTS[name, member])
            for member, member_model in model._type_info.items()
        ),
    )


def _describe_field(name: str, model: Any, text: str) -> FieldDescription:
    least, most = model.Attributes.min_occurs, model.Attributes.max_occurs
    occurs = str(least) if most == least else f"{least}..{'*' if most == 'unbounded' else most}"
    return FieldDescription(name=name, type_name=model.get_type_name(), occurs=occurs, text=text)


def _request(operation: str, version: SoapVersion) -> str:
    parameters = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in _REQUESTS[operation].items())
    body = f'<soap:Body><{operation} xmlns="{NAMESPACE}">{parameters}</{operation}></soap:Body>'
    return _pretty(f"{version.open_envelope}{body}{version.close_envelope}".encode())


def _response(method: Any, version: SoapVersion) -> str:
    body = make_response_writer(method, namespace=NAMESPACE)(_RESULTS[method.name], _BASE_URL)
    return _pretty(f"{version.open_envelope}<soap:Body>{body}</soap:Body>{version.close_envelope}".encode())


def _fault(version: SoapVersion) -> str:
    fault = ChatEnded(f"The chat {_CHAT_ID} has ended; open another one with StartChat.", field="CHATID")
    return _pretty(write_fault(fault, version=version, request_id="5d41402abc4b2a76"))


def _pretty(document: bytes) -> str:
    root = etree.fromstring(document)
    etree.indent(root, space="  ")
    text = etree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'
