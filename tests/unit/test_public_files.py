"""`/public_files/NAME` keeps its promises: only stored names, proved types, ranges, conditions, no open files left."""

from __future__ import annotations

import hashlib
import http.client
import io
import logging
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import BinaryIO

import pytest
from werkzeug.serving import make_server
from werkzeug.test import Client, TestResponse, run_wsgi_app
from werkzeug.test import create_environ as environ_for
from werkzeug.wrappers import Request, Response

from webchat_soap.domain.errors import Busy
from webchat_soap.domain.file import FileType, StoredFile
from webchat_soap.web.public_files import PIECE_BYTES, PublicFiles

PNG = "20210304-4865c412-7c28-45e4-9f55-3bd039401734.png"
TEXT = "20210304-4865c412-7c28-45e4-9f55-3bd039401735.txt"
PDF = "20210304-4865c412-7c28-45e4-9f55-3bd039401736.pdf"
GONE = "20210304-4865c412-7c28-45e4-9f55-3bd039401737.png"
LOST = "20210304-4865c412-7c28-45e4-9f55-3bd039401738.png"
MP4 = "20210304-4865c412-7c28-45e4-9f55-3bd039401739.mp4"
BYTES = bytes(range(256)) * 4
ETAG = f'"{hashlib.sha256(BYTES).hexdigest()}"'


class WatchedBytes(io.BytesIO):
    """Bytes that remember how they were read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.largest_read = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        self.largest_read = max(self.largest_read, len(piece))
        return piece


class ShrinkingBytes(WatchedBytes):
    """Bytes that lose their second half as soon as somebody has seen how many they are."""

    def seek(self, at: int, whence: int = 0) -> int:
        found = super().seek(at, whence)
        if whence == io.SEEK_END:
            self.truncate(found // 2)
        return found


class Files:
    """A file store that remembers what it opened."""

    def __init__(self) -> None:
        self.bytes: dict[str, bytes] = {}
        self.opened: list[WatchedBytes] = []
        self.make = WatchedBytes
        self.error: Exception | None = None

    def open(self, name: str) -> BinaryIO:
        if self.error:
            raise self.error
        if name not in self.bytes:
            raise FileNotFoundError(name)
        self.opened.append(self.make(self.bytes[name]))
        return self.opened[-1]


class Chats:
    """A chat store that knows files only, and remembers what it was asked."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredFile] = {}
        self.asked: list[str] = []
        self.error: Exception | None = None

    def find_file(self, name: str) -> StoredFile | None:
        self.asked.append(name)
        if self.error:
            raise self.error
        return self.rows.get(name)


