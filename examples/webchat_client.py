"""A small client of the webchat service: python webchat_client.py [ADDRESS [FILE_URL]]. Needs zeep."""

import json
import sys
import time
import uuid

import requests
import zeep
from zeep.exceptions import Fault, TransportError

address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
# A call answers within 45 seconds, or not at all.
client = zeep.Client(f"{address}/webchat?wsdl", transport=zeep.Transport(operation_timeout=60))
webchat = client.service


def detail_of(fault):
    """The typed WebchatFault, or None: a fault about the envelope itself has no detail."""
    return None if fault.detail is None else client.wsdl.types.deserialize(fault.detail[0])


def patiently(operation, **parameters):
    """Call until it works or another try cannot help. Every try sends the same clientToken, so the call counts once."""
    backoff = 1
    while True:
        try:
            return operation(**parameters)
        except Fault as fault:
            detail = detail_of(fault)
            if detail is None or not detail.retryable or backoff > 8:
                raise
            seconds = detail.retryAfterSeconds or backoff
        except (requests.RequestException, TransportError):  # no answer, or a proxy's: the call may have worked
            if backoff > 8:
                raise
            seconds = backoff
        print(f"Trying again in {seconds} s")
        time.sleep(seconds)
        backoff *= 2


def new_token():
    return str(uuid.uuid4())


# Without a FILE_URL this sends a file of the chat "demo", which `make run` makes.
if len(sys.argv) > 2:
    file_url = sys.argv[2]
else:
    file_url = next(file.fileUrl for message in webchat.GetMessages(CHATID="demo").message for file in message.file)

chat = patiently(webchat.StartChat, customerName="Ayşe Yılmaz", clientToken=new_token())
print(f"Chat {chat.CHATID} is {chat.status} since {chat.startedAt:%Y-%m-%d %H:%M:%S} UTC")

text = json.dumps({"text": "Merhaba! A picture for you:"})
receipt = patiently(webchat.SendMessage, CHATID=chat.CHATID, fileDetails=text, clientToken=new_token())
print(f"Text is message {receipt.sequence}")

# UploadFile posts the file to the chat: do not send its link by SendMessage as well.
details = json.dumps({"fileUrl": file_url})
receipt = patiently(webchat.UploadFile, CHATID=chat.CHATID, fileDetails=details, clientToken=new_token())
for file in receipt.file:
    print(f"File is message {receipt.sequence}: {file.fileType} of {file.size} bytes, {file.fileUrl}")

# Each poll asks for what follows the last message, and waits for it, until an agent answers or nothing comes.
last_sequence, waiting = 0, True
while waiting:
    page = patiently(webchat.GetMessages, CHATID=chat.CHATID, afterSequence=last_sequence, waitSeconds=10)
    for message in page.message:
        last_sequence = message.sequence
        print(f"Message {message.sequence} of {message.sender}: {message.text or ''}, {len(message.file)} files")
    waiting = bool(page.message) and page.message[-1].sender != "AGENT"

chat = patiently(webchat.EndChat, CHATID=chat.CHATID)
print(f"Chat {chat.CHATID} is {chat.status} with {chat.lastSequence} messages")

try:
    webchat.SendMessage(CHATID=chat.CHATID, fileDetails=json.dumps({"text": "Too late"}))
except Fault as fault:
    detail = detail_of(fault)
    if detail is None:
        raise
    print(f"{detail.code}, field {detail.field}, request {detail.requestId}: {detail.message}")
