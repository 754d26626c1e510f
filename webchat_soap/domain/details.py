"""The JSON door (contract section 4): from the parameters of UploadFile and SendMessage to types that can be trusted
to have the right shape. Beyond it nobody sees JSON or dicts. What a URL means (scheme, address) is the intake's matter.

Written by hand on `json_reader` instead of pydantic models: the rules here are about what stands where (two shapes,
two places for CHATID, paths as the caller wrote them) and every one has a sentence of its own, so that models would
leave all of this to be asked and their own errors to be translated. A text message takes 6 µs in all, text and file
13 µs (Python 3.11). All functions are pure and raise nothing but WebchatError.

Decided here where the contract is silent:

* An empty fileDetails is not JSON: InvalidJson at line 1, column 1. One byte order mark in front is skipped.
* null and empty strings count as left away for what is optional, also for telling the two shapes of SendMessage apart.
* A number as CHATID must be an integer literal and is kept digit for digit (`1.0`, `1e3` and true are refused).
* Line breaks in text become `\\n`, as XML would make them, so that what is read back is what was sent.
* fileType is also known in the letters that Turkish case rules make of it (`İMAGE`, `audıo`).
* An empty message is named by its own path: `message`, or `fileDetails` where the outer object was left away.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import NoReturn
from urllib.parse import unquote

from webchat_soap.domain.chat import SendRequest, UploadRequest
from webchat_soap.domain.errors import ChatIdMismatch, InvalidRequest
from webchat_soap.domain.file import FileDetails, FileType
from webchat_soap.domain.json_reader import JsonNumber, JsonObject, JsonValue, echo, join_path, read_json, trim

MAX_CHAT_ID = 64
MAX_CLIENT_TOKEN = 500
MAX_CUSTOMER_NAME = 200
MAX_FILE_URL = 2048
MAX_FILE_NAME = 255
"""Code points, as all lengths here."""

_PARAMETER = "fileDetails"
_FILE_SHAPE = '{"fileUrl": "https://...", "fileName": "...", "fileType": "IMAGE"}'
_MESSAGE_SHAPE = '{"text": "...", "fileDetails": {"fileUrl": "https://..."}}'
_SEND_SHAPE = '{"CHATID": "...", "message": {"text": "...", "fileDetails": {"fileUrl": "https://..."}}}'

_FILE_KEYS = ("fileUrl", "fileName", "fileType")
_MESSAGE_KEYS = ("text", "fileDetails")
_SEND_KEYS = ("CHATID", "message")

_is_chat_id = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch
_not_in_chat_id = re.compile(r"[^A-Za-z0-9._:-]").search
_is_integer = re.compile(r"-?[0-9]+").fullmatch
_not_in_xml = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]").search
_authority = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/\\?#]*").match
_path_end = re.compile(r"[?#]")
_FILE_TYPES = {name.value: name for name in FileType}
_TURKISH_I = str.maketrans({"İ": "I", "ı": "I", "\u0307": None})

# Controls (C0, DEL, C1), line and paragraph separator, the bidirectional controls with their deprecated kin, the byte
# order mark, and what XML cannot carry. Joiners stay: emoji are made with them.
_not_in_name = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ud800-\udfff\ufffe\uffff]"
)


def parse_upload(*, chat_id: str, file_details: str, client_token: str | None) -> UploadRequest:
    """UploadFile's parameters. InvalidJson, InvalidRequest. Contract: section 4."""
    chat_id = check_chat_id(chat_id)
    token = check_client_token(client_token)
    root = _root(file_details, _FILE_SHAPE)
    for key in root:
        if key not in _FILE_KEYS:
            if key == "CHATID":
                raise InvalidRequest(
                    f"UploadFile takes CHATID as a parameter, not in its JSON; write {_FILE_SHAPE}.", field=key
                )
            if key in _MESSAGE_KEYS or key in _SEND_KEYS:
                raise InvalidRequest(
                    f"{key} belongs to SendMessage's JSON; UploadFile takes the file alone: {_FILE_SHAPE}.", field=key
                )
            _refuse_unknown(key, "", _FILE_KEYS)
    return UploadRequest(chat_id=chat_id, file=_file(root, ""), client_token=token)


