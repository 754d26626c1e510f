"""The sentences of the WSDL and of the human page: one per operation, type, element and enumeration value.

A test holds these tables against the schema: a name without its sentence, or a sentence without its name, fails it.
"""

from __future__ import annotations

from webchat_soap.domain.description import FaultDescription

SERVICE = (
    "Webchat with file attachments. Open a chat, send text and files to it as the customer, and read what the agent "
    "answers. A file is named by a URL from which the service downloads it; its type is proved from its bytes."
)

PORT_TYPE = (
    "What a customer's side can do. Every operation may answer with a WebchatFault: decide by its code and retryable."
)

SOAP_VERSIONS = {
    "WebchatSoap11Binding": "SOAP 1.1 over HTTP, document/literal wrapped. The soapAction is the operation's name.",
    "WebchatSoap12Binding": "SOAP 1.2 over HTTP, document/literal wrapped. The action is the operation's name.",
    "WebchatSoap11": "SOAP 1.1. The address is the same for both versions.",
    "WebchatSoap12": "SOAP 1.2. The address is the same for both versions.",
}

OPERATIONS = {
    "UploadFile": (
        "Downloads the file named in fileDetails, proves its type, stores it AND POSTS IT TO THE CHAT as a message of "
        "its own. Do not send the returned link by SendMessage as well: that would post the file a second time."
    ),
    "SendMessage": (
        "Posts a text, a file, or both as one message. An unknown CHATID opens the chat, unless the operator has "
        "turned that off."
    ),
    "StartChat": (
        "Opens a chat, with your CHATID or with one made by the service. With a CHATID that is open already it returns "
        "that chat."
    ),
    "GetMessages": (
        "Reads messages in order. Page on with the sequence of the last message you got as afterSequence; with "
        "waitSeconds the call waits for a new message when there is none."
    ),
    "EndChat": "Ends a chat. It can still be read, but takes no more messages. Ending it again changes nothing.",
    "GetLimits": "Tells what files and texts are taken, and with a CHATID what that chat has used.",
}

PARAMETERS = {
    ("UploadFile", "CHATID"): "The chat: 1 to 64 ASCII letters, digits and . _ : -",
    ("UploadFile", "fileDetails"): (
        'JSON: {"fileUrl": "https://host/picture.png", "fileName": "picture.png", "fileType": "IMAGE"}. '
        "fileName and fileType may be left away."
    ),
    ("UploadFile", "clientToken"): (
        "Your mark on this call, 1 to 500 characters. Retry with the same token: you get the first receipt with "
        "duplicate=true, and nothing is posted twice."
    ),
    ("SendMessage", "CHATID"): "The chat; may be left away when it stands in the JSON.",
    ("SendMessage", "fileDetails"): (
        'JSON: {"CHATID": "12345", "message": {"text": "...", "fileDetails": {"fileUrl": "...", "fileName": "...", '
        '"fileType": "AUDIO"}}} with text, fileDetails or both; with CHATID as a parameter also just {"text": "..."}.'
    ),
    ("SendMessage", "clientToken"): "Makes a retry safe, as in UploadFile.",
    ("StartChat", "CHATID"): "Your id for the chat; the service makes one when it is left away.",
    ("StartChat", "customerName"): "Shown to the agent; at most 200 characters.",
    ("StartChat", "clientToken"): "Makes a retry safe: the same token gives the same chat, ended or not.",
    ("GetMessages", "CHATID"): "The chat.",
    ("GetMessages", "afterSequence"): "Only messages beyond this sequence; 0, the default, reads from the start.",
    ("GetMessages", "maxMessages"): "At most so many messages: default 50, at most 100.",
    ("GetMessages", "waitSeconds"): (
        "Wait so long for a new message when there is none: default 0, at most 30. Set your client's timeout higher."
    ),
    ("EndChat", "CHATID"): "The chat.",
    ("GetLimits", "CHATID"): "Also tell what this chat has used.",
}

TYPES = {
    "MessageReceipt": "Proof that a message is stored: it is sent only after message and file are safely on disk.",
    "StoredFile": "A file that the service holds.",
    "Chat": "A chat as it stands now.",
    "MessagePage": "Messages in order, and where the chat stands.",
    "Message": "A message of a chat.",
    "Limits": "All limits, and what a chat has used of them.",
    "FileLimit": "What is taken of one family of files.",
    "FileType": "The four families of files.",
    "ChatStatus": "Whether a chat takes messages.",
    "Sender": "Who wrote a message.",
    "WebchatFault": "The typed detail of every fault. Decide by code and retryable; show message to a person.",
}

