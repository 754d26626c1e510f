"""The tree of faults (contract section 6). A class's name is its code on the wire.

    WebchatError
      SenderError             soap:Client / soap:Sender: the caller must change something
        InvalidJson           fileDetails is not JSON (line, column)
        InvalidRequest        a value, an element or the whole message is wrong (field)
        ChatIdMismatch        CHATID in the parameter and in the JSON differ
        ChatNotFound          no such chat
        ChatEnded             the chat takes no more messages
        Conflict              clientToken was used with another operation or other values
        QuotaExceeded         the chat holds as many files or bytes as it may (limit, actual)
        UrlNotAllowed         the fileUrl leads where the service does not go
        FileTooLarge          more bytes than the family's limit (limit, actual where known)
        EmptyFile             zero bytes
        UnsupportedFileType   a type outside the list, or an active file (detectedType)
        FileTypeMismatch      another family than declared (declaredType, detectedType)
        MalwareFound          the scanner named something
        Unauthorized          no or wrong credentials
        WrongOffset           a piece of an upload in the wrong place (domain.uploads; of the console alone)
      ReceiverError           soap:Server / soap:Receiver: our side, or the file's host
        DownloadFailed        the file's host did not deliver (httpStatus where it answered)
        ScanUnavailable       the scanner did not answer
        Busy                  no room right now (retryAfterSeconds)
        TooManyRequests       the caller's rate is used up (retryAfterSeconds)
        Internal              anything unforeseen

Adapters translate foreign errors into these on the spot; only soap.faults writes them.
"""

from __future__ import annotations

from typing import ClassVar

from webchat_soap.domain.outages import Outage


class WebchatError(Exception):
    """A fault as the contract's WebchatFault, without its requestId.

    `message` is one sentence that says what is wrong and what to do; it may repeat the caller's own values, never
    anything inner (paths, SQL, addresses behind a name). The numbers are None where they say nothing.
    """

    retryable_by_default: ClassVar[bool] = False

    outage: Outage | None = None
    """What is broken below, where that is the reason: for the operator's log and /readyz, never for callers."""
    surely_not_stored: bool = True
    """False where a message may be there although its call failed; then nothing that it names may be taken away."""

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        limit: int | None = None,
        actual: int | None = None,
        declared_type: str | None = None,
        detected_type: str | None = None,
        http_status: int | None = None,
        line: int | None = None,
        column: int | None = None,
        retry_after_seconds: int | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.limit = limit
        self.actual = actual
        self.declared_type = declared_type
        self.detected_type = detected_type
        self.http_status = http_status
        self.line = line
        self.column = column
        self.retry_after_seconds = retry_after_seconds
        self.retryable = type(self).retryable_by_default if retryable is None else retryable

    @property
    def code(self) -> str:
        return type(self).__name__


class SenderError(WebchatError):
    """The caller must change something before it calls again."""


class ReceiverError(WebchatError):
    """Our side or the file's host; the same call may work later where `retryable` says so."""

    retryable_by_default = True


class InvalidJson(SenderError):
    """Not JSON. `line` and `column` count from 1 and point at what could not be read."""


class InvalidRequest(SenderError):
    """`field` is the path in the JSON as given (`message.fileDetails.fileUrl`) or the parameter's name."""


class ChatIdMismatch(SenderError):
    """CHATID stands in the parameter and in the JSON, and the two differ."""


class ChatNotFound(SenderError):
    """No chat has this CHATID."""


class ChatEnded(SenderError):
    """The chat has ended; it can be read, but takes nothing more."""


class Conflict(SenderError):
    """The clientToken was used before with another operation or other values."""


class QuotaExceeded(SenderError):
    """`limit` and `actual` count files or bytes; `field` is `maxFilesPerChat` or `maxBytesPerChat`."""


class UrlNotAllowed(SenderError):
    """The fileUrl, or a redirect from it, leads where the service does not go."""


class FileTooLarge(SenderError):
    """`limit` in bytes; `actual` in bytes where the host or the bytes so far tell it."""


class EmptyFile(SenderError):
    """The file has no bytes."""


class UnsupportedFileType(SenderError):
    """`detected_type` is the media type the bytes prove, or a word for what they are; None when nothing is known."""


class FileTypeMismatch(SenderError):
    """`declared_type` is a family, `detected_type` the proved family with its media type, as `VIDEO (video/mp4)`."""


class MalwareFound(SenderError):
    """The scanner found malware."""


class Unauthorized(SenderError):
    """No credentials or wrong ones."""


class DownloadFailed(ReceiverError):
    """`http_status` where the host answered with one. Not retryable for 4xx (but 408, 425, 429) and unknown names."""


class ScanUnavailable(ReceiverError):
    """The scanner did not answer."""


class Busy(ReceiverError):
    """No room right now; `retry_after_seconds` says when to try again."""


class TooManyRequests(ReceiverError):
    """The caller's rate is used up; `retry_after_seconds` says when to try again."""


class Internal(ReceiverError):
    """Anything unforeseen. Its message is always the same sentence; the log has the rest under the requestId."""

    def __init__(self) -> None:
        super().__init__(
            "Something went wrong on the service's side; retry with the same clientToken, and give the operator the "
            "requestId if it persists."
        )
