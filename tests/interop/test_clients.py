"""Generated clients, each from the served WSDL alone, over both SOAP versions. stacks.py tells what each does."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.interop.stacks import STACKS, Stack
from tests.serving import SAMPLES, Service
from webchat_soap.domain.chat import ChatQuota, NewMessage, Sender
from webchat_soap.domain.file import FileType, StoredFile
from webchat_soap.stores import open_chat_store

PICTURE = SAMPLES / "image" / "picture.png"
LARGE_BYTES = 100 * 1024 * 1024 + 1  # its family is not declared: more than any may have


@dataclass(frozen=True, kw_only=True)
class Played:
    """What one stack read over one version, and the chats that it used."""

    stack: Stack
    chat_id: str
    lists: str
    seen: dict[str, Any]

    def name(self, value: Any) -> str:
        """An enumeration's value."""
        if not self.stack.enumerations:
            assert isinstance(value, str)
            return value
        assert set(value) == {"enumeration"}
        return str(value["enumeration"])

    def number(self, value: Any) -> int:
        """A number of a fault's detail: a stack that ignores the WSDL there reads text."""
        assert type(value) is (int if self.stack.typed_faults else str)
        return int(value)


@pytest.fixture(scope="module")
def lists(service: Service) -> str:
    """A chat with three messages that have 0, 1 and 2 files, as a later release may send; the last is the agent's."""
    chat_id = f"lists-{uuid.uuid4()}"
    store = open_chat_store(f"sqlite:///{service.data}/webchat.db", lock_folder=service.data / "locks")
    try:
        for count, sender in enumerate((Sender.CUSTOMER, Sender.CUSTOMER, Sender.AGENT)):
            message = NewMessage(
                message_id=str(uuid.uuid4()),
                chat_id=chat_id,
                sender=sender,
                text=None if count else "no file",
                files=tuple(_file(f"{number}.wav") for number in range(count)),
                token=None,
                account=None,
            )
            store.append(message, open_unknown=True, quota=ChatQuota(max_files=9, max_bytes=2**40))
    finally:
        store.close()
    return chat_id


def _file(original_name: str) -> StoredFile:
    file_id = str(uuid.uuid4())
    return StoredFile(
        file_id=file_id,
        name=f"20261122-{file_id}.wav",
        original_name=original_name,
        file_type=FileType.AUDIO,
        content_type="audio/wav",
        size=2**33,
        sha256="0" * 64,
        duration_milliseconds=2**32,
    )


@pytest.fixture(scope="module", params=STACKS, ids=lambda stack: stack.name)
def results(
    request: pytest.FixtureRequest, service: Service, lists: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Stack, str, dict[str, Any]]:
    stack: Stack = request.param
    picture = service.host.serve("/picture.png", PICTURE.read_bytes())
    large = service.host.answer("/large.png", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE_BYTES)
    missing = f"{service.host.url}/missing.png"
    prefix = f"interop-{uuid.uuid4()}"
    folder: Path = tmp_path_factory.mktemp("stack")
    wsdl = f"{service.address}?wsdl"
    return stack, prefix, stack.play(folder, wsdl, prefix, lists, picture, large, missing)


@pytest.fixture(params=["1.1", "1.2"])
def played(request: pytest.FixtureRequest, results: tuple[Stack, str, dict[str, Any]], lists: str) -> Played:
    stack, prefix, seen = results
    version: str = request.param
    return Played(stack=stack, chat_id=f"{prefix}-{version}", lists=lists, seen=seen[version])


def time(value: Any) -> datetime:
    """A time that the stack read as one: with a zone, and of this test's run."""
    assert set(value) == {"time"}
    read = datetime.fromisoformat(value["time"])
    assert read.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - read) < timedelta(minutes=10)
    return read


def items(value: Any) -> list[Any]:
    """A list; PHP and npm's soap leave the member of an empty one away."""
    if value is None:
        return []
    assert isinstance(value, list)
    return value


def test_a_chat_is_opened_and_ended(played: Played) -> None:
    started, ended = played.seen["started"], played.seen["ended"]
    assert started["CHATID"] == ended["CHATID"] == played.chat_id
    assert started["customerName"] == "Ayşe 🙂"
    assert (played.name(started["status"]), played.name(ended["status"])) == ("OPEN", "ENDED")
    assert started.get("endedAt") is None
    assert time(started["startedAt"]) == time(ended["startedAt"]) < time(ended["endedAt"])
    assert (started["lastSequence"], ended["lastSequence"]) == (0, 4)


