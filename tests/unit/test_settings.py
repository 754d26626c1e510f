"""Loading settings: where they come from, what wins, and that every mistake is told at once."""

from __future__ import annotations

import pickle
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from webchat_soap.settings import (
    Bind,
    Settings,
    SettingsError,
    explain_settings,
    load_settings,
    settings_table,
)


def mistakes(**variables: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load_settings(environ=variables)
    return str(refused.value).splitlines()


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_anything_given_the_defaults_of_the_contract_hold(tmp_path: Path) -> None:
    mib = 1024 * 1024
    assert load_settings(environ={}) == Settings(
        bind=Bind(host="127.0.0.1", port=8000),
        public_url=None,
        data_dir=tmp_path / "webchat-data",
        database_url=f"sqlite:///{tmp_path}/webchat-data/webchat.db",
        files_url=None,
        fetch_allow=(),
        unknown_chats="open",
        max_image_bytes=10 * mib,
        max_audio_bytes=16 * mib,
        max_video_bytes=64 * mib,
        max_document_bytes=100 * mib,
        workers=None,
        scanner=None,
        log="text",
        max_text=4096,
        max_files_per_chat=50,
        max_bytes_per_chat=500 * mib,
        soap12_sender_status=500,
        max_request_bytes=mib,
        fetch_connect_seconds=3.0,
        fetch_first_byte_seconds=10.0,
        fetch_total_seconds=40.0,
        fetch_ca_file=None,
        shutdown_seconds=20.0,
        request_seconds=15.0,
        open=False,
        fetch_ports=(80, 443, 8080, 8443),
        max_fetches=64,
        max_waiting=500,
        agent_idle_minutes=60.0,
        agent_session_hours=12.0,
    )


def test_the_table_holds_every_setting_of_the_contract_and_no_other() -> None:
    assert [row.variable for row in settings_table()] == [
        "WEBCHAT_" + name
        for name in (  # noqa: SIM905 - a list of 31 literals reads worse
            "BIND PUBLIC_URL DATA_DIR DATABASE_URL FILES_URL FETCH_ALLOW UNKNOWN_CHATS MAX_IMAGE MAX_AUDIO MAX_VIDEO "
            "MAX_DOCUMENT WORKERS SCANNER LOG MAX_TEXT MAX_FILES_PER_CHAT MAX_BYTES_PER_CHAT SOAP12_SENDER_STATUS "
            "MAX_REQUEST FETCH_CONNECT_SECONDS FETCH_FIRST_BYTE_SECONDS FETCH_TOTAL_SECONDS FETCH_CA_FILE "
            "SHUTDOWN_SECONDS REQUEST_SECONDS OPEN FETCH_PORTS MAX_FETCHES MAX_WAITING AGENT_IDLE_MINUTES "
            "AGENT_SESSION_HOURS"
        ).split()
    ]
    assert [row.field for row in settings_table()] == [field.name for field in fields(Settings)]


def test_every_default_is_shown_as_it_is_written() -> None:
    settings = load_settings(environ={})
    for row in settings_table():
        if row.default and row.name != "DATA_DIR":
            assert row.kind.show(getattr(settings, row.field)) == row.default


def test_every_shown_value_reads_back_as_the_same_value(tmp_path: Path) -> None:
    _, effective = explain_settings(
        environ={
            "WEBCHAT_BIND": "[::1]:9000",
            "WEBCHAT_PUBLIC_URL": "https://Chat.Example.com:8443/support",
            "WEBCHAT_DATA_DIR": "elsewhere",
            "WEBCHAT_FILES_URL": f"file://{tmp_path}/elsewhere/bytes",
            "WEBCHAT_FETCH_ALLOW": "files.internal, 10.0.0.7:9000,10.1.0.0/16, [::1]:81",
            "WEBCHAT_MAX_IMAGE": "1000",
            "WEBCHAT_WORKERS": "3",
            "WEBCHAT_FETCH_CONNECT_SECONDS": "0.25",
            "WEBCHAT_FETCH_PORTS": "80, 81",
        }
    )
    for entry in effective:
        if entry.value:
            assert entry.setting.kind.show(entry.setting.kind.parse(entry.value)) == entry.value


def test_flags_win_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "webchat.toml").write_text('max_image = "1MiB"\nmax_audio = "1MiB"\nmax_video = "1MiB"\n')
    settings, effective = explain_settings(
        environ={"WEBCHAT_MAX_AUDIO": "2MiB", "WEBCHAT_MAX_VIDEO": "2MiB"}, flags={"max_video": "3MiB"}
    )
    mib = 1024 * 1024
    assert (settings.max_image_bytes, settings.max_audio_bytes, settings.max_video_bytes) == (mib, 2 * mib, 3 * mib)
    sources = {entry.setting.key: entry.source for entry in effective}
    assert [sources[key] for key in ("max_image", "max_audio", "max_video", "max_document")] == [
        "file",
        "environment",
        "flag",
        "default",
    ]


