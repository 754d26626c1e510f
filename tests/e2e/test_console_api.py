"""The console's API over real HTTP: what it answers, and what it refuses. Live events: test_console_events."""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import json
import sqlite3
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.console_client import Desk, console
from webchat_soap.domain.uploads import MAX_UPLOADS

PICTURE = (Path(__file__).parents[2] / "webchat_soap/demo/picture.png").read_bytes()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with console(tmp_path_factory.mktemp("console")) as running:
        yield running


@pytest.fixture
def chat(desk: Desk, request: pytest.FixtureRequest) -> str:
    """An open chat with one message of the customer."""
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]
    desk.send(name)
    return name


# -- the page and the session


def test_the_page_comes_with_a_policy_that_lets_nothing_in(desk: Desk) -> None:
    answer = desk.http.get(f"{desk.url}/agent/")
    assert answer.status_code == 200
    assert "require-trusted-types-for 'script'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Ayse" in answer.text


def test_the_session_tells_limits_and_what_a_piece_may_have(desk: Desk) -> None:
    told = desk.get("session")
    assert told["agent"] == {"name": "Ayse"}
    assert told["pieceBytes"] == 512 * 1024
    assert [limit["fileType"] for limit in told["limits"]["fileLimit"]] == ["IMAGE", "AUDIO", "VIDEO", "DOCUMENT"]
    assert told["serverTime"].endswith("Z")


def test_nobody_gets_in_without_a_session_and_no_change_without_the_token(desk: Desk, chat: str) -> None:
    assert requests.get(f"{desk.url}/agent/api/chats", timeout=10).status_code == 401
    desk.http.headers.pop("X-CSRF-Token")
    try:
        assert desk.post(chat, "x", "t").status_code == 403
    finally:
        desk.http.headers["X-CSRF-Token"] = "token"
    assert desk.get(f"chats/{chat}/messages")["lastSequence"] == 1


# -- lists


def test_lists_tell_chats_with_their_last_message_and_what_is_unread(desk: Desk, chat: str) -> None:
    (told,) = [each for each in desk.get("chats")["chat"] if each["CHATID"] == chat]
    assert told["unread"] == 1
    assert told["status"] == "OPEN"
    assert told["lastMessage"]["text"] == "hello"
    assert told["lastMessage"]["sender"] == "CUSTOMER"
    assert desk.get(f"chats/{chat}")["usage"] == {"files": 0, "bytes": 0}


def test_a_search_finds_ids_names_and_texts(desk: Desk) -> None:
    desk.soap("StartChat", "<CHATID>who-1</CHATID><customerName>IŞIL Öztürk</customerName>")
    desk.send("who-2", "nerede kaldı ŞEMSİYE?")
    assert [each["CHATID"] for each in desk.get("chats?q=ışıl öz")["chat"]] == ["who-1"]
    found = desk.get("chats?q=şemsiye")
    assert [(each["CHATID"], each["match"]) for each in found["chat"]] == [("who-2", "nerede kaldı ŞEMSİYE?")]
    assert found["searchedAll"] is True
    assert desk.get("chats?q=WHO-&max=1")["next"]


@pytest.mark.parametrize(
    "query",
    [
        "status=x",
        "before=x",
        "max=0",
        "max=x",
        "max=-1",
        "q=" + "x" * 101,
        "q=%00",
        "q=%ff",
        "q=a&q=b",
        "max=" + "9" * 30,
    ],
)
def test_a_list_that_makes_no_sense_is_refused(desk: Desk, query: str) -> None:
    status, error = desk.refused("GET", f"chats?{query}")
    assert (status, error["code"]) == (400, "InvalidRequest")
    assert error["field"]


