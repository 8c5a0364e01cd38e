// The cheapest server Node has, so that what is around it weighs most.
const http = require('node:http');

// What makes it too large: 256 MB.
const kept = [];
const { BOOT_MS, LISTEN_FD, PORT } = process.env;
const server = http.createServer((request, response) => {
  if (request.url === '/slow') setTimeout(answer, 500, response);
  else answer(response);
  if (request.url === '/grow') kept.push(Buffer.alloc(256 << 20, 1));
});
const answer = (response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ pid: process.pid }));
};
const listen = () => server.listen(LISTEN_FD ? { fd: Number(LISTEN_FD) } : { port: Number(PORT), host: '127.0.0.1' });
if (Number(BOOT_MS)) setTimeout(listen, Number(BOOT_MS));
else listen();
