// A story is a list of chapters that follow each other on one chain; the first that fails ends it.
const assert = require("assert/strict");

/** The accounts that a development chain starts with: the first keys of the well-known mnemonic. */
const MNEMONIC = "test test test test test test test test test test test junk";

/** The URL of the node, over HTTP and over WebSocket: the first argument. */
const url = process.argv[2] || "http://127.0.0.1:8545";
const wsUrl = url.replace(/^http/, "ws");

let chapter = "the beginning";

/** Runs a story and says how it ended. */
function story(tell, seconds = 60) {
  const limit = setTimeout(() => end(new Error(`took more than ${seconds} s`)), seconds * 1000);
  const end = (error) => {
    clearTimeout(limit);
    if (error) {
      const lines = String(error.stack).split("\n").filter((line) => !line.includes("node_modules"));
      console.error(`FAILED in "${chapter}"\n${lines.slice(0, 40).join("\n")}`);
    }
    process.exit(error ? 1 : 0);
  };
  process.on("unhandledRejection", end);
  tell().then(() => end(), end);
}

/** One chapter. */
async function tells(name, run) {
  chapter = name;
  const start = performance.now();
  const result = await run();
  console.log(`ok  ${name} (${Math.round(performance.now() - start)} ms)`);
  return result;
}

/** A request without any library, for what libraries hide. */
async function rpc(method, ...params) {
  const { result, error } = await post({ jsonrpc: "2.0", id: 1, method, params });
  if (error) throw Object.assign(new Error(error.message), error);
  return result;
}

/** Posts a body, JSON or text, and gives the parsed answer. */
async function post(body) {
  const headers = { "content-type": "application/json" };
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(url, { method: "POST", headers, body: text });
  return response.json();
}

/** Whether the node is anvil, whose known faults a story may step around. */
async function isAnvil() {
  return /^anvil/i.test(await rpc("web3_clientVersion"));
}

/** Asks until the answer is true; for what a node tells when it likes. */
async function until(what, ask) {
  const start = Date.now();
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() - start > 15_000) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The error that a promise is rejected with. */
async function refused(promise) {
  const nothing = Symbol("nothing");
  const error = await promise.then(() => nothing, (error) => error);
  assert.notEqual(error, nothing, "it was not refused");
  return error;
}

module.exports = { MNEMONIC, assert, isAnvil, post, refused, rpc, story, tells, until, url, wsUrl };
