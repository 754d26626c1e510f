"""The intake: limits, proofs, and that nothing is left in the spool whatever happens (contract section 5)."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.file_host import Connection, FileHost, Request, head
from webchat_soap.domain.errors import (
    Busy,
    DownloadFailed,
    EmptyFile,
    FileTooLarge,
    FileTypeMismatch,
    InvalidRequest,
    UnsupportedFileType,
    UrlNotAllowed,
)
from webchat_soap.domain.file import CheckedFile, FileDetails, FileType, ProvedType
from webchat_soap.domain.ports import Intake
from webchat_soap.files.download import Downloader, FetchPolicy
from webchat_soap.files.guard import AddressPolicy, UrlGuard, parse_allow_rules
from webchat_soap.files.intake import FileIntake, Prove
from webchat_soap.files.spool import Spool, sweep_spool

LIMITS = {FileType.DOCUMENT: 4000, FileType.IMAGE: 1000, FileType.AUDIO: 2000, FileType.VIDEO: 3000}


class Prover:
    """Proves the family that the file's first word names; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[FileType | None, str | None]] = []
        self.limits: list[Mapping[FileType, int]] = []

    def __call__(
        self,
        path: Path,
        *,
        declared: FileType | None,
        original_name: str | None,
        max_bytes: Mapping[FileType, int],
        deadline: float,
    ) -> ProvedType:
        self.asked.append((declared, original_name))
        self.limits.append(max_bytes)
        word = path.read_bytes().split(b" ")[0].decode()
        if word not in FileType.__members__:
            raise UnsupportedFileType("It is nothing known; send another.", detected_type=word)
        if declared not in (None, FileType[word]):
            raise FileTypeMismatch("It is not what was declared; declare it right.", declared_type=declared)
        return ProvedType(file_type=FileType[word], content_type="image/png", extension="png")


def a_file(family: str, size: int) -> bytes:
    return (family.encode() + b" ").ljust(size, b"x")


class House:
    """An intake over a real host and a real folder."""

    def __init__(
        self,
        host: FileHost,
        spool_root: Path,
        *,
        max_fetches: int = 64,
        limits: dict[FileType, int] = LIMITS,
        prove: Prove | None = None,
    ) -> None:
        self.host = host
        self.spool_root = spool_root
        self.prover = Prover()
        guard = UrlGuard(AddressPolicy(allow=parse_allow_rules([f"127.0.0.1:{host.port}"])))
        self.intake = FileIntake(
            guard=guard,
            downloader=Downloader(guard, FetchPolicy()),
            spool=Spool(spool_root),
            prove=prove or self.prover,
            content_types=lambda file_type: (f"{file_type.lower()}/any",),
            max_file_bytes=limits,
            max_fetches=max_fetches,
        )

    def fetch(
        self, url: str, *, declared: FileType | None = None, name: str | None = None, max_bytes: int | None = None
    ) -> AbstractContextManager[CheckedFile]:
        details = FileDetails(url=url, original_name=name, declared_type=declared, field="message.fileDetails.fileUrl")
        return self.intake.fetch(details, deadline=time.monotonic() + 20, max_bytes=max_bytes)

    def spooled(self) -> list[Path]:
        return [path for path in self.spool_root.rglob("*") if path.is_file()]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with FileHost() as host:
        yield House(host, tmp_path / "spool")


def receive(
    house: House, data: bytes, *, declared: FileType | None, max_bytes: int | None
) -> AbstractContextManager[CheckedFile]:
    return house.intake.receive(io.BytesIO(data), original_name="a.png", declared_type=declared, max_bytes=max_bytes)


def fetch(
    house: House, data: bytes, *, declared: FileType | None, max_bytes: int | None
) -> AbstractContextManager[CheckedFile]:
    return house.fetch(house.host.serve("/a", data, chunked=True), declared=declared, name="a.png", max_bytes=max_bytes)


