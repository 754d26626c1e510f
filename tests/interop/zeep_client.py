"""The scenario of stacks.py with zeep."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import zeep
from zeep.exceptions import Fault
from zeep.xsd.valueobjects import CompoundValue


def play(wsdl: str, prefix: str, lists: str, file_url: str, large_url: str, missing_url: str) -> dict[str, Any]:
    """Both versions' results, by `1.1` and `1.2`."""
    client = zeep.Client(wsdl, settings=zeep.Settings(strict=True))
    ports = {"1.1": "WebchatSoap11", "1.2": "WebchatSoap12"}
    urls = (file_url, large_url, missing_url)
    return {
        version: _play(client, port, prefix, f"{prefix}-{version}", lists, *urls) for version, port in ports.items()
    }


def _play(
    client: zeep.Client,
    port: str,
    prefix: str,
    chat: str,
    lists: str,
    file_url: str,
    large_url: str,
    missing_url: str,
) -> dict[str, Any]:
    webchat = client.bind("Webchat", port)
    file = {"fileUrl": file_url, "fileType": "IMAGE"}

    def send(chat_id: str, message: dict[str, Any], **more: str) -> Any:
        return webchat.SendMessage(CHATID=chat_id, fileDetails=json.dumps(message), **more)

    def upload(chat_id: str, details: dict[str, Any]) -> Any:
        return webchat.UploadFile(CHATID=chat_id, fileDetails=json.dumps(details))

    def fault(call: Callable[..., Any], *arguments: Any, **parameters: Any) -> Any:
        try:
            call(*arguments, **parameters)
        except Fault as error:
            return client.wsdl.types.deserialize(error.detail[0])
        return None

    results = {
        "started": webchat.StartChat(CHATID=chat, customerName="Ayşe 🙂"),
        "empty": webchat.GetMessages(CHATID=chat),
        "text": send(chat, {"text": "first ş"}, clientToken="token-1"),
        "repeated": send(chat, {"text": "first ş"}, clientToken="token-1"),
        "one": webchat.GetMessages(CHATID=chat),
        "file": send(chat, {"fileDetails": file}),
        "both": send(chat, {"text": "a <b> & ]]>", "fileDetails": file}),
        "uploaded": upload(chat, file),
        "two": webchat.GetMessages(CHATID=chat, afterSequence=1, maxMessages=2, waitSeconds=5),
        "lists": webchat.GetMessages(CHATID=lists),
        "limits": webchat.GetLimits(CHATID=chat),
        "general": webchat.GetLimits(),
        "ended": webchat.EndChat(CHATID=chat),
        "faults": {
            "late": fault(send, chat, {"text": "late"}),
            "broken": fault(webchat.SendMessage, CHATID=lists, fileDetails='{"text":\n }'),
            "large": fault(upload, prefix, {"fileUrl": large_url}),
            "missing": fault(upload, prefix, {"fileUrl": missing_url}),
            "mismatch": fault(upload, prefix, file | {"fileType": "VIDEO"}),
            "negative": fault(webchat.GetMessages, CHATID=lists, afterSequence=-1),
        },
    }
    return {name: _seen(value) for name, value in results.items()}


def _seen(value: Any) -> Any:
    """What the other clients print: plain values as they are; a time says that it is one."""
    if isinstance(value, datetime):
        assert value.utcoffset() is not None
        return {"time": value.isoformat()}
    if isinstance(value, list):
        return [_seen(item) for item in value]
    if isinstance(value, CompoundValue):
        return {name: _seen(value[name]) for name in value}
    if isinstance(value, dict):
        return {name: _seen(member) for name, member in value.items()}
    assert value is None or isinstance(value, bool | int | str), type(value)
    return value
