"""What a WSGI application answers, shaped for the engine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.utils import send_file
from werkzeug.wrappers import Response

from webchat_soap.server.answers import AT_ONCE_BYTES, Answer, Call
from webchat_soap.server.requests import PublicFileWrapper

GET = {"REQUEST_METHOD": "GET"}


class Pieces:
    """An iterable that knows whether it was closed."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter(pieces)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self.closed += 1


def answering(pieces, *headers: tuple[str, str], status: str = "200 OK"):
    def application(environ, start_response):
        start_response(status, list(headers))
        return pieces

    return application


def call(application, environ) -> Answer:
    return Call(application, environ).answer()


def whole(answer: Answer) -> bytes:
    body = answer.body
    while answer.rest is not None and (piece := answer.next_piece()) is not None:
        body += piece
    answer.close()
    return body


def test_a_list_is_one_body_with_its_length() -> None:
    answer = call(answering([b"a", b"b"], ("Content-Type", "text/xml")), GET)
    assert (answer.status, answer.body, answer.rest) == (200, b"ab", None)
    assert (b"content-type", b"text/xml") in answer.fields
    assert (b"content-length", b"2") in answer.fields


def test_pieces_of_a_known_small_length_are_gathered_and_closed_at_once() -> None:
    pieces = Pieces(b"ab", b"", b"cd")
    answer = call(answering(pieces, ("Content-Length", "4")), GET)
    assert (answer.body, answer.rest, pieces.closed) == (b"abcd", None, 1)


@pytest.mark.parametrize("headers", [[], [("Content-Length", str(AT_ONCE_BYTES + 1))]])
def test_pieces_of_unknown_or_large_length_are_taken_one_at_a_time(headers) -> None:
    pieces = Pieces(b"first", b"", b"second")
    answer = call(answering(pieces, *headers), GET)
    assert (answer.body, pieces.closed) == (b"first", 0)
    assert answer.next_piece() == b"second"
    assert answer.next_piece() is None
    answer.close()
    answer.close()
    assert pieces.closed == 1


def test_start_response_may_come_with_the_first_piece() -> None:
    def application(environ, start_response):
        start_response("201 Created", [("Content-Length", "1")])
        yield b"x"

    assert (call(application, GET).status, call(application, GET).body) == (201, b"x")


def test_what_was_written_comes_first() -> None:
    def application(environ, start_response):
        start_response("200 OK", [])(b"written ")
        return [b"returned"]

    assert call(application, GET).body == b"written returned"


def test_an_error_after_start_response_may_change_the_status() -> None:
    def application(environ, start_response):
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError as error:
            start_response("503 Busy", [], (type(error), error, error.__traceback__))
        return [b""]

    assert call(application, GET).status == 503


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_a_body_have_none(status: str) -> None:
    pieces = Pieces(b"not sent")
    answer = call(answering(pieces, status=status), GET)
    assert (answer.body, answer.rest, pieces.closed) == (b"", None, 1)


def test_head_keeps_the_length_and_reads_no_more_of_the_body() -> None:
    pieces = Pieces(b"x" * 10, b"y")
    answer = call(answering(pieces, ("Content-Length", "1000000")), {"REQUEST_METHOD": "HEAD"})
    assert (answer.body, answer.rest, pieces.closed) == (b"", None, 1)
    assert (b"content-length", b"1000000") in answer.fields


@pytest.mark.parametrize("headers", [[("X-Split", "a\r\nSet-Cookie: b")], [("X-Wide", "ş")], [("Content-Length", "x")]])
def test_headers_that_cannot_be_sent_are_a_500_and_the_iterable_is_closed(headers, caplog) -> None:
    pieces = Pieces(b"x")
    answer = call(answering(pieces, *headers), GET)
    assert (answer.status, pieces.closed) == (500, 1)
    assert "The application raised" in caplog.text


def test_what_it_raises_is_logged_and_not_shown(caplog) -> None:
    def application(environ, start_response):
        raise ValueError("a secret")

    with caplog.at_level(logging.ERROR):
        answer = call(application, GET)
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert "a secret" in caplog.text


def test_no_start_response_is_a_500() -> None:
    assert call(lambda environ, start_response: [b"x"], GET).status == 500


def test_a_close_that_raises_spoils_nothing(caplog) -> None:
    class Bad(Pieces):
        def close(self) -> None:
            raise OSError("disk")

    assert call(answering(Bad(b"x"), ("Content-Length", "1")), GET).body == b"x"
    assert "Closing an answer raised" in caplog.text


@pytest.mark.parametrize(
    ("wanted", "status", "first", "size"),
    [(None, 200, 0, 1_000_000), ("bytes=5-9", 206, 5, 5), ("bytes=500000-", 206, 500_000, 500_000)],
)
def test_werkzeugs_files_and_ranges_come_in_our_blocks(tmp_path: Path, wanted, status, first, size) -> None:
    content = bytes(range(250)) * 4000
    (tmp_path / "file.bin").write_bytes(content)
    environ = EnvironBuilder(headers={"Range": wanted} if wanted else {}).get_environ()
    environ["wsgi.file_wrapper"] = PublicFileWrapper

    def application(environ, start_response):
        response: Response = send_file(tmp_path / "file.bin", environ, conditional=True)
        return response(environ, start_response)

    answer = call(application, environ)
    assert answer.status == status
    assert len(answer.body) <= AT_ONCE_BYTES
    assert whole(answer) == content[first : first + size]


class Promised:
    """An answer that comes when it is told to, as a list or piece by piece."""

    is_long = False

    def __init__(self, start_response) -> None:
        self._start_response = start_response
        self.begun = False

    def when_ready(self, callback) -> bool:
        callback()
        return True

    def __iter__(self) -> Iterator[bytes]:
        self.begun = True
        self._start_response("200 OK", [("Content-Type", "text/xml")])
        yield b"late"


def test_an_answer_that_is_not_there_yet_is_not_asked_for_before() -> None:
    call = Call(lambda environ, start_response: Promised(start_response), GET)
    assert isinstance(call.later, Promised)
    assert not call.later.begun
    answer = call.answer()
    assert (answer.status, answer.body, answer.rest) == (200, b"late", None)
    assert (b"content-length", b"4") in answer.fields