Way = Callable[..., AbstractContextManager[CheckedFile]]
both_ways = pytest.mark.parametrize("way", [fetch, receive])


def test_the_intake_is_the_port(house: House) -> None:
    port: Intake = house.intake
    assert port.check_url(FileDetails(url=house.host.url, original_name=None, declared_type=None)) is None


@both_ways
def test_a_file_is_counted_hashed_proved_and_gone_afterwards(house: House, way: Way) -> None:
    data = a_file("IMAGE", 900)
    with way(house, data, declared=FileType.IMAGE, max_bytes=None) as checked:
        assert checked.path.read_bytes() == data
        assert checked.size == 900
        assert checked.sha256 == hashlib.sha256(data).hexdigest()
        assert checked.original_name == "a.png"
        assert checked.proved.file_type is FileType.IMAGE
        assert stat.S_IMODE(checked.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(checked.path.parent.stat().st_mode) == 0o700
        assert house.prover.asked == [(FileType.IMAGE, "a.png")]
        assert house.spooled() == [checked.path]
    assert house.spooled() == []


@both_ways
def test_a_file_that_was_taken_over_stays_where_it_is(house: House, way: Way, tmp_path: Path) -> None:
    with way(house, a_file("IMAGE", 900), declared=None, max_bytes=None) as checked:
        checked.path.rename(tmp_path / "kept")
    assert (tmp_path / "kept").stat().st_size == 900
    assert house.spooled() == []


@both_ways
def test_what_fails_inside_the_context_leaves_nothing(house: House, way: Way) -> None:
    with pytest.raises(KeyboardInterrupt), way(house, a_file("IMAGE", 9), declared=None, max_bytes=None):
        raise KeyboardInterrupt
    assert house.spooled() == []


@both_ways
def test_an_empty_file_is_refused_before_it_is_proved(house: House, way: Way) -> None:
    with pytest.raises(EmptyFile), way(house, b"", declared=FileType.IMAGE, max_bytes=None):
        pass
    assert house.prover.asked == []
    assert house.spooled() == []


@both_ways
def test_what_the_proof_refuses_leaves_nothing(house: House, way: Way) -> None:
    with pytest.raises(UnsupportedFileType), way(house, b"PROGRAM", declared=None, max_bytes=None):
        pass
    with pytest.raises(FileTypeMismatch), way(house, b"AUDIO", declared=FileType.IMAGE, max_bytes=None):
        pass
    assert house.spooled() == []


@both_ways
@pytest.mark.parametrize("family", list(FileType))
def test_the_declared_familys_limit_holds_to_the_byte(house: House, way: Way, family: FileType) -> None:
    limit = LIMITS[family]
    with way(house, a_file(family, limit), declared=family, max_bytes=None) as checked:
        assert checked.size == limit
    house.prover.asked.clear()
    with pytest.raises(FileTooLarge) as caught, way(house, a_file(family, limit + 1), declared=family, max_bytes=None):
        pass
    assert (caught.value.limit, caught.value.actual) == (limit, limit + 1)
    assert house.prover.asked == []
    assert house.spooled() == []


@both_ways
def test_an_undeclared_file_is_held_to_the_proved_familys_limit(house: House, way: Way) -> None:
    with way(house, a_file("VIDEO", 3000), declared=None, max_bytes=None):
        pass
    with pytest.raises(FileTooLarge) as caught, way(house, a_file("IMAGE", 3000), declared=None, max_bytes=None):
        pass
    assert (caught.value.limit, caught.value.actual) == (1000, 3000)
    with pytest.raises(FileTooLarge) as caught, way(house, a_file("IMAGE", 9000), declared=None, max_bytes=None):
        pass
    assert caught.value.limit == 4000
    assert house.spooled() == []


@both_ways
@pytest.mark.parametrize("declared", [None, FileType.DOCUMENT])
@pytest.mark.parametrize(("cap", "limit"), [(500, 500), (0, 0), (-1, 0), (10_000, 4000)])
def test_a_cap_lowers_the_limit_and_never_raises_it(
    house: House, way: Way, declared: FileType | None, cap: int, limit: int
) -> None:
    if limit:
        with way(house, a_file("DOCUMENT", limit), declared=declared, max_bytes=cap) as checked:
            assert checked.size == limit
    with (
        pytest.raises(FileTooLarge) as caught,
        way(house, a_file("DOCUMENT", max(limit, 8) + 1), declared=declared, max_bytes=cap),
    ):
        pass
    assert caught.value.limit == limit


def test_a_stream_larger_than_a_chunk_is_read_piece_by_piece(tmp_path: Path) -> None:
    class Pieces(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert 0 < size <= 256 * 1024
            return super().read(min(size, 100_000))

    with FileHost() as host:
        house = House(host, tmp_path, limits=dict.fromkeys(FileType, 10_000_000))
        data = a_file("VIDEO", 3_000_000)
        with house.intake.receive(Pieces(data), original_name=None, declared_type=FileType.VIDEO) as checked:
            assert checked.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("framing", ["Content-Length: 67108864", "Transfer-Encoding: chunked", "X-None: x"])
def test_a_large_download_is_never_held_in_memory(tmp_path: Path, framing: str) -> None:
    piece = a_file("VIDEO", 65536)

    def send(connection: Connection, request: Request) -> None:
        connection.send(head("HTTP/1.1 200 OK", framing))
        for _ in range(1024):
            connection.send(b"10000\r\n" + piece + b"\r\n" if "chunked" in framing else piece)
        connection.send(b"0\r\n\r\n" if "chunked" in framing else b"")

    def prove(
        path: Path,
        *,
        declared: FileType | None,
        original_name: str | None,
        max_bytes: Mapping[FileType, int],
        deadline: float,
    ) -> ProvedType:
        return ProvedType(file_type=FileType.VIDEO, content_type="video/mp4", extension="mp4")

    with FileHost() as host:
        house = House(host, tmp_path, limits=dict.fromkeys(FileType, 64 * 1024 * 1024), prove=prove)
        url = host.script("/a", send)
        tracemalloc.start()
        try:
            with house.fetch(url, declared=FileType.VIDEO) as checked:
                assert checked.size == 64 * 1024 * 1024
                assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
        finally:
            tracemalloc.stop()


def test_a_stream_that_breaks_leaves_nothing_and_its_error_goes_through(house: House) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise ConnectionResetError("the browser is gone")
            return super().read(3)

    with (
        pytest.raises(ConnectionResetError),
        house.intake.receive(Broken(b"IMAGE x"), original_name=None, declared_type=None),
    ):
        pass
    assert house.spooled() == []


def test_a_streams_name_is_cleaned_before_it_is_used(house: House) -> None:
    with house.intake.receive(
        io.BytesIO(b"IMAGE"), original_name="C:\\x\\\u202egnp.a\n", declared_type=None
    ) as checked:
        assert checked.original_name == "gnp.a"


def test_a_failed_download_leaves_nothing(house: House) -> None:
    url = house.host.answer("/a", head("HTTP/1.1 200 OK", "Content-Length: 900") + b"IMAGE")
    with pytest.raises(DownloadFailed) as caught, house.fetch(url, declared=FileType.IMAGE):
        pass
    assert caught.value.field == "message.fileDetails.fileUrl"
    assert house.spooled() == []


def test_an_announced_length_is_held_to_the_declared_familys_limit_before_a_byte_is_read(house: House) -> None:
    def only_head(connection: Connection, request: Request) -> None:
        connection.send(head("HTTP/1.1 200 OK", "Content-Length: 1001"))
        connection.silence()

    url = house.host.script("/a", only_head)
    with pytest.raises(FileTooLarge) as caught, house.fetch(url, declared=FileType.IMAGE):
        pass
    assert (caught.value.limit, caught.value.actual) == (1000, 1001)


def test_urls_are_refused_without_the_network(house: House) -> None:
    def details(url: str) -> FileDetails:
        return FileDetails(url=url, original_name=None, declared_type=None, field="fileUrl")

    with pytest.raises(UrlNotAllowed) as refused:
        house.intake.check_url(details("http://10.0.0.1/a.png"))
    assert refused.value.field == "fileUrl"
    with pytest.raises(InvalidRequest):
        house.intake.check_url(details("a.png"))
    with pytest.raises(UrlNotAllowed), house.fetch("http://10.0.0.1/a.png"):
        pass
    assert not house.spool_root.exists()


def test_the_limits_are_told_in_the_contracts_order(house: House) -> None:
    assert [(limit.file_type, limit.max_bytes, limit.content_types) for limit in house.intake.file_limits()] == [
        (FileType.IMAGE, 1000, ("image/any",)),
        (FileType.AUDIO, 2000, ("audio/any",)),
        (FileType.VIDEO, 3000, ("video/any",)),
        (FileType.DOCUMENT, 4000, ("document/any",)),
    ]


def test_downloads_beyond_the_room_are_busy_at_once_and_streams_are_not(tmp_path: Path) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def wait(connection: Connection, request: Request) -> None:
        asked.set()
        connection.wait(go_on)
        connection.send(head("HTTP/1.1 200 OK", "Content-Length: 5") + b"IMAGE")

    with FileHost() as host:
        house = House(host, tmp_path, max_fetches=1)
        url = host.script("/slow", wait)
        sizes = []

        def first() -> None:
            with house.fetch(url) as checked:
                sizes.append(checked.size)

        thread = threading.Thread(target=first)
        thread.start()
        assert asked.wait(10)
        with pytest.raises(Busy) as caught, house.fetch(host.serve("/a", b"IMAGE")):
            pass
        assert caught.value.retry_after_seconds
        with receive(house, b"IMAGE", declared=None, max_bytes=None) as checked:
            assert checked.size == 5
        go_on.set()
        thread.join(10)
        assert sizes == [5]
        with house.fetch(host.serve("/a", b"IMAGE")) as checked:
            assert checked.size == 5


class SlowHosts:
    """Downloads that go on until they are let go, from hosts of different addresses."""

    def __init__(self, *hosts: FileHost, spool_root: Path, max_fetches: int) -> None:
        self.go_on = threading.Event()
        self.asked = threading.Semaphore(0)
        self.threads: list[threading.Thread] = []
        self.outcomes: list[str] = []
        for host in hosts:
            host.script("/slow", self._wait)
            host.serve("/fast", b"IMAGE")
        guard = UrlGuard(AddressPolicy(allow=parse_allow_rules([f"{host.address}:{host.port}" for host in hosts])))
        self.intake = FileIntake(
            guard=guard,
            downloader=Downloader(guard, FetchPolicy()),
            spool=Spool(spool_root),
            prove=Prover(),
            content_types=lambda file_type: (),
            max_file_bytes=LIMITS,
            max_fetches=max_fetches,
        )

    def _wait(self, connection: Connection, request: Request) -> None:
        self.asked.release()
        connection.wait(self.go_on)
        connection.send(head("HTTP/1.1 200 OK", "Content-Length: 5") + b"IMAGE")

    def take(self, url: str, *parties: str) -> str:
        """The outcome of one download."""
        details = FileDetails(url=url, original_name=None, declared_type=None)
        try:
            with self.intake.fetch(details, deadline=time.monotonic() + 30, parties=parties):
                return "taken"
        except Busy:
            return "busy"

    def begin(self, url: str, *parties: str) -> None:
        """Have one begun whose host never answers."""
        thread = threading.Thread(target=lambda: self.outcomes.append(self.take(url, *parties)))
        thread.start()
        self.threads.append(thread)
        assert self.asked.acquire(timeout=10)

    def end(self) -> list[str]:
        self.go_on.set()
        for thread in self.threads:
            thread.join(20)
        return self.outcomes


def test_one_slow_host_leaves_room_for_the_others(tmp_path: Path) -> None:
    with FileHost() as slow, FileHost(address="127.0.0.2") as other:
        hosts = SlowHosts(slow, other, spool_root=tmp_path, max_fetches=8)
        for number in range(6):
            hosts.begin(f"{slow.url}/slow", f"chat {number}")
        began = time.monotonic()
        assert hosts.take(f"{slow.url}/fast", "chat new") == "busy"
        assert time.monotonic() - began < 1
        assert hosts.take(f"{other.url}/fast", "chat new") == "taken"
        assert hosts.end() == ["taken"] * 6
        assert hosts.take(f"{slow.url}/fast", "chat new") == "taken"


def test_one_chat_leaves_room_for_the_others_whatever_hosts_it_names(tmp_path: Path) -> None:
    with FileHost() as one, FileHost(address="127.0.0.2") as two, FileHost(address="127.0.0.3") as three:
        hosts = SlowHosts(one, two, three, spool_root=tmp_path, max_fetches=8)
        for host in (one, two, three) * 2:
            hosts.begin(f"{host.url}/slow", "chat greedy")
        assert hosts.take(f"{three.url}/fast", "chat greedy") == "busy"
        with pytest.raises(Busy):
            hosts.intake.check_room(("chat greedy",))
        hosts.intake.check_room(("chat other",))
        assert hosts.take(f"{three.url}/fast", "chat other") == "taken"
        assert hosts.end() == ["taken"] * 6


def test_a_redirect_is_counted_for_the_host_it_leads_to(tmp_path: Path) -> None:
    with FileHost() as short, FileHost(address="127.0.0.2") as slow:
        short.redirect("/go", f"{slow.url}/slow")
        short.redirect("/again", f"{short.url}/fast")
        hosts = SlowHosts(short, slow, spool_root=tmp_path, max_fetches=8)
        for number in range(6):
            hosts.begin(f"{short.url}/go", f"chat {number}")
        assert hosts.take(f"{short.url}/go", "chat new") == "busy"
        assert hosts.take(f"{slow.url}/fast", "chat new") == "busy"
        assert hosts.take(f"{short.url}/again", "chat new") == "taken"
        assert hosts.end() == ["taken"] * 6


class SlowProver:
    """Proves a picture when it is let; keeps how many proofs ran side by side."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.running = 0
        self.most = 0
        self.deadlines: list[float] = []
        self._lock = threading.Lock()

    def __call__(
        self,
        path: Path,
        *,
        declared: FileType | None,
        original_name: str | None,
        max_bytes: Mapping[FileType, int],
        deadline: float,
    ) -> ProvedType:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.deadlines.append(deadline)
        self.begun.set()
        assert self.go_on.wait(20)
        with self._lock:
            self.running -= 1
        if path.read_bytes() == b"BAD":
            raise UnsupportedFileType("It is nothing known; send another.")
        return ProvedType(file_type=FileType.IMAGE, content_type="image/png", extension="png")


def test_files_are_proved_one_at_a_time_however_many_come(tmp_path: Path) -> None:
    prover = SlowProver()
    with FileHost() as host:
        house = House(host, tmp_path, prove=prover)
        outcomes: list[str] = []

        def one(number: int) -> None:
            try:
                with receive(house, b"BAD" if number % 3 else b"GOOD", declared=None, max_bytes=None):
                    outcomes.append("taken")
            except UnsupportedFileType:
                outcomes.append("refused")

        threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        prover.go_on.set()
        for thread in threads:
            thread.join(30)
    assert sorted(outcomes) == ["refused"] * 8 + ["taken"] * 4
    assert prover.most == 1
    assert house.spooled() == []


def test_a_file_whose_turn_to_be_proved_does_not_come_in_time_is_busy_and_leaves_nothing(tmp_path: Path) -> None:
    prover = SlowProver()
    with FileHost() as host:
        house = House(host, tmp_path, prove=prover)
        sizes: list[int] = []

        def first() -> None:
            with receive(house, b"GOOD", declared=None, max_bytes=None) as checked:
                sizes.append(checked.size)

        thread = threading.Thread(target=first)
        thread.start()
        assert prover.begun.wait(10)
        details = FileDetails(url=host.serve("/a", b"GOOD"), original_name=None, declared_type=None, field="fileUrl")
        deadline = time.monotonic() + 0.5
        with pytest.raises(Busy) as caught, house.intake.fetch(details, deadline=deadline):
            pass
        assert time.monotonic() >= deadline
        assert caught.value.retry_after_seconds == 5
        assert caught.value.retryable
        assert len(house.spooled()) == 1
        prover.go_on.set()
        thread.join(20)
        assert sizes == [4]
        deadline = time.monotonic() + 20
        with house.intake.fetch(details, deadline=deadline) as checked:
            assert checked.size == 4
    assert prover.deadlines[-1] == deadline
    assert house.spooled() == []


def test_the_proof_is_told_the_limits_with_the_cap(house: House) -> None:
    with receive(house, b"IMAGE", declared=None, max_bytes=1500):
        pass
    assert house.prover.limits == [
        {FileType.IMAGE: 1000, FileType.AUDIO: 1500, FileType.VIDEO: 1500, FileType.DOCUMENT: 1500}
    ]


def test_many_downloads_side_by_side_do_not_mix(house: House) -> None:
    wrong = []

    def one(number: int) -> None:
        data = a_file("IMAGE", 900 + number)
        url = house.host.serve(f"/{number}", data, chunked=bool(number % 2))
        with house.fetch(url, declared=FileType.IMAGE) as checked:
            if checked.path.read_bytes() != data or checked.sha256 != hashlib.sha256(data).hexdigest():
                wrong.append(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert len(house.host.requests) == 40
    assert house.spooled() == []


# The spool


@pytest.mark.parametrize("limited", ["RLIMIT_FSIZE", "RLIMIT_NOFILE"])
def test_no_room_is_busy_and_leaves_nothing(tmp_path: Path, limited: str) -> None:
    # In a process of its own, since a lowered limit stays so. A file's limit stands for the disk's: both are no room.
    program = f"""
        import io, resource, sys
        from pathlib import Path
        from webchat_soap.domain.errors import Busy
        from webchat_soap.files.spool import Spool

        spool = Spool(Path(sys.argv[1]))
        with spool.new_file():
            pass
        resource.setrlimit(resource.{limited}, (3, 3) if "{limited}" == "RLIMIT_NOFILE" else (300_000, 300_000))
        try:
            with spool.new_file() as file:
                for _ in range(4):
                    file.write(memoryview(bytes(100_000)))
        except Busy as error:
            print(error.code, error.retry_after_seconds)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["Busy", "10"], done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_each_process_has_a_folder_of_its_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.new_file() as file:
        here = file.path.parent
    pid = os.fork()
    if pid == 0:
        try:
            with spool.new_file() as file:
                os._exit(0 if file.path.parent != here and file.path.parent.parent == tmp_path else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert here.name.startswith(f"{os.getpid()}-")


def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "deep" / "spool")
    for _ in range(2):
        with spool.new_file() as file:
            file.write(memoryview(b"abc"))
            folder = file.path.parent
        folder.rmdir()


def test_the_sweep_removes_what_dead_processes_left(tmp_path: Path) -> None:
    assert sweep_spool(tmp_path / "missing") == 0
    for name in ("1-aa", "2-bb"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "left").write_bytes(b"x")
    assert sweep_spool(tmp_path) == 2
    assert list(tmp_path.iterdir()) == []
