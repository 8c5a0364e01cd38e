// Evaluates one declaration file and writes what it exports, as JSON, to descriptor 3.
// Arguments: the absolute path, the milliseconds after which nobody waits for the answer any more, and `module`, or
// `expression` for what PM2 takes as one: a `.json`, and standard input.
const fs = require('fs');
const Module = require('module');
const vm = require('vm');
const { pathToFileURL } = require('url');

const [file, limit, kind] = process.argv.slice(1);
// The caller ends this process, unless it was killed itself.
setTimeout(() => process.exit(1), Number(limit)).unref();

function answer(value) {
  const bytes = Buffer.from(JSON.stringify(value));
  for (let at = 0; at < bytes.length; ) at += fs.writeSync(3, bytes, at);
  process.exit(0);
}

function failure(error) {
  if (!(error instanceof Error)) return { message: `it throws ${typeof error}` };
  const stack = String(error.stack);
  const after = stack.indexOf(file + ':');
  const line = after < 0 ? NaN : parseInt(stack.slice(after + file.length + 1), 10);
  const message = `${error.name}: ${error.message}`.split('\n')[0];
  return { message, line: Number.isNaN(line) ? null : line };
}

// Not `require(file)`: that would resolve symbolic links, and `__dirname` in `current/` would be frozen to a release.
async function load() {
  if (kind === 'expression') return vm.runInThisContext('(' + fs.readFileSync(file, 'utf8') + '\n)', { filename: file });
  const loaded = new Module(file);
  try {
    loaded.load(file);
    return loaded.exports;
  } catch (error) {
    const text = fs.readFileSync(file, 'utf8');
    const isModule = /^(ERR_REQUIRE_ESM|ERR_REQUIRE_ASYNC_MODULE)$/.test(error.code);
    const looksLikeModule = error instanceof SyntaxError && /^\s*(import|export)\b/m.test(text);
    if (!isModule && !looksLikeModule) throw error;
    return await import(pathToFileURL(file).href);
  }
}

(async () => {
  let exported = await load();
  for (let depth = 0; depth < 3; depth++) {
    exported = await exported;
    if (exported && typeof exported === 'object' && 'default' in exported && !('apps' in exported)) exported = exported.default;
  }
  if (typeof exported !== 'object' || exported === null) return answer({ kind: exported === null ? 'null' : typeof exported });
  answer({ exports: exported });
})().catch((error) => answer({ error: failure(error) }));
