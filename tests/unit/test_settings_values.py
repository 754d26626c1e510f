"""How values are written: what each kind takes, and what it says of what it does not take."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from webchat_soap.settings import SettingsError, load_settings, settings_table


def value(name: str, text: str) -> object:
    settings = load_settings(environ={f"WEBCHAT_{name}": text})
    return getattr(settings, next(row.field for row in settings_table() if row.name == name))


def refusal(name: str, text: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(environ={f"WEBCHAT_{name}": text})
    (mistake,) = refused.value.mistakes
    assert str(mistake).startswith(f"WEBCHAT_{name} = ")
    assert "Allowed: " in str(mistake)
    return str(mistake)


@pytest.mark.parametrize(
    ("text", "count"), [("1", 1), ("10B", 10), ("512KiB", 524288), ("10 MiB", 10485760), (" 1GiB ", 1 << 30)]
)
def test_sizes_are_bytes_or_powers_of_1024(text: str, count: int) -> None:
    assert value("MAX_IMAGE", text) == count


@pytest.mark.parametrize("text", ["10MB", "10mib", "1.5MiB", "-1", "1_0", "0x10", "١٠", "MiB", "1e3", "10 000"])
def test_other_writings_of_a_size_are_refused(text: str) -> None:
    assert "is not a size" in refusal("MAX_IMAGE", text)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("MAX_IMAGE", "0", "2TiB"),
        ("WORKERS", "0", "65"),
        ("MAX_TEXT", "0", "100001"),
        ("REQUEST_SECONDS", "0.01", "3601"),
        ("FETCH_TOTAL_SECONDS", "0", "86401"),
    ],
)
def test_numbers_stay_within_their_bounds(name: str, low: str, high: str) -> None:
    assert "is too small" in refusal(name, low)
    assert "is too large" in refusal(name, high)


@pytest.mark.parametrize("text", ["nan", "inf", "1e1", "-3", "3s", "3,5", ".5", "5."])
def test_seconds_are_plain_decimal_numbers(text: str) -> None:
    assert value("SHUTDOWN_SECONDS", "2.5") == 2.5
    assert "is not a number of seconds" in refusal("SHUTDOWN_SECONDS", text)


def test_a_download_may_be_given_a_day() -> None:
    assert value("FETCH_TOTAL_SECONDS", "86400") == 86400.0


@pytest.mark.parametrize(
    ("text", "host", "port", "url"),
    [
        ("127.0.0.1:8000", "127.0.0.1", 8000, "http://127.0.0.1:8000"),
        ("localhost:80", "127.0.0.1", 80, "http://127.0.0.1:80"),
        ("[::1]:8000", "::1", 8000, "http://[::1]:8000"),
        ("127.9.9.9:65535", "127.9.9.9", 65535, "http://127.9.9.9:65535"),
    ],
)
def test_bind_takes_loopback_addresses(text: str, host: str, port: int, url: str) -> None:
    bind = load_settings(environ={"WEBCHAT_BIND": text}).bind
    assert (bind.host, bind.port, bind.url) == (host, port, url)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("8000", "is not host:port"),
        (":8000", "is not host:port"),
        ("::1:8000", "is not host:port"),
        ("127.0.0.1", "is not host:port"),
        ("127.0.0.1:", "has no port"),
        ("127.0.0.1:0", "has no port"),
        ("127.0.0.1:65536", "has no port"),
        ("127.0.0.1:http", "has no port"),
        ("chat.example.com:80", "names no IP address"),
        ("127.1:80", "names no IP address"),
        ("[::ffff:127.0.0.1]:80", "reachable from other machines"),
        ("[fe80::1%eth0]:80", "reachable from other machines"),
    ],
)
def test_bind_refuses_everything_else(text: str, why: str) -> None:
    assert why in refusal("BIND", text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("https://chat.example.com", "https://chat.example.com"),
        ("HTTPS://Chat.Example.com/Support/v1", "https://chat.example.com/Support/v1"),
        ("http://10.0.0.1:8080", "http://10.0.0.1:8080"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a"),
        ("http://webchat_web", "http://webchat_web"),
    ],
)
def test_public_url_is_scheme_host_and_path(text: str, read: str) -> None:
    assert value("PUBLIC_URL", text) == read


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("chat.example.com", "does not begin with http"),
        ("ftp://chat.example.com", "does not begin with http"),
        ("https://", "does not begin with http"),
        ("https:///path", "does not begin with http"),
        ("https://chat.example.com/", "ends with a slash"),
        ("https://chat.example.com/support/", "ends with a slash"),
        ("https://chat.example.com?x=1", "query"),
        ("https://chat.example.com/#top", "fragment"),
        ("https://user:hunter2@chat.example.com", "credentials"),
        ("https://chat.example.com:0", "port"),
        ("https://chat.example.com:", "port"),
        ("https://chat.example.com:99999", "is not a URL"),
        ("https://chat example.com", "white space"),
        ("https://şirket.example", "names no host"),
        ("https://127.1", "names no host"),
        ("https://[v1.x]", "names no host"),
        ("https://chat.example.com/a//b", "path"),
        ("https://chat.example.com/../b", "path"),
        ("https://chat.example.com/a%2fb", "path"),
        ("https://chat.example.com/<b>", "path"),
    ],
)
def test_public_url_refuses_everything_else(text: str, why: str) -> None:
    told = refusal("PUBLIC_URL", text)
    assert why in told or (why == "names no host" and "is not a URL" in told)
    assert "hunter2" not in told


def test_fetch_allow_reads_hosts_ports_and_networks() -> None:
    text = "Files.Internal., 10.0.0.7:9000,10.1.0.0/16, ::1, [::1]:81,[fd00::2],fd00::/8,files.internal"
    assert value("FETCH_ALLOW", text) == (
        "files.internal",
        "10.0.0.7:9000",
        "10.1.0.0/16",
        "::1",
        "[::1]:81",
        "fd00::2",
        "fd00::/8",
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://files.internal", "is a URL"),
        ("10.1.2.3/16", "is not a CIDR network"),
        ("files.internal/16", "is not a CIDR network"),
        ("*.internal", "names no host"),
        ("a,,b", "an empty item"),
        ("files.internal:", "has no port"),
        ("files.internal:0", "has no port"),
        ("10.1", "names no host"),
        ("[::1", "names no host"),
        ("user:hunter2@files.internal:80", "names no host"),
    ],
)
def test_fetch_allow_refuses_everything_else(text: str, why: str) -> None:
    told = refusal("FETCH_ALLOW", text)
    assert why in told
    assert "hunter2" not in told


def test_ports_are_a_list() -> None:
    assert value("FETCH_PORTS", "80, 443,80") == (80, 443)
    for text in ("0", "80,", "http", "65536"):
        refusal("FETCH_PORTS", text)


@pytest.mark.parametrize(
    ("name", "text"), [("LOG", "TEXT"), ("UNKNOWN_CHATS", "close"), ("SOAP12_SENDER_STATUS", "401")]
)
def test_words_are_one_of_the_few(name: str, text: str) -> None:
    assert "is not one of the choices" in refusal(name, text)


def test_the_sender_status_is_a_number() -> None:
    assert value("SOAP12_SENDER_STATUS", "400") == 400


def test_folders_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert value("DATA_DIR", "a/../b") == tmp_path / "b"
    assert value("DATA_DIR", "~/chats") == tmp_path / "home" / "chats"
    (tmp_path / "file").touch()
    assert "is a file" in refusal("DATA_DIR", "file")
    assert "holds '%'" in refusal("DATA_DIR", "100%")
    assert "cannot be looked at" in refusal("DATA_DIR", "x" * 300)


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///", "oracle://db/x", "webchat.db", "sqlite+aiosqlite:///x.db"])
def test_other_databases_are_refused(text: str) -> None:
    assert "is no database URL that is known here" in refusal("DATABASE_URL", text)


@pytest.mark.parametrize("text", ["/var/files", "file://host/files", "file:///", "gs://bucket"])
def test_other_file_stores_are_refused(text: str) -> None:
    assert "is no file store URL that is known here" in refusal("FILES_URL", text)


def test_the_certificate_file_must_hold_certificates(tmp_path: Path) -> None:
    assert "is not a file" in refusal("FETCH_CA_FILE", str(tmp_path))
    assert "is not a file" in refusal("FETCH_CA_FILE", "/dev/zero")
    (tmp_path / "not.pem").write_text("no certificate")
    assert "holds no PEM certificates" in refusal("FETCH_CA_FILE", str(tmp_path / "not.pem"))
    system = ssl.get_default_verify_paths().cafile
    if system is not None:
        assert value("FETCH_CA_FILE", system) == Path(system)
