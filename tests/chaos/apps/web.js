'use strict';
// An HTTP server as anybody writes it. BUILD says in which way this build of it is bad, if it is.
const http = require('node:http');

const { BUILD, HOST, PORT } = process.env;
if (BUILD === 'throws') throw new Error('a bad build');
if (BUILD === 'hangs') {
    setInterval(() => {}, 1000);
    return;
}

http.createServer((request, response) => {
    const body = JSON.stringify({ pid: process.pid });
    const answer = () => response.end(body);
    if (request.url === '/slow') setTimeout(answer, 300);
    else answer();
}).listen(BUILD === 'elsewhere' ? Number(PORT) + 1 : Number(PORT), HOST);
