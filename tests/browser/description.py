"""A ServiceDescription as long and as real as the service's own, from the contract's tables, for tests of the page."""

from __future__ import annotations

from webchat_soap.domain.description import (
    FaultDescription,
    FieldDescription,
    OperationDescription,
    ServiceDescription,
    TypeDescription,
)

SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"

TEXTS = {
    "CHATID": "The chat: 1 to 64 ASCII letters, digits and `. _ : -`.",
    "fileDetails": 'JSON that names file or message: `{"fileUrl": "…", "fileName": "…", "fileType": "IMAGE"}`.',
    "clientToken": "A mark of your own on this call; a retry with the same one returns the first receipt.",
    "waitSeconds": "How long to wait for a message when there is none yet; at most 30, default 0.",
    "sha256": "SHA-256 of the stored bytes, lower-case hex.",
    "fileUrl": "The link to the stored file, open to whoever holds it.",
}
PARAMETERS = {
    "UploadFile": "CHATID string 1, fileDetails string 1, clientToken string 0..1 > MessageReceipt",
    "SendMessage": "CHATID string 0..1, fileDetails string 1, clientToken string 0..1 > MessageReceipt",
    "StartChat": "CHATID string 0..1, customerName string 0..1, clientToken string 0..1 > Chat",
    "GetMessages": "CHATID string 1, afterSequence long 0..1, maxMessages int 0..1, waitSeconds int 0..1 > MessagePage",
    "EndChat": "CHATID string 1 > Chat",
    "GetLimits": "CHATID string 0..1 > Limits",
}
OPERATION_TEXTS = {
    "UploadFile": "Downloads a file, proves its type, stores it and posts it to the chat as a message of its own.",
    "SendMessage": "Posts text, a file, or both as one message. A file goes through the intake of `UploadFile`.",
    "StartChat": "Opens a chat, or returns the open one with this `CHATID`; without one, the service makes an id.",
    "GetMessages": "Reads messages after a sequence, oldest first, and waits for news where asked to.",
    "EndChat": "Ends a chat. It can still be read, and the links to its files go on working.",
    "GetLimits": "Tells what is taken: types, sizes and counts, and what a chat has used of them.",
}
TYPES = {
    "MessageReceipt": "messageId string 1, CHATID string 1, sequence long 1, sentAt dateTime 1, duplicate boolean 1, "
    "file StoredFile 0..*",
    "StoredFile": "fileId string 1, fileUrl anyURI 1, fileName string 1, originalFileName string 1, "
    "fileType FileType 1, contentType string 1, size long 1, sha256 string 1, width int 0..1, height int 0..1, "
    "durationMilliseconds long 0..1, thumbnailUrl anyURI 0..1, removedAt dateTime 0..1",
    "Chat": "CHATID string 1, status ChatStatus 1, customerName string 0..1, startedAt dateTime 1, "
    "endedAt dateTime 0..1, lastSequence long 1, agentName string 0..1, endedBy string 0..1",
    "MessagePage": "CHATID string 1, status ChatStatus 1, message Message 0..*, lastSequence long 1, hasMore boolean 1",
    "Message": "messageId string 1, sequence long 1, sender Sender 1, agentName string 0..1, sentAt dateTime 1, "
    "text string 0..1, file StoredFile 0..*, deliveredAt dateTime 0..1, readAt dateTime 0..1",
    "Limits": "fileLimit FileLimit 1..*, maxTextLength int 1, maxFilesPerChat int 1, maxBytesPerChat long 1, "
    "filesUsed int 0..1, bytesUsed long 0..1",
    "FileLimit": "fileType FileType 1, maxSize long 1, contentType string 1..*",
}
ENUMERATIONS = {
    "FileType": (
        ("IMAGE", "A picture."),
        ("AUDIO", "Sound."),
        ("VIDEO", "Moving pictures."),
        ("DOCUMENT", "The rest."),
    ),
    "ChatStatus": (("OPEN", "Takes messages."), ("ENDED", "Can be read only.")),
    "Sender": (
        ("CUSTOMER", "A caller of SOAP."),
        ("AGENT", "Somebody at the console."),
        ("SYSTEM", "Not in version 1."),
    ),
}
FAULTS = (
    ("InvalidJson", "Client", "no", "`fileDetails` is not JSON; line and column point at what could not be read."),
    ("InvalidRequest", "Client", "no", "A value, an element or the whole message is wrong; `field` names it."),
    ("ChatIdMismatch", "Client", "no", "`CHATID` stands in the parameter and in the JSON, and the two differ."),
    ("ChatNotFound", "Client", "no", "No chat has this `CHATID`."),
    ("ChatEnded", "Client", "no", "The chat has ended and takes nothing more."),
    ("Conflict", "Client", "no", "The `clientToken` was used with another operation or other values."),
    ("QuotaExceeded", "Client", "no", "The chat holds as many files or bytes as it may; `limit` and `actual` tell."),
    ("UrlNotAllowed", "Client", "no", "The `fileUrl`, or a redirect from it, leads where the service does not go."),
    ("DownloadFailed", "Server", "yes, unless the host answered 4xx", "DNS, connect, TLS, timeout or an HTTP status."),
    ("FileTooLarge", "Client", "no", "More bytes than the family's limit."),
    ("EmptyFile", "Client", "no", "The file has no bytes."),
    ("UnsupportedFileType", "Client", "no", "A type outside the list, or a file that is also something active."),
    ("FileTypeMismatch", "Client", "no", "The bytes prove another family than `fileType` declares."),
    ("MalwareFound", "Client", "no", "The scanner named something."),
    ("ScanUnavailable", "Server", "yes", "The scanner did not answer; retryAfterSeconds says when to try again."),
    ("Busy", "Server", "yes", "No room right now; retryAfterSeconds says when to try again."),
    ("TooManyRequests", "Server", "yes", "The caller's rate is used up."),
    ("Internal", "Server", "yes", "Anything unforeseen; give the operator the `requestId`."),
    ("Unauthorized", "Client", "no", "No credentials or wrong ones."),
)
VALUES = {
    "CHATID": "12345",
    "fileDetails": '{"message": {"text": "test message &amp; more"}}',
    "clientToken": "order-4711-1",
    "customerName": "Ayşe Yılmaz",
    "afterSequence": "0",
    "maxMessages": "50",
    "waitSeconds": "20",
}