def parse_send(
    *, chat_id: str | None, file_details: str, client_token: str | None, max_text_length: int = 4096
) -> SendRequest:
    """SendMessage's parameters; `max_text_length` in code points. InvalidJson, InvalidRequest, ChatIdMismatch.

    Contract: section 4.
    """
    chat_id = check_chat_id(chat_id) if chat_id and trim(chat_id) else None
    token = check_client_token(client_token)
    root = _root(file_details, _SEND_SHAPE)
    text = _lone_text(root, chat_id, max_text_length)
    if text is not None and chat_id is not None:
        return SendRequest(chat_id=chat_id, text=text, file=None, client_token=token)
    for key in root:
        if key not in _SEND_KEYS and key not in _MESSAGE_KEYS:
            if key in _FILE_KEYS:
                raise InvalidRequest(
                    f'{key} stands at the top, as in UploadFile; SendMessage takes it inside "fileDetails": '
                    f"{_SEND_SHAPE}.",
                    field=key,
                )
            _refuse_unknown(key, "", (*_SEND_KEYS, *_MESSAGE_KEYS))
    given = [key for key, value in root.items() if _is_given(value)]
    bare = [key for key in given if key in _MESSAGE_KEYS]
    if bare and len(bare) < len(given):
        raise InvalidRequest(
            f"{bare[0]} stands beside CHATID or message, but belongs into message: write {_SEND_SHAPE}.", field=bare[0]
        )
    if bare or not any(key in _SEND_KEYS for key in root):
        message, path = root, ""
    else:
        message, path = _message(root.get("message")), "message"
    chat_id = _agreed_chat_id(chat_id, root.get("CHATID"))
    text = parse_text(message.get("text"), join_path(path, "text"), max_text_length)
    details = message.get("fileDetails")
    file = _inner_file(details, join_path(path, "fileDetails")) if _is_given(details) else None
    if text is None and file is None:
        raise InvalidRequest(
            f"The message is empty; give it text, fileDetails or both: {_SEND_SHAPE if path else _MESSAGE_SHAPE}.",
            field=path or _PARAMETER,
        )
    return SendRequest(chat_id=chat_id, text=text, file=file, client_token=token)


def _lone_text(root: JsonObject, chat_id: str | None, max_text_length: int) -> str | None:
    """The text of a message that is a text and nothing else, in either shape and for this chat, where there is nothing
    to say against it: nearly all messages are, and finding out the long way takes twice as long."""
    message = root.get("message") if "message" in root else root
    if not isinstance(message, dict) or len(message) != 1:
        return None
    if message is not root and len(root) > 1 and (len(root) > 2 or root.get("CHATID") != chat_id):
        return None
    text = message.get("text")
    if not isinstance(text, str) or len(text) > max_text_length or "\r" in text or _not_in_xml(text):
        return None
    return trim(text) or None


def check_chat_id(value: str, *, field: str = "CHATID") -> str:
    """`value` trimmed: 1..64 of ASCII letters, digits and `. _ : -`, else InvalidRequest."""
    if len(value) > 20 * MAX_CHAT_ID:
        raise _too_long(field, value, MAX_CHAT_ID)
    chat_id = trim(value)
    if _is_chat_id(chat_id):
        return chat_id
    if not chat_id:
        raise InvalidRequest(f"{field} is empty; give the chat's id.", field=field)
    # Looking at each character costs more than all the rest of a call when there are many.
    wrong = _not_in_chat_id(chat_id, 0, 4 * MAX_CHAT_ID)
    if wrong:
        raise InvalidRequest(
            f"{field} {echo(chat_id)} holds {echo(wrong.group())}; "
            "use only ASCII letters, digits, full stop, underscore, colon and hyphen.",
            field=field,
        )
    raise _too_long(field, chat_id, MAX_CHAT_ID)


def is_chat_id(value: str) -> bool:
    """Whether this is a CHATID as it stands, with nothing around it."""
    return _is_chat_id(value) is not None


def check_client_token(value: str | None) -> str | None:
    """The token exactly as it came, 1..500 characters; None where there is none. InvalidRequest."""
    if not value:
        return None
    if len(value) > MAX_CLIENT_TOKEN:
        raise _too_long("clientToken", value, MAX_CLIENT_TOKEN)
    _check_characters(value, "clientToken")
    return value


def check_customer_name(value: str | None) -> str | None:
    """The name trimmed, at most 200 code points; None where nothing is left. InvalidRequest."""
    if not value:
        return None
    name = trim(value)
    if len(name) > MAX_CUSTOMER_NAME:
        raise _too_long("customerName", name, MAX_CUSTOMER_NAME)
    _check_characters(value, "customerName")
    return name or None


