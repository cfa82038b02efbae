// What the stories for Solana share: where the node is, its programs, and how a program is deployed.
const { assert, refused, story, tells, until } = require("../../lib/story.cjs");
const fs = require("fs");
const path = require("path");

/** The node over HTTP and over WebSocket, whose port is the next one: the arguments, or the environment. */
const url = process.argv[2] || process.env.POLITY_SOLANA_RPC || "http://127.0.0.1:8899";
const wsUrl = process.argv[3] || process.env.POLITY_SOLANA_WS || next(url);

function next(text) {
  const url = new URL(text.replace(/^http/, "ws"));
  url.port = Number(url.port || 8899) + 1;
  return url.href.replace(/\/$/, "");
}

const programs = path.join(__dirname, "../../../testkit/programs");

/** The ELF file of one of our programs. */
const elf = (name) => fs.readFileSync(path.join(programs, "elf", `${name}.so`));

/** The IDL of one of our programs. */
const idl = (name) => JSON.parse(fs.readFileSync(path.join(programs, `${name}.json`), "utf8"));

/** A story of Solana's; a slot takes 400 ms, and most of what is told takes one. */
const slowly = (tell) => story(tell, 150);

/** Fails where a promise takes longer than it may. */
async function soon(what, promise, seconds = 20) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A request without any library, for what libraries hide. */
async function rpc(method, ...params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const headers = { "content-type": "application/json" };
  const { result, error } = await (await fetch(url, { method: "POST", headers, body })).json();
  if (error) throw Object.assign(new Error(error.message), error);
  return result;
}

module.exports = { assert, elf, idl, refused, rpc, soon, story: slowly, tells, until, url, wsUrl };