def test_an_empty_variable_counts_as_not_given(tmp_path: Path) -> None:
    (tmp_path / "webchat.toml").write_text("workers = 2\n")
    settings = load_settings(environ={"WEBCHAT_WORKERS": "", "WEBCHAT_PUBLIC_URL": " ", "WEBCHAT_LOG": ""})
    assert (settings.workers, settings.public_url, settings.log) == (2, None, "text")


def test_the_file_takes_toml_numbers_booleans_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text(
        'workers = 2\nfetch_total_seconds = 60.5\nopen = false\nfetch_ports = [80, 81]\nfetch_allow = ["a.b", "c:81"]\n'
    )
    settings = load_settings(environ={}, toml_path=path)
    assert settings.workers == 2
    assert settings.fetch_total_seconds == 60.5
    assert settings.open is False
    assert settings.fetch_ports == (80, 81)
    assert settings.fetch_allow == ("a.b", "c:81")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max_imge = 1", "max_imge in webchat.toml is no setting; did you mean max_image?"),
        ("WEBCHAT_MAX_IMAGE = 1", "WEBCHAT_MAX_IMAGE in webchat.toml is no setting; did you mean max_image?"),
        ("[max_image]\nvalue = 1", "max_image in webchat.toml is neither text, number, boolean nor list"),
        ("log = 1979-05-27", "log in webchat.toml is neither text, number, boolean nor list"),
        ("fetch_ports = [[80]]", "fetch_ports in webchat.toml is neither text, number, boolean nor list"),
        ("open = 1", "open in webchat.toml = '1' is neither true nor false"),
        ("workers = nan", "workers in webchat.toml = 'nan' is not a whole number"),
        ('log = "a\\u0000b"', "log in webchat.toml = 'a\\x00b' holds control characters"),
        ("log = text", "webchat.toml is not TOML: Invalid value (at line 1, column 7)"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_name(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "webchat.toml").write_text(text)
    assert told in "\n".join(mistakes())


def test_a_file_that_is_not_utf8_or_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "webchat.toml").write_bytes(b'log = "\xff"')
    assert "webchat.toml is not TOML: it is not UTF-8." in mistakes()[1]
    with pytest.raises(SettingsError, match=r"missing\.toml is not there"):
        load_settings(environ={}, toml_path=tmp_path / "missing.toml")


def test_all_mistakes_are_told_at_once_each_with_name_value_and_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "webchat.toml").write_text('log = "xml"\nwrokers = 2\n')
    with pytest.raises(SettingsError) as refused:
        load_settings(
            environ={"WEBCHAT_MAX_IMAGE": "10 Meg", "WEBCHAT_MAX_TEKST": "9", "WEBCHAT_FETCH_TOTAL_SECONDS": "2"},
            flags={"workers": "0"},
        )
    lines = str(refused.value).splitlines()
    assert lines[0] == "7 settings are wrong:"
    told = {line.strip().partition(" ")[0]: line for line in lines[1:]}
    assert "'xml'" in told["log"]
    assert "text or json" in told["log"]
    assert "did you mean workers?" in told["wrokers"]
    assert "'10 Meg' is not a size. Allowed: 1 to 1TiB" in told["WEBCHAT_MAX_IMAGE"]
    assert "did you mean WEBCHAT_MAX_TEXT?" in told["WEBCHAT_MAX_TEKST"]
    assert "'0' is too small. Allowed: 1 to 64" in told["--workers"]
    assert "WEBCHAT_FETCH_TOTAL_SECONDS" in told
    assert [mistake.source for mistake in refused.value.mistakes if mistake.name == "--workers"] == ["flag"]


