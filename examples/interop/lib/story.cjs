// A story: chapters in which balances change exactly as they are said to.
const assert = require("assert/strict");

const [ethereum, solana] = [process.argv[2], process.argv[3]];

/** Where the node is: the arguments, or where `polity node` listens. Solana's subscriptions have the next port. */
const url = {
  ethereum: ethereum ?? "http://127.0.0.1:8545",
  solana: solana ?? "http://127.0.0.1:8899",
  get solanaWs() {
    const next = new URL(this.solana.replace(/^http/, "ws"));
    next.port = Number(next.port || 8899) + 1;
    return next.href.replace(/\/$/, "");
  },
};

let chapter = "the beginning";
let number = 0;

/** Runs a story and says how it ended. */
function story(tell, seconds = 150) {
  const end = (error) => {
    if (error) {
      const lines = String(error.stack).split("\n").filter((line) => !line.includes("node_modules"));
      console.error(`\nFAILED in "${chapter}"\n${lines.slice(0, 60).join("\n")}`);
      if (error.cause?.message) console.error(`because: ${error.cause.message}`);
    }
    process.exit(error ? 1 : 0);
  };
  setTimeout(() => end(new Error(`took more than ${seconds} s`)), seconds * 1000).unref();
  process.on("unhandledRejection", end);
  tell().then(() => end(), end);
}

/** One chapter. */
async function tells(title, run) {
  chapter = title;
  number += 1;
  console.log(`\n${number}. ${title}`);
  return run();
}

/** A line beneath a chapter's title. */
const says = (line) => console.log(`   ${line}`);

/** An amount as people write it. */
function shown(amount, decimals) {
  const [sign, digits] = [amount < 0n ? "-" : "", String(amount < 0n ? -amount : amount).padStart(decimals + 1, "0")];
  const part = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return `${sign}${digits.slice(0, digits.length - decimals)}${part && `.${part}`}`;
}

/**
 * One step of a chapter. `balances` gives `{ name: { amount, decimals } }`, and `run` by how much each
 * changes; what it does not name stays. Prints what changed, and fails where it is something else.
 */
async function step(balances, run) {
  const before = await balances();
  const { changes, ...result } = await run();
  const after = await balances();
  const names = Object.keys(after);
  for (const name of Object.keys(changes)) assert.ok(names.includes(name), `nobody looks at "${name}"`);
  const width = Math.max(...names.map((name) => name.length));
  const wrong = [];
  for (const name of names) {
    const { amount, decimals } = after[name];
    const was = before[name]?.amount ?? 0n;
    const expected = was + (changes[name] ?? 0n);
    if (amount !== was) {
      says(`${name.padEnd(width)} ${shown(was, decimals).padStart(16)} -> ${shown(amount, decimals)}`);
    }
    if (amount !== expected) wrong.push(`${name}: ${shown(amount, decimals)}, not ${shown(expected, decimals)}`);
  }
  assert.equal(wrong.length, 0, wrong.join("\n"));
  return result;
}

/** Fails where a promise takes longer than it may. */
async function soon(what, promise, seconds = 30) {
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

module.exports = { assert, says, shown, soon, step, story, tells, url };
