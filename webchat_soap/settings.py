# ruff: noqa: RUF009 - the functions called as defaults of the fields make dataclass fields
"""Each setting once: its name, how it is written, its default, its bounds and one sentence. Contract: section 8.

The fields of `Settings` are the table. `load_settings` fills them from `webchat.toml`, then the environment, then the
flags of `serve`, the later winning, and reports all mistakes at once. The environment is read in this file alone.

Why this is not pydantic-settings: its messages name fields and Python types where an operator needs the name as it was
written (`--max-image`, `WEBCHAT_MAX_IMAGE`, `max_image` in the file), what stood there without its password, and what
is allowed with its unit; it does not see unknown variables with our prefix; and a value's source, which `check` prints,
is lost in it.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from webchat_soap.settings_addresses import Address, BaseUrl, Bind, DatabaseUrl, FetchAllow, FilesUrl, Scanner
from webchat_soap.settings_values import (
    CertificateFile,
    Choice,
    Count,
    Folder,
    Kind,
    NotYetOpen,
    Optional,
    Ports,
    Seconds,
    Size,
    Span,
    hide_credentials,
)

__all__ = ["Bind", "EffectiveSetting", "Mistake", "Setting", "Settings", "SettingsError", "Source", "load_settings"]

T = TypeVar("T")

PREFIX = "WEBCHAT_"
TESTS_PREFIX = "WEBCHAT_TEST_"
"""Variables with this prefix belong to the tests (WEBCHAT_TEST_DATA) and are no settings."""
TOML_NAME = "webchat.toml"

Source = Literal["default", "file", "environment", "flag"]

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_GIB = 1024**3
_TIB = 1024**4
_DAY_SECONDS = 86400


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A row of the table."""

    name: str
    """As in the contract, without its prefix: `MAX_IMAGE`."""
    field: str
    """Of `Settings`: `max_image_bytes`."""
    kind: Kind[Any]
    default: str
    """As it would be written; empty for none."""
    sentence: str

    @property
    def variable(self) -> str:
        return PREFIX + self.name

    @property
    def key(self) -> str:
        return self.name.lower()

    @property
    def flag(self) -> str:
        return "--" + self.key.replace("_", "-")

    @property
    def is_switch(self) -> bool:
        """Whether its flag stands alone, without a value."""
        return isinstance(self.kind, NotYetOpen)

    def written_as(self, source: Source, toml_path: Path) -> str:
        names = {"flag": self.flag, "environment": self.variable, "file": f"{self.key} in {toml_path}"}
        return names.get(source, self.variable)


def _setting(name: str, kind: Kind[T], default: str, sentence: str) -> T:
    """A field of Settings that carries its row; T holds the field's annotation and its kind together."""

    def parsed_default() -> T:
        return kind.parse(default)

    return field(default_factory=parsed_default, metadata={"row": (name, kind, default, sentence)})


