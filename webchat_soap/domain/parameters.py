"""The parameters that are no JSON: StartChat's and GetMessages' own (contract section 2)."""

from __future__ import annotations

from webchat_soap.domain.chat import ReadRequest, StartRequest
from webchat_soap.domain.details import check_chat_id, check_client_token, check_customer_name
from webchat_soap.domain.errors import InvalidRequest

DEFAULT_MAX_MESSAGES = 50
MAX_MESSAGES = 100
MAX_WAIT_SECONDS = 30


def check_optional_chat_id(value: str | None) -> str | None:
    """A CHATID that may be left away, as which white space counts too. InvalidRequest."""
    return check_chat_id(value) if value is not None and value.strip() else None


def parse_start(*, chat_id: str | None, customer_name: str | None, client_token: str | None) -> StartRequest:
    """The parameters of StartChat. InvalidRequest."""
    return StartRequest(
        chat_id=check_optional_chat_id(chat_id),
        customer_name=check_customer_name(customer_name),
        client_token=check_client_token(client_token),
    )


def parse_read(
    *, chat_id: str, after_sequence: int | None, max_messages: int | None, wait_seconds: int | None
) -> ReadRequest:
    """The parameters of GetMessages: what is too high is capped, what makes no sense is InvalidRequest."""
    checked_chat_id = check_chat_id(chat_id)
    if max_messages == 0:
        raise InvalidRequest("maxMessages must be at least 1; leave it away for 50.", field="maxMessages", actual=0)
    return ReadRequest(
        chat_id=checked_chat_id,
        after_sequence=_not_negative(after_sequence, "afterSequence", default=0),
        max_messages=min(MAX_MESSAGES, _not_negative(max_messages, "maxMessages", default=DEFAULT_MAX_MESSAGES)),
        wait_seconds=min(MAX_WAIT_SECONDS, _not_negative(wait_seconds, "waitSeconds", default=0)),
    )


def _not_negative(value: int | None, field: str, *, default: int) -> int:
    if value is None:
        return default
    if value < 0:
        raise InvalidRequest(f"{field} must not be negative.", field=field, actual=value)
    return value
