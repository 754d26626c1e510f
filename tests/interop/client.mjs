// The scenario of stacks.py with npm's soap. Arguments: see there.
import { createRequire } from "node:module";

const soap = createRequire(process.env.INTEROP_MODULES + "/")("soap");
const [wsdl, prefix, lists, fileUrl, largeUrl, missingUrl] = process.argv.slice(2);

// What a member holds becomes JSON as it is; a time says that it is one.
function seen(value) {
  if (value instanceof Date) return { time: value.toISOString() };
  if (Array.isArray(value)) return value.map(seen);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, seen(member)]));
}

async function fault(call) {
  try {
    await call;
  } catch (error) {
    const { detail, Detail } = error.root.Envelope.Body.Fault;
    return (detail ?? Detail).WebchatFault;
  }
  return null;
}

const results = {};
for (const [version, port] of [["1.1", "WebchatSoap11"], ["1.2", "WebchatSoap12"]]) {
  const client = await soap.createClientAsync(wsdl, { forceSoap12Headers: version === "1.2" });
  const call = (operation, parameters) =>
    new Promise((resolve, reject) =>
      client.Webchat[port][operation](parameters, (error, answer) =>
        error ? reject(error) : resolve(answer[`${operation}Result`])));
  const chat = `${prefix}-${version}`;
  const file = { fileUrl, fileType: "IMAGE" };
  const send = (CHATID, message, more) =>
    call("SendMessage", { CHATID, fileDetails: JSON.stringify(message), ...more });
  const upload = (CHATID, details) => call("UploadFile", { CHATID, fileDetails: JSON.stringify(details) });
  const read = (CHATID, more) => call("GetMessages", { CHATID, ...more });

  results[version] = seen({
    started: await call("StartChat", { CHATID: chat, customerName: "Ayşe 🙂" }),
    empty: await read(chat),
    text: await send(chat, { text: "first ş" }, { clientToken: "token-1" }),
    repeated: await send(chat, { text: "first ş" }, { clientToken: "token-1" }),
    one: await read(chat),
    file: await send(chat, { fileDetails: file }),
    both: await send(chat, { text: "a <b> & ]]>", fileDetails: file }),
    uploaded: await upload(chat, file),
    two: await read(chat, { afterSequence: 1, maxMessages: 2, waitSeconds: 5 }),
    lists: await read(lists),
    limits: await call("GetLimits", { CHATID: chat }),
    general: await call("GetLimits", {}),
    ended: await call("EndChat", { CHATID: chat }),
    faults: {
      late: await fault(send(chat, { text: "late" })),
      broken: await fault(call("SendMessage", { CHATID: lists, fileDetails: '{"text":\n }' })),
      large: await fault(upload(prefix, { fileUrl: largeUrl })),
      missing: await fault(upload(prefix, { fileUrl: missingUrl })),
      mismatch: await fault(upload(prefix, { ...file, fileType: "VIDEO" })),
      negative: await fault(read(lists, { afterSequence: -1 })),
    },
  });
}
console.log(JSON.stringify(results));
