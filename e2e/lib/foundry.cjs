// Foundry's command line tools as functions.
const { execFile } = require("child_process");
const path = require("path");
const { url } = require("./story.cjs");

const NAMES = { x64: "amd64", arm64: "arm64" };

/** The path of a tool's binary, which npm keeps in a package for each platform. */
function binary(tool) {
  const name = `@foundry-rs/${tool}-${process.platform}-${NAMES[process.arch]}`;
  return path.join(path.dirname(require.resolve(`${name}/package.json`)), "bin", tool);
}

/** Runs a tool to its end and gives its standard output; rejects with its standard error. */
function runner(tool, options = {}) {
  const env = { ...process.env, ETH_RPC_URL: url, FOUNDRY_DISABLE_NIGHTLY_WARNING: "1", NO_COLOR: "1" };
  return (...args) =>
    new Promise((resolve, reject) => {
      const settings = { env, timeout: 60_000, maxBuffer: 1 << 26, ...options };
      const child = execFile(binary(tool), args.map(String), settings, (error, stdout, stderr) => {
        if (error) reject(new Error(`${tool} ${args.join(" ")}\n${stdout}${stderr}`));
        else resolve(stdout.trim());
      });
      child.stdin.end();
    });
}

module.exports = { binary, runner };
