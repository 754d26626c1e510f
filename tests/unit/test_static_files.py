"""The console's own files over WSGI: found by their names alone, and kept as long as they may be."""

from __future__ import annotations

import re

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response

from webchat_soap.web.static_files import respond_static, static_url


def get(name: str, query: str = "", method: str = "GET", **headers: str) -> Response:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    builder = EnvironBuilder("/agent/static/x", method=method, query_string=query, headers=named)
    return respond_static(builder.get_environ(), name)


def test_the_address_of_a_file_has_its_hash_and_may_be_kept_for_ever() -> None:
    url = static_url("sign_in.css")
    assert re.fullmatch(r"static/sign_in\.css\?v=[0-9a-f]{16}", url)
    answer = get("sign_in.css", url.partition("?")[2])
    assert answer.status_code == 200
    assert answer.content_type == "text/css; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"--accent" in answer.get_data()


@pytest.mark.parametrize("query", ["", "v=", "v=0123456789abcdef", "x=1", "v=../../x"])
def test_without_the_right_hash_it_is_asked_for_again_each_time(query: str) -> None:
    answer = get("sign_in.css", query)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "public, no-cache")


def test_what_the_browser_has_already_is_not_sent_again() -> None:
    etag = get("sign_in.css").headers["ETag"]
    again = get("sign_in.css", If_None_Match=etag)
    assert (again.status_code, again.get_data()) == (304, b"")
    assert again.headers["ETag"] == etag
    assert get("sign_in.css", If_None_Match='"other"').status_code == 200


def test_a_picture_of_ours_runs_nothing() -> None:
    answer = get("mark.svg")
    assert answer.content_type == "image/svg+xml"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../sign_in.css",
        "../../agent_pages.py",
        "../../templates/agent/sign_in.html",
        "/etc/passwd",
        "//etc/passwd.css",
        "./sign_in.css",
        "x/../sign_in.css",
        "..\\sign_in.css",
        "sign_in.css/",
        "sign_in.css\x00",
        "sign_in.css\n",
        "sign_in.css.py",
        "SIGN_IN.CSS",
        "none.css",
        "none/none.css",
        "sign_in.css/x.css",
        ".hidden.css",
        "ş.css",
        "a/" * 50 + "x.css",
        "x" * 5000 + ".css",
    ],
)
def test_what_is_no_file_of_ours_is_not_found(name: str) -> None:
    assert get(name).status_code == 404


def test_a_template_that_names_a_missing_file_fails() -> None:
    with pytest.raises(FileNotFoundError):
        static_url("none.css")
