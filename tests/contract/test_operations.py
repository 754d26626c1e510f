"""What a caller can rely on (contract section 2), by zeep over real HTTP and both SOAP versions."""

from __future__ import annotations

import datetime
import hashlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.file_host import Connection, Request, head
from tests.serving import SAMPLES, Service, Soap, wait_until

FAMILIES = {
    "IMAGE": SAMPLES / "image",
    "AUDIO": SAMPLES / "audio",
    "VIDEO": SAMPLES / "video",
    "DOCUMENT": SAMPLES / "document",
}


def sample(family: str) -> Path:
    return next(path for path in sorted(FAMILIES[family].iterdir()) if path.suffix in (".png", ".wav", ".mp4", ".pdf"))


def file_details(service: Service, path: Path, family: str | None = None) -> dict[str, str]:
    details = {"fileUrl": service.host.serve(f"/{path.name}", path.read_bytes()), "fileName": path.name}
    return details | ({"fileType": family} if family else {})


def text(value: str) -> str:
    return json.dumps({"text": value})


def test_start_chat_opens_a_chat_and_returns_the_open_one(soap: Soap, chat_id: str) -> None:
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    chat = soap.StartChat(CHATID=chat_id, customerName="Ayşe Yılmaz 🙂")
    assert (chat.CHATID, chat.status, chat.customerName, chat.lastSequence) == (chat_id, "OPEN", "Ayşe Yılmaz 🙂", 0)
    assert chat.startedAt.tzinfo is not None
    assert chat.startedAt >= before
    assert chat.endedAt is None
    again = soap.StartChat(CHATID=chat_id, customerName="another")
    assert again == chat


def test_start_chat_sets_a_name_where_there_was_none(soap: Soap, chat_id: str) -> None:
    assert soap.StartChat(CHATID=chat_id).customerName is None
    assert soap.StartChat(CHATID=chat_id, customerName="Can").customerName == "Can"


def test_start_chat_without_an_id_makes_one(soap: Soap) -> None:
    first, second = soap.StartChat(), soap.StartChat()
    assert first.CHATID != second.CHATID
    assert 1 <= len(first.CHATID) <= 64


def test_the_three_samples_of_the_article_work_as_printed(soap: Soap, service: Service, chat_id: str) -> None:
    wav = sample("AUDIO")
    url = service.host.serve("/public_files/20210304-cb78d4cb-ec7c-4f0b-9615-8b1df3ff9300.wav", wav.read_bytes())
    host = url.removeprefix("http://").partition("/")[0]
    name = "20210304-cb78d4cb-ec7c-4f0b-9615-8b1df3ff9300.wav"
    printed = (
        (
            '{"CHATID": "12345", "message": {"fileDetails": {"fileUrl": "http: // HOST /public_files/NAME", '
            '" fileName ":" NAME "," fileType ":" AUDIO "}}}'
        ),
        '{"CHATID": "12345", "message": {"text": "test message"}}',
        (
            '{"CHATID": "12345", "message": {"text": "file and text", "fileDetails": {"fileUrl": "http: // HOST / '
            'public_files / 20210304-cb78d4cb-ec7c- 4f0b-9615-8b1df3ff9300.wav "," fileName ":" NAME "," fileType ":" '
            'AUDIO "}}}'
        ),
    )
    samples = [text.replace("12345", chat_id).replace("HOST", host).replace("NAME", name) for text in printed]
    receipts = [soap.SendMessage(fileDetails=sample_json) for sample_json in samples]
    assert [receipt.sequence for receipt in receipts] == [1, 2, 3]
    page = soap.GetMessages(CHATID=chat_id)
    assert [(message.text, len(message.file)) for message in page.message] == [
        (None, 1),
        ("test message", 0),
        ("file and text", 1),
    ]
    stored = page.message[0].file[0]
    assert (stored.originalFileName, stored.fileType, stored.contentType) == (name, "AUDIO", "audio/wav")
    assert requests.get(stored.fileUrl, timeout=10).content == wav.read_bytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_upload_file_stores_serves_and_posts_a_file_of_every_family(
    soap: Soap, service: Service, chat_id: str, family: str
) -> None:
    path = sample(family)
    content = path.read_bytes()
    receipt = soap.UploadFile(CHATID=chat_id, fileDetails=json.dumps(file_details(service, path, family)))
    (stored,) = receipt.file
    assert (receipt.CHATID, receipt.sequence, receipt.duplicate) == (chat_id, 1, False)
    assert (stored.fileType, stored.size, stored.originalFileName) == (family, len(content), path.name)
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert stored.fileName.startswith(f"{datetime.datetime.now(datetime.UTC):%Y%m}")
    assert stored.fileName.endswith(path.suffix)
    assert stored.fileUrl == f"{service.url}/public_files/{stored.fileName}"
    answer = requests.get(stored.fileUrl, timeout=10)
    assert answer.content == content
    assert answer.headers["Content-Type"].partition(";")[0] == stored.contentType
    page = soap.GetMessages(CHATID=chat_id)
    assert [message.file for message in page.message] == [[stored]]
    assert page.message[0].sender == "CUSTOMER"


