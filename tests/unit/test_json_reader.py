"""The reader of JSON behind the door: what it says of text that is not JSON, and that nothing makes it stumble."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webchat_soap.domain import json_reader
from webchat_soap.domain.details import parse_send, parse_upload
from webchat_soap.domain.errors import InvalidJson, InvalidRequest
from webchat_soap.domain.json_reader import JsonNumber, JsonValue, read_json

MAX_MESSAGE = 600


def read(text: str) -> JsonValue:
    return read_json(text, field="fileDetails")


def read_carefully(text: str) -> JsonValue:
    """What the explaining reader makes of it, without the standard library's decoder in front."""
    return json_reader._read_carefully(text, "fileDetails")


def refusal(text: str) -> InvalidJson:
    with pytest.raises(InvalidJson) as caught:
        read(text)
    return caught.value


# text, line, column, what was expected, what was found, what to do ("" for no advice)
NOT_JSON = [
    ("", 1, 1, "a JSON object", "nothing", "it is empty"),
    (" \n ", 1, 1, "a JSON object", "nothing", "it is empty"),
    ('{"a": "x" "b": 1}', 1, 11, "a comma between members", 'the string "b"', ""),
    ('{\n  "a": "x",\n  "b": "y"\n  "c": "z"\n}', 4, 3, "a comma between members", 'the string "c"', ""),
    ('{\r\n  "a": 1\r\n  "b": 2}', 3, 3, "a comma between members", 'the string "b"', ""),
    ('{\r"a": 1\r"b": 2}', 3, 1, "a comma between members", 'the string "b"', ""),
    ('{"a": "he said "hi" to"}', 1, 17, "a comma between members", '"hi"', r"inside a string as \""),
    ('{"a": 1,}', 1, 9, "another member after the comma", "'}'", "take the last comma away"),
    ('{"a": [1,]}', 1, 10, "another value after the comma", "']'", "take the last comma away"),
    ('{"a": [1 2]}', 1, 10, "a comma between values", "'2'", ""),
    ("{'a': 1}", 1, 2, "a key name in double quotes", "a single quote", "double quotes only"),
    ("{a: 1}", 1, 2, "a key name in double quotes", '"a"', "must stand in double quotes"),
    ('{"a": hello}', 1, 7, "a value", '"hello"', "must stand in double quotes"),
    ("{“a”: 1}", 1, 2, "a key name", "U+201C (left double quotation mark)", "straight double quote"),
    ('{\\"a\\": 1}', 1, 2, "a key name", "'\\'", "escaped as if inside a string"),
    ("{&quot;a&quot;: 1}", 1, 2, "a key name", "'&'", "the XML was escaped twice"),
    ("<message/>", 1, 1, "a JSON object", "'<'", "looks like XML"),
    ("hello", 1, 1, "a JSON object", '"hello"', ""),
    ('{"a" 1}', 1, 6, 'a colon after the key name "a"', "'1'", ""),
    ('{"a": }', 1, 7, "a value", "'}'", ""),
    ('{"a": "x"', 1, 10, "a comma between members", "the end of the text", "cut short"),
    ('{"a": ', 1, 7, "a value", "the end of the text", "cut short"),
    ("{", 1, 2, "a key name", "the end of the text", "cut short"),
    ('{"a": "x', 1, 7, "a string", "one that is never closed", "end it with a double quote"),
    ('{"a": "C:\\photos"}', 1, 10, "an escape that JSON knows", '"\\photo"', "write a backslash itself as \\\\"),
    ('{"a": "\\u12g4"}', 1, 8, "an escape that JSON knows", '"\\u12g4"', ""),
    ('{"a": "x\ny"}', 1, 9, "the string to go on", "a line break", r"as \n"),
    ('{"a": "x\ty"}', 1, 9, "the string to go on", "a tab", r"a tab as \t"),
    ('{"a": 012}', 1, 8, "the number's end", "'1'", "no leading zeros"),
    ('{"a": 1.}', 1, 8, "the number's end", "'.'", "digits on both sides"),
    ('{"a": .5}', 1, 7, "a value", "'.'", "in front of the point"),
    ('{"a": +1}', 1, 7, "a value", "'+'", "no plus sign"),
    ('{"a": NaN}', 1, 7, "a value", '"NaN"', "no NaN and no Infinity"),
    ('{"a": Infinity}', 1, 7, "a value", '"Infinity"', "no NaN and no Infinity"),
    ('{"a": -Infinity}', 1, 7, "a value", "'-'", "no NaN and no Infinity"),
    ('{"a": True}', 1, 7, "a value", '"True"', "small letters"),
    ('{"a": None}', 1, 7, "a value", '"None"', "write null"),
    ('{"a": 1} // b', 1, 10, "nothing more after the JSON", "'/'", "no comments"),
    ("{} {}", 1, 4, "nothing more after the JSON", "'{'", "send one object"),
    ('{\xa0"a": 1}', 1, 2, "a key name", "U+00A0 (no-break space)", "only spaces, tabs and line breaks"),
    ('{"a": 1}\x00', 1, 9, "nothing more after the JSON", "U+0000", ""),
    ('\ufeff\ufeff{"a": 1}', 1, 1, "a JSON object", "U+FEFF", "only spaces, tabs and line breaks"),
    ('{"a": "şğı", x}', 1, 14, "another member", '"x"', "must stand in double quotes"),
]