def test_ten_thousand_chats_are_listed_in_pages(tmp_path: Path) -> None:
    with console(tmp_path) as desk:
        desk.send("first")
        connection = sqlite3.connect(tmp_path / "webchat.db", timeout=10)
        with connection:
            connection.execute(
                "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 10000) INSERT INTO chats "
                "(chat_id, status, started_at, last_sequence, last_sent_at, file_count, file_bytes) "
                "SELECT 'c' || i, 'OPEN', 1, 0, i, 0, 0 FROM n"
            )
        connection.close()
        began = time.monotonic()
        page = desk.get("chats?max=100")
        assert time.monotonic() - began < 2
        assert page["counts"] == {"open": 10_001, "unread": 1}
        ids = [each["CHATID"] for each in page["chat"]]
        assert ids[:3] == ["first", "c10000", "c9999"]
        assert desk.get(f"chats?max=100&before={page['next']}")["chat"][0]["CHATID"] == "c9901"
        with desk.events() as events:
            assert events.until("hello")["counts"] == {"open": 10_001, "unread": 1}


# -- messages


def test_messages_are_read_upwards_and_onwards(desk: Desk, chat: str) -> None:
    for number in range(2, 8):
        desk.send(chat, f"m{number}")

    def sequences(query: str) -> list[int]:
        return [each["sequence"] for each in desk.get(f"chats/{chat}/messages?{query}")["message"]]

    assert sequences("max=3") == [5, 6, 7]
    assert sequences("max=3&before=5") == [2, 3, 4]
    assert sequences("max=3&before=2") == [1]
    assert sequences("after=5") == [6, 7]
    assert sequences("after=99") == []
    page = desk.get(f"chats/{chat}/messages?max=1")
    assert (page["firstSequence"], page["lastSequence"], page["status"]) == (1, 7, "OPEN")


def test_an_agents_text_is_posted_once_and_customers_see_the_name(desk: Desk, chat: str) -> None:
    first = desk.post(chat, " merhaba\r\n", "t1")
    assert first.status_code == 201
    assert first.json()["duplicate"] is False
    again = desk.post(chat, "merhaba", "t1")
    assert again.json() == {**first.json(), "duplicate": True}
    assert desk.refused("POST", f"chats/{chat}/messages", json={"text": "other", "clientToken": "t1"})[1]["code"] == (
        "Conflict"
    )
    read = desk.soap("GetMessages", f"<CHATID>{chat}</CHATID>")
    assert "<agentName>Ayse</agentName>" in read
    assert "t1" not in read
    (_, told) = desk.get(f"chats/{chat}/messages")["message"]
    assert (told["agentName"], told["clientToken"], told["text"]) == ("Ayse", "t1", "merhaba")
    assert desk.get(f"chats/{chat}")["chat"]["agentName"] == "Ayse"


def test_another_agents_token_is_another_message(desk: Desk, chat: str) -> None:
    assert desk.post(chat, "x", "same").status_code == 201
    assert desk.beside("Mehmet").post(chat, "y", "same").status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"text": "x"}',
        b'{"text": "", "clientToken": "t"}',
        b'{"text": 5, "clientToken": "t"}',
        b'{"text": "x", "clientToken": "a b"}',
        b'{"text": "x", "clientToken": "t", "sender": "CUSTOMER"}',
        b'{"text": "x", "text": "y", "clientToken": "t"}',
        b'{"text": "\\u0000", "clientToken": "t"}',
        b'{"text": "\xff", "clientToken": "t"}',
        b'{"text": "' + b"x" * 4097 + b'", "clientToken": "t"}',
        b'{"a":' * 1000,
    ],
)
def test_a_text_that_is_none_is_refused_and_leaves_nothing(desk: Desk, chat: str, body: bytes) -> None:
    status, error = desk.refused("POST", f"chats/{chat}/messages", data=body)
    assert status == 400
    assert error["code"] in ("InvalidJson", "InvalidRequest")
    assert desk.get(f"chats/{chat}/messages")["lastSequence"] == 1