def test_a_receipt_tells_place_time_and_repetition(played: Played) -> None:
    text, repeated, file = (played.seen[step] for step in ("text", "repeated", "file"))
    assert text["CHATID"] == played.chat_id
    assert (text["sequence"], repeated["sequence"], file["sequence"]) == (1, 1, 2)
    assert (text["duplicate"], repeated["duplicate"]) == (False, True)
    assert text["messageId"] == repeated["messageId"] != file["messageId"]
    assert time(text["sentAt"]) == time(repeated["sentAt"]) < time(file["sentAt"])
    assert items(text.get("file")) == []


@pytest.mark.parametrize("step", ["file", "both", "uploaded"])
def test_a_stored_file_is_described_in_numbers_and_names(service: Service, played: Played, step: str) -> None:
    (file,) = items(played.seen[step]["file"])
    assert file["fileUrl"] == f"{service.url}/public_files/{file['fileName']}"
    assert file["originalFileName"] == "picture.png"
    assert played.name(file["fileType"]) == "IMAGE"
    assert file["contentType"] == "image/png"
    assert (file["size"], file["width"], file["height"]) == (PICTURE.stat().st_size, 24, 16)
    assert len(file["sha256"]) == 64
    assert file.get("removedAt") is None
    assert file.get("durationMilliseconds") is None


def test_pages_of_no_one_and_two_messages_are_lists(played: Played) -> None:
    pages = [played.seen[step] for step in ("empty", "one", "two")]
    counted = [items(page.get("message")) for page in pages]
    assert [[message["sequence"] for message in messages] for messages in counted] == [[], [1], [2, 3]]
    assert [page["lastSequence"] for page in pages] == [0, 1, 4]
    assert [page["hasMore"] for page in pages] == [False, False, True]
    assert [played.name(page["status"]) for page in pages] == ["OPEN"] * 3
    assert counted[1][0]["text"] == "first ş"
    assert counted[2][0].get("text") is None
    assert counted[2][1]["text"] == "a <b> & ]]>"
    assert time(counted[2][0]["sentAt"]) < time(counted[2][1]["sentAt"])


def test_no_one_and_two_files_are_lists(played: Played) -> None:
    messages = items(played.seen["lists"]["message"])
    assert [played.name(message["sender"]) for message in messages] == ["CUSTOMER", "CUSTOMER", "AGENT"]
    files = [items(message.get("file")) for message in messages]
    assert [[file["originalFileName"] for file in some] for some in files] == [[], ["0.wav"], ["0.wav", "1.wav"]]
    # Beyond what 32 bits hold: these are longs.
    assert [(file["size"], file["durationMilliseconds"]) for file in files[2]] == [(2**33, 2**32)] * 2
    assert files[1][0].get("width") is None


def test_limits_are_numbers_by_family(played: Played) -> None:
    general, used = played.seen["general"], played.seen["limits"]
    families = {played.name(limit["fileType"]): limit for limit in items(general["fileLimit"])}
    assert list(families) == ["IMAGE", "AUDIO", "VIDEO", "DOCUMENT"]
    assert families["IMAGE"]["maxSize"] == 10 * 1024 * 1024
    assert "application/pdf" in items(families["DOCUMENT"]["contentType"])
    assert (general["maxTextLength"], general["maxFilesPerChat"], general["maxBytesPerChat"]) == (4096, 50, 500 * 2**20)
    assert general.get("filesUsed") is None
    assert (used["filesUsed"], used["bytesUsed"]) == (3, 3 * PICTURE.stat().st_size)


@pytest.mark.parametrize(
    ("call", "code", "field", "numbers"),
    [
        ("late", "ChatEnded", "CHATID", {}),
        ("broken", "InvalidJson", "fileDetails", {"line": 2, "column": 2}),
        ("large", "FileTooLarge", "fileUrl", {"limit": LARGE_BYTES - 1, "actual": LARGE_BYTES}),
        ("missing", "DownloadFailed", "fileUrl", {"httpStatus": 404}),
        ("mismatch", "FileTypeMismatch", "fileUrl", {}),
        ("negative", "InvalidRequest", "afterSequence", {"actual": -1}),
    ],
)
def test_a_fault_comes_with_its_values(
    played: Played, call: str, code: str, field: str, numbers: dict[str, int]
) -> None:
    fault = played.seen["faults"][call]
    assert (fault["code"], fault["field"]) == (code, field)
    assert fault["retryable"] is False if played.stack.typed_faults else fault["retryable"] == "false"
    assert fault["requestId"]
    assert fault["message"].endswith(".")
    named = ("limit", "actual", "httpStatus", "line", "column", "retryAfterSeconds")
    given = {name: played.number(fault[name]) for name in named if fault.get(name) is not None}
    assert given == numbers
    if call == "mismatch":
        assert (fault["declaredType"], fault["detectedType"]) == ("VIDEO", "IMAGE (image/png)")
