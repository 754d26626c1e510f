"""How the values of settings are written: a class per kind, reading text into a Python value and writing it back.

`parse` takes trimmed, non-empty text and raises `ValueError` with the end of a sentence that began with the given text
("is not a size"); `allowed` completes "allowed is …"; `show` writes a value as `parse` reads it. Contract: section 8.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
Word = TypeVar("Word", str, int)
Number = TypeVar("Number", int, float)

NOT_YET = "not in this version yet"

_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_SIZE = re.compile(r"([0-9]{1,18}) ?([A-Za-z]*)", re.ASCII)
WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
# SQLAlchemy takes `%` and `?` in a URL's path as escapes and query: a folder with them would not be the folder meant.
_NOT_IN_PATHS = "?%"


class Kind(Protocol[T]):
    """A kind of value. `unit` is one word for tables; empty where a value has no unit."""

    @property
    def unit(self) -> str: ...

    @property
    def allowed(self) -> str: ...

    def parse(self, text: str) -> T: ...

    def show(self, value: T) -> str: ...


def hide_credentials(text: str) -> str:
    """The text with what stands before its last `@`, and any `password=…`, hidden; cut to 200 characters."""
    shown = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", r"\1***@", text, flags=re.DOTALL)
    shown = re.sub(r"(?i)(password|passwd|secret|token|key)=[^&\s]*", r"\1=***", shown)
    return shown if len(shown) <= 200 else shown[:200] + "…"


def as_size(count: int) -> str:
    """Bytes in the largest unit that divides them: `10MiB`, `1000`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count and count % _UNITS[unit] == 0:
            return f"{count // _UNITS[unit]}{unit}"
    return str(count)


def each(text: str, parse: Callable[[str], T]) -> tuple[T, ...]:
    """The items between commas, each once, in their order. The ValueError tells of every item that is wrong."""
    parsed: dict[T, None] = {}
    mistakes: dict[str, None] = {}
    for item in (part.strip() for part in text.split(",")):
        if not item:
            mistakes["has an empty item between its commas"] = None
            continue
        try:
            parsed[parse(item)] = None
        except ValueError as error:
            mistakes[f"holds {hide_credentials(item)!r}, which {error}"] = None
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return tuple(parsed)


def absolute_path(text: str) -> Path:
    """The path made absolute from the working folder, `~` and `..` worked out, symbolic links left alone."""
    try:
        # Not Path.absolute(), which keeps `..`.
        path = os.path.abspath(Path(text).expanduser())  # noqa: PTH100
    except RuntimeError:
        raise ValueError("begins with a home folder that is not known") from None
    for character in _NOT_IN_PATHS:
        if character in path:
            raise ValueError(f"stands for {path}, which holds {character!r}")
    return Path(path)


@dataclass(frozen=True)
class Size:
    """Bytes, plain or in powers of 1024. SI units (`MB`) are refused: half the world means 1024 by them."""

    minimum: int
    maximum: int
    unit: str = "bytes"

    @property
    def allowed(self) -> str:
        return f"{as_size(self.minimum)} to {as_size(self.maximum)} (bytes, or with KiB, MiB, GiB, TiB)"

    def parse(self, text: str) -> int:
        match = _SIZE.fullmatch(text)
        if match is None or match[2] not in _UNITS:
            raise ValueError("is not a size")
        return _within(int(match[1]) * _UNITS[match[2]], self.minimum, self.maximum)

    def show(self, value: int) -> str:
        return as_size(value)


@dataclass(frozen=True)
class Count:
    """A whole number."""

    minimum: int
    maximum: int
    unit: str = ""

    @property
    def allowed(self) -> str:
        return f"{self.minimum} to {self.maximum} {self.unit}".rstrip()

    def parse(self, text: str) -> int:
        if WHOLE.fullmatch(text) is None:
            raise ValueError("is not a whole number")
        return _within(int(text), self.minimum, self.maximum)

    def show(self, value: int) -> str:
        return str(value)


@dataclass(frozen=True)
class Span:
    """A time as a decimal number of its unit."""

    minimum: float
    maximum: float
    unit: str

    @property
    def allowed(self) -> str:
        return f"{self.minimum:g} to {self.maximum:.10g} {self.unit}"

    def parse(self, text: str) -> float:
        if _DECIMAL.fullmatch(text) is None:
            raise ValueError(f"is not a number of {self.unit}")
        return _within(float(text), self.minimum, self.maximum)

    def show(self, value: float) -> str:
        return f"{value:.10g}"


@dataclass(frozen=True)
class Seconds(Span):
    """Seconds as a decimal number."""

    unit: str = "seconds"


@dataclass(frozen=True)
class Choice(Generic[Word]):
    """One of a few words or numbers."""

    words: tuple[Word, ...]
    unit: str = ""

    @property
    def allowed(self) -> str:
        return " or ".join(map(str, self.words))

    def parse(self, text: str) -> Word:
        for word in self.words:
            if str(word) == text:
                return word
        raise ValueError("is not one of the choices")

    def show(self, value: Word) -> str:
        return str(value)


@dataclass(frozen=True)
class NotYetOpen:
    """`false`; `true` is known and refused, since accounts are what it would do without."""

    unit: str = ""
    allowed: str = "false"

    def parse(self, text: str) -> bool:
        if text == "true":
            raise ValueError(f"is {NOT_YET}: the service has no accounts and binds loopback only")
        if text != "false":
            raise ValueError("is neither true nor false")
        return False

    def show(self, value: bool) -> str:
        return "true" if value else "false"


@dataclass(frozen=True)
class Ports:
    """TCP ports, separated by commas."""

    unit: str = ""
    allowed: str = "ports from 1 to 65535 separated by commas"

    def parse(self, text: str) -> tuple[int, ...]:
        return each(text, Count(1, 65535).parse)

    def show(self, value: tuple[int, ...]) -> str:
        return ",".join(map(str, value))


@dataclass(frozen=True)
class Folder:
    """A folder, made absolute from the working folder. It need not exist yet."""

    unit: str = ""
    allowed: str = "a folder's path without ? and %"

    def parse(self, text: str) -> Path:
        path = absolute_path(text)
        if path.exists() and not path.is_dir():
            raise ValueError("is a file, not a folder")
        return path

    def show(self, value: Path) -> str:
        return str(value)


@dataclass(frozen=True)
class CertificateFile:
    """A file that can be read; None for none."""

    unit: str = ""
    allowed: str = "the path of a readable file of PEM certificates"

    def parse(self, text: str) -> Path | None:
        path = absolute_path(text)
        if not path.is_file():
            raise ValueError("is not a file")
        try:
            ssl.create_default_context(cafile=path)
        except ssl.SSLError:
            raise ValueError("holds no PEM certificates that can be read") from None
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror or 'unknown error'})") from None
        return path

    def show(self, value: Path | None) -> str:
        return "" if value is None else str(value)


@dataclass(frozen=True)
class Optional:
    """A count that may be left to the service: None."""

    kind: Count

    @property
    def unit(self) -> str:
        return self.kind.unit

    @property
    def allowed(self) -> str:
        return f"{self.kind.allowed}, or empty"

    def parse(self, text: str) -> int | None:
        return self.kind.parse(text)

    def show(self, value: int | None) -> str:
        return "" if value is None else self.kind.show(value)


def _within(number: Number, minimum: Number, maximum: Number) -> Number:
    if number < minimum:
        raise ValueError("is too small")
    if number > maximum:
        raise ValueError("is too large")
    return number