def test_reading_moves_the_mark_for_all_agents_and_never_back(desk: Desk, chat: str) -> None:
    desk.send(chat)
    assert desk.api("POST", f"chats/{chat}/read", json={"sequence": 2}).status_code == 204
    assert desk.api("POST", f"chats/{chat}/read", json={"sequence": 1}).status_code == 204
    told = desk.beside("Mehmet").get(f"chats/{chat}")["chat"]
    assert (told["unread"], told["readSequence"]) == (0, 2)
    assert desk.refused("POST", f"chats/{chat}/read", json={"sequence": -1})[0] == 400
    assert desk.refused("POST", f"chats/{chat}/read", json={"sequence": "2"})[0] == 400


def test_an_ended_chat_tells_who_ended_it_and_takes_nothing_more(desk: Desk, chat: str) -> None:
    ended = desk.api("POST", f"chats/{chat}/end", json={}).json()["chat"]
    assert (ended["status"], ended["endedBy"]) == ("ENDED", "Ayse")
    assert desk.api("POST", f"chats/{chat}/end", json={}).json()["chat"] == ended
    assert desk.refused("POST", f"chats/{chat}/messages", json={"text": "x", "clientToken": "t"})[:1] == (409,)
    status, error = desk.refused(
        "PUT", f"chats/{chat}/uploads/t", params={"offset": 0, "size": 9, "name": "a.png"}, data=b"x"
    )
    assert (status, error["code"]) == (409, "ChatEnded")
    assert chat in [each["CHATID"] for each in desk.get("chats?status=ended")["chat"]]
    assert "<endedBy>Ayse</endedBy>" in desk.soap("EndChat", f"<CHATID>{chat}</CHATID>")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "chats/nobody"),
        ("GET", "chats/nobody/messages"),
        ("GET", "chats/nobody/transcript.zip"),
        ("POST", "chats/nobody/messages"),
        ("POST", "chats/nobody/read"),
        ("POST", "chats/nobody/end"),
        ("GET", "events?chat=nobody"),
        ("PUT", "chats/nobody/uploads/t?offset=0&size=3&name=a.png"),
    ],
)
def test_a_chat_that_is_not_there_is_not_made_by_agents(desk: Desk, method: str, path: str) -> None:
    body = {"messages": {"text": "x", "clientToken": "t"}, "read": {"sequence": 1}}.get(path.rpartition("/")[2], {})
    status, error = desk.refused(method, path, json=body)
    assert (status, error["code"]) == (404, "ChatNotFound")


