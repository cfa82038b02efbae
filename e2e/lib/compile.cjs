// Compiles contracts of this folder with the solc of the tools, and keeps what it compiled beside them.
const { execFileSync } = require("child_process");
const crypto = require("crypto");
const fs = require("fs");
const os = require("os");
const path = require("path");

const FOLDER = path.join(__dirname, "..", "contracts");

/** The ABI and the bytecode of each contract in these files: `{ Coin: { abi, bytecode } }`. */
function compile(...files) {
  const sources = Object.fromEntries(
    files.map((file) => [file, { content: fs.readFileSync(path.join(FOLDER, file), "utf8") }]),
  );
  const input = {
    language: "Solidity",
    sources,
    settings: {
      evmVersion: "cancun",
      optimizer: { enabled: true, runs: 200 },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
    },
  };
  const output = cached(JSON.stringify(input), (text) =>
    // A process of its own: the compiler takes hold of how node handles errors.
    execFileSync(process.execPath, [path.join(__dirname, "solc.cjs"), "--standard-json"], {
      input: text,
      maxBuffer: 1 << 28,
    }),
  );
  const errors = (output.errors || []).filter((error) => error.severity === "error");
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  const contracts = {};
  for (const file of files) {
    for (const [name, { abi, evm }] of Object.entries(output.contracts[file])) {
      contracts[name] = { abi, bytecode: `0x${evm.bytecode.object}` };
    }
  }
  return contracts;
}

// The compiler takes a second to start; the same input gives the same output.
function cached(input, make) {
  const name = crypto.createHash("sha256").update(input).digest("hex").slice(0, 16);
  const file = path.join(process.env.POLITY_E2E_CACHE || os.tmpdir(), `polity-e2e-${name}.json`);
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch {
    const output = make(input);
    fs.writeFileSync(`${file}.${process.pid}`, output);
    fs.renameSync(`${file}.${process.pid}`, file);
    return JSON.parse(output);
  }
}

module.exports = { compile };
