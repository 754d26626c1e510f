"""Every fault a caller can provoke, with its detail, over both SOAP versions (contract section 6)."""

from __future__ import annotations

import json

import pytest

from tests.serving import SAMPLES, Service, Soap


def image() -> bytes:
    return next(path for path in sorted((SAMPLES / "image").iterdir()) if path.suffix == ".png").read_bytes()


def test_invalid_json_tells_line_and_column(soap: Soap, chat_id: str) -> None:
    fault = soap.fault("SendMessage", CHATID=chat_id, fileDetails='{"text":\n "a" "b"}')
    assert (fault.code, fault.line, fault.column, fault.retryable) == ("InvalidJson", 2, 6, False)
    assert len(fault.requestId) == 16


def test_the_articles_first_sample_is_not_json_for_want_of_a_comma(soap: Soap, chat_id: str) -> None:
    name = "20210304-4865c412-7c28-45e4-9f55-3bd039401734.png"
    printed = f'{{"fileUrl": "https: // host /public_files/{name}", "fileName": "{name}" "fileType": "IMAGE"}}'
    fault = soap.fault("UploadFile", CHATID=chat_id, fileDetails=printed)
    assert fault.code == "InvalidJson"
    assert fault.column == printed.index('"fileType"') + 1
    assert "comma" in fault.message


def test_invalid_request_names_the_path_in_the_json(soap: Soap, chat_id: str) -> None:
    details = json.dumps({"message": {"fileDetails": {"fileUrl": 7}}})
    fault = soap.fault("SendMessage", CHATID=chat_id, fileDetails=details)
    assert (fault.code, fault.field) == ("InvalidRequest", "message.fileDetails.fileUrl")


def test_a_text_that_is_too_long_tells_both_numbers(soap: Soap, chat_id: str) -> None:
    fault = soap.fault("SendMessage", CHATID=chat_id, fileDetails=json.dumps({"text": "ş" * 4097}))
    assert (fault.code, fault.limit, fault.actual) == ("InvalidRequest", 4096, 4097)
    assert soap.SendMessage(CHATID=chat_id, fileDetails=json.dumps({"text": "ş" * 4096})).sequence == 1


@pytest.mark.parametrize("chat", ["a b", "ü", "x" * 65, "<x>", "a/b", "  "])
def test_a_chat_id_that_breaks_the_rules_is_an_invalid_request(soap: Soap, chat: str) -> None:
    fault = soap.fault("SendMessage", CHATID=chat, fileDetails='{"text": "a"}')
    assert (fault.code, fault.field) == ("InvalidRequest", "CHATID")


def test_chat_id_mismatch(soap: Soap, chat_id: str) -> None:
    details = json.dumps({"CHATID": "another", "message": {"text": "a"}})
    assert soap.fault("SendMessage", CHATID=chat_id, fileDetails=details).code == "ChatIdMismatch"


@pytest.mark.parametrize("operation", ["GetMessages", "EndChat", "GetLimits"])
def test_chat_not_found(soap: Soap, chat_id: str, operation: str) -> None:
    assert soap.fault(operation, CHATID=chat_id).code == "ChatNotFound"


@pytest.mark.parametrize(
    ("field", "value"), [("afterSequence", -1), ("maxMessages", 0), ("maxMessages", -1), ("waitSeconds", -1)]
)
def test_numbers_that_make_no_sense(soap: Soap, chat_id: str, field: str, value: int) -> None:
    soap.StartChat(CHATID=chat_id)
    fault = soap.fault("GetMessages", CHATID=chat_id, **{field: value})
    assert (fault.code, fault.field) == ("InvalidRequest", field)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a.png",
        "http://127.0.0.1:1/a.png",
        "http://user:secret@example.com/a.png",
        "file:///etc/passwd",
    ],
)
def test_url_not_allowed(soap: Soap, chat_id: str, url: str) -> None:
    fault = soap.fault("UploadFile", CHATID=chat_id, fileDetails=json.dumps({"fileUrl": url}))
    assert (fault.code, fault.retryable) == ("UrlNotAllowed", False)
    assert "secret" not in fault.message


@pytest.mark.parametrize(("status", "retryable"), [(404, False), (429, True), (503, True)])
def test_download_failed_tells_the_hosts_status(
    soap: Soap, service: Service, chat_id: str, status: int, retryable: bool
) -> None:
    url = service.host.serve(f"/{chat_id}", b"sorry", status=f"{status} Status")
    fault = soap.fault("UploadFile", CHATID=chat_id, fileDetails=json.dumps({"fileUrl": url}))
    assert (fault.code, fault.httpStatus, fault.retryable) == ("DownloadFailed", status, retryable)