@pytest.mark.parametrize("chat_id", [".", ".."])
def test_a_chat_whose_name_a_browser_takes_for_a_folder_is_reached_behind_a_tilde(desk: Desk, chat_id: str) -> None:
    desk.send(chat_id, "hello")
    path = f"chats/~{chat_id}"
    assert desk.get(path)["chat"]["CHATID"] == chat_id
    assert desk.api("POST", f"{path}/messages", json={"text": "x", "clientToken": "t"}).status_code == 201
    assert [message["text"] for message in desk.get(f"{path}/messages")["message"]] == ["hello", "x"]
    assert desk.put(f"~{chat_id}", "t", b"abc", offset=0, size=9).json() == {"offset": 3}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 404),
        ("GET", "nothing", 404),
        ("GET", "chats/c1/nothing", 404),
        ("GET", "chats/a%2F..%2Fb/messages", 404),
        ("GET", "chats/a%20b", 400),
        ("GET", "chats/~", 400),
        ("GET", "chats/~~..", 400),
        ("GET", "chats/" + "x" * 65, 400),
        ("DELETE", "chats", 405),
        ("PUT", "session", 405),
        ("GET", "chats/c1/read", 405),
        ("GET", "chats/c1/uploads/..", 400),
        ("GET", "chats/c1/uploads/%2e%2e%2f%2e%2e%2fx", 404),
        ("GET", "chats/c1/uploads/a.b", 400),
        ("GET", "chats/c1/uploads/" + "x" * 101, 400),
        ("GET", "events?chat=a%20b", 400),
        ("GET", "events?after=-1", 400),
    ],
)
def test_addresses_that_lead_nowhere_are_answered_in_json(desk: Desk, method: str, path: str, status: int) -> None:
    # requests would tidy the dots away.
    answer = desk.service.ask(
        f"{method} /agent/api/{path} HTTP/1.1\r\nHost: test\r\nCookie: webchat_agent=Ayse\r\nX-CSRF-Token: token\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode(), answer
    error = json.loads(body)["error"]
    assert error["message"]
    assert (status == 405) == (b"\r\nallow: " in head.lower())


# -- uploads


def post_picture(desk: Desk, chat: str, token: str, **more: str) -> requests.Response:
    return desk.api("POST", f"chats/{chat}/uploads/{token}/post", json={"fileName": "ş.png", **more})


def test_a_file_comes_in_pieces_and_is_posted_once(desk: Desk, chat: str) -> None:
    half = len(PICTURE) // 2
    assert desk.put(chat, "u1", PICTURE[:half], offset=0, size=len(PICTURE)).json() == {"offset": half}
    assert desk.get(f"chats/{chat}/uploads/u1") == {"offset": half}
    wrong = desk.put(chat, "u1", PICTURE[half:], offset=0, size=len(PICTURE))
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (409, "WrongOffset")
    assert wrong.json()["error"]["offset"] == half
    early = post_picture(desk, chat, "u1")
    assert (early.status_code, early.json()["error"]["offset"]) == (409, half)
    desk.put(chat, "u1", PICTURE[half:], offset=half, size=len(PICTURE))
    posted = post_picture(desk, chat, "u1", text="look", fileType="IMAGE")
    assert posted.status_code == 201, posted.text
    (file,) = posted.json()["file"]
    assert file["originalFileName"] == "ş.png"
    assert file["sha256"] == hashlib.sha256(PICTURE).hexdigest()
    assert file["fileUrl"].startswith("/public_files/")
    assert requests.get(desk.url + file["fileUrl"], timeout=10).content == PICTURE
    assert desk.get(f"chats/{chat}/uploads/u1") == {"offset": 0}
    again = post_picture(desk, chat, "u1", text="look", fileType="IMAGE")
    assert again.json() == {**posted.json(), "duplicate": True}
    assert post_picture(desk, chat, "u1", text="other").json()["error"]["code"] == "Conflict"
    assert desk.get(f"chats/{chat}")["usage"] == {"files": 1, "bytes": len(PICTURE)}


def test_two_posts_of_one_upload_at_once_make_one_message(desk: Desk, chat: str) -> None:
    desk.put(chat, "u2", PICTURE, offset=0, size=len(PICTURE))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: post_picture(desk.beside("Ayse"), chat, "u2"), range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["messageId"] for answer in answers}) == 1
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False, True, True, True]
    assert desk.get(f"chats/{chat}")["usage"]["files"] == 1


def test_an_upload_is_seen_by_its_own_agent_alone(desk: Desk, chat: str) -> None:
    desk.put(chat, "u3", PICTURE[:100], offset=0, size=len(PICTURE))
    other = desk.beside("Mehmet")
    assert other.get(f"chats/{chat}/uploads/u3") == {"offset": 0}
    assert other.put(chat, "u3", b"x", offset=100, size=len(PICTURE)).json()["error"]["offset"] == 0
    assert post_picture(other, chat, "u3").json()["error"]["offset"] == 0
    assert other.api("DELETE", f"chats/{chat}/uploads/u3").status_code == 204
    assert desk.get(f"chats/{chat}/uploads/u3") == {"offset": 100}
    assert desk.api("DELETE", f"chats/{chat}/uploads/u3").status_code == 204
    assert desk.get(f"chats/{chat}/uploads/u3") == {"offset": 0}


