// The cheapest server Node has, so that what is around it weighs most.
const http = require('node:http');

const { LISTEN_FD, PORT } = process.env;
const server = http.createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ pid: process.pid }));
});
server.listen(LISTEN_FD ? { fd: Number(LISTEN_FD) } : { port: Number(PORT), host: '127.0.0.1' });
