// An ordinary HTTP server that knows nothing of supd. What goes wrong with it, its environment says.
const fs = require('node:fs');
const http = require('node:http');

const { BOOT_MS, CRASH_FILE, FAULT, HOST, NODE_APP_INSTANCE, PORT, SICK_FILE, START_FILE, VERSION } = process.env;

const answer = (response) => response.end(JSON.stringify({ pid: process.pid, version: VERSION ?? '' }));
const isThere = (file) => file !== undefined && fs.existsSync(file);

const hoard = [];

const routes = {
  '/': (response) => answer(response),
  '/health': (response) => {
    response.statusCode = isThere(SICK_FILE) ? 503 : 200;
    answer(response);
  },
  '/slow': (response, ms) => {
    console.log('slow');
    setTimeout(() => answer(response), ms);
  },
  // Ten pieces of the answer.
  '/stream': (response, ms) => {
    let piece = 0;
    const writing = setInterval(() => {
      response.write(`piece ${(piece += 1)}\n`);
      if (piece < 10) return;
      clearInterval(writing);
      response.end();
    }, ms / 10);
  },
  '/grow': (response) => {
    hoard.push(Buffer.alloc(128 << 20, 1));
    answer(response);
  },
  // The event loop never comes round again.
  '/block': () => {
    for (;;);
  },
};

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://app');
  const route = routes[url.pathname];
  if (route) return route(response, Number(url.searchParams.get('ms')));
  response.statusCode = 404;
  answer(response);
});

// As much of a WebSocket as a proxy sees: an upgraded connection that echoes.
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
  socket.on('data', (data) => socket.write(data));
  socket.on('error', () => {});
});

const crash = (what) => {
  console.error(`fatal: ${what}`);
  process.exit(3);
};

const listen = (port) => server.listen(port, HOST);
const boots = {
  throws: () => {
    throw new Error('no such table');
  },
  silent: () => {
    console.error('waiting for the moon');
    setInterval(() => {}, 1000);
  },
  'crashes in the first, silent in the second': () => {
    if (NODE_APP_INSTANCE === '1') return boots.silent();
    listen(PORT).once('listening', () => setTimeout(crash, 50, 'out of luck'));
  },
  'silent in the second': () => (NODE_APP_INSTANCE === '1' ? boots.silent() : listen(PORT)),
  elsewhere: () => listen(Number(PORT) + 1),
};

const boot = () => {
  if (START_FILE && !isThere(START_FILE)) return setTimeout(boot, 20);
  (boots[FAULT] ?? (() => listen(PORT)))();
};

setTimeout(boot, Number(BOOT_MS ?? 0));
if (CRASH_FILE) setInterval(() => isThere(CRASH_FILE) && crash('the file is there'), 20);
