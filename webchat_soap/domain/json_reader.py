"""JSON read strictly, with refusals that a stranger can act on (contract section 4).

Two readers. The standard library's decoder, told to keep numbers as written and to stop at NaN and at keys that stand
twice, reads what is good: 2 µs for a text message on Python 3.11; `_Reader` takes 7. What the decoder stops at, or what
has so many brackets that it could end in a RecursionError, goes to `_Reader`, which explains: the library's
messages and positions change between Python versions, and its hooks do not know where they are. Tests hold the two
against each other.

Bounded on every input: `_Reader` caps nesting and the number of values; everything else is one pass in C.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import TypeAlias

from webchat_soap.domain.errors import InvalidJson, InvalidRequest

MAX_DEPTH = 16
"""Contract section 4; the outermost object or array counts as one."""

MAX_VALUES = 100
MAX_LOOKED_AT = 12_000
"""Code points of a broken string in which the place is looked for; an escape costs 60 ns."""
"""The richest message of the contract holds seven values; more than this is an attack or another document."""

MAX_ECHO = 40
"""Code points of a caller's value that a message repeats: enough to find it, too few to flood a log."""

MAX_FIELD = 200
"""Code points of a path: the deepest known one has 29, unknown keys could make it endless."""


@dataclass(frozen=True, slots=True)
class JsonNumber:
    """A number as it was written, so that `12345678901234567890` stays itself and no conversion can fail."""

    literal: str


JsonObject: TypeAlias = "dict[str, JsonValue]"
JsonValue: TypeAlias = "str | JsonNumber | bool | list[JsonValue] | JsonObject | None"