_FILE_ELEMENT = "The message's files."

ELEMENTS = {
    ("MessageReceipt", "messageId"): "The message's id.",
    ("MessageReceipt", "CHATID"): "The chat.",
    ("MessageReceipt", "sequence"): "The message's place in its chat, from 1 without gaps.",
    ("MessageReceipt", "sentAt"): "When the message was stored, in UTC.",
    ("MessageReceipt", "duplicate"): "True when a clientToken was used again: nothing was posted by this call.",
    ("MessageReceipt", "file"): _FILE_ELEMENT,
    ("StoredFile", "fileId"): "The file's id.",
    ("StoredFile", "fileUrl"): "Where the file can be read.",
    ("StoredFile", "fileName"): "The stored name, YYYYMMDD-UUID.ext with the extension of the proved type.",
    ("StoredFile", "originalFileName"): "The name its sender gave it, for people.",
    ("StoredFile", "fileType"): "The family that the bytes prove.",
    ("StoredFile", "contentType"): "The media type that the bytes prove.",
    ("StoredFile", "size"): "Bytes.",
    ("StoredFile", "sha256"): "SHA-256 of the bytes, lower-case hex.",
    ("StoredFile", "width"): "Pixels, where the file tells.",
    ("StoredFile", "height"): "Pixels, where the file tells.",
    ("StoredFile", "durationMilliseconds"): "Length of sound or video, where the file tells.",
    ("StoredFile", "thumbnailUrl"): "Reserved for a small picture; not filled by this release.",
    ("StoredFile", "removedAt"): "When the bytes were removed; not filled by this release.",
    ("Chat", "CHATID"): "The chat's id.",
    ("Chat", "status"): "OPEN or ENDED.",
    ("Chat", "customerName"): "As StartChat gave it.",
    ("Chat", "startedAt"): "When the chat was opened, in UTC.",
    ("Chat", "endedAt"): "When the chat was ended, in UTC.",
    ("Chat", "lastSequence"): "Sequence of the chat's last message; 0 when it has none.",
    ("Chat", "agentName"): "Reserved for the agent in charge; not filled by this release.",
    ("Chat", "endedBy"): "Who ended the chat.",
    ("MessagePage", "CHATID"): "The chat.",
    ("MessagePage", "status"): "OPEN or ENDED: stop polling an ended chat once hasMore is false.",
    ("MessagePage", "message"): "The messages, oldest first.",
    ("MessagePage", "lastSequence"): "Sequence of the chat's last message; not of the page's.",
    ("MessagePage", "hasMore"): "True when the chat has messages beyond this page.",
    ("Message", "messageId"): "The message's id.",
    ("Message", "sequence"): "The message's place in its chat, from 1 without gaps.",
    ("Message", "sender"): "CUSTOMER for what came in by this service, AGENT for the answers.",
    ("Message", "agentName"): "The agent's name; not filled by this release.",
    ("Message", "sentAt"): "When the message was stored, in UTC.",
    ("Message", "text"): "The text, if the message has one.",
    ("Message", "file"): _FILE_ELEMENT,
    ("Message", "deliveredAt"): "Reserved; not filled by this release.",
    ("Message", "readAt"): "Reserved; not filled by this release.",
    ("Limits", "fileLimit"): "One for each family.",
    ("Limits", "maxTextLength"): "Code points of a text, at most.",
    ("Limits", "maxFilesPerChat"): "Files of a chat, at most.",
    ("Limits", "maxBytesPerChat"): "Bytes of a chat's files together, at most.",
    ("Limits", "filesUsed"): "Files that the chat has; given when CHATID was.",
    ("Limits", "bytesUsed"): "Bytes that the chat's files take; given when CHATID was.",
    ("FileLimit", "fileType"): "The family.",
    ("FileLimit", "maxSize"): "Bytes of one file, at most.",
    ("FileLimit", "contentType"): "A media type that is taken.",
    ("WebchatFault", "code"): "",  # filled below with the list of codes
    ("WebchatFault", "message"): "What is wrong and what to do.",
    ("WebchatFault", "retryable"): "True when the same call may work later; retry with the same clientToken.",
    ("WebchatFault", "requestId"): "Give it to the operator: the log has it.",
    ("WebchatFault", "field"): "Path in the JSON as given (message.fileDetails.fileUrl), or the parameter's name.",
    ("WebchatFault", "limit"): "The limit that was broken: bytes, files, characters or pixels.",
    ("WebchatFault", "actual"): "What was met instead of the limit.",
    ("WebchatFault", "declaredType"): "The family that the caller declared.",
    ("WebchatFault", "detectedType"): "What the bytes prove.",
    ("WebchatFault", "httpStatus"): "What the file's host answered.",
    ("WebchatFault", "line"): "Line of the JSON, from 1.",
    ("WebchatFault", "column"): "Column of the JSON, from 1.",
    ("WebchatFault", "retryAfterSeconds"): "Wait so long before the retry.",
}

