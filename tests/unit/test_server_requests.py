"""From the head of a request to PEP 3333's environ."""

from __future__ import annotations

import pytest

from webchat_soap.server.requests import Refused, base_environ, body_length, read_head, set_body

BASE = base_environ(many_processes=True)


def scope(*fields: tuple[bytes, bytes], path: bytes = b"/webchat", query: bytes = b"", version: str = "1.1"):
    return {
        "method": "POST",
        "raw_path": path,
        "query_string": query,
        "http_version": version,
        "scheme": "http",
        "server": ("127.0.0.1", "8000"),
        "client": ("127.0.0.1", "40000"),
        "headers": [(b"host", b"test"), *fields],
    }


def test_the_shared_part_is_not_touched_by_a_request() -> None:
    before = BASE.copy()
    set_body(read_head(scope((b"x-one", b"1")), BASE), b"body")
    assert before == BASE
    assert BASE["wsgi.multiprocess"] is True
    assert BASE["wsgi.version"] == (1, 0)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/public_files/a.png", "/public_files/a.png"),
        (b"/%C5%9F", "ş"),
        (b"/%2e%2e/%2Fetc", "/..//etc"),
        (b"/100%", "/100%"),
        (b"/%zz", "/%zz"),
        (b"//double", "//double"),
        (b"*", "*"),
        (b"", ""),
    ],
)
def test_the_path_is_decoded_once_and_carried_as_latin_1(path: bytes, expected: str) -> None:
    found = read_head(scope(path=path), BASE)["PATH_INFO"].encode("latin-1").decode()
    assert found == ("/" + expected if path == b"/%C5%9F" else expected)


@pytest.mark.parametrize("name", [b"host", b"content-length", b"content-type", b"authorization", b"soapaction"])
def test_a_field_that_must_stand_once_is_refused_twice(name: bytes) -> None:
    with pytest.raises(Refused, match="stands twice; send it once") as refused:
        read_head(scope((name, b"1"), (name, b"1")), BASE)
    assert refused.value.status == 400


def test_length_and_chunks_together_are_refused() -> None:
    with pytest.raises(Refused, match="contradict"):
        read_head(scope((b"content-length", b"3"), (b"transfer-encoding", b"chunked")), BASE)


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity", b"", b"chunked;q=1"])
def test_transfer_codings_other_than_chunked_are_refused(coding: bytes) -> None:
    with pytest.raises(Refused, match="only chunked"):
        read_head(scope((b"transfer-encoding", coding)), BASE)


def test_an_empty_host_is_refused_for_http_1_1_and_left_away_for_1_0() -> None:
    without = scope()
    without["headers"] = [(b"host", b"")]
    with pytest.raises(Refused, match="must have a Host"):
        read_head(without, BASE)
    assert "HTTP_HOST" not in read_head({**without, "http_version": "1"}, BASE)


def test_the_length_is_a_number_or_unknown_or_nothing() -> None:
    assert body_length({}) == 0
    assert body_length({"CONTENT_LENGTH": "12"}) == 12
    assert body_length({"HTTP_TRANSFER_ENCODING": "chunked"}) is None


@pytest.mark.parametrize("length", ["", "abc", "-1", "+1", "1.0", "1_000", "٣", "9" * 20, "0x10", " 1"])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    with pytest.raises(Refused, match="not a number of bytes"):
        body_length({"CONTENT_LENGTH": length})


def test_a_chunked_body_gets_its_length() -> None:
    environ = {"HTTP_TRANSFER_ENCODING": "chunked"}
    set_body(environ, b"12345")
    assert environ["CONTENT_LENGTH"] == "5"
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert environ["wsgi.input"].read() == b"12345"