@pytest.mark.parametrize(
    ("size", "name", "status", "code"),
    [
        (0, "a.png", 422, "EmptyFile"),
        (11 * 2**20, "a.PNG", 413, "FileTooLarge"),
        (65 * 2**20, "a.mp4", 413, "FileTooLarge"),
        (101 * 2**20, "a", 413, "FileTooLarge"),
        (10**17, "a.webm", 413, "FileTooLarge"),
        (9, "x" * 1001, 400, "InvalidRequest"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_first_piece(
    desk: Desk, chat: str, size: int, name: str, status: int, code: str
) -> None:
    answer = desk.put(chat, "u4", b"x"[: size or 0], offset=0, size=size, name=name)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert desk.get(f"chats/{chat}/uploads/u4") == {"offset": 0}


def test_pieces_that_contradict_the_first_one_are_refused(desk: Desk, chat: str) -> None:
    assert desk.put(chat, "u5", b"abc", offset=0, size=10).status_code == 200
    for piece, offset, size, code in (
        (b"d", 3, 11, "InvalidRequest"),
        (b"d" * 8, 3, 10, "InvalidRequest"),
        (b"d", 2, 10, "WrongOffset"),
        (b"d", 10**17, 10**18 - 1, "InvalidRequest"),
    ):
        answer = desk.put(chat, "u5", piece, offset=offset, size=size)
        assert answer.json()["error"]["code"] == code, answer.text
    assert desk.get(f"chats/{chat}/uploads/u5") == {"offset": 3}
    assert desk.refused("PUT", f"chats/{chat}/uploads/u5?offset=3", data=b"d")[1]["field"] == "size"
    assert desk.refused("PUT", f"chats/{chat}/uploads/u5?size=10", data=b"d")[1]["field"] == "offset"
    desk.api("DELETE", f"chats/{chat}/uploads/u5")


def test_a_file_that_is_not_what_it_says_is_refused_and_its_pieces_are_gone(desk: Desk, chat: str) -> None:
    program = b"MZ" + bytes(500)
    desk.put(chat, "u6", program, offset=0, size=len(program), name="a.png")
    answer = post_picture(desk, chat, "u6")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "UnsupportedFileType")
    assert desk.get(f"chats/{chat}/uploads/u6") == {"offset": 0}
    desk.put(chat, "u7", PICTURE, offset=0, size=len(PICTURE), name="a.mp3")
    answer = post_picture(desk, chat, "u7", fileType="AUDIO")
    assert answer.json()["error"]["code"] == "FileTypeMismatch"
    assert answer.json()["error"]["declaredType"] == "AUDIO"
    assert desk.get(f"chats/{chat}/messages")["lastSequence"] == 1


def test_an_agent_has_so_many_uploads_under_way_and_not_more(desk: Desk, chat: str) -> None:
    agent = desk.beside("Busy")
    for number in range(MAX_UPLOADS):
        assert agent.put(chat, f"n{number}", b"x", offset=0, size=2).status_code == 200
    answer = agent.put(chat, "more", b"x", offset=0, size=2)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "Busy")
    assert answer.headers["Retry-After"]
    assert agent.put(chat, "n0", b"x", offset=1, size=2).status_code == 200
    agent.api("DELETE", f"chats/{chat}/uploads/n0")
    assert agent.put(chat, "more", b"x", offset=0, size=2).status_code == 200


def test_the_chats_quota_counts_before_a_byte_has_come(tmp_path: Path) -> None:
    with console(tmp_path, WEBCHAT_MAX_BYTES_PER_CHAT="20000", WEBCHAT_MAX_REQUEST="8192") as desk:
        desk.send("c1")
        assert desk.get("session")["pieceBytes"] == 8192
        answer = desk.put("c1", "t", b"x", offset=0, size=20_001)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "QuotaExceeded")
        assert desk.put("c1", "t", bytes(8193), offset=0, size=10_000).status_code == 413
        for offset in range(0, len(PICTURE), 8192):
            piece = PICTURE[offset : offset + 8192]
            assert desk.put("c1", "t", piece, offset=offset, size=len(PICTURE)).status_code == 200
        assert post_picture(desk, "c1", "t").status_code == 201
        assert desk.put("c1", "t2", b"x", offset=0, size=len(PICTURE)).json()["error"]["code"] == "QuotaExceeded"