def clean_original_name(value: str | None) -> str | None:
    """A file's name for people to see: without path parts, controls and bidirectional controls, never a path.

    At most 255 code points, cut in front of the extension; None where nothing is left. Refuses nothing.
    """
    if not value:
        return None
    name = _not_in_name.sub("", value).replace("\\", "/").rstrip("/").rpartition("/")[2]
    name = trim(name)
    if len(name) > MAX_FILE_NAME:
        stem, dot, extension = name.rpartition(".")
        tail = dot + extension if stem and len(extension) <= 16 else ""  # longer ones are no extensions
        name = trim(name[: MAX_FILE_NAME - len(tail)]) + tail
    return None if name in ("", ".", "..") else name


def _root(file_details: str, shape: str) -> JsonObject:
    root = read_json(file_details, field=_PARAMETER)
    if isinstance(root, dict):
        return root
    if isinstance(root, str) and trim(root).startswith("{"):
        raise InvalidRequest(
            f"{_PARAMETER} holds JSON inside a JSON string: it was encoded twice; send the object itself: {shape}.",
            field=_PARAMETER,
        )
    raise InvalidRequest(f"{_PARAMETER} must hold a JSON object, not {_kind(root)}: {shape}.", field=_PARAMETER)


def _message(value: JsonValue) -> JsonObject:
    if isinstance(value, dict):
        for key in value:
            if key not in _MESSAGE_KEYS:
                if key in _FILE_KEYS or key in _SEND_KEYS:
                    path = join_path("message", key)
                    place = 'inside "fileDetails"' if key in _FILE_KEYS else "at the top"
                    raise InvalidRequest(f"{path} must stand {place}: {_SEND_SHAPE}.", field=path)
                _refuse_unknown(key, "message", _MESSAGE_KEYS)
        return value
    if not _is_given(value):
        raise InvalidRequest(f"message is missing; give it text, fileDetails or both: {_SEND_SHAPE}.", field="message")
    raise InvalidRequest(f"message must be an object, not {_kind(value)}: {_MESSAGE_SHAPE}.", field="message")


def _agreed_chat_id(parameter: str | None, value: JsonValue) -> str:
    """The one CHATID of the two places; `parameter` is checked already."""
    if not _is_given(value):
        if parameter is None:
            raise InvalidRequest(
                'CHATID is missing; give it as the parameter or in the JSON as {"CHATID": "...", "message": {...}}.',
                field="CHATID",
            )
        return parameter
    if isinstance(value, JsonNumber) and _is_integer(value.literal):
        chat_id = check_chat_id(value.literal)
    elif isinstance(value, str):
        chat_id = check_chat_id(value)
    else:
        raise InvalidRequest(
            f"CHATID in the JSON must be a string or a whole number, not {_kind(value)}; put it in double quotes.",
            field="CHATID",
        )
    if parameter is not None and parameter != chat_id:
        raise ChatIdMismatch(
            f"The parameter CHATID is {echo(parameter)}, but the JSON says {echo(chat_id)}; "
            "give the same in both or only one of them.",
            field="CHATID",
        )
    return chat_id


def _inner_file(value: JsonValue, path: str) -> FileDetails:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path} must be an object, not {_kind(value)}: {_FILE_SHAPE}.", field=path)
    for key in value:
        if key not in _FILE_KEYS:
            _refuse_unknown(key, path, _FILE_KEYS)
    return _file(value, path)


def _file(members: JsonObject, path: str) -> FileDetails:
    """The file's details from an object whose keys are known; `path` is the object's own, empty at the root."""
    url_path = join_path(path, "fileUrl")
    url = _url(members, url_path)
    name_path = join_path(path, "fileName")
    given_name = _short_string(members.get("fileName"), name_path, MAX_FILE_NAME)
    if given_name is not None and len(given_name) > MAX_FILE_NAME:
        raise _too_long(name_path, given_name, MAX_FILE_NAME)
    return FileDetails(
        url=url,
        original_name=clean_original_name(given_name) or _name_in_url(url),
        declared_type=parse_file_type(members.get("fileType"), join_path(path, "fileType")),
        field=url_path,
    )