def test_get_messages_pages_in_order_with_types(soap: Soap, chat_id: str) -> None:
    receipts = [soap.SendMessage(CHATID=chat_id, fileDetails=text(f"message {number}")) for number in range(1, 8)]
    first = soap.GetMessages(CHATID=chat_id, maxMessages=3)
    assert [message.sequence for message in first.message] == [1, 2, 3]
    assert (first.hasMore, first.lastSequence, first.status) == (True, 7, "OPEN")
    rest = soap.GetMessages(CHATID=chat_id, afterSequence=3, maxMessages=100_000)
    assert [message.text for message in rest.message] == [f"message {number}" for number in range(4, 8)]
    assert rest.hasMore is False
    assert [message.messageId for message in [*first.message, *rest.message]] == [r.messageId for r in receipts]
    assert [message.sentAt for message in [*first.message, *rest.message]] == [r.sentAt for r in receipts]
    beyond = soap.GetMessages(CHATID=chat_id, afterSequence=7)
    assert (beyond.message, beyond.hasMore, beyond.lastSequence) == ([], False, 7)


def test_a_waiting_get_messages_is_woken_by_a_message(soap: Soap, service: Service, chat_id: str) -> None:
    soap.StartChat(CHATID=chat_id)
    pages: list[Any] = []
    other = Soap(f"{service.address}?wsdl", soap.port)
    waiter = threading.Thread(target=lambda: pages.append(other.GetMessages(CHATID=chat_id, waitSeconds=30)))
    started = time.monotonic()
    waiter.start()
    soap.SendMessage(CHATID=chat_id, fileDetails=text("news"))
    waiter.join(timeout=20)
    assert time.monotonic() - started < 15
    assert [message.text for message in pages[0].message] == ["news"]


def test_a_waiting_get_messages_is_woken_by_the_chats_end(soap: Soap, service: Service, chat_id: str) -> None:
    soap.StartChat(CHATID=chat_id)
    pages: list[Any] = []
    other = Soap(f"{service.address}?wsdl", soap.port)
    waiter = threading.Thread(target=lambda: pages.append(other.GetMessages(CHATID=chat_id, waitSeconds=30)))
    started = time.monotonic()
    waiter.start()
    soap.EndChat(CHATID=chat_id)
    waiter.join(timeout=20)
    assert time.monotonic() - started < 15
    assert (pages[0].message, pages[0].status) == ([], "ENDED")


def test_an_ended_chat_can_be_read_and_takes_nothing_more(soap: Soap, service: Service, chat_id: str) -> None:
    upload = soap.UploadFile(CHATID=chat_id, fileDetails=json.dumps(file_details(service, sample("IMAGE"))))
    ended = soap.EndChat(CHATID=chat_id)
    assert (ended.status, ended.lastSequence, ended.endedBy) == ("ENDED", 1, "CUSTOMER")
    assert ended.endedAt >= ended.startedAt
    assert soap.EndChat(CHATID=chat_id) == ended
    assert soap.fault("SendMessage", CHATID=chat_id, fileDetails=text("late")).code == "ChatEnded"
    assert soap.fault("StartChat", CHATID=chat_id).code == "ChatEnded"
    page = soap.GetMessages(CHATID=chat_id, waitSeconds=30)
    assert (page.status, len(page.message)) == ("ENDED", 1)
    assert requests.get(upload.file[0].fileUrl, timeout=10).status_code == 200