@pytest.mark.parametrize(("text", "line", "column", "expected", "found", "advice"), NOT_JSON)
def test_text_that_is_not_json_is_told_where_what_was_expected_and_what_was_found(
    text, line, column, expected, found, advice
):
    fault = refusal(text)
    assert (fault.line, fault.column, fault.field) == (line, column, "fileDetails")
    assert fault.message.startswith(f"fileDetails is not JSON: at line {line}, column {column} expected {expected}")
    assert f", found {found}" in fault.message
    assert advice in fault.message
    assert "\n" not in fault.message


def test_a_byte_order_mark_is_skipped_and_not_counted():
    assert read('\ufeff{"a": "b"}') == {"a": "b"}
    assert refusal("\ufeff{a}").column == 2


def test_numbers_are_kept_as_they_were_written_whatever_their_length():
    digits = "9" * 100_000
    assert read(f'{{"a": {digits}, "b": -0.10e+5}}') == {"a": JsonNumber(digits), "b": JsonNumber("-0.10e+5")}


def test_strings_hold_what_their_escapes_say():
    assert read(r'{"a": "\ud83d\ude00 \" \\ \/ \u015f \r\n"}') == {"a": '😀 " \\ / ş \r\n'}


def test_key_names_are_trimmed_and_strings_are_left_as_they_are():
    assert read('{" a\u3000": " b "}') == read_carefully('{" a\u3000": " b "}') == {"a": " b "}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a": 1, "a": 1}', "a"),
        ('{"fileName": "x", " fileName ": "y"}', "fileName"),
        ('{"fileName": "x", "file\\u004eame": "y"}', "fileName"),
        ('{"message": {"text": "x", "text": null}}', "message.text"),
        ('{"a": [0, {"b": {"c": 1, "c": 2}}]}', "a[1].b.c"),
        ('{"": 1, " ": 2}', '""'),
    ],
)
def test_a_key_that_stands_twice_is_refused_by_its_path(text, path):
    with pytest.raises(InvalidRequest, match="stands twice") as caught:
        read(text)
    assert caught.value.field == path


def test_text_that_is_not_json_is_told_before_a_key_that_stands_twice():
    assert refusal('{"a": 1, "a": 2,}').column == 17


def nested(depth: int) -> str:
    return '{"a": ' * depth + "1" + "}" * depth


def test_sixteen_levels_are_read_and_seventeen_refused():
    for text in (nested(16), "[" * 16 + "]" * 16):
        assert read(text) == read_carefully(text) == json.loads(text, parse_int=JsonNumber)
    for text in (nested(17), "[" * 17 + "]" * 17):
        with pytest.raises(InvalidRequest, match="deeper than 16") as caught:
            read(text)
        assert (caught.value.field, caught.value.limit) == ("fileDetails", 16)


def test_brackets_inside_a_string_are_no_depth():
    assert read('{"a": "' + "[{" * 5_000 + '"}') == {"a": "[{" * 5_000}


def test_the_recursion_limit_is_not_what_holds_deep_json_back():
    with pytest.raises(InvalidRequest, match="deeper than 16"):
        read("[" * (sys.getrecursionlimit() * 2))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" * 100_000 + "]" * 100_000,
        "[" + "{}," * 100_000 + "{}]",
        '{"a": [' + "1," * 300_000 + "]}",
        '{"a": "' + "\\n" * 300_000,
        '{"a": "' + "x" * 1_000_000,
        '{"a": "' + "\\u0041x" * 100_000 + '\\q"}',
        " " * 1_000_000,
        '{"a"' + " " * 1_000_000 + "1}",
        "{" + "\n" * 500_000 + "a}",
        '{"a": ' + "1" * 1_000_000 + "x}",
        '{"a": "' + "[" * 500_000 + '", "b"}',
        '{"' + "\u202e" * 500_000 + '": }',
    ],
    ids=range(14),
)
def test_a_mebibyte_of_malice_is_refused_in_bounded_time(text):
    started = time.process_time()
    with pytest.raises((InvalidJson, InvalidRequest)) as caught:
        read(text)
    assert time.process_time() - started < 1.0
    assert len(caught.value.message) <= MAX_MESSAGE


