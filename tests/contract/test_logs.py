"""The one line that a call leaves in the log: what it says, and what it never says."""

from __future__ import annotations

import json
import logging

import pytest
import requests

from tests.serving import Service, Soap


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [record.fields for record in caplog.records if record.name == "webchat_soap.request"]


def test_a_call_leaves_one_line_with_its_request_id(soap: Soap, chat_id: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="webchat_soap.request"):
        fault = soap.fault("EndChat", CHATID=chat_id)
    (line,) = lines(caplog)
    assert line["request_id"] == fault.requestId
    assert (line["operation"], line["chat"], line["code"], line["status"]) == ("EndChat", chat_id, "ChatNotFound", 500)
    assert line["soap"] == ("1.1" if soap.port == "WebchatSoap11" else "1.2")


def test_the_chat_is_told_also_when_it_stands_in_the_json_or_was_made(
    soap: Soap, chat_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="webchat_soap.request"):
        soap.SendMessage(fileDetails=json.dumps({"CHATID": chat_id, "message": {"text": "a"}}))
        made = soap.StartChat().CHATID
    assert [line["chat"] for line in lines(caplog)] == [chat_id, made]


def test_what_people_wrote_never_stands_in_a_line(soap: Soap, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        soap.fault("SendMessage", CHATID="a code=OK request_id=00 hunter2", fileDetails='{"text": "hunter2"}')
        soap.fault("UploadFile", CHATID="hunter2", fileDetails='{"fileUrl": "http://u:hunter2@h/hunter2.png"}')
    ours = [record for record in caplog.records if record.name.startswith("webchat_soap")]
    assert len(ours) == 2
    said = " ".join(f"{record.getMessage()} {getattr(record, 'fields', '')}" for record in ours)
    assert said.count("hunter2") == 1, "only the valid CHATID may be told"
    assert "code=OK" not in said


def test_a_refused_body_leaves_a_line_too(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="webchat_soap.request"):
        assert requests.post(service.address, data=b"{}", timeout=10).status_code == 415
    assert [line["code"] for line in lines(caplog)] == ["415"]