def test_upload_to_an_ended_chat_is_refused_before_downloading(soap: Soap, service: Service, chat_id: str) -> None:
    soap.StartChat(CHATID=chat_id)
    soap.EndChat(CHATID=chat_id)
    details = file_details(service, sample("IMAGE"))
    asked = len(service.host.requests)
    assert soap.fault("UploadFile", CHATID=chat_id, fileDetails=json.dumps(details)).code == "ChatEnded"
    assert len(service.host.requests) == asked


def test_get_limits_tells_the_limits_and_what_a_chat_has_used(soap: Soap, service: Service, chat_id: str) -> None:
    limits = soap.GetLimits()
    assert {limit.fileType: limit.maxSize for limit in limits.fileLimit} == {
        "IMAGE": 10 << 20,
        "AUDIO": 16 << 20,
        "VIDEO": 64 << 20,
        "DOCUMENT": 100 << 20,
    }
    assert "image/png" in limits.fileLimit[0].contentType
    assert (limits.maxTextLength, limits.maxFilesPerChat, limits.maxBytesPerChat) == (4096, 50, 500 << 20)
    assert (limits.filesUsed, limits.bytesUsed) == (None, None)
    receipt = soap.UploadFile(CHATID=chat_id, fileDetails=json.dumps(file_details(service, sample("IMAGE"))))
    used = soap.GetLimits(CHATID=chat_id)
    assert (used.filesUsed, used.bytesUsed) == (1, receipt.file[0].size)


def test_a_link_of_the_services_own_becomes_a_new_file_without_a_call_to_itself(
    soap: Soap, service: Service, chat_id: str
) -> None:
    first = soap.UploadFile(CHATID=chat_id, fileDetails=json.dumps(file_details(service, sample("IMAGE")))).file[0]
    other_chat = f"{chat_id}-2"
    copied = soap.SendMessage(
        CHATID=other_chat,
        fileDetails=json.dumps(
            {"fileDetails": {"fileUrl": first.fileUrl, "fileName": "again.png", "fileType": "IMAGE"}}
        ),
    ).file[0]
    assert copied.fileName != first.fileName
    assert (copied.sha256, copied.size, copied.originalFileName) == (first.sha256, first.size, "again.png")
    assert requests.get(copied.fileUrl, timeout=10).content == requests.get(first.fileUrl, timeout=10).content
    gone = soap.fault(
        "UploadFile",
        CHATID=other_chat,
        fileDetails=json.dumps(
            {"fileUrl": f"{service.url}/public_files/20210304-4865c412-7c28-45e4-9f55-3bd039401734.png"}
        ),
    )
    assert (gone.code, gone.httpStatus, gone.retryable) == ("DownloadFailed", 404, False)


def test_letters_and_signs_of_all_languages_survive(soap: Soap, chat_id: str) -> None:
    words = "ş ğ ı İ ö ü ç — \u202bשלום\u202c 漢字 👩‍👩‍👧 <b>&amp;</b> ]]> \t line\nbreak"
    soap.SendMessage(CHATID=chat_id, fileDetails=text(words))
    assert soap.GetMessages(CHATID=chat_id).message[0].text == words


def test_a_client_token_makes_a_retry_safe(soap: Soap, service: Service, chat_id: str) -> None:
    first = soap.SendMessage(CHATID=chat_id, fileDetails=text("once"), clientToken="t-1")
    again = soap.SendMessage(CHATID=chat_id, fileDetails='{"message": {"text": " once "}}', clientToken="t-1")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert (again.messageId, again.sequence, again.sentAt) == (first.messageId, first.sequence, first.sentAt)
    assert soap.fault("SendMessage", CHATID=chat_id, fileDetails=text("other"), clientToken="t-1").code == "Conflict"
    details = json.dumps(file_details(service, sample("IMAGE")))
    assert soap.fault("UploadFile", CHATID=chat_id, fileDetails=details, clientToken="t-1").code == "Conflict"
    upload = soap.UploadFile(CHATID=chat_id, fileDetails=details, clientToken="t-2")
    stored = len(service.stored_files())
    replay = soap.UploadFile(CHATID=chat_id, fileDetails=details, clientToken="t-2")
    assert (replay.duplicate, replay.file) == (True, upload.file)
    assert len(service.stored_files()) == stored
    assert soap.GetMessages(CHATID=chat_id).lastSequence == 2
    soap.EndChat(CHATID=chat_id)
    assert soap.SendMessage(CHATID=chat_id, fileDetails=text("once"), clientToken="t-1").duplicate is True