def _url(members: JsonObject, path: str) -> str:
    value = _short_string(members.get("fileUrl"), path, MAX_FILE_URL)
    if value is None:
        state = "missing" if "fileUrl" not in members else "null" if members["fileUrl"] is None else "empty"
        raise InvalidRequest(f"{path} is {state}; give the http or https URL the file can be read from.", field=path)
    first, *others = value.split()  # not by a pattern: one for white space around a sign takes quadratic time
    url = first
    if others:
        previous = first
        for part in others:
            if previous[-1] not in ":/-" and part[0] not in ":/-":
                raise InvalidRequest(
                    f"{path} holds white space in front of {echo(part)}; write a space in a URL as %20.", field=path
                )
            previous = part
        url = "".join((first, *others))
    if len(url) > MAX_FILE_URL:
        raise _too_long(path, url, MAX_FILE_URL)
    return url


def _name_in_url(url: str) -> str | None:
    """The last segment of the URL's path, percent-decoded once and cleaned. None where it has none."""
    authority = _authority(url)
    path = _path_end.split(url[authority.end() if authority else 0 :], maxsplit=1)[0]
    return clean_original_name(unquote(path.rpartition("/")[2]))


def parse_file_type(value: JsonValue, path: str) -> FileType | None:
    """An optional family, in any case. InvalidRequest."""
    if isinstance(value, str):
        value = value[:100]  # the longest right one has eight letters
    given = _string(value, path)
    if given is None:
        return None
    # The translation is for callers whose own language made the case: in Turkish, i is İ in capitals, and I is ı.
    file_type = _FILE_TYPES.get(given) or _FILE_TYPES.get(given.translate(_TURKISH_I).upper())
    if file_type is None:
        raise InvalidRequest(
            f"{path} is {echo(given)}; give IMAGE, AUDIO, VIDEO or DOCUMENT, or leave it away.", field=path
        )
    return file_type


def parse_text(value: JsonValue, path: str, max_text_length: int) -> str | None:
    """An optional text, trimmed, with its line breaks as `\\n`. InvalidRequest."""
    # Line breaks of Windows are counted as one.
    text = _short_string(value, path, max_text_length)
    if text is None:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > max_text_length:
        raise _too_long(path, text, max_text_length)
    return text


def _string(value: JsonValue, path: str) -> str | None:
    """An optional string, trimmed; None for one that counts as left away."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidRequest(f"{path} must be a string in double quotes, not {_kind(value)}.", field=path)
    _check_characters(value, path)
    return trim(value) or None


def _short_string(value: JsonValue, path: str, limit: int) -> str | None:
    """The same with at most `limit` characters; of what is far longer no character is looked at."""
    if isinstance(value, str) and len(value) > 4 * limit + 1000:
        raise _too_long(path, value, limit)
    return _string(value, path)


def _is_given(value: JsonValue) -> bool:
    """Whether an optional member counts as there: null and empty strings do not, as integrators' serialisers write
    them for what was never set.
    """
    return not (value is None or (isinstance(value, str) and not trim(value)))


def _check_characters(value: str, field: str) -> None:
    wrong = _not_in_xml(value)
    if wrong:
        raise InvalidRequest(
            f"{field} holds the character U+{ord(wrong.group()):04X} at position {wrong.start() + 1}, "
            "which XML cannot carry; take it out.",
            field=field,
        )


def _too_long(field: str, value: str, limit: int) -> InvalidRequest:
    return InvalidRequest(
        f"{field} has {len(value):,} characters, but may have at most {limit:,}; shorten it.",
        field=field,
        limit=limit,
        actual=len(value),
    )


def _refuse_unknown(key: str, path: str, known: tuple[str, ...]) -> NoReturn:
    names = {name.casefold(): name for name in known}
    # 0.5: "url" should find fileUrl and "file" fileDetails; long keys are cut, since matching takes quadratic time.
    near = get_close_matches(key[:64].casefold(), names, n=1, cutoff=0.5)
    advice = f"did you mean {names[near[0]]}?" if near else f"known here are {', '.join(known)}."
    where = f" in {path}" if path else ""
    raise InvalidRequest(f"The key {echo(key)}{where} is not known; {advice}", field=join_path(path, key))


def _kind(value: JsonValue) -> str:
    """What a value is, for a message."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case JsonNumber():
            return f"the number {value.literal if len(value.literal) <= 20 else value.literal[:20] + '...'}"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
