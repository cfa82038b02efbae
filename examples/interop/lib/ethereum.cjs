// A client of Ethereum's, and cast.
const { execFile } = require("child_process");
const path = require("path");
const viem = require("viem");
const { mnemonicToAccount } = require("viem/accounts");
const { foundry } = require("viem/chains");
const { url } = require("./story.cjs");

/** The accounts that a development chain starts with: the first keys of the well-known mnemonic. */
const MNEMONIC = "test test test test test test test test test test test junk";

function client() {
  const options = { chain: foundry, transport: viem.http(url.ethereum), pollingInterval: 20, cacheTime: 0 };
  const reader = viem.createPublicClient(options);
  const wallet = (addressIndex) =>
    viem.createWalletClient({ ...options, account: mnemonicToAccount(MNEMONIC, { addressIndex }) });
  const mined = async (hash) => {
    const receipt = await reader.waitForTransactionReceipt({ hash, timeout: 15_000 });
    if (receipt.status !== "success") throw new Error(`transaction ${hash} reverted`);
    return receipt;
  };
  const deploy = async (from, { abi, bytecode }, ...args) => {
    const { contractAddress } = await mined(await from.deployContract({ abi, bytecode, args }));
    return { address: viem.getAddress(contractAddress), abi };
  };
  const write = async (from, contract, functionName, ...args) =>
    mined(await from.writeContract({ ...contract, functionName, args }));
  const read = (contract, functionName, ...args) =>
    reader.readContract({ ...contract, functionName, args });
  return { deploy, mined, read, reader, wallet, write };
}

/** Runs cast to its end, and gives what it prints. */
function cast(...args) {
  const names = { x64: "amd64", arm64: "arm64" };
  const name = `@foundry-rs/cast-${process.platform}-${names[process.arch]}`;
  const binary = path.join(path.dirname(require.resolve(`${name}/package.json`)), "bin", "cast");
  const env = { ...process.env, ETH_RPC_URL: url.ethereum, FOUNDRY_DISABLE_NIGHTLY_WARNING: "1", NO_COLOR: "1" };
  return new Promise((resolve, reject) => {
    const child = execFile(binary, args.map(String), { env, timeout: 60_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`cast ${args.join(" ")}\n${stdout}${stderr}`));
      else resolve(stdout.trim());
    });
    child.stdin.end();
  });
}

module.exports = { MNEMONIC, cast, client };