def test_file_faults(soap: Soap, service: Service, chat_id: str) -> None:
    def upload(content: bytes, **more: str) -> str:
        return json.dumps({"fileUrl": service.host.serve(f"/{chat_id}", content), **more})

    before = len(service.stored_files())
    empty = soap.fault("UploadFile", CHATID=chat_id, fileDetails=upload(b""))
    assert empty.code == "EmptyFile"
    script = soap.fault("UploadFile", CHATID=chat_id, fileDetails=upload(b"#!/bin/sh\necho\n", fileName="a.txt"))
    assert script.code == "UnsupportedFileType"
    mismatch = soap.fault("UploadFile", CHATID=chat_id, fileDetails=upload(image(), fileType="VIDEO"))
    assert (mismatch.code, mismatch.declaredType, mismatch.detectedType, mismatch.field) == (
        "FileTypeMismatch",
        "VIDEO",
        "IMAGE (image/png)",
        "fileUrl",
    )
    large = soap.fault("UploadFile", CHATID=chat_id, fileDetails=upload(bytes((10 << 20) + 1), fileType="IMAGE"))
    assert (large.code, large.limit, large.actual) == ("FileTooLarge", 10 << 20, (10 << 20) + 1)
    assert soap.fault("GetMessages", CHATID=chat_id).code == "ChatNotFound"
    assert len(service.stored_files()) == before
    assert not [path for path in (service.data / "spool").rglob("*") if path.is_file()]


def test_quota_exceeded_tells_what_was_exceeded(start_service, chat_id: str) -> None:
    small = start_service(MAX_FILES_PER_CHAT="1")
    soap = Soap(f"{small.address}?wsdl", "WebchatSoap12")
    details = json.dumps({"fileUrl": small.host.serve("/a.png", image())})
    soap.UploadFile(CHATID=chat_id, fileDetails=details)
    fault = soap.fault("UploadFile", CHATID=chat_id, fileDetails=details)
    assert (fault.code, fault.field, fault.limit, fault.actual) == ("QuotaExceeded", "maxFilesPerChat", 1, 2)
    assert len([request for request in small.host.requests if request.path == "/a.png"]) == 1


def test_quota_of_bytes_stops_the_download(start_service, chat_id: str) -> None:
    content = image()
    small = start_service(MAX_BYTES_PER_CHAT=str(len(content) + 10))
    soap = Soap(f"{small.address}?wsdl", "WebchatSoap11")
    details = json.dumps({"fileUrl": small.host.serve("/a.png", content)})
    soap.UploadFile(CHATID=chat_id, fileDetails=details)
    fault = soap.fault("UploadFile", CHATID=chat_id, fileDetails=details)
    assert (fault.code, fault.field, fault.limit) == ("QuotaExceeded", "maxBytesPerChat", len(content) + 10)


def test_unknown_chats_can_be_refused(start_service, chat_id: str) -> None:
    strict = start_service(UNKNOWN_CHATS="refuse")
    soap = Soap(f"{strict.address}?wsdl", "WebchatSoap11")
    assert soap.fault("SendMessage", CHATID=chat_id, fileDetails='{"text": "a"}').code == "ChatNotFound"
    soap.StartChat(CHATID=chat_id)
    assert soap.SendMessage(CHATID=chat_id, fileDetails='{"text": "a"}').sequence == 1


def test_a_sender_fault_of_soap_12_is_400_where_the_operator_wants_it(start_service, service: Service) -> None:
    strict = start_service(SOAP12_SENDER_STATUS="400")
    envelope = (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><EndChat xmlns="urn:webchat:v1">'
        "<CHATID>none</CHATID></EndChat></s:Body></s:Envelope>"
    )
    media_type = {"Content_Type": "application/soap+xml"}
    assert strict.post(envelope, **media_type).status_code == 400
    # SOAP 1.2 Part 2, table 20: 400 is for Sender alone.
    mismatch = envelope.replace("http://www.w3.org/2003/05/soap-envelope", "urn:none")
    assert strict.post(mismatch, **media_type).status_code == 500
    header = '<s:Header><x:a xmlns:x="urn:x" s:mustUnderstand="true"/></s:Header><s:Body>'
    assert strict.post(envelope.replace("<s:Body>", header), **media_type).status_code == 500
    assert service.post(envelope, **media_type).status_code == 500
    assert (
        strict.post(
            envelope.replace("http://www.w3.org/2003/05/soap-envelope", "http://schemas.xmlsoap.org/soap/envelope/")
        ).status_code
        == 500
    )