def test_more_values_than_any_message_needs_are_refused_before_they_are_all_read():
    with pytest.raises(InvalidRequest, match="more than 100 values") as caught:
        read("[" + "[]," * 100 + "[]]")
    assert (caught.value.field, caught.value.limit) == ("fileDetails", 100)


# ---------------------------------------------------------------- the two readers against each other

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
FRAGMENTS = st.sampled_from(
    [
        *'{}[]:,"',
        *" \t\n\r",
        '"a"',
        '"b"',
        "1",
        "-0.5e3",
        "true",
        "null",
        "NaN",
        "-",
        "0",
        "\\",
        "\\u12",
        "\ud800",
        "\0",
    ]
)


def outcome(text, reader):
    try:
        return reader(text)
    except (InvalidJson, InvalidRequest) as fault:
        return fault.code, fault.message


@settings(max_examples=500, deadline=None)
@given(JSON_VALUES, st.booleans())
def test_the_careful_reader_and_the_decoder_read_the_same_from_json(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert outcome(text, read) == outcome(text, read_carefully)


@settings(max_examples=2_000, deadline=None)
@given(st.lists(FRAGMENTS, max_size=14).map("".join))
def test_the_careful_reader_takes_and_refuses_what_the_standard_library_does(text):
    try:
        json.loads(text, parse_constant=lambda literal: 1 / 0)
        is_json = True
    except (ValueError, ZeroDivisionError):
        is_json = False
    fault = fault_of(text)
    assert isinstance(fault, InvalidJson) != is_json
    if isinstance(fault, InvalidJson):
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        assert 1 <= fault.line <= len(lines)
        assert 1 <= fault.column <= len(lines[fault.line - 1]) + 1
    elif fault is not None:
        assert "stands twice" in fault.message


def fault_of(text):
    try:
        read_carefully(text)
    except (InvalidJson, InvalidRequest) as fault:
        return fault
    return None


# ---------------------------------------------------------------- JSONTestSuite

needs_suite = pytest.mark.skipif(
    not os.environ.get("WEBCHAT_TEST_DATA"), reason="WEBCHAT_TEST_DATA names no folder of test data"
)


def suite_cases() -> list[tuple[str, str]]:
    """Names and texts. Bytes that are no UTF-8 never come this far, since XML refuses them; as lone surrogates they
    are one more attack.
    """
    suite = json.loads((Path(os.environ["WEBCHAT_TEST_DATA"]) / "json-test-suite.json").read_text("utf-8"))
    cases = []
    for case in suite["cases"]:
        if "repeat" in case:
            part, times = case["repeat"]
            content = base64.b64decode(part) * times + base64.b64decode(case["tail"])
        else:
            content = base64.b64decode(case["b64"])
        cases.append((case["id"], content.decode("utf-8", "surrogateescape")))
    return cases


def send(text):
    return parse_send(chat_id="1", file_details=text, client_token=None)


def upload(text):
    return parse_upload(chat_id="1", file_details=text, client_token=None)


@needs_suite
@pytest.mark.parametrize("door", [upload, send])
def test_every_case_of_jsontestsuite_ends_in_the_right_fault(door):
    cases = suite_cases()
    assert len(cases) > 300
    wrong = []
    for name, text in cases:
        allowed = {"InvalidRequest"} if name.startswith("y_") else {"InvalidJson", "InvalidRequest"}
        try:
            door(text)
            wrong.append((name, "taken"))
        except (InvalidJson, InvalidRequest) as fault:
            if fault.code not in allowed or not fault.message.isprintable() or len(fault.message) > MAX_MESSAGE:
                wrong.append((name, fault.message))
    assert wrong == []


@needs_suite
@pytest.mark.parametrize("reader", [read, read_carefully])
def test_nothing_that_jsontestsuite_calls_wrong_is_read_as_json(reader):
    wrong = []
    for name, text in suite_cases():
        if name.startswith("n_"):
            try:
                wrong.append((name, reader(text)))
            except InvalidJson:
                pass
            except InvalidRequest as fault:
                if "deeper than 16" not in fault.message:
                    wrong.append((name, fault.message))
    assert wrong == []
