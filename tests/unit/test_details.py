"""The JSON door: what SendMessage and UploadFile take, and what they say of everything else (contract section 4)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webchat_soap.domain.chat import SendRequest, UploadRequest
from webchat_soap.domain.details import (
    check_chat_id,
    check_client_token,
    check_customer_name,
    clean_original_name,
    parse_send,
    parse_upload,
)
from webchat_soap.domain.errors import ChatIdMismatch, InvalidJson, InvalidRequest, WebchatError
from webchat_soap.domain.file import FileDetails, FileType

URL = "https://files.example.com/a/cat.png"


def upload(details, *, chat_id="c1", token=None):
    text = details if isinstance(details, str) else json.dumps(details)
    return parse_upload(chat_id=chat_id, file_details=text, client_token=token)


def send(details, *, chat_id="c1", token=None, **limits):
    text = details if isinstance(details, str) else json.dumps(details)
    return parse_send(chat_id=chat_id, file_details=text, client_token=token, **limits)


def refused(call, *arguments, **named):
    with pytest.raises(InvalidRequest) as caught:
        call(*arguments, **named)
    fault = caught.value
    assert fault.message.isprintable()
    assert len(fault.message) <= 600
    return fault


# ---------------------------------------------------------------- the article's own samples, exactly as printed

UPLOAD_SAMPLE = '{"fileUrl": "https: // {SERVER_IP} /public_files/20210304-4865c412-7c28-45e4-9f55-3bd039401734.png", "fileName": "20210304-4865c412-7c28-45e4-9f55-3bd039401734.png" "fileType": "IMAGE"}'  # noqa: E501
FILE_SAMPLE = '{"CHATID": "12345", "message": {"fileDetails": {"fileUrl": "https: // {SERVER_IP} /public_files/20210304-cb78d4cb-ec7c-4f0b-9615-8b1df3ff9300.wav", " fileName ":" 20210304-cb78d4cb-ec7c-4f0b-9615-8b1df3ff9300.wav "," fileType ":" AUDIO "}}}'  # noqa: E501
TEXT_SAMPLE = '{"CHATID": "12345", "message": {"text": "test message"}}'
BOTH_SAMPLE = '{"CHATID": "12345", "message": {"text": "file and text", "fileDetails": {"fileUrl": "https: // {SERVER_IP} / public_files / 20210304-cb78d4cb-ec7c- 4f0b-9615-8b1df3ff9300.wav "," fileName ":" 20210304-cb78d4cb-ec7c-4f0b-9615-8b1df3ff9300.wav "," fileType ":" AUDIO "}}}'  # noqa: E501

WAV = "20210304-cb78d4cb-ec7c-4f0b-9615-8b1df3ff9300.wav"
SOUND = FileDetails(
    url=f"https://203.0.113.7/public_files/{WAV}",
    original_name=WAV,
    declared_type=FileType.AUDIO,
    field="message.fileDetails.fileUrl",
)


def filled_in(sample):
    return sample.replace("{SERVER_IP}", "203.0.113.7")


@pytest.mark.parametrize("chat_id", ["12345", None])
@pytest.mark.parametrize(
    ("sample", "text", "file"),
    [(FILE_SAMPLE, None, SOUND), (TEXT_SAMPLE, "test message", None), (BOTH_SAMPLE, "file and text", SOUND)],
    ids=["file", "text", "both"],
)
def test_the_articles_samples_for_send_message_work_as_printed(sample, text, file, chat_id):
    assert send(filled_in(sample), chat_id=chat_id) == SendRequest(
        chat_id="12345", text=text, file=file, client_token=None
    )


def test_the_articles_sample_for_upload_file_lacks_a_comma_and_is_told_where():
    sample = filled_in(UPLOAD_SAMPLE)
    with pytest.raises(InvalidJson) as caught:
        upload(sample, chat_id="12345")
    fault = caught.value
    assert (fault.line, fault.column) == (1, sample.index('"fileType"') + 1)
    assert 'expected a comma between members, or "}", after the value of "fileName"' in fault.message
    assert 'found the string "fileType"' in fault.message


def test_the_articles_sample_for_upload_file_works_with_its_comma():
    name = "20210304-4865c412-7c28-45e4-9f55-3bd039401734.png"
    sample = filled_in(UPLOAD_SAMPLE).replace('png" "fileType', 'png", "fileType')
    assert upload(sample, chat_id="12345", token="t") == UploadRequest(
        chat_id="12345",
        file=FileDetails(
            url=f"https://203.0.113.7/public_files/{name}",
            original_name=name,
            declared_type=FileType.IMAGE,
            field="fileUrl",
        ),
        client_token="t",
    )


# ---------------------------------------------------------------- the shapes

FILE = {"fileUrl": URL, "fileName": "x.png", "fileType": "IMAGE"}


@pytest.mark.parametrize(
    ("details", "text", "field"),
    [
        ({"text": "hi"}, "hi", None),
        ({"fileDetails": FILE}, None, "fileDetails.fileUrl"),
        ({"text": "hi", "fileDetails": FILE}, "hi", "fileDetails.fileUrl"),
        ({"message": {"text": "hi"}}, "hi", None),
        ({"CHATID": "c1", "message": {"text": "hi", "fileDetails": FILE}}, "hi", "message.fileDetails.fileUrl"),
        ({"CHATID": None, "message": None, "text": "hi"}, "hi", None),
        ({"CHATID": "c1", "message": {"text": "hi"}, "text": None, "fileDetails": ""}, "hi", None),
        ({"message": {"text": "", "fileDetails": FILE}}, None, "message.fileDetails.fileUrl"),
        ({"message": {"text": "hi", "fileDetails": None}}, "hi", None),
    ],
)
def test_send_message_takes_text_file_or_both_with_the_outer_object_or_without(details, text, field):
    request = send(details)
    assert (request.chat_id, request.text) == ("c1", text)
    assert (request.file and request.file.field) == field


@pytest.mark.parametrize(
    ("details", "field", "says"),
    [
        ({}, "fileDetails", "message is empty"),
        ({"text": " \n"}, "fileDetails", "message is empty"),
        ({"text": None, "fileDetails": None}, "fileDetails", "message is empty"),
        ({"CHATID": "c1"}, "message", "message is missing"),
        ({"message": None}, "message", "message is missing"),
        ({"message": {}}, "message", "message is empty"),
        ({"CHATID": "c1", "message": {"text": "  "}}, "message", "message is empty"),
        ({"CHATID": "c1", "text": "hi"}, "text", "belongs into message"),
        ({"message": {"text": "hi"}, "fileDetails": FILE}, "fileDetails", "belongs into message"),
        ({"message": "hi"}, "message", "must be an object, not a string"),
        ({"message": ["hi"]}, "message", "must be an object, not an array"),
        ({"message": {"text": 5}}, "message.text", "must be a string in double quotes, not the number 5"),
        ({"text": True}, "text", "not true or false"),
        ({"text": {}}, "text", "not an object"),
        ({"message": {"fileDetails": "x"}}, "message.fileDetails", "must be an object"),
        ({"fileDetails": {}}, "fileDetails.fileUrl", "is missing"),
        ({"fileDetails": {"fileUrl": None}}, "fileDetails.fileUrl", "is null"),
        ({"message": {"fileDetails": {"fileUrl": " "}}}, "message.fileDetails.fileUrl", "is empty"),
        ({"message": {"fileDetails": {**FILE, "fileName": 1}}}, "message.fileDetails.fileName", "not the number 1"),
        ({"message": {"fileDetails": {**FILE, "fileType": []}}}, "message.fileDetails.fileType", "not an array"),
        ({"message": {"fileDetails": {**FILE, "url": ""}}}, "message.fileDetails.url", "did you mean fileUrl?"),
        ({"message": {"Text": "hi"}}, "message.Text", "did you mean text?"),
        ({"Message": {"text": "hi"}}, "Message", "did you mean message?"),
        ({"chatId": "c1", "message": {"text": "hi"}}, "chatId", "did you mean CHATID?"),
        ({"message": {"text": "hi", "zzz": None}}, "message.zzz", "known here are text, fileDetails"),
        ({"message": {"CHATID": "c1", "text": "hi"}}, "message.CHATID", "must stand at the top"),
        ({"message": FILE}, "message.fileUrl", 'must stand inside "fileDetails"'),
        (FILE, "fileUrl", "as in UploadFile"),
        ([], "fileDetails", "must hold a JSON object, not an array"),
        (12, "fileDetails", "not the number 12"),
        (None, "fileDetails", "not null"),
        ('"hi"', "fileDetails", "not a string"),
        (json.dumps(json.dumps({"text": "hi"})), "fileDetails", "encoded twice"),
        ('{"text": "a", " text ": "b"}', "text", "stands twice"),
    ],
)
def test_send_message_refuses_other_shapes_by_the_path_as_given(details, field, says):
    fault = refused(send, details)
    assert fault.field == field
    assert says in fault.message


@pytest.mark.parametrize(
    ("details", "field", "says"),
    [
        ({}, "fileUrl", "is missing"),
        ({"fileUrl": None}, "fileUrl", "is null"),
        ({"fileUrl": ""}, "fileUrl", "is empty"),
        ({"fileUrl": 5}, "fileUrl", "must be a string"),
        ({"message": {"fileDetails": FILE}}, "message", "SendMessage's JSON"),
        ({"fileDetails": FILE}, "fileDetails", "SendMessage's JSON"),
        ({"text": "hi"}, "text", "SendMessage's JSON"),
        ({"CHATID": "c1", **FILE}, "CHATID", "as a parameter"),
        ({**FILE, "file_name": "x"}, "file_name", "did you mean fileName?"),
        ({**FILE, "size": 1}, "size", "not known"),
        ({**FILE, "fileType": "PICTURE"}, "fileType", "give IMAGE, AUDIO, VIDEO or DOCUMENT"),
        (['{"fileUrl"'], "fileDetails", "must hold a JSON object"),
        ('{"fileUrl": "x", "fileUrl ": "y"}', "fileUrl", "stands twice"),
    ],
)
def test_upload_file_refuses_other_shapes_and_shows_the_right_one(details, field, says):
    fault = refused(upload, details)
    assert fault.field == field
    assert says in fault.message


def test_a_refused_shape_is_answered_with_the_right_one():
    assert (
        '{"fileUrl": "https://...", "fileName": "...", "fileType": "IMAGE"}' in refused(upload, {"text": "x"}).message
    )
    assert '{"CHATID": "...", "message": {"text": "...", "fileDetails": {' in refused(send, FILE).message


def test_an_empty_file_details_is_not_json():
    for call in (send, upload):
        for text in ("", " \n", "\ufeff"):
            with pytest.raises(InvalidJson, match="it is empty") as caught:
                call(text)
            assert (caught.value.line, caught.value.column, caught.value.field) == (1, 1, "fileDetails")


def test_optional_members_that_are_null_or_empty_count_as_left_away():
    for nothing in (None, "", "  "):
        file = upload({"fileUrl": URL, "fileName": nothing, "fileType": nothing}).file
        assert (file.original_name, file.declared_type) == ("cat.png", None)


# ---------------------------------------------------------------- CHATID


def test_chat_id_may_stand_in_the_parameter_in_the_json_or_in_both():
    message = {"text": "hi"}
    assert send(message, chat_id=" a.b_c:d-9 ").chat_id == "a.b_c:d-9"
    for absent in (None, "", "  "):
        assert send({"CHATID": " 12 ", "message": message}, chat_id=absent).chat_id == "12"
    assert send({"CHATID": "12 ", "message": message}, chat_id=" 12").chat_id == "12"
    for absent in (None, "", " "):
        assert send({"CHATID": absent, "message": message}, chat_id="12").chat_id == "12"


def test_chat_ids_that_differ_are_a_mismatch():
    with pytest.raises(ChatIdMismatch) as caught:
        send({"CHATID": "13", "message": {"text": "hi"}}, chat_id="12")
    assert caught.value.field == "CHATID"
    assert '"12"' in caught.value.message
    assert '"13"' in caught.value.message
    with pytest.raises(ChatIdMismatch):
        send('{"CHATID": 12, "message": {"text": "hi"}}', chat_id="012")


def test_a_chat_id_in_neither_place_is_refused_by_its_name():
    for details in ({"text": "hi"}, {"message": {"text": "hi"}}, {"CHATID": None, "message": {"text": "hi"}}):
        fault = refused(send, details, chat_id=None)
        assert fault.field == "CHATID"
        assert "CHATID is missing" in fault.message


@pytest.mark.parametrize("literal", ["0", "12345", "12345678901234567890123", "-5", "9" * 64])
def test_an_integer_as_chat_id_is_kept_digit_for_digit(literal):
    assert send(f'{{"CHATID": {literal}, "message": {{"text": "hi"}}}}', chat_id=None).chat_id == literal


@pytest.mark.parametrize(
    ("literal", "says"),
    [
        ("1.0", "not the number 1.0"),
        ("1e3", "not the number 1e3"),
        ("true", "not true or false"),
        ("[1]", "not an array"),
        ("{}", "not an object"),
        ("9" * 65, "at most 64"),
        ("9" * 5_000, "at most 64"),
        ("1." + "0" * 5_000, "not the number 1.000"),
        ('"a b"', 'holds " "'),
        ('"\\u0000"', "CHATID"),
    ],
)
def test_other_values_are_no_chat_id(literal, says):
    fault = refused(send, f'{{"CHATID": {literal}, "message": {{"text": "hi"}}}}', chat_id=None)
    assert fault.field == "CHATID"
    assert says in fault.message


def test_a_wrong_parameter_is_told_before_the_json_is_looked_at():
    assert refused(send, "not json", chat_id="a/b").field == "CHATID"
    assert refused(upload, "not json", chat_id="").field == "CHATID"
    assert refused(upload, "not json", token="x" * 501).field == "clientToken"


@pytest.mark.parametrize("value", ["1", "a" * 64, "A.z_0:-", " x ", "\n12345\t"])
def test_a_chat_id_of_the_allowed_characters_is_trimmed_and_taken(value):
    assert check_chat_id(value) == value.strip()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "is empty"),
        (" \t", "is empty"),
        ("a" * 65, "has 65 characters, but may have at most 64"),
        ("a/b", 'holds "/"'),
        ("a\\b", 'holds "\\"'),
        ("a b", 'holds " "'),
        ("şeker", 'holds "ş"'),
        ("١٢", 'holds "١"'),
        ("12\x00", r'holds "\u0000"'),
        ("\x1c12", r'holds "\u001c"'),
        ("12\u202e", r'holds "\u202e"'),
        ("\ud800", r'holds "\ud800"'),
        ("1\n2", r'holds "\u000a"'),
        ("x" * 1_000_000 + "!", "has 1,000,001 characters, but may have at most 64"),
        ("x" * 200 + "!", 'holds "!"'),
    ],
)
def test_a_chat_id_with_anything_else_is_refused(value, says):
    fault = refused(check_chat_id, value)
    assert fault.field == "CHATID"
    assert says in fault.message


def test_the_field_of_a_wrong_chat_id_is_the_callers_to_name():
    assert refused(check_chat_id, "", field="chat").field == "chat"


# ---------------------------------------------------------------- text


def test_text_is_trimmed_and_keeps_its_line_breaks():
    assert send({"text": "\u00a0 a \n\n  b\tc \r\n"}).text == "a \n\n  b\tc"


def test_line_breaks_of_all_systems_are_read_back_as_xml_would_have_them():
    assert send({"text": "a\r\nb\rc\nd\r\r\n\ne"}).text == "a\nb\nc\nd\n\n\ne"


def test_letters_and_emoji_survive_raw_and_escaped():
    text = "ş ğ ı İ 👩‍👩‍👧 \u202b עברית"
    for ascii_only in (True, False):
        assert send(json.dumps({"text": text}, ensure_ascii=ascii_only)).text == text


def test_text_is_as_long_as_its_code_points_after_trimming():
    assert send({"text": " " + "😀" * 4096 + "\r\n"}).text == "😀" * 4096
    assert len(send({"text": "\r\n".join("x" * 2049)}, max_text_length=4097).text) == 4097
    fault = refused(send, {"message": {"text": "x" * 4097}})
    assert (fault.field, fault.limit, fault.actual) == ("message.text", 4096, 4097)
    fault = refused(send, {"text": "xxxx"}, max_text_length=3)
    assert (fault.field, fault.limit, fault.actual) == ("text", 3, 4)


NOT_IN_XML = ["\0", "\b", "\x0b", "\x0c", "\x1b", "\x1c", "\x1f", "\ufffe", "\uffff", "\ud83d", "\ude00"]


@pytest.mark.parametrize("char", NOT_IN_XML)
@pytest.mark.parametrize("around", ["a{}b", " {} ", "{}"])
def test_characters_that_xml_cannot_carry_are_refused_everywhere(char, around):
    value = around.format(char)
    says = f"U+{ord(char):04X}"
    for details, field in [
        ({"message": {"text": value}}, "message.text"),
        ({"fileDetails": {"fileUrl": URL, "fileName": value}}, "fileDetails.fileName"),
        ({"fileDetails": {"fileUrl": URL, "fileType": value}}, "fileDetails.fileType"),
        ({"fileDetails": {"fileUrl": URL + value}}, "fileDetails.fileUrl"),
    ]:
        fault = refused(send, details)
        assert fault.field == field
        assert says in fault.message
    assert refused(send, {value: "x"}).message.isprintable()
    assert refused(send, {value: "x"}).field.isprintable()
    assert says in refused(check_client_token, value).message
    assert says in refused(check_customer_name, value).message


def test_characters_that_xml_can_carry_are_taken():
    text = "a\t\n\x7f\x85b\ud7ff\ue000\ufffd\U00010000\U0010ffff."
    assert send({"text": text}).text == text
    assert send(r'{"text": "\ud83d\ude00"}').text == "😀"


# ---------------------------------------------------------------- fileUrl


@pytest.mark.parametrize(
    ("given_url", "url"),
    [
        (f" {URL}\n", URL),
        ("https: // h /a", "https://h/a"),
        ("https : / / h : 8443 / a - b", "https://h:8443/a-b"),
        ("https\t:\n//\u00a0h\u3000/ a", "https://h/a"),
        ("ftp://h/x", "ftp://h/x"),
    ],
)
def test_white_space_next_to_colon_slash_and_hyphen_is_dropped_from_the_url(given_url, url):
    assert upload({"fileUrl": given_url}).file.url == url


@pytest.mark.parametrize(
    "url", ["https://h/a b.png", "https://h/a\nb", "https://h/a\u00a0b", "https ://h x", "https://h/a ?b", "x y"]
)
def test_other_white_space_in_the_url_is_refused(url):
    fault = refused(upload, {"fileUrl": url})
    assert fault.field == "fileUrl"
    assert "white space" in fault.message
    assert "%20" in fault.message


def test_a_url_of_2048_code_points_is_taken_and_one_more_refused():
    url = "https://h/" + "ş" * 2038
    assert upload({"fileUrl": url.replace("/", " / ")}).file.url == url
    fault = refused(upload, {"fileUrl": url + "x"})
    assert (fault.field, fault.limit, fault.actual) == ("fileUrl", 2048, 2049)


def test_a_long_run_of_white_space_in_a_url_takes_no_long_time():
    assert upload({"fileUrl": "https:" + " " * 5_000 + "//h" + " /" * 1_000}).file.url == "https://h" + "/" * 1_000
    for much in ("a" + " " * 5_000 + "b", "a" + " " * 500_000 + "b"):
        assert refused(upload, {"fileUrl": much}).field == "fileUrl"


# ---------------------------------------------------------------- fileName, fileType


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/a/cat.png", "cat.png"),
        ("https://h/cat.png?size=1/2#x/y", "cat.png"),
        ("https://h/a%20b%C5%9F.png", "a bş.png"),
        ("https://h/%2e%2e%2Fetc%2Fpasswd", "passwd"),
        ("https://h/a%5Cb.png", "b.png"),
        ("https://h/a%00%E2%80%AEb.png", "ab.png"),
        ("https://h/%EF%BF%BFx.png", "x.png"),
        ("https://h/%2541.png", "%41.png"),
        ("https://h/" + "a" * 300 + ".png", "a" * 251 + ".png"),
        ("https://h/a/", None),
        ("https://h/", None),
        ("https://h", None),
        ("https://h?x=/y.png", None),
        ("https://h/..", None),
        ("https://h/%20", None),
        ("//h/x.png", "x.png"),
        ("https://[::1]/x.png", "x.png"),
        ("https://h/a%ff.png", "a\ufffd.png"),
    ],
)
def test_without_a_file_name_the_last_segment_of_the_url_is_the_name(url, name):
    assert upload({"fileUrl": url}).file.original_name == name


def test_a_file_name_that_is_only_a_path_gives_way_to_the_urls():
    assert upload({"fileUrl": URL, "fileName": "../"}).file.original_name == "cat.png"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("cat.png", "cat.png"),
        ("C:\\Users\\me\\ağaç ışık İ.png", "ağaç ışık İ.png"),
        ("../../etc/passwd", "passwd"),
        ("/a/b/", "b"),
        ("a\\..\\b", "b"),
        (" a b ", "a b"),
        ("x\u202egnp.exe", "xgnp.exe"),
        ("\u2066a\u2069\u200e\u200f\u061c.txt", "a.txt"),
        ("a\r\nb\tc\x00\x7f\x85.txt", "abc.txt"),
        ("a\u2028b\ufeff", "ab"),
        (".\u202e.", None),
        ("👩‍👩‍👧.png", "👩‍👩‍👧.png"),
        ("a\ud800\uffffb", "ab"),
        (".htaccess", ".htaccess"),
        ("..", None),
        ("a/..", None),
        ("///", None),
        (" \u202e ", None),
        ("", None),
        (None, None),
        ("ş" * 255, "ş" * 255),
        ("ş" * 256, "ş" * 255),
        ("a" * 300 + ".jpeg", "a" * 250 + ".jpeg"),
        ("a" * 249 + "  b" * 10 + ".jpeg", "a" * 249 + ".jpeg"),
        ("a." + "b" * 300, "a." + "b" * 253),
        ("." + "b" * 300, "." + "b" * 254),
    ],
)
def test_an_original_name_is_cleaned_of_paths_and_controls_and_cut_before_its_extension(value, name):
    assert clean_original_name(value) == name


@given(st.text(st.characters(codec=None), max_size=600))
@settings(max_examples=500, deadline=None)
def test_whatever_comes_in_an_original_name_is_never_a_path_and_cleaning_it_twice_changes_nothing(value):
    name = clean_original_name(value)
    if name is not None:
        assert name not in ("", ".", "..")
        assert not set(name) & set("/\\\0\n\u202e\u2066")
        assert len(name) <= 255
        assert clean_original_name(name) == name


def test_a_given_file_name_of_255_code_points_is_taken_and_one_more_refused():
    name = "ş" * 251 + ".png"
    assert upload({"fileUrl": URL, "fileName": f" {name} "}).file.original_name == name
    fault = refused(send, {"message": {"fileDetails": {"fileUrl": URL, "fileName": "x" + name}}})
    assert (fault.field, fault.limit, fault.actual) == ("message.fileDetails.fileName", 255, 256)


@pytest.mark.parametrize("file_type", list(FileType))
def test_a_file_type_is_known_in_any_case_also_by_turkish_rules(file_type):
    name = file_type.value
    turkish_lower = name.replace("I", "ı").lower()
    turkish_upper = name.replace("I", "İ")
    for given_type in (
        name,
        name.lower(),
        name.title(),
        f" {name} ",
        turkish_lower,
        turkish_upper,
        turkish_upper.lower(),
    ):
        assert upload({"fileUrl": URL, "fileType": given_type}).file.declared_type is file_type


@pytest.mark.parametrize("given_type", ["PICTURE", "IMAGES", "IMAGE AUDIO", "image/png", "ＩＭＡＧＥ", "x" * 100_000])
def test_another_file_type_is_refused_with_the_four_that_are_known(given_type):
    fault = refused(upload, {"fileUrl": URL, "fileType": given_type})
    assert fault.field == "fileType"
    assert "give IMAGE, AUDIO, VIDEO or DOCUMENT" in fault.message


# ---------------------------------------------------------------- clientToken, customerName


def test_a_client_token_is_kept_exactly_and_an_empty_one_is_none():
    assert check_client_token(None) is None
    assert check_client_token("") is None
    for token in (" a ", "ş" * 500, "x"):
        assert check_client_token(token) == token
        assert send({"text": "hi"}, token=token).client_token == token
    fault = refused(check_client_token, "x" * 501)
    assert (fault.field, fault.limit, fault.actual) == ("clientToken", 500, 501)


def test_a_customer_name_is_trimmed_and_an_empty_one_is_none():
    for nothing in (None, "", " \n"):
        assert check_customer_name(nothing) is None
    assert check_customer_name(" Ayşe İnce ") == "Ayşe İnce"
    assert check_customer_name(" " + "😀" * 200) == "😀" * 200
    fault = refused(check_customer_name, "x" * 201)
    assert (fault.field, fault.limit, fault.actual) == ("customerName", 200, 201)


# ---------------------------------------------------------------- whatever comes

NASTY = st.text(st.characters(codec=None) | st.sampled_from(" \0\n\u202e\ud800İı/:-."), max_size=12)
KEYS = (
    st.sampled_from(["CHATID", "message", "text", "fileDetails", "fileUrl", "fileName", "fileType", " text "]) | NASTY
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NASTY | st.sampled_from(["IMAGE", URL, "c1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
ROOTS = st.dictionaries(KEYS, VALUES, max_size=4) | VALUES


@settings(max_examples=1_500, deadline=None)
@given(
    st.builds(json.dumps, ROOTS, ensure_ascii=st.booleans()) | st.text(st.characters(codec=None)),
    st.none() | st.just("c1") | NASTY,
    st.none() | NASTY,
)
def test_nothing_but_a_bounded_printable_fault_of_ours_leaves_the_door(text, chat_id, token):
    for call in (
        lambda: parse_send(chat_id=chat_id, file_details=text, client_token=token),
        lambda: parse_upload(chat_id=chat_id or "", file_details=text, client_token=token),
    ):
        try:
            request = call()
        except WebchatError as fault:
            told = fault
        else:
            told = None
            assert check_chat_id(request.chat_id) == request.chat_id
        if told is not None:
            assert isinstance(told, (InvalidJson, InvalidRequest, ChatIdMismatch))
            assert told.message.isprintable()
            assert len(told.message) <= 600
            assert told.field
            assert told.field.isprintable()
            assert len(told.field) <= 200


@pytest.mark.parametrize("length", [1, 100, 100_000])
def test_messages_and_paths_stay_short_whatever_the_callers_values_are(length):
    long = "\u202e" * length
    for details in (
        {long: 1},
        {"message": {long: 1}},
        {"message": {"fileDetails": {long: 1}}},
        f'{{"{long}": 1, "{long}": 2}}',
        {"fileDetails": {"fileUrl": f"a {long}"}},
        {"fileDetails": {"fileUrl": URL, "fileType": long}},
        {"CHATID": long, "message": {"text": "x"}},
    ):
        fault = refused(send, details)
        assert len(fault.field) <= 200
