"""What reaches the application, and what becomes of clients that are slow, broken or hostile. Over real sockets."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process_app import TinySettings
from tests.e2e.processes import READY, Service, free_port, read_all, resident_kib, running, status_of, wait_until
from webchat_soap.server import ServeOptions

MIB = 1024 * 1024
REQUEST_SECONDS = 1.0

POST = b"POST /echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def notes(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("notes")


@pytest.fixture(scope="module")
def service(tmp_path_factory, notes) -> Iterator[Service]:
    """One service for all tests of this file, so that each also meets what the ones before it left behind."""
    options = ServeOptions(
        host="127.0.0.1",
        port=free_port(),
        data_dir=tmp_path_factory.mktemp("data"),
        settings=TinySettings(notes=notes),
        application_factory="tests.e2e.process_app:make",
        ready_message=READY,
        request_seconds=REQUEST_SECONDS,
        shutdown_seconds=2.0,
    )
    with running(options) as service:
        yield service


@pytest.fixture
def entered(notes) -> Path:
    """The note that the echo leaves when the application was entered; gone before each test."""
    for note in notes.glob("echo-*"):
        note.unlink()
    return notes


def shown(answer: bytes) -> dict[str, str]:
    lines = answer.partition(b"\r\n\r\n")[2].decode("latin-1").split("\n")
    return dict(line.split("=", 1) for line in lines)


def test_the_environ_is_as_pep_3333_wants_it(service) -> None:
    answer = service.ask(
        b"GET /environ/a%20%C5%9F%2Fb?wsdl&x=%2f HTTP/1.1\r\nHost: test:1\r\nConnection: close\r\n"
        b'Cookie: a=1\r\nCookie: b=2\r\nX-Many: 1\r\nX-Many: 2\r\nX-Latin: \xe9\r\nSOAPAction: "x"\r\n\r\n'
    )
    environ = shown(answer)
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/environ/a ş/b"
    assert environ["QUERY_STRING"] == "wsdl&x=%2f"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["SERVER_PORT"] == str(service.port)
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_HOST"] == "test:1"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_X_MANY"] == "1, 2"
    assert environ["HTTP_X_LATIN"] == "é"
    assert environ["HTTP_SOAPACTION"] == '"x"'
    assert "CONTENT_LENGTH" not in environ


def test_a_header_with_an_underscore_cannot_pass_for_one_with_a_dash(service) -> None:
    answer = service.ask(b"GET /environ HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX_Forwarded_For: evil\r\n\r\n")
    assert "HTTP_X_FORWARDED_FOR" not in shown(answer)


def test_http_1_0_without_a_host_is_answered(service) -> None:
    environ = shown(service.ask(b"GET /environ HTTP/1.0\r\n\r\n"))
    assert (environ["SERVER_PROTOCOL"], environ.get("HTTP_HOST")) == ("HTTP/1.0", None)


def test_a_chunked_body_arrives_whole_with_its_length(service) -> None:
    body = CHUNKED.replace(b"/echo", b"/environ") + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    environ = shown(service.ask(body))
    assert environ["CONTENT_LENGTH"] == "11"
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert service.ask(CHUNKED, b"5\r\nhel", b"lo\r\n", b"6\r\n world\r\n0\r\n\r\n").endswith(b"\r\n\r\nhello world")


def test_a_body_that_comes_in_pieces_arrives_whole(service) -> None:
    with service.connect() as client:
        client.sendall(POST + b"Content-Length: 300000\r\n\r\n")
        for _ in range(30):
            client.sendall(b"x" * 10_000)
        assert read_all(client).endswith(b"\r\n\r\n" + b"x" * 300_000)


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n", id="chunk size is no number"),
        pytest.param(CHUNKED + b"5\r\nhello\r\nzz\r\n\r\n", id="second chunk size is no number"),
        pytest.param(CHUNKED + b"5\r\nhelloXX0\r\n\r\n", id="no line end after a chunk"),
        pytest.param(CHUNKED + b"FFFFFFFFFFFFFFFFFF\r\nhello", id="chunk size overflows"),
        pytest.param(CHUNKED + b"5\r\nhel", id="cut in a chunk"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n", id="cut before the last chunk"),
        pytest.param(POST + b"Content-Length: 10\r\n\r\nhel", id="shorter than its length"),
        pytest.param(POST + b"Content-Length: abc\r\n\r\n", id="length is no number"),
        pytest.param(POST + b"Content-Length: -1\r\n\r\n", id="negative length"),
        pytest.param(POST + b"Content-Length: +3\r\n\r\nabc", id="signed length"),
        pytest.param(POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", id="two lengths"),
        pytest.param(POST + b"Content-Length: 3, 4\r\n\r\nabcd", id="a list of lengths"),
        pytest.param(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", id="another encoding"),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            id="encoded twice",
        ),
        pytest.param(POST + b"Host: other\r\nContent-Length: 3\r\n\r\nabc", id="two hosts"),
        pytest.param(POST.replace(b"Host: test\r\n", b"") + b"Content-Length: 3\r\n\r\nabc", id="no host"),
        pytest.param(b"\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n", id="TLS on a plain port"),
    ],
)
def test_a_malformed_request_is_400_and_never_enters_the_application(service, entered, request_bytes) -> None:
    cut = request_bytes.endswith((b"hel", b"hello\r\n"))
    assert status_of(service.ask(request_bytes, half_close=cut)) == 400
    assert not list(entered.glob("echo-*"))


def test_a_client_that_resets_in_the_middle_leaves_nothing(service, entered) -> None:
    for _ in range(20):
        with service.connect() as client:
            client.sendall(POST + b"Content-Length: 10\r\n\r\nhel")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert service.get("/hello") == (200, b"hello")
    assert not list(entered.glob("echo-*"))


def test_a_half_closed_client_is_answered_or_closed_but_not_kept(service) -> None:
    # The engine takes the end of a client's stream for the end of the client, unless the answer is there already.
    answer = service.ask(POST.replace(b"echo", b"hello") + b"Content-Length: 3\r\n\r\nabc", half_close=True)
    assert answer == b"" or answer.endswith(b"\r\n\r\nhello")


def test_an_oversize_body_is_413_by_its_length_before_it_is_sent(service, entered) -> None:
    with service.connect() as client:
        client.sendall(POST + b"Content-Length: %d\r\n\r\n" % (MIB + 1))
        head = client.recv(65536)
    assert status_of(head) == 413
    assert b"longer than 1048576 bytes" in head
    assert not list(entered.glob("echo-*"))


def test_an_oversize_chunked_body_is_413_when_it_grows_too_long(service, entered) -> None:
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    with service.connect() as client:
        client.sendall(CHUNKED + chunk * 17)
        assert status_of(client.recv(65536)) == 413
    assert not list(entered.glob("echo-*"))


def test_a_client_that_sends_all_of_an_oversize_body_can_read_the_refusal(service) -> None:
    answer = service.ask(POST + b"Content-Length: %d\r\n\r\n" % (8 * MIB), bytes(8 * MIB))
    assert status_of(answer) == 413


def test_a_body_of_exactly_the_limit_is_taken(service) -> None:
    answer = service.ask(POST + b"Content-Length: %d\r\n\r\n" % MIB, bytes(MIB))
    assert status_of(answer) == 200
    assert len(answer.partition(b"\r\n\r\n")[2]) == MIB


def test_expect_100_continue_is_answered_before_the_body_and_refused_without_it(service) -> None:
    with service.connect() as client:
        client.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert read_all(client).endswith(b"\r\n\r\nabc")
    answer = service.ask(POST + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
    assert status_of(answer) == 413


@pytest.mark.parametrize("start", [CHUNKED + b"5\r\nhel", POST + b"Content-Length: 9\r\n\r\nhel"])
def test_a_body_that_does_not_come_is_408_and_the_connection_closed(service, entered, start) -> None:
    began = time.monotonic()
    answer = service.ask(start)
    assert status_of(answer) == 408
    assert b"connection: close" in answer
    assert REQUEST_SECONDS <= time.monotonic() - began < REQUEST_SECONDS + 2
    assert not list(entered.glob("echo-*"))


def test_a_body_that_drips_is_408_too(service, entered) -> None:
    with service.connect() as client:
        client.sendall(POST + b"Content-Length: 1000\r\n\r\n")
        client.settimeout(0.05)
        began = time.monotonic()
        while time.monotonic() - began < REQUEST_SECONDS + 2:
            try:
                client.sendall(b"x")
                answer = client.recv(65536)
            except TimeoutError:
                continue
            break
        assert status_of(answer) == 408
    assert not list(entered.glob("echo-*"))


@pytest.mark.parametrize("start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: test\r\nX-Long: a"])
def test_a_head_that_does_not_come_ends_the_connection(service, start) -> None:
    began = time.monotonic()
    service.ask(start)
    assert REQUEST_SECONDS - 0.1 <= time.monotonic() - began < REQUEST_SECONDS + 2


def test_a_head_that_is_too_long_is_refused(service) -> None:
    answer = service.ask(b"GET / HTTP/1.1\r\nHost: test\r\nX-Long: " + b"a" * 200_000 + b"\r\n\r\n")
    assert status_of(answer) == 431


def test_a_body_of_tiny_chunks_is_refused_before_it_has_cost_much(service, entered) -> None:
    with service.connect() as client:
        client.sendall(CHUNKED + b"1\r\nx\r\n" * 20_000)
        assert status_of(client.recv(65536)) == 400
    assert not list(entered.glob("echo-*"))


def test_beside_200_half_sent_requests_a_normal_one_is_answered_quickly(service) -> None:
    half = [service.connect() for _ in range(200)]
    try:
        for client in half:
            client.sendall(POST + b"Content-Length: 100\r\n\r\nhalf")
        slowest = 0.0
        for _ in range(20):
            began = time.monotonic()
            assert service.get("/hello") == (200, b"hello")
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 0.5
        assert [status_of(read_all(client)) for client in half] == [408] * 200
    finally:
        for client in half:
            client.close()


def test_beside_100_waiting_calls_a_normal_one_is_answered_quickly(service, notes) -> None:
    waiting = [service.connect() for _ in range(100)]
    try:
        for client in waiting:
            client.sendall(b"GET /gate HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        wait_until(lambda: len(list(notes.glob("gate-in-*"))) == 100, what="the waiting calls")
        slowest = 0.0
        for _ in range(20):
            began = time.monotonic()
            assert service.get("/hello") == (200, b"hello")
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 0.5
        (notes / "gate-open").touch()
        assert [status_of(read_all(client)) for client in waiting] == [200] * 100
    finally:
        for client in waiting:
            client.close()


def test_keep_alive_and_pipelining_answer_in_order(service) -> None:
    with service.connect() as client:
        client.sendall(
            b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\none"
            b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\ntwo"
            b"GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        )
        answer = read_all(client)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.index(b"one") < answer.index(b"two") < answer.index(b"hello")


def test_head_has_the_headers_of_get_and_no_body(service) -> None:
    for path in (b"/hello", b"/stream?1000000"):
        answer = service.ask(b"HEAD " + path + b" HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        assert status_of(answer) == 200
        assert (b"content-length: 5" if path == b"/hello" else b"content-length: 1000000") in answer
        assert answer.endswith(b"\r\n\r\n")


def test_what_the_application_raises_is_a_plain_500_that_shows_nothing(service) -> None:
    answer = service.ask(b"GET /raise HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    assert status_of(answer) == 500
    assert b"content-type: text/plain" in answer
    assert b"secret" not in answer


def test_an_answer_that_breaks_off_is_not_taken_for_whole(service, notes) -> None:
    answer = service.ask(b"GET /broken HTTP/1.1\r\nHost: test\r\n\r\n")
    assert b"first" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert b"secret" not in answer
    assert (notes / "broken").read_text() == "closed"


def test_pieces_are_sent_as_they_come(service, notes) -> None:
    with service.connect() as client:
        client.sendall(b"GET /drip HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        seen = b""
        for number in range(3):
            while f"piece {number}".encode() not in seen:
                seen += client.recv(65536)
            (notes / f"seen-{number}").touch()
        read_all(client)
    wait_until((notes / "drip").exists, what="close()")


def test_64_mib_go_to_a_slow_reader_with_flat_memory_and_no_thread(service) -> None:
    (worker,) = service.workers()
    service.get("/stream?1000000")
    with service.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(b"GET /stream?%d HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n" % (64 * MIB))
        before = resident_kib(worker)
        highest, size = before, 0
        while piece := client.recv(65536):
            size += len(piece)
            highest = max(highest, resident_kib(worker))
    assert size > 64 * MIB
    assert highest - before < 8 * 1024


def test_stalled_readers_hold_no_thread_and_their_answers_are_closed_when_they_go(service, notes) -> None:
    (worker,) = service.workers()
    (notes / "stream").unlink(missing_ok=True)
    threads = len(list(Path(f"/proc/{worker}/task").iterdir()))
    stalled = [service.connect() for _ in range(50)]
    try:
        for client in stalled:
            client.sendall(b"GET /stream?%d HTTP/1.1\r\nHost: test\r\n\r\n" % (64 * MIB))
            assert client.recv(100)
        assert service.get("/hello") == (200, b"hello")
        assert len(list(Path(f"/proc/{worker}/task").iterdir())) < threads + 25
        assert not (notes / "stream").exists()
    finally:
        for client in stalled:
            client.close()
    wait_until((notes / "stream").exists, what="close() after the reader went")


def test_a_call_that_only_computes_is_answered_like_any_other(service) -> None:
    request = b"POST /quick HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n"
    answer = service.ask(request + b"\r\nhello" + request + b"Connection: close\r\n\r\nworld")
    assert answer.count(b"HTTP/1.1 200") == 2
    assert b"hello" in answer
    assert answer.endswith(b"world")


def test_answers_that_come_later_hold_no_thread_and_do_not_hold_up_others(service, notes) -> None:
    head = b"GET /later HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    long = head.replace(b"/later", b"/later?long")
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(service.connect()) for _ in range(40)]
        for number, client in enumerate(waiting):
            client.sendall(long if number % 2 else head)
        for path in (b"/quick", b"/hello"):
            assert status_of(service.ask(head.replace(b"/later", path))) == 200
        (notes / "later-open").touch()
        for client in waiting:
            answer = read_all(client)
            assert status_of(answer) == 200
            assert answer.endswith(b"\r\n\r\nlater")


def test_a_client_that_leaves_while_it_waits_for_others_gives_up_its_place(service, notes) -> None:
    for note in [*notes.glob("asked-*"), *notes.glob("later-open")]:
        note.unlink()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(service.connect()) for _ in range(3)]
        for client in clients:
            client.sendall(b"GET /later?news HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        wait_until(lambda: len(list(notes.glob("asked-*"))) == 3)
        clients[0].close()
        clients[1].close()
        wait_until(lambda: len(list(notes.glob("gave-up-*"))) == 2)
        (notes / "later-open").touch()
        assert read_all(clients[2]).endswith(b"\r\n\r\nlater")
    assert len(list(notes.glob("gave-up-*"))) == 2


def test_a_client_that_leaves_before_its_answer_comes_harms_nobody(service, notes) -> None:
    (notes / "later-open").unlink(missing_ok=True)
    for path in (b"/later", b"/later?long"):
        with service.connect() as client:
            client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: test\r\n\r\n")
    assert status_of(service.ask(b"GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")) == 200
    (notes / "later-open").touch()
    assert status_of(service.ask(b"GET /later HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")) == 200
