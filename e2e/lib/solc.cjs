#!/usr/bin/env node
// Stands in for the native compiler: as much of its command line as forge and these stories use, over
// the compiler that npm has. Imports are found as node finds modules.
const fs = require("fs");
const solc = require("solc");

if (process.argv.includes("--version")) {
  const version = solc.version().replace(".Emscripten.clang", ".Linux.g++");
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${version}`);
} else if (process.argv.includes("--standard-json")) {
  const open = (name) => ({ contents: fs.readFileSync(require.resolve(name), "utf8") });
  fs.writeFileSync(1, solc.compile(fs.readFileSync(0, "utf8"), { import: open }));
} else {
  console.error("--version or --standard-json");
  process.exitCode = 1;
}