ENUMERATION_VALUES = {
    ("FileType", "IMAGE"): "PNG, JPEG, GIF, WebP, BMP, TIFF, HEIC, AVIF",
    ("FileType", "AUDIO"): "WAV, MP3, Ogg, FLAC, M4A, AAC, AMR, WebM with sound only",
    ("FileType", "VIDEO"): "MP4, QuickTime, WebM, Matroska, AVI, 3GP, Ogg",
    ("FileType", "DOCUMENT"): "PDF, Word, Excel, PowerPoint, OpenDocument, RTF, text, CSV",
    ("ChatStatus", "OPEN"): "The chat takes messages.",
    ("ChatStatus", "ENDED"): "The chat can be read, and takes no more messages.",
    ("Sender", "CUSTOMER"): "The customer, through this service.",
    ("Sender", "AGENT"): "The agent, through the console.",
    ("Sender", "SYSTEM"): "The service itself; no such message is posted in version 1.",
}

_FAULTS = (
    ("InvalidJson", "Client", "no", "fileDetails is not JSON; line and column say where."),
    ("InvalidRequest", "Client", "no", "A value, an element or the whole message is wrong; field says which."),
    ("ChatIdMismatch", "Client", "no", "CHATID in the parameter and in the JSON differ."),
    ("ChatNotFound", "Client", "no", "No chat has this CHATID."),
    ("ChatEnded", "Client", "no", "The chat has ended and takes no more messages."),
    ("Conflict", "Client", "no", "The clientToken was used with another operation or other values."),
    ("QuotaExceeded", "Client", "no", "The chat holds as many files or bytes as it may."),
    (
        "UrlNotAllowed",
        "Client",
        "no",
        (
            "The fileUrl, or a redirect from it, leads where the service does not go: another scheme, credentials, a "
            "port that is not allowed, an address that is not public."
        ),
    ),
    (
        "DownloadFailed",
        "Server",
        "yes, unless the host answered 4xx (408, 425 and 429 are) or its name does not exist",
        "The file's host could not be reached, was too slow, answered with an error (httpStatus) or broke off.",
    ),
    ("FileTooLarge", "Client", "no", "The file has more bytes than its family may."),
    ("EmptyFile", "Client", "no", "The file has no bytes."),
    ("UnsupportedFileType", "Client", "no", "The file's type is not on the list, or the file is broken or active."),
    ("FileTypeMismatch", "Client", "no", "The bytes prove another family than was declared."),
    ("MalwareFound", "Client", "no", "The scanner found malware in the file."),
    ("ScanUnavailable", "Server", "yes", "The scanner did not answer; see retryAfterSeconds."),
    ("Busy", "Server", "yes", "No room right now; see retryAfterSeconds."),
    ("TooManyRequests", "Server", "yes", "Your rate is used up; see retryAfterSeconds."),
    ("Internal", "Server", "yes", "Anything unforeseen; the operator finds it by requestId."),
    ("Unauthorized", "Client", "no", "Credentials are missing or wrong."),
)

FAULTS = tuple(
    FaultDescription(code=code, side=side, retryable=retryable, when=when) for code, side, retryable, when in _FAULTS
)

ELEMENTS["WebchatFault", "code"] = (
    "One of " + ", ".join(fault.code for fault in FAULTS) + "; more may come, so treat an unknown code by retryable."
)
