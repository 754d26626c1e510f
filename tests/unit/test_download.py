"""The download against a host that does everything wrong (contract sections 2, 5 and 6)."""

from __future__ import annotations

import errno
import hashlib
import itertools
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from tests.file_host import TLS_CA_FILE, Connection, FileHost, Request, chunks, head
from webchat_soap.domain.errors import Busy, DownloadFailed, FileTooLarge, UrlNotAllowed, WebchatError
from webchat_soap.files.download import Downloader, FetchPolicy
from webchat_soap.files.guard import AddressPolicy, UrlGuard, parse_allow_rules
from webchat_soap.files.resolve import Lookups

PATIENT = FetchPolicy(connect_seconds=5, first_byte_seconds=10, total_seconds=20, ca_file=TLS_CA_FILE)
HASTY = replace(PATIENT, first_byte_seconds=0.4, total_seconds=0.8)
SOON_SECONDS = (
    5.0  # far above the hasty deadlines, far below the patient ones: slow machines pass, missing deadlines do not
)


class Memory:
    """A sink that keeps the bytes."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.longest_chunk = 0

    def write(self, chunk: memoryview) -> None:
        self.data += chunk
        self.longest_chunk = max(self.longest_chunk, len(chunk))


def resolve_to_loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def fetch(
    url: str,
    *,
    policy: FetchPolicy = PATIENT,
    max_bytes: int = 1_000_000,
    allow: Sequence[str] = ("127.0.0.1/32", "::1/128", "files.example"),
    ports: Sequence[int] = range(1, 65536),
    deadline: float | None = None,
    lookups: Lookups | None = None,
) -> bytes:
    guard = UrlGuard(
        AddressPolicy(allow=parse_allow_rules(allow), ports=frozenset(ports)),
        lookups=lookups or Lookups(resolve_to_loopback),
    )
    memory = Memory()
    downloader = Downloader(guard, policy)
    downloader.download(
        guard.check_url(url, field="fileUrl"),
        memory,
        max_bytes=max_bytes,
        deadline=time.monotonic() + 60 if deadline is None else deadline,
        field="fileUrl",
    )
    assert memory.longest_chunk <= 256 * 1024
    return bytes(memory.data)


def refusal(url: str, **named: object) -> WebchatError:
    with pytest.raises(WebchatError) as caught:
        fetch(url, **named)  # type: ignore[arg-type]
    error = caught.value
    assert error.message.rstrip().endswith("."), error.message
    return error


@pytest.fixture
def host() -> Iterator[FileHost]:
    with FileHost() as host:
        yield host


@pytest.mark.parametrize("size", [1, 255, 256 * 1024, 256 * 1024 + 1, 900_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_arrives_byte_for_byte(host: FileHost, size: int, chunked: bool) -> None:
    body = hashlib.shake_128(b"file").digest(size)
    assert fetch(host.serve("/a", body, chunked=chunked)) == body


def test_a_file_without_a_length_goes_on_to_the_end_of_the_connection(host: FileHost) -> None:
    assert fetch(host.answer("/a", head("HTTP/1.0 200 OK") + b"all of it")) == b"all of it"


def test_small_chunks_with_extensions_and_trailers_are_one_file(host: FileHost) -> None:
    body = b"1;name=value\r\na\r\n2 ; x\r\nbc\r\n0003\r\ndef\r\n0\r\nTrailer: yes\r\n\r\n"
    assert fetch(host.answer("/a", head("HTTP/1.1 200 OK", "Transfer-Encoding: Chunked") + body)) == b"abcdef"


def test_an_empty_body_is_no_bytes(host: FileHost) -> None:
    assert fetch(host.serve("/a", b"")) == b""
    assert fetch(host.serve("/b", b"", chunked=True)) == b""


def test_the_request_says_who_asks_and_wants_no_compression(host: FileHost) -> None:
    host.serve("/dir/%C5%9F%20x.png?a=b%2Fc", b"x")
    fetch(host.url + "/dir/ş%20x.png?a=b%2Fc#part")
    (request,) = host.requests
    assert (request.method, request.path) == ("GET", "/dir/%C5%9F%20x.png?a=b%2Fc")
    assert request.headers["user-agent"].startswith("webchat-soap/")
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["host"] == f"127.0.0.1:{host.port}"
    assert "cookie" not in request.headers
    assert "authorization" not in request.headers


def test_proxy_variables_and_netrc_are_not_heard(host: FileHost, monkeypatch, tmp_path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with FileHost() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert fetch(host.serve("/a", b"direct")) == b"direct"
        assert proxy.connections == 0
    assert "authorization" not in host.requests[0].headers


# Sizes


def test_a_length_over_the_limit_is_refused_before_the_body(host: FileHost) -> None:
    def only_head(connection: Connection, request: Request) -> None:
        connection.send(head("HTTP/1.1 200 OK", "Content-Length: 101"))
        connection.silence()

    error = refusal(host.script("/a", only_head), max_bytes=100)
    assert isinstance(error, FileTooLarge)
    assert (error.limit, error.actual) == (100, 101)


def test_a_file_of_exactly_the_limit_is_taken(host: FileHost) -> None:
    assert len(fetch(host.serve("/a", b"x" * 100), max_bytes=100)) == 100
    assert len(fetch(host.serve("/b", b"x" * 100, chunked=True), max_bytes=100)) == 100


@pytest.mark.parametrize("framing", ["chunked", "none"])
def test_an_endless_body_is_cut_at_the_limit(host: FileHost, framing: str) -> None:
    def endless(connection: Connection, request: Request) -> None:
        if framing == "chunked":
            connection.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"))
            connection.send_forever(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        else:
            connection.send(head("HTTP/1.1 200 OK"))
            connection.send_forever(b"x" * 65536)

    error = refusal(host.script("/a", endless), max_bytes=1_000_000)
    assert isinstance(error, FileTooLarge)
    assert error.limit == 1_000_000
    assert error.actual is not None
    assert error.actual > 1_000_000


def test_more_bytes_than_announced_are_not_read(host: FileHost) -> None:
    assert fetch(host.answer("/a", head("HTTP/1.1 200 OK", "Content-Length: 3") + b"abcdef")) == b"abc"


def test_a_file_cut_short_is_told_with_both_numbers(host: FileHost) -> None:
    error = refusal(host.answer("/a", head("HTTP/1.1 200 OK", "Content-Length: 10") + b"abc"))
    assert isinstance(error, DownloadFailed)
    assert error.retryable
    assert "10 bytes" in error.message
    assert "sent 3" in error.message


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nab",
        b"5\r\nabcde",
        b"5\r\nabcde\r\n",
        b"5\r\nabcdeX\r\n0\r\n\r\n",
        b"5\r\nabcde\r\n0\r\n",
        b"-1\r\nabcde",
        b"-5\r\nabcde\r\n0\r\n\r\n",
        b"0x5\r\nabcde\r\n0\r\n\r\n",
        b"5_0\r\nabcde\r\n0\r\n\r\n",
        b"+5\r\nabcde\r\n0\r\n\r\n",
        b"\r\nabcde\r\n0\r\n\r\n",
        b"zz\r\n",
        b"ffffffffffffffffffff\r\n",
        b"1;" + b"x" * 10_000 + b"\r\na\r\n0\r\n\r\n",
        b"0\r\n" + b"Trailer: x\r\n" * 1000 + b"\r\n",
    ],
    ids=lambda body: body[:16].decode(),
)
def test_a_broken_chunked_body_is_refused(host: FileHost, body: bytes) -> None:
    error = refusal(host.answer("/a", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + body))
    assert isinstance(error, DownloadFailed)
    assert error.retryable


def test_a_compressed_bomb_is_refused_unread(host: FileHost) -> None:
    bomb = zlib.compress(bytes(50_000_000), wbits=31)
    for coding in ("gzip", "deflate", "br", "identity, gzip", "GZip"):
        url = host.serve("/bomb", bomb, headers=[f"Content-Encoding: {coding}"])
        error = refusal(url, max_bytes=100_000)
        assert isinstance(error, DownloadFailed)
        assert "compressed" in error.message


def test_a_gzip_transfer_coding_is_refused(host: FileHost) -> None:
    answer = head("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked") + chunks(b"abc")
    assert isinstance(refusal(host.answer("/a", answer)), DownloadFailed)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: -1"],
        ["Content-Length: 3", "Content-Length: 5"],
        ["Content-Length: 3, 5"],
        ["Content-Length: three"],
        ["Content-Length: 0x3"],
        ["Content-Length: +3"],
        ["Content-Length: 3.0"],
        ["Content-Length: 99999999999999999999999"],
        ["Content-Length: \xb3"],
    ],
    ids=lambda lines: "|".join(lines),
)
def test_a_length_without_a_meaning_is_refused(host: FileHost, lines: list[str]) -> None:
    error = refusal(host.answer("/a", head("HTTP/1.1 200 OK", *lines) + b"abc"))
    assert isinstance(error, DownloadFailed)


def test_the_same_length_twice_is_one_length(host: FileHost) -> None:
    answer = head("HTTP/1.1 200 OK", "Content-Length: 3", "Content-Length: 3") + b"abc"
    assert fetch(host.answer("/a", answer)) == b"abc"


# What is no answer


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"<html>a page of HTTP 0.9</html>",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 1000 High\r\n\r\n",
        b"HTTP/1.1 -200 OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\nx",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\n: no name\r\nContent-Length: 3\r\n\r\nabc",
        b"\x00" * 1000,
        b"\xff" * 70_000,
        b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\nbody",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"A%d: %s\r\n" % (at, b"b" * 1000) for at in range(90)) + b"\r\nbody",
    ],
    ids=lambda data: repr(data[:24]),
)
def test_what_is_no_http_answer_is_a_failed_download(host: FileHost, data: bytes) -> None:
    error = refusal(host.answer("/a", data))
    assert isinstance(error, DownloadFailed)
    assert error.retryable
    assert error.field == "fileUrl"


def test_endless_headers_are_cut_by_their_size(host: FileHost) -> None:
    def endless(connection: Connection, request: Request) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nA: ")
        connection.send_forever(b"b" * 4096)

    error = refusal(host.script("/a", endless))
    assert isinstance(error, DownloadFailed)


def test_endless_interim_answers_are_cut_by_their_size(host: FileHost) -> None:
    def endless(connection: Connection, request: Request) -> None:
        connection.send_forever(b"HTTP/1.1 100 Continue\r\n\r\n")

    error = refusal(host.script("/a", endless))
    assert "headers" in error.message


@pytest.mark.parametrize("value", ["multipart/mixed", "multipart/form-data; boundary=x", "message/rfc822"])
def test_a_strange_content_type_does_no_harm(host: FileHost, value: str) -> None:
    assert fetch(host.serve("/a", b"abc", content_type=value)) == b"abc"


def test_hostile_headers_are_not_logged(host: FileHost, caplog) -> None:
    refusal(host.answer("/a?signature=secret", b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\nabc"))
    assert caplog.records == []


def test_odd_but_harmless_headers_do_no_harm(host: FileHost) -> None:
    answer = head(
        "HTTP/1.1 200 OK",
        "Content-Length: 3",
        "Set-Cookie: " + "a=b; " * 1000,
        "Content-Disposition: attachment; filename=../../etc/passwd",
        "X-Emoji: 😀",
    )
    assert fetch(host.answer("/a", answer + b"abc")) == b"abc"


@pytest.mark.parametrize("when", ["at once", "after the request", "in the head", "in the body"])
def test_a_reset_is_a_failed_download(host: FileHost, when: str) -> None:
    def reset(connection: Connection, request: Request) -> None:
        if when == "in the head":
            connection.send(b"HTTP/1.1 200 OK\r\n")
        if when == "in the body":
            connection.send(head("HTTP/1.1 200 OK", "Content-Length: 100") + b"x")
        connection.reset()

    if when == "at once":
        host.on_connect = Connection.reset
    error = refusal(host.script("/a", reset))
    assert isinstance(error, DownloadFailed)
    assert error.retryable


def test_a_port_nobody_listens_on_is_a_failed_download() -> None:
    with FileHost() as host:
        url = host.serve("/a", b"x")
    error = refusal(url)
    assert isinstance(error, DownloadFailed)
    assert error.retryable
    assert error.http_status is None


# Statuses


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (201, True),
        (204, True),
        (206, True),
        (300, True),
        (304, True),
        (400, False),
        (401, False),
        (403, False),
        (404, False),
        (408, True),
        (410, False),
        (425, True),
        (429, True),
        (451, False),
        (500, True),
        (503, True),
        (599, True),
    ],
)
def test_only_200_is_a_file(host: FileHost, status: int, retryable: bool) -> None:
    error = refusal(host.serve("/a", b"" if status in (204, 304) else b"page", status=f"{status} Status"))
    assert isinstance(error, DownloadFailed)
    assert (error.http_status, error.retryable) == (status, retryable)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(host: FileHost, status: int) -> None:
    host.serve("/dir/b?x=1", b"there")
    assert fetch(host.redirect("/dir/a", "b?x=1", status=f"{status} Moved")) == b"there"
    assert [request.method for request in host.requests] == ["GET", "GET"]


@pytest.mark.parametrize(
    "location", ["/b", "b", "../b", "//127.0.0.1:{port}/b", "http://127.0.0.1:{port}/b#f", "?to=b"]
)
def test_locations_may_be_relative(host: FileHost, location: str) -> None:
    host.serve("/b", b"there")
    host.serve("/a?to=b", b"there")
    assert fetch(host.redirect("/a", location.format(port=host.port))) == b"there"


def test_a_location_with_spaces_and_letters_is_encoded(host: FileHost) -> None:
    host.serve("/my%20%C5%9F.png", b"there")
    assert fetch(host.redirect("/a", "/my ş.png")) == b"there"


def test_five_redirects_are_followed_and_six_are_not(host: FileHost) -> None:
    for at in range(6):
        host.redirect(f"/{at}", f"/{at + 1}")
    host.serve("/6", b"there")
    assert fetch(host.url + "/1") == b"there"
    error = refusal(host.url + "/0")
    assert isinstance(error, DownloadFailed)
    assert error.http_status == 302


def test_a_redirect_loop_ends(host: FileHost) -> None:
    error = refusal(host.redirect("/a", "/a"))
    assert isinstance(error, DownloadFailed)
    assert len(host.requests) == 6


def test_cookies_are_not_carried_over_redirects(host: FileHost) -> None:
    host.serve("/b", b"there")
    fetch(host.serve("/a", b"", status="302 Found", headers=["Location: /b", "Set-Cookie: a=b; Path=/"]))
    assert "cookie" not in host.requests[1].headers


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "//192.168.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://user:password@files.example/",
        "http://localhost:1/",
        "ftp://files.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http:/files.example/",
        "http:files.example",
        "http://",
        "http://files.example\\@10.0.0.1/",
        "http://files.example\t/",
        "http://[",
        "//[",
        "http://files.example:99999/",
        "http://" + "a" * 10_000,
    ],
)
def test_a_redirect_is_guarded_like_the_url_itself(host: FileHost, location: str) -> None:
    error = refusal(host.redirect("/a", location), ports=[host.port], allow=[f"127.0.0.1:{host.port}"])
    assert isinstance(error, UrlNotAllowed)
    assert error.field == "fileUrl"
    assert host.connections == 1


def test_a_redirect_to_a_name_with_an_inner_address_is_refused_without_telling_the_address(host: FileHost) -> None:
    lookups = Lookups(lambda name, port: ["10.11.12.13"])
    url = host.redirect("/a", "http://inner.example/")
    error = refusal(url, allow=["127.0.0.1"], ports=[80, host.port], lookups=lookups)
    assert isinstance(error, UrlNotAllowed)
    assert "10.11.12.13" not in error.message
    assert "inner.example" in error.message


@pytest.mark.parametrize("locations", [[], [""], ["/a", "/b"]])
def test_a_redirect_without_one_location_is_a_failed_download(host: FileHost, locations: list[str]) -> None:
    url = host.serve("/a", b"", status="302 Found", headers=[f"Location: {location}" for location in locations])
    error = refusal(url)
    assert isinstance(error, DownloadFailed)
    assert error.http_status == 302


# Time


def hold(connection: Connection, request: Request) -> None:
    connection.silence()


def drip_head(connection: Connection, request: Request) -> None:
    connection.drip(itertools.chain(b"HTTP/1.1 200 OK\r\nX: ", itertools.repeat(0x78)))


def drip_interim(connection: Connection, request: Request) -> None:
    connection.drip(itertools.cycle(b"HTTP/1.1 100 Continue\r\n\r\n"))


def drip_body(connection: Connection, request: Request) -> None:
    connection.send(head("HTTP/1.1 200 OK", "Content-Length: 1000000"))
    connection.drip(itertools.repeat(0))


def drip_chunks(connection: Connection, request: Request) -> None:
    connection.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"))
    connection.drip(itertools.cycle(b"1\r\nx\r\n"))


def drip_chunk_line(connection: Connection, request: Request) -> None:
    connection.send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"1;")
    connection.drip(itertools.repeat(0x78))


def stall_in_body(connection: Connection, request: Request) -> None:
    connection.send(head("HTTP/1.1 200 OK", "Content-Length: 1000000") + b"x" * 1000)
    connection.silence()


@pytest.mark.parametrize("tls", [None, "host"])
@pytest.mark.parametrize(
    "script", [hold, drip_head, drip_interim, drip_body, drip_chunks, drip_chunk_line, stall_in_body]
)
def test_a_slow_host_is_left_at_the_deadline(script: Callable[[Connection, Request], None], tls: str | None) -> None:
    with FileHost(tls=tls) as host:
        started = time.monotonic()
        error = refusal(host.script("/a", script), policy=HASTY)
        assert time.monotonic() - started < SOON_SECONDS
    assert isinstance(error, DownloadFailed)
    assert error.retryable
    assert "in time" in error.message


def test_silence_before_the_tls_handshake_ends_at_the_deadline() -> None:
    with FileHost(tls="host") as host:
        host.on_connect = FileHost.silence
        error = refusal(host.url + "/a", policy=HASTY)
    assert isinstance(error, DownloadFailed)
    assert "TLS handshake in time" in error.message


def test_a_dripped_tls_handshake_ends_at_the_deadline() -> None:
    with FileHost(tls="host") as host:
        # A record header that announces 16 KiB of handshake, whose bytes then hardly come.
        host.on_connect = lambda connection: connection.drip(
            itertools.chain(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", itertools.repeat(0))
        )
        started = time.monotonic()
        error = refusal(host.url + "/a", policy=HASTY)
        assert time.monotonic() - started < SOON_SECONDS
    assert isinstance(error, DownloadFailed)


def test_an_address_that_swallows_packets_ends_at_the_connect_deadline() -> None:
    with socket.socket() as full:  # a listener whose queue is full drops the handshakes of those who come after
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        try:
            for each in waiting:
                each.setblocking(False)
                assert each.connect_ex(("127.0.0.1", port)) in (0, errno.EINPROGRESS)
            started = time.monotonic()
            error = refusal(f"http://127.0.0.1:{port}/a", policy=replace(PATIENT, connect_seconds=0.4))
            assert time.monotonic() - started < SOON_SECONDS
        finally:
            for each in waiting:
                each.close()
    assert isinstance(error, DownloadFailed)
    assert "could not be reached in time" in error.message


def test_the_callers_deadline_caps_the_download(host: FileHost) -> None:
    started = time.monotonic()
    error = refusal(host.script("/a", drip_body), deadline=time.monotonic() + 0.4)
    assert time.monotonic() - started < SOON_SECONDS
    assert isinstance(error, DownloadFailed)


def test_no_time_left_means_no_connection(host: FileHost) -> None:
    error = refusal(host.serve("/a", b"x"), deadline=time.monotonic())
    assert isinstance(error, DownloadFailed)
    assert host.connections == 0


def test_slow_redirects_share_one_deadline(host: FileHost) -> None:
    def slow(connection: Connection, request: Request) -> None:
        connection.drip(head("HTTP/1.1 302 Found", "Location: /a", "Content-Length: 0"), every_seconds=0.005)

    policy = replace(PATIENT, total_seconds=0.6, max_redirects=1000)
    started = time.monotonic()
    error = refusal(host.script("/a", slow), policy=policy)
    assert time.monotonic() - started < SOON_SECONDS
    assert isinstance(error, DownloadFailed)


def test_a_host_that_never_reads_the_request_is_left_at_the_deadline(host: FileHost) -> None:
    host.on_connect = lambda connection: connection.wait(threading.Event())
    assert isinstance(refusal(host.url + "/a", policy=HASTY), DownloadFailed)


# TLS


def test_a_trusted_certificate_is_taken() -> None:
    with FileHost(tls="host") as host:
        assert fetch(host.serve("/a", b"x" * 300_000)) == b"x" * 300_000
        host.serve("/b", b"chunked over TLS", chunked=True)
        assert fetch(host.url + "/b") == b"chunked over TLS"


def test_the_certificate_is_checked_against_the_name_not_the_address() -> None:
    with FileHost(tls="host") as host:
        host.serve("/a", b"by name")
        assert fetch(f"https://files.example:{host.port}/a") == b"by name"
        assert host.requests[0].headers["host"] == f"files.example:{host.port}"


@pytest.mark.parametrize("certificate", ["other", "expired"])
def test_a_wrong_certificate_is_refused_in_words(certificate: str) -> None:
    with FileHost(tls=certificate) as host:
        error = refusal(host.serve("/a", b"x"))
        assert host.requests == []
    assert isinstance(error, DownloadFailed)
    assert error.retryable
    assert "certificate that is not trusted" in error.message


def test_an_unknown_issuer_is_refused_unless_the_operator_trusts_it() -> None:
    with FileHost(tls="host") as host:
        error = refusal(host.serve("/a", b"x"), policy=replace(PATIENT, ca_file=None))
        assert isinstance(error, DownloadFailed)
        assert "WEBCHAT_FETCH_CA_FILE" in error.message


def test_certificates_that_cannot_be_read_are_told_at_the_start(tmp_path) -> None:
    guard = UrlGuard(AddressPolicy())
    (tmp_path / "empty.pem").write_text("no certificate\n")
    for name in ("missing.pem", "empty.pem"):
        downloader = Downloader(guard, replace(PATIENT, ca_file=tmp_path / name))
        with pytest.raises(ValueError, match="WEBCHAT_FETCH_CA_FILE"):
            downloader.load_certificates()
    Downloader(guard, PATIENT).load_certificates()


def test_https_to_a_host_that_speaks_plain_http_is_told(host: FileHost) -> None:
    host.on_connect = lambda connection: connection.send(head("HTTP/1.1 400 Bad Request", "Content-Length: 0"))
    error = refusal(host.url.replace("http:", "https:"))
    assert isinstance(error, DownloadFailed)
    assert "https" in error.message


def test_http_to_a_host_that_speaks_tls_is_told() -> None:
    with FileHost(tls="host") as host:
        assert isinstance(refusal(host.serve("/a", b"x").replace("https:", "http:")), DownloadFailed)


def test_a_tls_connection_cut_without_its_end_is_no_whole_file() -> None:
    def cut(connection: Connection, request: Request) -> None:
        connection.send(head("HTTP/1.1 200 OK") + b"half a fi")
        connection.close()

    with FileHost(tls="host") as host:
        error = refusal(host.script("/a", cut))
    assert isinstance(error, DownloadFailed)
    assert "broke off" in error.message


def test_a_redirect_from_https_to_http_is_refused(host: FileHost) -> None:
    with FileHost(tls="host") as secure:
        error = refusal(secure.redirect("/a", host.serve("/b", b"x")))
    assert isinstance(error, UrlNotAllowed)
    assert "https to http" in error.message
    assert host.connections == 0


def test_a_redirect_from_http_to_https_is_followed(host: FileHost) -> None:
    with FileHost(tls="host") as secure:
        assert fetch(host.redirect("/a", secure.serve("/b", b"there"))) == b"there"


# Names


def test_the_second_address_is_tried_when_the_first_refuses(host: FileHost) -> None:
    lookups = Lookups(lambda name, port: ["::1", "127.0.0.1"])
    host.serve("/a", b"by the second")
    assert fetch(f"http://files.example:{host.port}/a", lookups=lookups) == b"by the second"


def test_an_ipv6_address_is_fetched_from() -> None:
    with FileHost(address="::1") as host:
        assert fetch(host.serve("/a", b"six")) == b"six"
        assert host.requests[0].headers["host"] == f"[::1]:{host.port}"


@pytest.mark.parametrize(
    ("number", "retryable"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True), (socket.EAI_FAIL, True)]
)
def test_a_name_that_does_not_resolve_is_a_failed_download(number: int, retryable: bool) -> None:
    def fail(name: str, port: int) -> Sequence[str]:
        raise socket.gaierror(number, "of the resolver")

    error = refusal("http://nowhere.example/", lookups=Lookups(fail))
    assert isinstance(error, DownloadFailed)
    assert error.retryable is retryable
    assert "nowhere.example" in error.message


def test_a_name_without_addresses_does_not_exist() -> None:
    error = refusal("http://nowhere.example/", lookups=Lookups(lambda name, port: []))
    assert isinstance(error, DownloadFailed)
    assert not error.retryable


def test_a_resolver_that_hangs_is_left_at_the_deadline_and_takes_no_more_than_its_threads() -> None:
    answer = threading.Event()

    def hang(name: str, port: int) -> Sequence[str]:
        answer.wait(60)
        return ["127.0.0.1"]

    lookups = Lookups(hang, max_running=2)
    policy = replace(HASTY, first_byte_seconds=0.1)
    try:
        before = threading.active_count()
        errors = [refusal("http://files.example/", policy=policy, lookups=lookups) for _ in range(4)]
        assert [type(error) for error in errors] == [DownloadFailed, DownloadFailed, Busy, Busy]
        assert errors[2].retry_after_seconds
        assert threading.active_count() == before + 2
    finally:
        answer.set()


def test_lookups_go_on_after_the_resolver_has_recovered(host: FileHost) -> None:
    answer = threading.Event()

    def hang_once(name: str, port: int) -> Sequence[str]:
        answer.wait(60)
        return ["127.0.0.1"]

    lookups = Lookups(hang_once, max_running=1)
    refusal("http://files.example/", policy=replace(HASTY, first_byte_seconds=0.1), lookups=lookups)
    answer.set()
    host.serve("/a", b"x")
    assert fetch(f"http://files.example:{host.port}/a", lookups=lookups) == b"x"
