"""The contract's operations (section 2) as a Spyne service: each one parses at the door and calls the use case.

`make_service` is a factory so that no operation needs a global: it closes over the ChatService it is given.
"""

from __future__ import annotations

from typing import Any

from spyne import Int, Long, ServiceBase, Unicode, rpc

from webchat_soap.domain import details, parameters
from webchat_soap.domain.chat import Chat, Limits, MessagePage, MessageReceipt
from webchat_soap.domain.outcome import Outcome
from webchat_soap.service import ChatService
from webchat_soap.soap import types
from webchat_soap.soap.types import optional, required

PORT_TYPE = "WebchatPortType"


def _operation(*parameters: Any, returns: Any) -> Any:
    return rpc(
        *parameters,
        _returns=required(returns),
        _throws=[types.WebchatFault],
        _port_type=PORT_TYPE,
        # Mono's svcutil and wsdl.exe only unwrap a part of this name.
        _wsdl_part_name="parameters",
    )


def make_service(service: ChatService, *, max_text_length: int) -> type[ServiceBase]:
    """The Spyne service over `service`. `ctx.udc` of every call is its Caller."""

    class Webchat(ServiceBase):
        __port_types__ = (PORT_TYPE,)

        @_operation(required(Unicode), required(Unicode), optional(Unicode), returns=types.MessageReceipt)
        def UploadFile(ctx, CHATID: str, fileDetails: str, clientToken: str | None) -> Outcome[MessageReceipt]:
            request = details.parse_upload(chat_id=CHATID, file_details=fileDetails, client_token=clientToken)
            return service.upload_file(ctx.udc, request)

        @_operation(optional(Unicode), required(Unicode), optional(Unicode), returns=types.MessageReceipt)
        def SendMessage(ctx, CHATID: str | None, fileDetails: str, clientToken: str | None) -> Outcome[MessageReceipt]:
            request = details.parse_send(
                chat_id=CHATID, file_details=fileDetails, client_token=clientToken, max_text_length=max_text_length
            )
            return service.send_message(ctx.udc, request)

        @_operation(optional(Unicode), optional(Unicode), optional(Unicode), returns=types.Chat)
        def StartChat(ctx, CHATID: str | None, customerName: str | None, clientToken: str | None) -> Outcome[Chat]:
            request = parameters.parse_start(chat_id=CHATID, customer_name=customerName, client_token=clientToken)
            return service.start_chat(ctx.udc, request)

        @_operation(required(Unicode), optional(Long), optional(Int), optional(Int), returns=types.MessagePage)
        def GetMessages(
            ctx, CHATID: str, afterSequence: int | None, maxMessages: int | None, waitSeconds: int | None
        ) -> Outcome[MessagePage]:
            request = parameters.parse_read(
                chat_id=CHATID, after_sequence=afterSequence, max_messages=maxMessages, wait_seconds=waitSeconds
            )
            return service.get_messages(ctx.udc, request)

        @_operation(required(Unicode), returns=types.Chat)
        def EndChat(ctx, CHATID: str) -> Outcome[Chat]:
            return service.end_chat(ctx.udc, details.check_chat_id(CHATID))

        @_operation(optional(Unicode), returns=types.Limits)
        def GetLimits(ctx, CHATID: str | None) -> Outcome[Limits]:
            return service.get_limits(ctx.udc, parameters.check_optional_chat_id(CHATID))

    return Webchat