class Site:
    def __init__(self) -> None:
        self.chats, self.files = Chats(), Files()
        self.public_files = PublicFiles(chats=self.chats, files=self.files)  # type: ignore[arg-type]
        self.client = Client(self.app)

    def add(self, name: str, data: bytes, **changes: object) -> None:
        values: dict[str, object] = {
            "file_id": name[9:45],
            "name": name,
            "original_name": "holiday." + name.rpartition(".")[2],
            "file_type": FileType.IMAGE,
            "content_type": "image/png",
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        self.chats.rows[name] = StoredFile(**{**values, **changes})  # type: ignore[arg-type]
        self.files.bytes[name] = data

    @property
    def app(self):
        @Request.application
        def app(request: Request) -> Response:
            return self.public_files.respond(request.environ, request.path.removeprefix("/public_files/"))

        return app

    def get(self, name: str = PNG, method: str = "GET", **headers: str) -> TestResponse:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.client.open(f"/public_files/{name}", method=method, headers=named, buffered=True)


@pytest.fixture
def site() -> Site:
    site = Site()
    site.add(PNG, BYTES)
    site.add(TEXT, b"merhaba", file_type=FileType.DOCUMENT, content_type="text/plain")
    site.add(PDF, b"%PDF-1.4 ...", file_type=FileType.DOCUMENT, content_type="application/pdf")
    site.add(MP4, BYTES, file_type=FileType.VIDEO, content_type="video/mp4")
    site.add(GONE, BYTES, removed_at=datetime(2021, 4, 1, tzinfo=UTC))
    site.add(LOST, BYTES)
    del site.files.bytes[LOST]
    return site


@contextmanager
def served(app) -> Iterator[http.client.HTTPConnection]:
    """The application on a real socket, and a connection to it."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        yield connection
    finally:
        connection.close()
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_a_file_comes_whole_with_its_proved_type_and_nothing_active(site: Site) -> None:
    answer = site.get()
    assert (answer.status_code, answer.data) == (200, BYTES)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Length"] == str(len(BYTES))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"] == ETAG
    assert answer.headers["Last-Modified"] == "Thu, 04 Mar 2021 00:00:00 GMT"
    assert "immutable" in answer.headers["Cache-Control"]
    assert "max-age=31536000" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("name", [PNG, TEXT, PDF, MP4])
def test_every_file_is_sandboxed_and_never_allowed_scripts(site: Site, name: str) -> None:
    policy = site.get(name).headers["Content-Security-Policy"]
    directives = dict((part.strip() + " ").split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"].strip() == "'none'"
    assert "sandbox" in directives
    assert "allow-scripts" not in policy
    assert "script-src" not in directives


def test_no_charset_is_claimed_for_text_whose_encoding_is_not_known(site: Site) -> None:
    assert site.get(TEXT).headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize(("name", "kind"), [(PNG, "inline"), (MP4, "inline"), (PDF, "inline"), (TEXT, "attachment")])
def test_what_browsers_show_well_is_inline_and_the_rest_is_saved(site: Site, name: str, kind: str) -> None:
    assert site.get(name).headers["Content-Disposition"].split(";")[0] == kind


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/secret",
        "%252e%252e%252fsecret",
        "..\\..\\secret",
        "%5c..%5csecret",
        PNG + "%00",
        PNG + "%0a",
        PNG + "/",
        "./" + PNG,
        "x/../" + PNG,
        "/" + PNG,
        PNG.upper(),
        PNG.replace("2021", "٢٠٢١"),
        PNG + ".bak",
        PNG.replace(".png", ""),
        PNG.replace(".png", ".p/g"),
        PNG + "a" * 100_000,
        "20210304-4865c412-7c28-45e4-9f55-3bd039401700.png",
    ],
)
def test_names_that_nobody_has_and_paths_in_every_spelling_get_the_same_404(site: Site, name: str) -> None:
    answer = site.client.get(f"/public_files/{name}")
    assert answer.status_code == 404
    assert answer.text == "There is no such file; check that the link is complete.\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert site.files.opened == []
    assert all("." in asked and len(asked) == len(PNG) for asked in site.chats.asked), "a path got to the store"


@pytest.mark.parametrize("path", ["/public_files/../secret", "/public_files/..%2Fsecret", "/public_files//etc/passwd"])
def test_traversal_on_a_raw_request_line_is_refused(site: Site, path: str) -> None:
    with served(site.app) as connection:
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", "127.0.0.1")
        connection.endheaders()
        assert connection.getresponse().status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_other_methods_are_405_with_allow(site: Site, method: str) -> None:
    answer = site.get(method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_removed_file_is_410_and_not_opened(site: Site) -> None:
    answer = site.get(GONE)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (410, "no-store")
    assert site.files.opened == []


def test_a_row_without_bytes_is_404_and_said_in_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        answer = site.get(LOST)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (404, "no-store")
    assert "ETag" not in answer.headers
    assert "This file was lost on the server; ask who sent it" in answer.text
    assert LOST in caplog.text


@pytest.mark.parametrize("left", [b"", BYTES[:-1], BYTES + b"!"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_bytes_that_are_not_as_many_as_the_row_says_are_404_and_not_a_broken_connection(
    site: Site, caplog: pytest.LogCaptureFixture, left: bytes, method: str
) -> None:
    site.files.bytes[PNG] = left
    with caplog.at_level(logging.WARNING):
        answer = site.get(method=method, Range="bytes=0-0")
    assert answer.status_code == 404
    assert f"{PNG} has {len(left)} bytes where its row says {len(BYTES)}" in caplog.text
    assert site.files.opened[-1].closed


@pytest.mark.parametrize("part", ["chats", "files"])
def test_a_store_that_does_not_answer_is_503_with_retry_after(site: Site, part: str) -> None:
    getattr(site, part).error = Busy("no room", retry_after_seconds=3)
    answer = site.get()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")
    assert "no room" not in answer.text


def test_head_tells_what_get_would_and_closes_the_file(site: Site) -> None:
    head, whole = site.get(method="HEAD"), site.get()
    assert head.data == b""
    same = {"Date"}
    assert {k: v for k, v in head.headers if k not in same} == {k: v for k, v in whole.headers if k not in same}
    assert [stream.closed for stream in site.files.opened] == [True, True]


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 1024),
        ("bytes=100-199", 100, 200),
        ("bytes=1000-5000", 1000, 1024),
        ("bytes=-24", 1000, 1024),
        ("bytes=-5000", 0, 1024),
        ("BYTES=5-6", 5, 7),
        (" bytes=5-6", 5, 7),
    ],
)
def test_a_range_gets_its_bytes_and_no_others(site: Site, wanted: str, start: int, stop: int) -> None:
    answer = site.get(Range=wanted)
    assert answer.status_code == 206
    assert answer.data == BYTES[start:stop]
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/1024"
    assert answer.headers["Content-Length"] == str(stop - start)
    assert site.files.opened[0].closed


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=0-1,5-6",
        "bytes=-1,0-0",
        "lines=0-1",
        "bytes=",
        "bytes=a-b",
        "bytes=9-3",
        "bytes=-0",
        "0-1",
        "bytes=+1-2",
        "bytes=" + "9" * 5000 + "-",
        "bytes=" + "0-0," * 2000 + "0-0",
    ],
)
def test_ranges_that_are_several_foreign_or_broken_get_the_whole(site: Site, wanted: str) -> None:
    answer = site.get(Range=wanted)
    assert (answer.status_code, answer.data) == (200, BYTES)
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize("wanted", ["bytes=1024-", "bytes=1024-2000", "bytes=99999999999999999999-"])
def test_a_range_beyond_the_end_is_416_and_tells_the_size(site: Site, wanted: str) -> None:
    answer = site.get(Range=wanted)
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */1024")
    assert answer.headers["Cache-Control"] == "no-store"
    assert site.files.opened == []


def test_a_range_on_head_is_ignored(site: Site) -> None:
    answer = site.get(method="HEAD", Range="bytes=0-1")
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, "1024")


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (ETAG, 206),
        ("W/" + ETAG, 200),
        ('"other"', 200),
        ("Thu, 04 Mar 2021 00:00:00 GMT", 206),
        ("Fri, 05 Mar 2021 00:00:00 GMT", 200),
        ("yesterday", 200),
    ],
)
def test_if_range_gives_the_part_only_of_the_very_same_bytes(site: Site, condition: str, status: int) -> None:
    assert site.get(Range="bytes=0-1", If_Range=condition).status_code == status


@pytest.mark.parametrize("known", [ETAG, "W/" + ETAG, f'"a", {ETAG}', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_client_that_has_the_bytes_gets_304_without_opening_them(site: Site, known: str, method: str) -> None:
    answer = site.get(method=method, If_None_Match=known)
    assert (answer.status_code, answer.data) == (304, b"")
    assert answer.headers["ETag"] == ETAG
    assert "immutable" in answer.headers["Cache-Control"]
    assert "Content-Length" not in answer.headers
    assert site.files.opened == []


def test_if_none_match_wins_over_a_range_and_over_a_date(site: Site) -> None:
    assert site.get(If_None_Match=ETAG, Range="bytes=0-1").status_code == 304
    assert site.get(If_None_Match='"x"', If_Modified_Since="Thu, 04 Mar 2021 00:00:00 GMT").status_code == 200


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("If-Match", ETAG, 200),
        ("If-Match", "*", 200),
        ("If-Match", '"x"', 412),
        ("If-Match", "W/" + ETAG, 412),
        ("If-Modified-Since", "Thu, 04 Mar 2021 00:00:00 GMT", 304),
        ("If-Modified-Since", "Wed, 03 Mar 2021 00:00:00 GMT", 200),
        ("If-Modified-Since", "soon", 200),
        ("If-Unmodified-Since", "Thu, 04 Mar 2021 00:00:00 GMT", 200),
        ("If-Unmodified-Since", "Wed, 03 Mar 2021 00:00:00 GMT", 412),
    ],
)
def test_preconditions_are_kept(site: Site, header: str, value: str, status: int) -> None:
    answer = site.get(**{header: value})
    assert answer.status_code == status
    assert all(stream.closed for stream in site.files.opened)
    assert status == 200 or site.files.opened == []


def test_the_body_comes_in_pieces_and_memory_stays_flat(site: Site) -> None:
    data = bytes(16 * 1024 * 1024)
    site.add(PNG, data)
    environ = environ_for(f"/public_files/{PNG}")
    response = site.public_files.respond(environ, PNG)
    pieces, _status, _headers = run_wsgi_app(response, environ)
    site.files.opened[0].getvalue()  # the copy that BytesIO makes of itself is not the one measured
    tracemalloc.start()
    try:
        total = sum(len(piece) for piece in pieces)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == len(data)
    assert site.files.opened[0].largest_read <= PIECE_BYTES
    assert peak < 4 * PIECE_BYTES


@pytest.mark.parametrize("pieces_taken", [0, 1])
def test_a_client_that_goes_away_leaves_no_open_file(site: Site, pieces_taken: int) -> None:
    site.add(PNG, bytes(3 * PIECE_BYTES))
    environ = environ_for(f"/public_files/{PNG}")
    body = site.public_files.respond(environ, PNG)(environ, lambda *_: None)
    for _ in range(pieces_taken):
        next(iter(body))
    assert not site.files.opened[0].closed
    body.close()  # type: ignore[attr-defined]
    assert site.files.opened[0].closed


def test_one_reader_too_many_is_told_to_come_again_and_a_gone_one_makes_room(site: Site) -> None:
    few = PublicFiles(chats=site.chats, files=site.files, max_streams=2)  # type: ignore[arg-type]
    environ = environ_for(f"/public_files/{PNG}")
    bodies = [few.respond(environ, PNG)(environ, lambda *_: None) for _ in range(2)]
    refused = few.respond(environ, PNG)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert site.files.opened[-1].closed
    for body in bodies:
        body.close()  # type: ignore[attr-defined]
        body.close()  # type: ignore[attr-defined]
    assert [few.respond(environ, PNG).status_code for _ in range(2)] == [200, 200]


def test_a_range_deep_in_a_file_is_sought_not_read_up_to(site: Site) -> None:
    data = bytes(2 * PIECE_BYTES) + b"end"
    site.add(PNG, data)
    assert site.get(Range="bytes=-3").data == b"end"
    assert site.files.opened[0].largest_read == 3


def test_bytes_that_end_too_early_break_the_connection_instead_of_pretending(site: Site) -> None:
    site.files.make = ShrinkingBytes
    with served(site.app) as connection:
        connection.request("GET", f"/public_files/{PNG}")
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()


def test_a_query_changes_nothing(site: Site) -> None:
    assert site.client.get(f"/public_files/{PNG}?download=1&x=../..").data == BYTES
