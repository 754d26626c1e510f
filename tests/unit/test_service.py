"""The use cases over ports in memory: what is refused when, and what is left behind."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeChatStore, FakeFileStore, FakeIntake
from tests.serving import wait_until
from webchat_soap.domain.chat import (
    Caller,
    ChatQuota,
    ClientToken,
    FileLimit,
    ReadRequest,
    SendRequest,
    StartRequest,
    UploadRequest,
)
from webchat_soap.domain.errors import (
    Busy,
    ChatEnded,
    ChatNotFound,
    Conflict,
    DownloadFailed,
    FileTooLarge,
    FileTypeMismatch,
    QuotaExceeded,
    UrlNotAllowed,
)
from webchat_soap.domain.file import CheckedFile, FileDetails, FileType, ProvedType
from webchat_soap.service import ChatService, ServiceRules

BASE = "http://chat.example:8000"
QUOTA = ChatQuota(max_files=3, max_bytes=1000)
PICTURE = FileDetails(url="http://files.example/a.png", original_name="a.png", declared_type=FileType.IMAGE)


def caller(**changes: Any) -> Caller:
    values: dict[str, Any] = {
        "account": None,
        "request_id": "r",
        "base_url": BASE,
        "own_base_urls": (BASE,),
        "deadline": time.monotonic() + 30,
    }
    return Caller(**(values | changes))


class _Prepared(FakeIntake):
    """Gives the same picture for every fetch, in a spool file of its own."""

    def __init__(self, make: Callable[[], CheckedFile]) -> None:
        limit = FileLimit(file_type=FileType.IMAGE, max_bytes=1000, content_types=("image/png",))
        super().__init__({}, limits=(limit,))
        self._make = make

    @contextmanager
    def fetch(
        self,
        details: FileDetails,
        *,
        deadline: float,
        max_bytes: int | None = None,
        parties: tuple[str, ...] = (),
    ) -> Iterator[CheckedFile]:
        self.prepared[details.url] = self._make()
        with super().fetch(details, deadline=deadline, max_bytes=max_bytes, parties=parties) as checked:
            yield checked


class House:
    """A ChatService over fakes, and the fakes."""

    def __init__(self, tmp_path: Path, *, open_unknown_chats: bool = True, max_waiting: int = 2) -> None:
        self.path = tmp_path / "picture"
        self.chats = FakeChatStore()
        self.files = FakeFileStore()
        self.intake = _Prepared(self.checked)
        self.rules = ServiceRules(
            open_unknown_chats=open_unknown_chats, max_text_length=4096, quota=QUOTA, max_waiting=max_waiting
        )
        self.service = ChatService(chats=self.chats, files=self.files, intake=self.intake, rules=self.rules)

    def checked(self) -> CheckedFile:
        content = b"picture"
        self.path.write_bytes(content)
        return CheckedFile(
            path=self.path,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            proved=ProvedType(file_type=FileType.IMAGE, content_type="image/png", extension="png", width=2, height=1),
            original_name="a.png",
        )

    def send(
        self,
        chat_id: str = "c",
        *,
        text: str | None = "hello",
        file: FileDetails | None = None,
        token: str | None = None,
    ) -> Any:
        request = SendRequest(chat_id=chat_id, text=text, file=file, client_token=token)
        return self.service.send_message(caller(), request).result()

    def upload(self, chat_id: str = "c", *, file: FileDetails = PICTURE, token: str | None = None) -> Any:
        return self.service.upload_file(
            caller(), UploadRequest(chat_id=chat_id, file=file, client_token=token)
        ).result()

    def stored(self) -> list[str]:
        return sorted(self.files.names())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_message_with_text_and_file_is_one_message(house: House) -> None:
    receipt = house.send(text="look", file=PICTURE)
    page = house.service.get_messages(
        caller(), ReadRequest(chat_id="c", after_sequence=0, max_messages=50, wait_seconds=0)
    ).result()
    (message,) = page.messages
    assert (message.text, message.files) == ("look", receipt.files)
    assert house.stored() == [receipt.files[0].name]


def test_the_stored_name_is_day_uuid_and_the_proved_extension(house: House) -> None:
    (stored,) = house.upload().files
    assert stored.name[8] == "-"
    assert stored.name == f"{stored.name[:8]}-{stored.file_id}.png"
    assert stored.original_name == "a.png"


def test_upload_to_an_ended_chat_is_refused_before_downloading(house: House) -> None:
    house.send()
    house.service.end_chat(caller(), "c").result()
    with pytest.raises(ChatEnded):
        house.upload()
    assert house.intake.urls == []


def test_an_unknown_chat_is_refused_before_downloading_where_it_is_not_opened(tmp_path: Path) -> None:
    house = House(tmp_path, open_unknown_chats=False)
    with pytest.raises(ChatNotFound):
        house.upload()
    assert house.intake.urls == []


def test_a_full_chat_is_refused_before_downloading(house: House) -> None:
    for _ in range(3):
        house.upload()
    asked = len(house.intake.urls)
    with pytest.raises(QuotaExceeded) as caught:
        house.upload()
    assert (caught.value.field, caught.value.limit, caught.value.actual) == ("maxFilesPerChat", 3, 4)
    assert len(house.intake.urls) == asked


def test_a_refused_url_touches_no_network(house: House) -> None:
    house.intake.refused_urls[PICTURE.url] = UrlNotAllowed("no")
    with pytest.raises(UrlNotAllowed):
        house.upload()
    assert house.stored() == []


class _EndsChatDuring(_Prepared):
    """Ends the chat while its file is on the way."""

    def __init__(self, house: House) -> None:
        super().__init__(house.checked)
        self._house = house

    @contextmanager
    def fetch(self, details: FileDetails, **more: Any) -> Iterator[CheckedFile]:
        with super().fetch(details, **more) as checked:
            self._house.chats.end_chat("c", ended_by=None).result()
            yield checked


def test_a_chat_that_ends_during_the_download_takes_no_file_and_none_is_left(house: House) -> None:
    house.send()
    house.service = ChatService(chats=house.chats, files=house.files, intake=_EndsChatDuring(house), rules=house.rules)
    with pytest.raises(ChatEnded):
        house.upload()
    assert house.stored() == []


def test_bytes_are_stored_before_their_row(house: House) -> None:
    seen: list[list[str]] = []

    class Watching(FakeChatStore):
        def append(self, message: Any, **more: Any) -> Any:
            seen.append([name in house.stored() for name in (file.name for file in message.files)])
            return super().append(message, **more)

    house.service = ChatService(chats=Watching(), files=house.files, intake=house.intake, rules=house.rules)
    house.upload()
    assert seen == [[True]]


def test_a_store_that_breaks_keeps_the_bytes_for_the_sweep_since_the_row_may_be_there(house: House) -> None:
    class Breaking(FakeChatStore):
        def append(self, message: Any, **more: Any) -> Any:
            super().append(message, **more)
            raise RuntimeError("after the commit")

    house.service = ChatService(chats=Breaking(), files=house.files, intake=house.intake, rules=house.rules)
    with pytest.raises(RuntimeError):
        house.upload()
    assert len(house.stored()) == 1


def test_a_download_is_bounded_by_the_room_that_the_chat_has_left(house: House) -> None:
    limits: list[int | None] = []

    class Bounded(FakeIntake):
        def fetch(
            self, details: FileDetails, *, max_bytes: int | None = None, **more: Any
        ) -> AbstractContextManager[CheckedFile]:
            limits.append(max_bytes)
            raise FileTooLarge("too large", limit=max_bytes)

    service = ChatService(chats=house.chats, files=house.files, intake=Bounded({}), rules=house.rules)
    with pytest.raises(QuotaExceeded) as caught:
        service.upload_file(caller(), UploadRequest(chat_id="c", file=PICTURE, client_token=None)).result()
    assert limits == [1000]
    assert (caught.value.field, caught.value.limit) == ("maxBytesPerChat", 1000)


def test_a_token_returns_the_first_receipt_and_downloads_once(house: House) -> None:
    first = house.upload(token="t")
    again = house.upload(token="t")
    assert (again.message_id, again.files, again.duplicate) == (first.message_id, first.files, True)
    assert len(house.intake.urls) == 1
    assert house.stored() == [first.files[0].name]


def test_a_token_with_another_operation_or_other_values_is_a_conflict(house: House) -> None:
    house.upload(token="t")
    for other in (
        lambda: house.send(file=PICTURE, text=None, token="t"),
        lambda: house.send(token="t"),
        lambda: house.upload(token="t", file=FileDetails(url=PICTURE.url, original_name="b.png", declared_type=None)),
        lambda: house.service.start_chat(
            caller(), StartRequest(chat_id="c", customer_name=None, client_token="t")
        ).result(),
    ):
        with pytest.raises(Conflict):
            other()


def test_the_same_token_in_another_chat_is_another_token(house: House) -> None:
    assert house.send("a", token="t").duplicate is False
    assert house.send("b", token="t").duplicate is False


def test_a_running_call_holds_its_token_until_the_deadline(house: House) -> None:
    request = SendRequest(chat_id="c", text="x", file=PICTURE, client_token="t")
    tokens: list[Any] = []

    class Recording(FakeChatStore):
        def claim(self, token: Any, *, deadline: float) -> Any:
            tokens.append(token)
            return super().claim(token, deadline=deadline)

    chats = Recording()
    service = ChatService(chats=chats, files=house.files, intake=house.intake, rules=house.rules)
    service.send_message(caller(), request).result()
    with chats.claim(tokens[0], deadline=time.monotonic() + 5), pytest.raises(Busy):
        service.send_message(caller(deadline=time.monotonic() + 0.05), request).result()


def test_a_link_of_our_own_is_a_new_name_over_the_same_bytes(house: House) -> None:
    (first,) = house.upload().files
    own = FileDetails(url=f"{BASE}/public_files/{first.name}", original_name="copy.png", declared_type=None)
    (copy,) = house.upload("other", file=own).files
    assert copy.name != first.name
    assert (copy.sha256, copy.size, copy.original_name, copy.width) == (first.sha256, first.size, "copy.png", 2)
    assert len(house.intake.urls) == 1
    assert house.stored() == sorted([first.name, copy.name])


@pytest.mark.parametrize("name", ["20210304-4865c412-7c28-45e4-9f55-3bd039401734.png", "../../etc/passwd", "", "a.png"])
def test_a_link_of_our_own_that_names_nothing_is_404(house: House, name: str) -> None:
    details = FileDetails(url=f"{BASE}/public_files/{name}", original_name=None, declared_type=None)
    with pytest.raises(DownloadFailed) as caught:
        house.upload(file=details)
    assert (caught.value.http_status, caught.value.retryable) == (404, False)


def test_a_link_of_our_own_of_another_family_is_a_mismatch(house: House) -> None:
    (first,) = house.upload().files
    own = FileDetails(url=f"{BASE}/public_files/{first.name}", original_name=None, declared_type=FileType.VIDEO)
    with pytest.raises(FileTypeMismatch) as caught:
        house.upload(file=own)
    assert (caught.value.declared_type, caught.value.detected_type) == ("VIDEO", "IMAGE (image/png)")


def test_copies_count_against_the_quota(house: House) -> None:
    (first,) = house.upload().files
    own = FileDetails(url=f"{BASE}/public_files/{first.name}", original_name=None, declared_type=None)
    house.upload(file=own)
    house.upload(file=own)
    with pytest.raises(QuotaExceeded):
        house.upload(file=own)
    assert len(house.stored()) == 3


def test_a_full_waiting_room_answers_within_a_second_or_so(tmp_path: Path) -> None:
    house = House(tmp_path, max_waiting=0)
    house.send()
    started = time.monotonic()
    page = house.service.get_messages(
        caller(), ReadRequest(chat_id="c", after_sequence=1, max_messages=50, wait_seconds=30)
    ).result()
    assert page.messages == ()
    assert 0.9 <= time.monotonic() - started < 10


def test_a_wait_takes_no_thread_and_ends_with_a_message(house: House) -> None:
    house.send()
    request = ReadRequest(chat_id="c", after_sequence=1, max_messages=50, wait_seconds=30)
    outcome = house.service.get_messages(caller(), request)
    called = threading.Event()
    assert outcome.when_done(called.set)
    assert not called.wait(0.05)
    house.send()
    assert called.wait(10)
    assert [message.sequence for message in outcome.result().messages] == [2]


def test_who_gives_up_waiting_leaves_the_place_to_another(tmp_path: Path) -> None:
    house = House(tmp_path, max_waiting=1)
    house.send()
    request = ReadRequest(chat_id="c", after_sequence=1, max_messages=50, wait_seconds=30)
    gone = house.service.get_messages(caller(), request)
    called = threading.Event()
    assert gone.when_done(called.set)
    gone.give_up()
    stays = house.service.get_messages(caller(), request)
    assert stays.when_done(called.set)
    assert not called.wait(1.5), "it has a place, so it waits for more than a second"
    stays.give_up()


def test_one_chat_that_waits_leaves_room_for_the_others(tmp_path: Path) -> None:
    house = House(tmp_path, max_waiting=8)
    done: list[str] = []

    def wait(chat_id: str) -> None:
        request = ReadRequest(chat_id=chat_id, after_sequence=1, max_messages=50, wait_seconds=30)
        house.service.get_messages(caller(), request).when_done(lambda: done.append(chat_id))

    for chat_id in ("greedy", "other"):
        house.send(chat_id)
    for _ in range(20):
        wait("greedy")
    wait("other")
    # Six have one of the eight places; the others get their empty page after a second.
    wait_until(lambda: len(done) == 14)
    wait("other")
    assert done == ["greedy"] * 14
    house.send("greedy")
    wait_until(lambda: len(done) == 20)
    house.send("other")
    wait_until(lambda: done[20:] == ["other", "other"])


def test_an_upload_without_room_is_busy_before_anything_is_read_or_claimed(house: House) -> None:
    (first,) = house.upload(token="first").files
    house.intake.full = True
    house.chats.busy = True  # so that any look into the store would be told otherwise
    with house.chats.claim(ClientToken(scope="chat:c", token="running", fingerprint=""), deadline=0.0):
        for token in (None, "first", "running"):
            request = UploadRequest(chat_id="c", file=PICTURE, client_token=token)
            with pytest.raises(Busy, match="No room"):
                house.service.upload_file(caller(), request)  # at once, before any thread asks for its result
    house.chats.busy = False
    own = FileDetails(url=f"{BASE}/public_files/{first.name}", original_name=None, declared_type=None)
    assert house.upload(file=own).files  # takes no place
    assert house.intake.parties == [("chat c",)]


def test_waiting_ends_with_the_calls_deadline(house: House) -> None:
    house.send()
    started = time.monotonic()
    house.service.get_messages(
        caller(deadline=started + 0.2), ReadRequest(chat_id="c", after_sequence=1, max_messages=50, wait_seconds=30)
    ).result()
    assert time.monotonic() - started < 10


def test_start_chat_without_an_id_is_idempotent_by_its_token(house: House) -> None:
    start = StartRequest(chat_id=None, customer_name="Ali", client_token="t")
    first = house.service.start_chat(caller(), start).result()
    assert house.service.start_chat(caller(), start).result().chat_id == first.chat_id
    assert house.service.start_chat(caller(account="other"), start).result().chat_id != first.chat_id
    with pytest.raises(Conflict):
        house.service.start_chat(caller(), StartRequest(chat_id=None, customer_name="Veli", client_token="t")).result()


def test_a_wait_that_cannot_be_begun_leaves_its_place(tmp_path: Path) -> None:
    class Full(FakeChatStore):
        def call_back_on_news(self, chat_id: str, **more: Any) -> Any:
            raise Busy("no thread", retry_after_seconds=1)

    house = House(tmp_path, max_waiting=1)
    house.service = ChatService(chats=Full(), files=house.files, intake=house.intake, rules=house.rules)
    request = ReadRequest(chat_id="c", after_sequence=1, max_messages=50, wait_seconds=30)
    for _ in range(3):
        with pytest.raises(Busy):
            house.service.get_messages(caller(), request).when_done(lambda: None)
    place = house.service._waiting.enter("anybody")
    assert place is not None
