// A small client of the webchat service: node webchat_client.mjs [ADDRESS [FILE_URL]]. Needs npm's soap.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import soap from "soap";

const [address = "http://127.0.0.1:8000", givenUrl] = process.argv.slice(2);
const webchat = await soap.createClientAsync(`${address}/webchat?wsdl`);

// The WebchatFault of an error. npm's soap reads its members as text: "false" would count as true.
const detailOf = (error) => error.root?.Envelope?.Body?.Fault?.detail?.WebchatFault;

// Calls until it works or another try cannot help. Every try sends the same clientToken, so the call counts once.
async function patiently(operation, parameters) {
  for (let attempt = 0; ; attempt++) {
    try {
      // A call answers within 45 seconds, or not at all.
      const [answer] = await webchat[`${operation}Async`](parameters, { timeout: 60_000 });
      return answer[`${operation}Result`];
    } catch (error) {
      const unanswered = !error.root && (error.isAxiosError || error.response); // the call may have worked
      const detail = detailOf(error);
      if ((!unanswered && String(detail?.retryable) !== "true") || attempt === 4) throw error;
      const seconds = Number(detail?.retryAfterSeconds ?? 2 ** attempt);
      console.log(`Trying again in ${seconds} s`);
      await sleep(seconds * 1000);
    }
  }
}

// Without a FILE_URL this sends a file of the chat "demo", which `make run` makes. An empty list is absent: ?? [].
const demo = givenUrl ? [] : (await patiently("GetMessages", { CHATID: "demo" })).message ?? [];
const fileUrl = givenUrl ?? demo.flatMap((message) => message.file ?? [])[0].fileUrl;

let chat = await patiently("StartChat", { customerName: "Ayşe Yılmaz", clientToken: randomUUID() });
const { CHATID } = chat;
const startedAt = chat.startedAt.toISOString().slice(0, 19).replace("T", " ");
console.log(`Chat ${CHATID} is ${chat.status} since ${startedAt} UTC`);
// The parameters of a call with JSON in fileDetails.
const call = (details) => ({ CHATID, fileDetails: JSON.stringify(details), clientToken: randomUUID() });

let receipt = await patiently("SendMessage", call({ text: "Merhaba! A picture for you:" }));
console.log(`Text is message ${receipt.sequence}`);

// UploadFile posts the file to the chat: do not send its link by SendMessage as well.
receipt = await patiently("UploadFile", call({ fileUrl }));
for (const file of receipt.file ?? []) {
  console.log(`File is message ${receipt.sequence}: ${file.fileType} of ${file.size} bytes, ${file.fileUrl}`);
}

// Each poll asks for what follows the last message, and waits for it, until an agent answers or nothing comes.
let afterSequence = 0;
let messages;
do {
  messages = (await patiently("GetMessages", { CHATID, afterSequence, waitSeconds: 10 })).message ?? [];
  for (const { sequence, sender, text = "", file = [] } of messages) {
    afterSequence = sequence;
    console.log(`Message ${sequence} of ${sender}: ${text}, ${file.length} files`);
  }
} while (messages.length > 0 && messages.at(-1).sender !== "AGENT");

chat = await patiently("EndChat", { CHATID });
console.log(`Chat ${CHATID} is ${chat.status} with ${chat.lastSequence} messages`);

try {
  await webchat.SendMessageAsync(call({ text: "Too late" }));
} catch (error) {
  const detail = detailOf(error);
  if (!detail) throw error;
  const { code, field, requestId, message } = detail;
  console.log(`${code}, field ${field}, request ${requestId}: ${message}`);
}