def _empty(name: str, kind: Kind[T], empty: T, sentence: str) -> T:
    """The same for a setting whose default is nothing written."""
    return field(default=empty, metadata={"row": (name, kind, "", sentence)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, parsed; immutable and picklable. `load_settings` checks; nothing is checked when made directly."""

    bind: Bind = _setting("BIND", Address(), "127.0.0.1:8000", "Address and port that the service listens on.")
    public_url: str | None = _empty(
        "PUBLIC_URL",
        BaseUrl(),
        None,
        "What links and the WSDL's address begin with; needed behind a proxy. Empty: the request's Host.",
    )
    data_dir: Path = _setting(
        "DATA_DIR", Folder(), "./webchat-data", "Folder for database, files and spool; one running service per folder."
    )
    database_url: str = _empty("DATABASE_URL", DatabaseUrl(), "", "Where chats and messages are kept.")
    files_url: str | None = _empty("FILES_URL", FilesUrl(), None, "Where the bytes of files are kept.")
    fetch_allow: tuple[str, ...] = _empty(
        "FETCH_ALLOW", FetchAllow(), (), "Hosts, host:port or networks that files may come from though not public."
    )
    unknown_chats: Literal["open", "refuse"] = _setting(
        "UNKNOWN_CHATS",
        Choice[Any](("open", "refuse")),
        "open",
        "What UploadFile and SendMessage do with a CHATID that is not known.",
    )
    max_image_bytes: int = _setting("MAX_IMAGE", Size(1, _TIB), "10MiB", "Largest picture.")
    max_audio_bytes: int = _setting("MAX_AUDIO", Size(1, _TIB), "16MiB", "Largest sound.")
    max_video_bytes: int = _setting("MAX_VIDEO", Size(1, _TIB), "64MiB", "Largest video.")
    max_document_bytes: int = _setting("MAX_DOCUMENT", Size(1, _TIB), "100MiB", "Largest document.")
    workers: int | None = _empty(
        "WORKERS", Optional(Count(1, 64)), None, "Worker processes. Empty: one, which uses two cores."
    )
    scanner: str | None = _empty("SCANNER", Scanner(), None, "Malware scanner that every file passes.")
    log: Literal["text", "json"] = _setting("LOG", Choice[Any](("text", "json")), "text", "How log lines are written.")
    max_text: int = _setting("MAX_TEXT", Count(1, 100_000, "code points"), "4096", "Longest text of a message.")
    max_files_per_chat: int = _setting(
        "MAX_FILES_PER_CHAT", Count(0, 1_000_000, "files"), "50", "Files that a chat may hold, copies counted."
    )
    max_bytes_per_chat: int = _setting(
        "MAX_BYTES_PER_CHAT", Size(0, 1024 * _TIB), "500MiB", "Bytes that a chat's files may hold, copies counted."
    )
    soap12_sender_status: Literal[500, 400] = _setting(
        "SOAP12_SENDER_STATUS",
        Choice[Any]((500, 400), "HTTP status"),
        "500",
        "Status of a SOAP 1.2 Sender fault; WCF reads no fault from a 400.",
    )
    max_request_bytes: int = _setting("MAX_REQUEST", Size(1024, _GIB), "1MiB", "Largest body of a SOAP request.")
    fetch_connect_seconds: float = _setting(
        "FETCH_CONNECT_SECONDS", Seconds(0.1, 300), "3", "Longest wait for a connection to a file's host."
    )
    fetch_first_byte_seconds: float = _setting(
        "FETCH_FIRST_BYTE_SECONDS", Seconds(0.1, 3600), "10", "Longest wait for the first byte of its answer."
    )
    fetch_total_seconds: float = _setting(
        "FETCH_TOTAL_SECONDS",
        Seconds(0.1, _DAY_SECONDS),
        "40",
        "Longest download, all included; raise it together with the sizes.",
    )
    fetch_ca_file: Path | None = _empty(
        "FETCH_CA_FILE", CertificateFile(), None, "Certificates to trust besides the system's (inner hosts over https)."
    )
    shutdown_seconds: float = _setting(
        "SHUTDOWN_SECONDS", Seconds(0.1, 3600), "20", "How long calls under way may take to end when the service stops."
    )
    request_seconds: float = _setting(
        "REQUEST_SECONDS", Seconds(0.1, 3600), "15", "By when a request's head and body must have come."
    )
    open: bool = _setting("OPEN", NotYetOpen(), "false", "Serve beyond loopback without accounts.")
    fetch_ports: tuple[int, ...] = _setting(
        "FETCH_PORTS", Ports(), "80,443,8080,8443", "Ports that files may come from; a host:port in FETCH_ALLOW too."
    )
    max_fetches: int = _setting(
        "MAX_FETCHES", Count(1, 1000, "files"), "64", "Files fetched at once, in each worker; further ones are Busy."
    )
    max_waiting: int = _setting(
        "MAX_WAITING", Count(0, 5000, "calls"), "500", "GetMessages that wait at once, in each worker."
    )
    agent_idle_minutes: float = _setting(
        "AGENT_IDLE_MINUTES",
        Span(0.01, 10_080, "minutes"),
        "60",
        "An agent who has done nothing in the console for so long must sign in again.",
    )
    agent_session_hours: float = _setting(
        "AGENT_SESSION_HOURS", Span(0.001, 8760, "hours"), "12", "So long after signing in at the latest, in any case."
    )

    def __post_init__(self) -> None:
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{self.data_dir / 'webchat.db'}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """What is wrong with one thing. `source` is None where several settings do not fit together."""

    name: str
    source: Source | None
    sentence: str

    def __str__(self) -> str:
        return f"{self.name} {self.sentence}"


class SettingsError(Exception):
    """All mistakes at once, one a line. No secret is in them."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        head = "A setting is wrong:" if len(mistakes) == 1 else f"{len(mistakes)} settings are wrong:"
        super().__init__("\n  ".join([head, *map(str, mistakes)]))


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectiveSetting:
    """A setting as it holds now: `value` as one would write it, without credentials."""

    setting: Setting
    value: str
    source: Source


def settings_table() -> tuple[Setting, ...]:
    """The rows, in the contract's order."""
    rows = ((spec.name, spec.metadata["row"]) for spec in fields(Settings))
    return tuple(
        Setting(field=field_name, name=name, kind=kind, default=default, sentence=sentence)
        for field_name, (name, kind, default, sentence) in rows
    )


def load_settings(
    *,
    environ: Mapping[str, str] | None = None,
    toml_path: Path | None = None,
    flags: Mapping[str, str] | None = None,
) -> Settings:
    """The settings from file, environment and flags; SettingsError names every mistake.

    `environ` is the process's own when None. `toml_path` is `webchat.toml` in the working folder when None, and may
    then be missing. `flags` are keyed by the setting's key (`max_image`). A value that is empty counts as not given.
    """
    return explain_settings(environ=environ, toml_path=toml_path, flags=flags)[0]


def explain_settings(
    *,
    environ: Mapping[str, str] | None = None,
    toml_path: Path | None = None,
    flags: Mapping[str, str] | None = None,
) -> tuple[Settings, tuple[EffectiveSetting, ...]]:
    """The same, and where each value came from."""
    table = settings_table()
    mistakes: list[Mistake] = []
    given: dict[str, tuple[str, Source]] = {}
    for source, values in (
        ("file", _from_toml(toml_path, table, mistakes)),
        ("environment", _from_environment(os.environ if environ is None else environ, table, mistakes)),
        ("flag", dict(flags or {})),
    ):
        given |= {key: (text.strip(), cast(Source, source)) for key, text in values.items() if text.strip()}

    parsed: dict[str, Any] = {}
    for setting in table:
        text, source = given.get(setting.key, (setting.default, "default"))
        if not text:
            continue
        try:
            parsed[setting.field] = _parse(setting, text)
        except ValueError as error:
            sentence = f"= {hide_credentials(text)!r} {error}. Allowed: {setting.kind.allowed}."
            name = setting.written_as(source, toml_path or Path(TOML_NAME))
            mistakes.append(Mistake(name=name, source=source, sentence=sentence))

    try:
        # Defaults stand in for what could not be read, so that the mistakes between settings are told at once too.
        settings = Settings(**parsed)
    except ValueError:  # a default that does not hold here: the working folder's name is in the data folder's
        raise SettingsError(tuple(mistakes)) from None
    unread = frozenset(setting.field for setting in table if setting.key in given) - parsed.keys()
    mistakes += _mistakes_between(settings, unread)
    if mistakes:
        raise SettingsError(tuple(mistakes))
    effective = tuple(
        EffectiveSetting(
            setting=setting,
            value=setting.kind.show(getattr(settings, setting.field)),
            source=given[setting.key][1] if setting.key in given else "default",
        )
        for setting in table
    )
    return settings, effective


def settings_markdown() -> str:
    """The table as the README has it."""
    lines = ["| setting | default | allowed | what it is |", "| --- | --- | --- | --- |"]
    for setting in settings_table():
        default = f"`{setting.default}`" if setting.default else ""
        lines.append(f"| `{setting.variable}` | {default} | {setting.kind.allowed} | {setting.sentence} |")
    return "\n".join(lines) + "\n"


def _parse(setting: Setting, text: str) -> Any:  # noqa: ANN401 - the field's own annotation says which
    if _UNPRINTABLE.search(text):
        raise ValueError("holds control characters or bytes that are not UTF-8")
    try:
        return setting.kind.parse(text)
    except OSError as error:
        raise ValueError(f"cannot be looked at ({error.strerror or 'unknown error'})") from None


def _from_environment(
    environ: Mapping[str, str], table: tuple[Setting, ...], mistakes: list[Mistake]
) -> dict[str, str]:
    keys = {setting.variable: setting.key for setting in table}
    found: dict[str, str] = {}
    for name in sorted(name for name in environ if name.startswith(PREFIX) and not name.startswith(TESTS_PREFIX)):
        if name in keys:
            found[keys[name]] = environ[name]
        else:
            mistakes.append(_unknown(name, name, "environment", table))
    return found


def _from_toml(toml_path: Path | None, table: tuple[Setting, ...], mistakes: list[Mistake]) -> dict[str, str]:
    path = toml_path or Path(TOML_NAME)
    rows = {setting.key: setting for setting in table}
    found: dict[str, str] = {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        if toml_path is not None:
            mistakes.append(Mistake(name=str(path), source="file", sentence="is not there."))
        return found
    except OSError as error:
        sentence = f"cannot be read: {error.strerror or 'unknown error'}."
        mistakes.append(Mistake(name=str(path), source="file", sentence=sentence))
        return found
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        mistakes.append(Mistake(name=str(path), source="file", sentence=f"is not TOML: {reason}."))
        return found
    for key, value in document.items():
        name = f"{key} in {path}"
        if key not in rows:
            mistakes.append(_unknown(name, key, "file", table))
        elif (text := _toml_text(value)) is None:
            sentence = f"is neither text, number, boolean nor list of these. Allowed: {rows[key].kind.allowed}."
            mistakes.append(Mistake(name=name, source="file", sentence=sentence))
        else:
            found[key] = text
    return found


def _toml_text(value: object) -> str | None:
    """A TOML value as the environment would have it; None where it could not."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list):
        items = [None if isinstance(item, list) else _toml_text(item) for item in value]
        return None if None in items else ",".join(map(str, items))
    return None


def _unknown(name: str, written: str, source: Source, table: tuple[Setting, ...]) -> Mistake:
    """A mistake that suggests the nearest name. The value is not shown: it may be a secret put in the wrong place."""
    key = written.lower().removeprefix(PREFIX.lower()).replace("-", "_")
    keys = {setting.key: setting for setting in table}
    nearest = difflib.get_close_matches(key, keys, n=1)
    if nearest:
        setting = keys[nearest[0]]
        hint = f"did you mean {setting.variable if source == 'environment' else setting.key}?"
    else:
        hint = "`webchat-soap serve --help` lists them."
    return Mistake(name=name, source=source, sentence=f"is no setting; {hint}")


def _mistakes_between(settings: Settings, unread: frozenset[str]) -> list[Mistake]:
    """What is wrong between settings that each are fine. Those in `unread` (fields) could not be read: not judged."""
    total = settings.fetch_total_seconds
    parts = ("fetch_connect_seconds", "fetch_first_byte_seconds")
    checks = [
        (
            ("fetch_total_seconds", part),
            total >= getattr(settings, part),
            f"= {total:g} is less than {PREFIX}{part.upper()} = {getattr(settings, part):g}, which is a part of it.",
        )
        for part in parts
    ]
    # The lock on the data folder keeps a second service away from all that lies in it, and from nothing else.
    for place, url in (("database_url", settings.database_url), ("files_url", settings.files_url)):
        path = Path((url or "").partition("://")[2].removeprefix("/" if place == "database_url" else ""))
        inside = url is None or (path != settings.data_dir and path.is_relative_to(settings.data_dir))
        outside = f"= {url!r} lies outside {settings.data_dir}, the data folder whose lock keeps a second service away."
        checks.append(((place, "data_dir"), inside, outside))
    return [
        Mistake(name=PREFIX + involved[0].upper(), source=None, sentence=sentence)
        for involved, holds, sentence in checks
        if not holds and not unread.intersection(involved)
    ]
