// Compiles the contracts beside this file, which needs `npm install solc@0.8.37` in any folder that
// NODE_PATH then names. Writes the codes; with --check it compares instead.
const fs = require("fs");
const path = require("path");
const solc = require("solc");

// Each code that is committed: its file, the contract, and whether it deploys or is deployed.
const CODES = [
  ["token.hex", "Token.sol", "Token", "deployedBytecode"],
  ["pair.hex", "Pair.sol", "Pair", "deployedBytecode"],
  ["factory.hex", "Factory.sol", "Factory", "deployedBytecode"],
  ["child.init.hex", "Factory.sol", "Child", "bytecode"],
  ["child.hex", "Factory.sol", "Child", "deployedBytecode"],
  ["probe.hex", "Probe.sol", "Probe", "deployedBytecode"],
  ["wallet.hex", "Wallet.sol", "Wallet", "deployedBytecode"],
  ["transient.hex", "Transient.sol", "Transient", "deployedBytecode"],
];

// Codes run from London on, but for transient storage.
const evmVersion = (file) => (file === "Transient.sol" ? "cancun" : "london");

function compile(file) {
  const input = {
    language: "Solidity",
    sources: { [file]: { content: fs.readFileSync(path.join(__dirname, file), "utf8") } },
    settings: {
      evmVersion: evmVersion(file),
      optimizer: { enabled: true, runs: 200 },
      metadata: { appendCBOR: false, bytecodeHash: "none" },
      outputSelection: { "*": { "*": ["evm.bytecode.object", "evm.deployedBytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const errors = (output.errors || []).filter((error) => error.severity === "error");
  if (errors.length > 0) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  return output.contracts[file];
}

let differ = 0;
for (const [name, file, contract, part] of CODES) {
  const text = compile(file)[contract].evm[part].object + "\n";
  const target = path.join(__dirname, name);
  if (!process.argv.includes("--check")) {
    fs.writeFileSync(target, text);
  } else if (fs.readFileSync(target, "utf8") !== text) {
    console.error(`${name} is not what ${file} compiles to`);
    differ += 1;
  }
}
process.exitCode = differ === 0 ? 0 : 1;
