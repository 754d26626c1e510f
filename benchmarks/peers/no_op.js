// npm's soap or strong-soap under node's own http server, with a SendMessage that does nothing.
// node no_op.js soap|strong-soap PORT WSDL

const fs = require('fs');
const http = require('http');

const [library, port, wsdl] = process.argv.slice(2);
const soap = library === 'soap' ? require('soap') : require('strong-soap').soap;
const answer = {
  SendMessageResult: {
    messageId: '0f8fad5b-d9cb-469f-a165-70867728950e',
    CHATID: '12345',
    sequence: 1,
    sentAt: '2026-01-01T00:00:00.000Z',
    duplicate: false,
  },
};
const operations = { SendMessage: () => answer };

const server = http.createServer((request, response) => {
  response.statusCode = 404;
  response.end();
});
server.listen(Number(port), '127.0.0.1', 1024, () => {
  const services = { Webchat: { WebchatSoap11: operations, WebchatSoap12: operations } };
  soap.listen(server, '/webchat', services, fs.readFileSync(wsdl, 'utf8'));
});
