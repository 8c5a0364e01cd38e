'use strict';
// supd loads this into Node's cluster workers. Until the worker is told to leave it only listens on the IPC channel.
//
// `disconnect` makes the cluster module close every server. Kept-alive connections then stay open for as long as their
// clients like, or (since Node 19) the silent ones are cut at once, perhaps under a request that is on its way. So from
// then on each next answer says `Connection: close`, and what is silent for about a second is cut.

if (typeof process.send !== 'function' || process.versions.bun || process.versions.deno) return; // Or a worker thread.

const LOOK_EVERY = 250;
const LOOKS_IN_SILENCE = 4;

const ours = `/${__filename.slice(__filename.lastIndexOf('/') + 1)}"`;
const options = (process.env.NODE_OPTIONS ?? '').replace(/--require "(?:[^"\\]|\\.)*" ?/g,
    (option) => option.trimEnd().endsWith(ours) ? '' : option);
if (options === '') delete process.env.NODE_OPTIONS; // Child processes are none of our business.
else process.env.NODE_OPTIONS = options;

// In a Node whose inner life has changed all goes on as without us.
const harmless = (work) => (...given) => { try { work(...given); } catch {} };

const isServer = (handle) => handle.listening === true && typeof handle.listenerCount === 'function'
    && handle.listenerCount('request') + handle.listenerCount('stream') > 0;
const servers = () => process._getActiveHandles().filter(isServer);

// Neither TLS nor HTTP/2.
const isPlain = (server) => 'keepAliveTimeout' in server && !('setSecureContext' in server);

// Node's own list of a server's connections; there is none before Node 18.
const list = (server) => server[Object.getOwnPropertySymbols(server)
    .find(({ description }) => description === 'http.server.connections')];
const listed = (of, kind) => of.flatMap((server) => list(server)?.[kind]() ?? []).map(({ socket }) => socket);

// Those of closed servers: one that the worker does not share goes on, since the app may be its own client. What is
// behind TLS is found in the lists only. An upgraded connection has no parser any more.
const connections = (of) => [...new Set([...process._getActiveHandles(), ...listed(of, 'all')])]
    .filter((socket) => socket?.server && !socket.server.listening && socket.parser);

// Neither is an answer due nor has a part of a request come.
function silent(of) {
    const receiving = new Set(listed(of, 'active').filter((socket) => socket?.bytesRead > 0));
    return connections(of).filter((socket) => !socket._httpMessage && !receiving.has(socket));
}

function makeLast(response) {
    const { writeHead } = response;
    response.shouldKeepAlive = false;
    response.writeHead = function (...given) {
        const result = writeHead.apply(this, given);
        if (this._last || !this._header) return result;
        const header = this._header.replace(/^connection: *keep-alive *$/im, 'Connection: close');
        if (header !== this._header) this._last = true; // The app insists on keeping it alive, as proxies do.
        this._header = header;
        return result;
    };
}

function drain() {
    const closing = servers();
    for (const server of closing) {
        if (list(server)) server.closeIdleConnections = () => {}; // close() calls it.
        if (server.listenerCount('stream') > 0) server.prependListener('stream', ({ session }) => {
            // HTTP/2; not at once, since more requests may have come in one piece with this one.
            setImmediate(() => server.listening || session?.close());
        });
    }
    const requests = require('diagnostics_channel').channel('http.server.request.start');
    requests.subscribe(({ server, response }) => server.listening || makeLast(response));
    // The cluster module is next and closes what came from the parent.
    process.nextTick(harmless(() => {
        for (const { _httpMessage: response } of connections(closing)) {
            if (response && !response.headersSent) makeLast(response);
        }
    }));

    let before = new Map();
    setInterval(harmless(() => {
        const now = new Map();
        for (const socket of silent(closing)) {
            const { bytesRead } = socket;
            const seen = before.get(socket);
            const looks = seen?.bytesRead === bytesRead ? seen.looks + 1 : 0;
            if (looks < LOOKS_IN_SILENCE) now.set(socket, { bytesRead, looks });
            else (socket.destroySoon ?? socket.destroy).call(socket);
        }
        before = now;
    }), LOOK_EVERY).unref();
}

function adopt(connection) {
    const server = servers().find(isPlain);
    if (server) server._handle.onconnection(0, connection);
    else connection.close();
}

let draining = false;
process.prependListener('internalMessage', harmless((message, handle) => {
    if (message.cmd === 'NODE_SUPD_CONNECTION' && handle) return adopt(handle);
    if (message.cmd !== 'NODE_CLUSTER' || message.act !== 'disconnect') return;
    if (draining) message.act = 'again'; // Heard twice, it would close the channel before the servers are done.
    else draining = true, drain();
}));
process.send({ cmd: 'NODE_SUPD_PRELOADED' }, () => {});
