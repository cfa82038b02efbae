// Compiles the contracts of this example.
const fs = require("fs");
const path = require("path");

const CONTRACTS = path.join(__dirname, "..", "contracts");

/** What a source imports: a file of the example, or of a package. */
function find(name) {
  const own = path.join(CONTRACTS, name);
  const file = fs.existsSync(own) ? own : require.resolve(name);
  return { contents: fs.readFileSync(file, "utf8") };
}

/** The ABI and the bytecode of each contract in these files: `{ Swap: { abi, bytecode } }`. */
function compile(...files) {
  // The compiler takes hold of how node handles errors.
  const listeners = ["uncaughtException", "unhandledRejection"].map((event) => [event, process.listeners(event)]);
  const solc = require("solc");
  for (const [event, before] of listeners) {
    for (const listener of process.listeners(event)) {
      if (!before.includes(listener)) process.removeListener(event, listener);
    }
  }
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(files.map((file) => [file, { content: find(file).contents }])),
    settings: {
      evmVersion: "cancun",
      optimizer: { enabled: true, runs: 200 },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: find }));
  const errors = (output.errors ?? []).filter(({ severity }) => severity === "error");
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  const contracts = {};
  for (const file of files) {
    for (const [name, { abi, evm }] of Object.entries(output.contracts[file])) {
      contracts[name] = { abi, bytecode: `0x${evm.bytecode.object}` };
    }
  }
  return contracts;
}

/** A contract that its authors published compiled. */
function published(name) {
  const { abi, bytecode } = JSON.parse(fs.readFileSync(require.resolve(name), "utf8"));
  return { abi, bytecode: bytecode.startsWith("0x") ? bytecode : `0x${bytecode}` };
}

module.exports = { compile, published };
