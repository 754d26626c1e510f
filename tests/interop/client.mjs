// One text and one typed fault through npm's soap, from the WSDL alone. Arguments: WSDL, address, CHATID, ended CHATID.
import { createRequire } from "node:module";

const soap = createRequire(process.env.INTEROP_MODULES + "/")("soap");
const [wsdl, address, chatId, endedChatId] = process.argv.slice(2);
const results = {};
for (const [version, port] of [["1.1", "WebchatSoap11"], ["1.2", "WebchatSoap12"]]) {
  const client = await soap.createClientAsync(wsdl, { forceSoap12Headers: version === "1.2" });
  client.setEndpoint(address);
  const operations = client.Webchat[port];
  const call = (name, parameters) =>
    new Promise((resolve, reject) =>
      operations[name](parameters, (error, result) => (error ? reject(error) : resolve(result))));
  const sent = await call("SendMessage", { CHATID: chatId, fileDetails: JSON.stringify({ text: `node ${version} ş` }) });
  const page = await call("GetMessages", { CHATID: chatId });
  let fault;
  try {
    await call("SendMessage", { CHATID: endedChatId, fileDetails: JSON.stringify({ text: "late" }) });
  } catch (error) {
    const detail = error.root.Envelope.Body.Fault;
    fault = (detail.detail ?? detail.Detail).WebchatFault;
  }
  results[version] = { receipt: sent.SendMessageResult, last: page.GetMessagesResult.message.at?.(-1) ?? page.GetMessagesResult.message, fault };
}
console.log(JSON.stringify(results));
