"""The short clients on the human page, one a language; tests run each as it stands there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Snippet:
    """A client of 8 to 15 lines. `needs` says in one line how to get its stack; ENDPOINT stands for the address."""

    language: str
    needs: str
    code: str

    @property
    def slug(self) -> str:
        """The language as part of an id."""
        return {"C#": "csharp"}.get(self.language, self.language.lower())

    def at(self, endpoint: str) -> Snippet:
        """The same for a service's address."""
        return Snippet(
            language=self.language,
            needs=self.needs.replace("ENDPOINT", endpoint),
            code=self.code.replace("ENDPOINT", endpoint),
        )


SNIPPETS = (
    Snippet(
        language="Python",
        needs="`pip install zeep`",
        code="""\
from zeep import Client
from zeep.exceptions import Fault

client = Client("ENDPOINT?wsdl")
webchat = client.service
try:
    chat = webchat.StartChat(customerName="Ayşe")
    webchat.SendMessage(CHATID=chat.CHATID, fileDetails='{"text": "Merhaba!"}')
    for message in webchat.GetMessages(CHATID=chat.CHATID).message:
        print(message.sequence, message.sender, message.text)
except Fault as fault:
    detail = client.wsdl.types.deserialize(fault.detail[0])
    print(detail.code, detail.retryable, detail.message)""",
    ),
    Snippet(
        language="PHP",
        needs="PHP with its soap extension",
        code="""\
<?php
$webchat = new SoapClient('ENDPOINT?wsdl', ['features' => SOAP_SINGLE_ELEMENT_ARRAYS]);
try {
    $chat = $webchat->StartChat(['customerName' => 'Ayşe'])->StartChatResult;
    $webchat->SendMessage(['CHATID' => $chat->CHATID, 'fileDetails' => '{"text": "Merhaba!"}']);
    $page = $webchat->GetMessages(['CHATID' => $chat->CHATID])->GetMessagesResult;
    foreach ($page->message ?? [] as $message) {
        echo "$message->sequence $message->sender $message->text\\n";
    }
} catch (SoapFault $fault) {
    $detail = $fault->detail->WebchatFault;
    echo $detail->code, $detail->retryable ? ' (try again): ' : ': ', $detail->message, "\\n";
}""",
    ),
    Snippet(
        language="Node",
        needs="`npm install soap`; save it as hello.mjs",
        code="""\
import soap from 'soap';

const webchat = await soap.createClientAsync('ENDPOINT?wsdl');
try {
  const [{ StartChatResult: chat }] = await webchat.StartChatAsync({ customerName: 'Ayşe' });
  await webchat.SendMessageAsync({ CHATID: chat.CHATID, fileDetails: '{"text": "Merhaba!"}' });
  const [{ GetMessagesResult: page }] = await webchat.GetMessagesAsync({ CHATID: chat.CHATID });
  for (const message of [page.message ?? []].flat()) {
    console.log(message.sequence, message.sender, message.text);
  }
} catch (error) {
  if (!error.root) throw error; // no answer came
  const { code, retryable, message } = error.root.Envelope.Body.Fault.detail.WebchatFault;
  console.log(code, retryable, message);
}""",
    ),
    Snippet(
        language="Java",
        needs="JAX-WS: `wsimport -p webchat ENDPOINT?wsdl`; save it as Hello.java",
        code="""\
import webchat.*;

public class Hello {
    public static void main(String[] arguments) {
        WebchatPortType webchat = new Webchat().getWebchatSoap11();
        try {
            Chat chat = webchat.startChat(null, "Ayşe", null);
            webchat.sendMessage(chat.getCHATID(), "{\\"text\\": \\"Merhaba!\\"}", null);
            for (Message message : webchat.getMessages(chat.getCHATID(), null, null, null).getMessage())
                System.out.println(message.getSequence() + " " + message.getSender() + " " + message.getText());
        } catch (WebchatException fault) {
            System.out.println(fault.getFaultInfo().getCode() + ": " + fault.getFaultInfo().getMessage());
        }
    }
}""",
    ),
    Snippet(
        language="C#",
        needs="Mono or .NET Framework: `wsdl ENDPOINT?wsdl`; compile it with Webchat.cs and System.Web.Services",
        code="""\
using System;
using System.Web.Services.Protocols;

public static class Hello {
    public static void Main() {
        var webchat = new Webchat();
        try {
            var chat = webchat.StartChat(null, "Ayşe", null);
            webchat.SendMessage(chat.CHATID, "{\\"text\\": \\"Merhaba!\\"}", null);
            foreach (var message in webchat.GetMessages(chat.CHATID, 0, false, 0, false, 0, false).message)
                Console.WriteLine("{0} {1} {2}", message.sequence, message.sender, message.text);
        } catch (SoapException fault) { Console.WriteLine("{0}: {1}", fault.Message, fault.Detail.InnerXml); }
    }
}""",
    ),
)

RETRY = """\
token = a new UUID, kept with what you send
for attempt in 0, 1, 2, 3, 4, 5:
  within 60 seconds:
    return SendMessage(…, clientToken=token)
  on a fault:
    if it has no WebchatFault,
    or its retryable is false:
      stop and show its message
    wait = retryAfterSeconds,
           or 2 ^ attempt without one
  on no answer (broken off, too late):
    wait = 2 ^ attempt
  sleep wait * random(1, 1.5) seconds
stop for now; the token stays good"""
"""The recipe for safe retries, for people who write in any language."""