# White space that XML 1.0 can carry. Not str.strip()'s own set, which would take U+001C and its like away unseen.
_TRIMMED = (
    " \t\n\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005"
    "\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)

_skip = re.compile(r"[ \t\n\r]*").match
_plain_string = re.compile(r'"([^"\\\x00-\x1f]*)"').match
_number = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").match
_goes_on = re.compile(r"[0-9A-Za-z_.+-]").match
_word = re.compile(r"[A-Za-z_$][0-9A-Za-z_$]*").match
_literal = re.compile(r"(?:true|false|null)(?![0-9A-Za-z_$])").match
_sound_string = re.compile(r'[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*)*').match
_decode_string = JSONDecoder().raw_decode

_LITERALS: dict[str, JsonValue] = {"true": True, "false": False, "null": None}


def read_json(text: str, *, field: str) -> JsonValue:
    """The value that `text` holds; key names trimmed, strings as they are, numbers as `JsonNumber`.

    A byte order mark at the start is skipped and not counted. `field` is the parameter's name, for faults.
    InvalidJson with line and column (from 1, in code points); InvalidRequest for nesting deeper than 16 levels and,
    once all of it has been read, for a key that stands twice in one object. Text with more than 16 brackets, or that
    is not plain JSON, is InvalidRequest at its 101st value, whatever may follow.
    """
    text = text.removeprefix("\ufeff")
    # Commas may stand in a string; then the careful reader takes its few microseconds more.
    if text.count("{") + text.count("[") <= MAX_DEPTH and text.count(",") <= MAX_VALUES:
        try:
            quick: JsonValue = _decode(text)
        except ValueError:
            pass  # the reader below says why
        else:
            return quick
    return _read_carefully(text, field)


def _read_carefully(text: str, field: str) -> JsonValue:
    reader = _Reader(text, field)
    value = reader.read()
    if reader.duplicate is not None:
        raise InvalidRequest(f"{reader.duplicate} stands twice in the JSON; give it once.", field=reader.duplicate)
    return value


def _members(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    members = {key.strip(_TRIMMED): value for key, value in pairs}
    if len(members) != len(pairs):
        raise ValueError
    return members


def _refuse_constant(_literal: str) -> JsonValue:
    raise ValueError


_decode = JSONDecoder(
    object_pairs_hook=_members, parse_int=JsonNumber, parse_float=JsonNumber, parse_constant=_refuse_constant
).decode


def trim(value: str) -> str:
    """Without the white space around it."""
    return value.strip(_TRIMMED)


def echo(value: str) -> str:
    """A caller's value for a message: in double quotes, shortened, nothing unprintable in it."""
    return f'"{_printable(value)}"'


def join_path(path: str, key: str) -> str:
    """The path of a member; `path` is empty at the root. Bounded and printable whatever the key holds."""
    shown = _printable(key) if key else '""'
    return (f"{path}.{shown}" if path else shown)[:MAX_FIELD]


def _printable(value: str) -> str:
    """At most MAX_ECHO code points of `value` and three dots, with `\\uXXXX` for what cannot be seen."""
    shown = value if len(value) <= MAX_ECHO else value[:MAX_ECHO] + "..."
    if shown.isprintable():
        return shown
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in shown)


class _Reader:
    """One pass over one text, to say exactly what is wrong with it or to read what the decoder was not trusted with.

    Methods take a position and return what they read and the position behind it.
    """

    __slots__ = ("duplicate", "field", "text", "values_left")

    def __init__(self, text: str, field: str) -> None:
        self.text = text
        self.field = field
        self.values_left = MAX_VALUES
        self.duplicate: str | None = None
        """Path of the first key that stands twice. Kept until the end: text that is not JSON is told first."""

    def read(self) -> JsonValue:
        pos = self._skip_white_space(0)
        if pos == len(self.text):
            raise self._not_json(0, "a JSON object", found="nothing", hint="it is empty")
        value, pos = self._value(pos, 0, "")
        pos = self._skip_white_space(pos)
        if pos != len(self.text):
            raise self._not_json(pos, "nothing more after the JSON", hint=_hint(self.text, pos) or "send one object")
        return value

    def _skip_white_space(self, pos: int) -> int:
        match = _skip(self.text, pos)
        return match.end() if match else pos

    def _value(self, pos: int, depth: int, path: str) -> tuple[JsonValue, int]:
        self.values_left -= 1
        if self.values_left < 0:
            raise InvalidRequest(
                f"The JSON in {self.field} holds more than {MAX_VALUES:,} values; send one message or file in it.",
                field=self.field,
                limit=MAX_VALUES,
            )
        char = self.text[pos : pos + 1]
        if char == '"':
            return self._string(pos)
        if char in ("{", "["):
            if depth == MAX_DEPTH:
                raise InvalidRequest(
                    f"The JSON in {self.field} is nested deeper than {MAX_DEPTH} levels; no message needs more than 3.",
                    field=self.field,
                    limit=MAX_DEPTH,
                )
            return self._object(pos, depth + 1, path) if char == "{" else self._array(pos, depth + 1, path)
        literal = _literal(self.text, pos)
        if literal:
            return _LITERALS[literal.group()], literal.end()
        number = _number(self.text, pos)
        if number and not _goes_on(self.text, number.end()):
            return JsonNumber(number.group()), number.end()
        if number:
            raise self._not_json(
                number.end(), "the number's end", hint="no leading zeros, digits on both sides of the point"
            )
        if not path:
            raise self._not_json(pos, "a JSON object")
        raise self._not_json(pos, "a value", hint=self._unquoted_hint(pos))

    def _object(self, pos: int, depth: int, path: str) -> tuple[JsonObject, int]:
        text = self.text
        members: JsonObject = {}
        pos = self._skip_white_space(pos + 1)
        if text.startswith("}", pos):
            return members, pos + 1
        while True:
            if not text.startswith('"', pos):
                trailing = members and text.startswith("}", pos)
                hint = "take the last comma away" if trailing else self._unquoted_hint(pos)
                what = "another member after the comma" if members else 'a key name in double quotes or "}"'
                raise self._not_json(pos, what, hint=hint)
            key, pos = self._string(pos)
            key = trim(key)
            pos = self._skip_white_space(pos)
            if not text.startswith(":", pos):
                raise self._not_json(pos, f"a colon after the key name {echo(key)}")
            if key in members and self.duplicate is None:
                self.duplicate = join_path(path, key)
            pos = self._skip_white_space(pos + 1)
            members[key], pos = self._value(pos, depth, join_path(path, key))
            pos = self._skip_white_space(pos)
            if text.startswith("}", pos):
                return members, pos + 1
            if not text.startswith(",", pos):
                raise self._not_json(
                    pos, f'a comma between members, or "}}", after the value of {echo(key)}', hint=self._quote_hint(pos)
                )
            pos = self._skip_white_space(pos + 1)

    def _array(self, pos: int, depth: int, path: str) -> tuple[list[JsonValue], int]:
        text = self.text
        items: list[JsonValue] = []
        pos = self._skip_white_space(pos + 1)
        if text.startswith("]", pos):
            return items, pos + 1
        while True:
            if items and text.startswith("]", pos):
                raise self._not_json(pos, "another value after the comma", hint="take the last comma away")
            item, pos = self._value(pos, depth, f"{path}[{len(items)}]"[:MAX_FIELD])
            items.append(item)
            pos = self._skip_white_space(pos)
            if text.startswith("]", pos):
                return items, pos + 1
            if not text.startswith(",", pos):
                raise self._not_json(pos, 'a comma between values, or "]"', hint=self._quote_hint(pos))
            pos = self._skip_white_space(pos + 1)

    def _string(self, pos: int) -> tuple[str, int]:
        plain = _plain_string(self.text, pos)
        if plain:
            return plain.group(1), plain.end()
        try:
            return _decode_string(self.text, pos)
        except JSONDecodeError:
            raise self._bad_string(pos) from None

    def _bad_string(self, start: int) -> InvalidJson:
        """Why the string at `start` cannot be read: the decoder's own positions differ from case to case."""
        sound = _sound_string(self.text, start + 1, start + 1 + MAX_LOOKED_AT)
        assert sound is not None
        pos = sound.end()
        char = self.text[pos : pos + 1]
        if pos > start + MAX_LOOKED_AT - 6 and pos < len(self.text):
            found = f"one that is broken somewhere behind its first {MAX_LOOKED_AT:,} characters"
            return self._not_json(start, "a string", found=found, hint="let a JSON library write it")
        if char == "\\":
            return self._not_json(
                pos,
                r"an escape that JSON knows (\" \\ \/ \b \f \n \r \t \u and four hex digits)",
                found=echo(self.text[pos : pos + 6]),
                hint=r"write a backslash itself as \\",
            )
        if char and char != '"':
            hint = r"write a line break in a string as \n, a tab as \t, others as \uXXXX"
            return self._not_json(pos, "the string to go on", hint=hint)
        return self._not_json(start, "a string", found="one that is never closed", hint="end it with a double quote")

    def _quote_hint(self, pos: int) -> str | None:
        """After a string that ended too soon: a quotation inside it was not escaped."""
        before = self.text[pos - 1]
        return r"write a double quote inside a string as \"" if before == '"' and _word(self.text, pos) else None

    def _unquoted_hint(self, pos: int) -> str | None:
        return _hint(self.text, pos) or ("it must stand in double quotes" if _word(self.text, pos) else None)

    def _not_json(self, pos: int, expected: str, *, found: str | None = None, hint: str | None = None) -> InvalidJson:
        count, last = self.text.count, self.text.rfind
        # A carriage return and a line feed together are one line break.
        line = 1 + count("\n", 0, pos)
        if "\r" in self.text:
            line += count("\r", 0, pos) - count("\r\n", 0, pos)
        column = pos - max(last("\n", 0, pos), last("\r", 0, pos))
        hint = hint or _hint(self.text, pos)
        return InvalidJson(
            f"{self.field} is not JSON: at line {line}, column {column} expected {expected}, "
            f"found {found or _describe(self.text, pos)}{f'; {hint}' if hint else ''}.",
            field=self.field,
            line=line,
            column=column,
        )


# What often stands where JSON was meant, and what to do about it; the first one that fits.
_HINTS: Sequence[tuple[tuple[str, ...], str]] = (
    (("&quot;", "&#34;", "&amp;", "&#x22;"), "the XML was escaped twice: escape it once"),
    (('\\"',), "the JSON was escaped as if inside a string: send the object itself"),
    (("<",), "this looks like XML: put JSON as text into the element"),
    (("'",), "JSON has double quotes only"),
    (tuple("\u201c\u201d\u201e\u201f\u2018\u2019\u00ab\u00bb\u2033\uff02"), "use the straight double quote (U+0022)"),
    (("NaN", "Infinity", "-Infinity"), "JSON has no NaN and no Infinity"),
    (("True", "False"), "write true and false in small letters"),
    (("None", "undefined", "nil", "NULL", "Null"), "write null, or leave the member away"),
    (("//", "/*", "#"), "JSON has no comments"),
    (("+",), "JSON numbers have no plus sign"),
    ((".",), "write a digit in front of the point"),
)


def _hint(text: str, pos: int) -> str | None:
    for starts, hint in _HINTS:
        if text.startswith(starts, pos):
            return hint
    char = text[pos : pos + 1]
    if not char:
        return "it was cut short, or something in it is not closed"
    if (char.isspace() or char in "\ufeff\u200b") and char not in " \t\n\r":
        return "between its parts JSON has only spaces, tabs and line breaks"
    return None


_NAMES = {"\n": "a line break", "\r": "a line break", "\t": "a tab", "'": "a single quote", '"': "a string"}


def _describe(text: str, pos: int) -> str:
    """What stands at `pos`, for a message: a string, a word or a character by its name."""
    if pos >= len(text):
        return "the end of the text"
    string = _plain_string(text, pos)
    if string:
        return f"the string {echo(string.group(1))}"
    word = _word(text, pos)
    if word:
        return echo(word.group())
    char = text[pos]
    if char in _NAMES:
        return _NAMES[char]
    if " " < char <= "~":
        return f"'{char}'"
    return f"U+{ord(char):04X} ({unicodedata.name(char, 'a control or unnamed character').lower()})"