def test_variables_of_the_tests_are_no_settings_and_other_unknown_ones_are_refused_without_their_value() -> None:
    assert load_settings(environ={"WEBCHAT_TEST_DATA": "somewhere", "WEBCHATTER": "1", "PATH": "/bin"})
    told = mistakes(WEBCHAT_DATABASE_PASSWORD="hunter2", WEBCHAT_ZZZ="1")
    assert "hunter2" not in "\n".join(told)
    assert any("WEBCHAT_ZZZ is no setting; `webchat-soap serve --help` lists them." in line for line in told)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://webchat:hunter2@db/webchat",
        "postgresql+psycopg://webchat:hun@ter/hunter2@db/webchat",
        "postgresql://db/webchat?user=a&password=hunter2",
        "mysql://webchat:hunter2@db/webchat",
    ],
)
def test_a_mistake_shows_no_password(url: str) -> None:
    told = mistakes(WEBCHAT_DATABASE_URL=url)
    assert "WEBCHAT_DATABASE_URL" in told[1]
    assert "***" in told[1]
    assert not re.search("hunter2|hun@", told[1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://db/webchat"),
        ("DATABASE_URL", "postgres://db/webchat"),
        ("FILES_URL", "s3://bucket/prefix"),
        ("SCANNER", "clamd://127.0.0.1:3310"),
        ("OPEN", "true"),
        ("BIND", "0.0.0.0:8000"),
        ("BIND", "[::]:8000"),
        ("BIND", "192.168.1.7:8000"),
    ],
)
def test_what_comes_later_is_known_by_name_and_refused(name: str, value: str) -> None:
    (told,) = mistakes(**{f"WEBCHAT_{name}": value})[1:]
    assert f"WEBCHAT_{name}" in told
    assert "not in this version yet" in told


def test_open_does_not_let_the_service_beyond_loopback() -> None:
    told = mistakes(WEBCHAT_BIND="0.0.0.0:8000", WEBCHAT_OPEN="true")
    assert len(told) == 3
    assert all("not in this version yet" in line for line in told[1:])


def test_what_is_kept_must_lie_in_the_data_folder(tmp_path: Path) -> None:
    inside = load_settings(
        environ={
            "WEBCHAT_DATA_DIR": "data",
            "WEBCHAT_DATABASE_URL": "sqlite:///data/chats/all.db",
            "WEBCHAT_FILES_URL": f"file://{tmp_path}/data/bytes",
        }
    )
    assert inside.database_url == f"sqlite:///{tmp_path}/data/chats/all.db"
    assert inside.files_url == f"file://{tmp_path}/data/bytes"
    told = mistakes(
        WEBCHAT_DATA_DIR="data", WEBCHAT_DATABASE_URL="sqlite:///all.db", WEBCHAT_FILES_URL=f"file://{tmp_path}/data"
    )
    assert [("WEBCHAT_DATABASE_URL" in line, "WEBCHAT_FILES_URL" in line) for line in told[1:]] == [
        (True, False),
        (False, True),
    ]
    assert all("lies outside" in line for line in told[1:])


def test_a_download_cannot_be_shorter_than_its_parts() -> None:
    told = mistakes(WEBCHAT_FETCH_TOTAL_SECONDS="2", WEBCHAT_FETCH_FIRST_BYTE_SECONDS="1")
    assert told[1:] == [
        "  WEBCHAT_FETCH_TOTAL_SECONDS = 2 is less than WEBCHAT_FETCH_CONNECT_SECONDS = 3, which is a part of it."
    ]


def test_a_setting_that_could_not_be_read_is_not_judged_a_second_time() -> None:
    assert len(mistakes(WEBCHAT_FETCH_TOTAL_SECONDS="soon", WEBCHAT_FETCH_CONNECT_SECONDS="100")) == 2


def test_a_working_folder_that_no_database_url_can_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "100%"
    odd.mkdir()
    monkeypatch.chdir(odd)
    told = mistakes(WEBCHAT_LOG="xml")
    assert any("WEBCHAT_DATA_DIR" in line and "holds '%'" in line for line in told)
    assert any("WEBCHAT_LOG" in line for line in told)


def test_settings_are_immutable_and_survive_the_way_to_another_process() -> None:
    settings = load_settings(environ={"WEBCHAT_WORKERS": "2"})
    assert pickle.loads(pickle.dumps(settings)) == settings
    with pytest.raises(AttributeError):
        settings.workers = 3  # type: ignore[misc]
    assert replace(settings, workers=3).workers == 3


def test_settings_made_directly_keep_their_database_in_their_folder(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path / "x").database_url == f"sqlite:///{tmp_path}/x/webchat.db"


def test_a_mistake_names_the_file_it_stands_in(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('max_imag = 1\nlog = "loud"\nopen = [[1]]\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={}, toml_path=other)
    assert [mistake.name for mistake in caught.value.mistakes] == [
        f"max_imag in {other}",
        f"open in {other}",
        f"log in {other}",
    ]


def test_all_mistakes_of_a_list_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(
            environ={"WEBCHAT_FETCH_ALLOW": "bad_/,ok.example,http://x,10.0.0.1/8,", "WEBCHAT_FETCH_PORTS": "0,x"}
        )
    told = str(caught.value)
    for item in ("bad_/", "http://x", "10.0.0.1/8", "0", "x"):
        assert f"holds {item!r}, which " in told
    assert "has an empty item between its commas" in told
    assert "ok.example'," not in told