def test_an_upload_goes_on_after_the_service_was_killed_in_a_piece(tmp_path: Path) -> None:
    body = b"text " * 300_000
    with console(tmp_path) as desk:
        desk.send("c1")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:

            def upload() -> None:
                at = 0
                while at < len(body):
                    piece = body[at : at + 20_000]
                    at = desk.put("c1", "t", piece, offset=at, size=len(body), name="a.txt").json()["offset"]

            going = pool.submit(upload)
            while desk.beside("Ayse").get("chats/c1/uploads/t")["offset"] < 100_000:
                pass
            desk.service.process.kill()
            with pytest.raises(requests.RequestException):
                going.result(20)
        desk.service.process.wait(20)
    with console(tmp_path) as desk:
        at = desk.get("chats/c1/uploads/t")["offset"]
        assert 100_000 <= at < len(body)
        while at < len(body):
            at = desk.put("c1", "t", body[at : at + 500_000], offset=at, size=len(body)).json()["offset"]
        posted = desk.api("POST", "chats/c1/uploads/t/post", json={"fileName": "a.txt"}).json()
        assert posted["file"][0]["sha256"] == hashlib.sha256(body).hexdigest()


def test_pieces_may_land_in_different_processes(tmp_path: Path) -> None:
    with console(tmp_path, workers=2) as desk:
        desk.send("c1")
        at = 0
        while at < len(PICTURE):  # each on a connection of its own, which the kernel gives to either process
            other = desk.beside("Ayse")
            at = other.put("c1", "t", PICTURE[at : at + 500], offset=at, size=len(PICTURE)).json()["offset"]
        assert post_picture(desk, "c1", "t").json()["file"][0]["sha256"] == hashlib.sha256(PICTURE).hexdigest()


# -- transcripts


def test_a_transcript_is_a_page_with_its_files_that_runs_nothing(desk: Desk, chat: str) -> None:
    desk.post(chat, "<script>alert(1)</script> & ملف", "a")
    for number, name in enumerate(("<b>.png", "<b>.png", "CON.png", "../../x.png", "com¹.png", "e\u0301.png", "É.png")):
        desk.put(chat, f"f{number}", PICTURE, offset=0, size=len(PICTURE))
        posted = desk.api("POST", f"chats/{chat}/uploads/f{number}/post", json={"fileName": name})
        assert posted.status_code == 201, posted.text
    answer = desk.api("GET", f"chats/{chat}/transcript.zip")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="chat-{chat}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        page = archive.read("index.html").decode()
        assert archive.read(names[1]) == PICTURE
    assert names[:5] == ["index.html", "files/_b_.png", "files/_b_ (2).png", "files/file CON.png", "files/x.png"]
    assert names[5:] == ["files/file com¹.png", "files/é.png", "files/É (2).png"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; ملف" in page
    assert "<script>alert" not in page
    assert 'dir="auto"' in page
    assert 'src="files/_b_%20%282%29.png"' in page
    assert "script-src 'none'" in page


def test_a_transcript_in_json_holds_every_message(desk: Desk, chat: str) -> None:
    for number in range(150):
        desk.send(chat, f"text {number} ğ")
    told = desk.get(f"chats/{chat}/transcript.json")
    assert [message["sequence"] for message in told["message"]] == list(range(1, 152))
    assert told["chat"]["CHATID"] == chat


def test_a_transcript_tells_of_a_file_that_is_lost(tmp_path: Path) -> None:
    with console(tmp_path) as desk:
        desk.send("c1")
        desk.put("c1", "t", PICTURE, offset=0, size=len(PICTURE))
        post_picture(desk, "c1", "t")
        for path in (tmp_path / "files").rglob("*.png"):
            path.unlink()
        desk.http.headers["Accept-Language"] = "tr-TR,tr;q=0.9,en;q=0.8"
        answer = desk.api("GET", "chats/c1/transcript.zip")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.namelist() == ["index.html"]
            assert "bu dosya artık yok" in archive.read("index.html").decode()