def fields(text: str) -> tuple[FieldDescription, ...]:
    parts = (each.split() for each in text.split(","))
    return tuple(
        FieldDescription(name=name, type_name=kind, occurs=occurs, text=TEXTS.get(name, f"What `{name}` tells."))
        for name, kind, occurs in parts
    )


def envelope(namespace: str, name: str, body: str) -> str:
    return (
        f'<soap:Envelope xmlns:soap="{namespace}" xmlns:w="urn:webchat:v1">\n  <soap:Body>\n    <w:{name}>\n'
        f"{body}    </w:{name}>\n  </soap:Body>\n</soap:Envelope>"
    )


def operation(name: str) -> OperationDescription:
    given, _, result = PARAMETERS[name].partition(" > ")
    parameters = fields(given)
    request = "".join(f"      <w:{each.name}>{VALUES[each.name]}</w:{each.name}>\n" for each in parameters)
    response = (
        f"      <w:{name}Result>\n        <!-- the chat's own words -->\n        <w:CHATID>12345</w:CHATID>\n"
        "        <w:fileUrl>https://chat.example.com/public_files/"
        "20210304-4865c412-7c28-45e4-9f55-3bd039401734.png</w:fileUrl>\n"
        f"      </w:{name}Result>\n"
    )
    return OperationDescription(
        name=name,
        text=OPERATION_TEXTS[name],
        parameters=parameters,
        result=FieldDescription(name=f"{name}Result", type_name=result, occurs="1", text=""),
        request_soap11=envelope(SOAP11, name, request),
        request_soap12=envelope(SOAP12, name, request),
        response_soap11=envelope(SOAP11, f"{name}Response", response),
        response_soap12=envelope(SOAP12, f"{name}Response", response),
    )


def description() -> ServiceDescription:
    return ServiceDescription(
        operations=tuple(operation(name) for name in PARAMETERS),
        types=(
            *(
                TypeDescription(name=name, text=f"The contract's {name}.", fields=fields(t))
                for name, t in TYPES.items()
            ),
            *(TypeDescription(name=name, text="", values=values) for name, values in ENUMERATIONS.items()),
        ),
        faults=tuple(FaultDescription(code=c, side=s, retryable=r, when=w) for c, s, r, w in FAULTS),
    )