def test_a_failed_call_frees_its_token(soap: Soap, service: Service, chat_id: str) -> None:
    url = service.host.serve(f"/{chat_id}.png", b"")
    details = json.dumps({"fileUrl": url})
    assert soap.fault("UploadFile", CHATID=chat_id, fileDetails=details, clientToken="t").code == "EmptyFile"
    service.host.serve(f"/{chat_id}.png", sample("IMAGE").read_bytes())
    assert soap.UploadFile(CHATID=chat_id, fileDetails=details, clientToken="t").duplicate is False


def test_a_retry_that_comes_while_the_first_call_runs_waits_for_it(soap: Soap, service: Service, chat_id: str) -> None:
    gate = threading.Event()
    content = sample("IMAGE").read_bytes()
    path = f"/{chat_id}.png"

    def hold(connection: Connection, request: Request) -> None:
        connection.wait(gate)
        connection.send(head("HTTP/1.1 200 OK", f"Content-Length: {len(content)}", "Connection: close") + content)

    url = service.host.script(path, hold)
    receipts: list[Any] = []

    def upload() -> None:
        client = Soap(f"{service.address}?wsdl", soap.port)
        receipts.append(client.UploadFile(CHATID=chat_id, fileDetails=json.dumps({"fileUrl": url}), clientToken="t"))

    callers = [threading.Thread(target=upload) for _ in range(3)]
    for caller in callers:
        caller.start()
    wait_until(lambda: any(request.path == path for request in service.host.requests))
    gate.set()
    for caller in callers:
        caller.join(timeout=30)
    assert sorted(receipt.duplicate for receipt in receipts) == [False, True, True]
    assert len({receipt.messageId for receipt in receipts}) == 1
    assert len([r for r in service.host.requests if r.path == path]) == 1


def test_start_chat_with_a_token_gives_the_same_chat(soap: Soap, chat_id: str) -> None:
    token = f"start-{chat_id}"
    first = soap.StartChat(customerName="Deniz", clientToken=token)
    assert soap.StartChat(customerName="Deniz", clientToken=token).CHATID == first.CHATID
    assert soap.fault("StartChat", customerName="Ege", clientToken=token).code == "Conflict"
    soap.EndChat(CHATID=first.CHATID)
    assert soap.StartChat(customerName="Deniz", clientToken=token).status == "ENDED"


def test_own_links_are_those_of_the_public_url_of_the_requests_host_and_of_the_bound_address(
    start_service: Any, chat_id: str
) -> None:
    service = start_service(PUBLIC_URL="https://chat.example.com/support")
    client = Soap(f"{service.address}?wsdl", "WebchatSoap11")
    client.proxy = client.client.create_service("{urn:webchat:v1}WebchatSoap11Binding", service.address)
    path = sample("IMAGE")
    first = client.UploadFile(CHATID=chat_id, fileDetails=json.dumps(file_details(service, path))).file[0]
    assert first.fileUrl == f"https://chat.example.com/support/public_files/{first.fileName}"
    asked = len(service.host.requests)
    bases = ["https://chat.example.com/support", service.url, "http://127.0.0.1:8000", "http://localhost:8000"]
    for base in bases:
        details = json.dumps({"fileUrl": f"{base}/public_files/{first.fileName}"})
        assert client.UploadFile(CHATID=chat_id, fileDetails=details).file[0].sha256 == first.sha256
    other = json.dumps({"fileUrl": f"http://other.example:9/public_files/{first.fileName}"})
    assert client.fault("UploadFile", CHATID=chat_id, fileDetails=other).code == "UrlNotAllowed"
    assert len(service.host.requests) == asked


def test_a_short_download_time_does_not_shorten_a_wait(start_service: Any, chat_id: str) -> None:
    hasty = start_service(FETCH_TOTAL_SECONDS="0.2", FETCH_CONNECT_SECONDS="0.1", FETCH_FIRST_BYTE_SECONDS="0.1")
    client = Soap(f"{hasty.address}?wsdl", "WebchatSoap11")
    client.StartChat(CHATID=chat_id)
    started = time.monotonic()
    client.GetMessages(CHATID=chat_id, waitSeconds=7)
    assert time.monotonic() - started >= 7
