// What the requests are about: accounts, contracts, and transactions that are signed here.
const { encodeFunctionData, encodeDeployData } = require("viem");
const { mnemonicToAccount } = require("viem/accounts");
const { compile } = require("../lib/compile.cjs");
const { MNEMONIC } = require("../lib/story.cjs");

const { Board, Coin } = compile("Coin.sol", "Picture.sol", "Board.sol");
const accounts = [0, 1, 2, 3].map((addressIndex) => mnemonicToAccount(MNEMONIC, { addressIndex }));
const [alice, bob, carol] = accounts.map(({ address }) => address.toLowerCase());
const NOBODY = "0x00000000000000000000000000000000000000f0";
const GWEI = 10n ** 9n;

const hex = (number) => `0x${number.toString(16)}`;
const input = (functionName, ...args) => encodeFunctionData({ abi: Board.abi, functionName, args });
const deployment = (owner) => encodeDeployData({ abi: Board.abi, bytecode: Board.bytecode, args: [owner] });

const coin = (functionName, ...args) => encodeFunctionData({ abi: Coin.abi, functionName, args });

/** A signed transaction of type 2 of an account, unless the fields say otherwise. */
const signed = (index, fields) => accounts[index].signTransaction({
  chainId: 31337, gas: 21_000n, value: 0n,
  ...(fields.gasPrice ? {} : { maxFeePerGas: 100n * GWEI, maxPriorityFeePerGas: GWEI }),
  ...fields,
});

/** Sets the clocks of both to the same time, of which each block takes its share. */
let time = 2_000_000_000;
async function tick(both) {
  time += 100;
  await both.rpc("evm_setNextBlockTimestamp", [time]);
}

/** Sends a signed transaction, which is mined at once, and gives its hash. */
async function sent(both, index, fields) {
  await tick(both);
  const hash = await both.rpc("eth_sendRawTransaction", [await signed(index, fields)]);
  await both.settle(hash);
  await both.learn();
  return hash.node;
}

/** Deploys a board of Alice's in the first block of a part; what both know of it. */
async function board(both) {
  const nonce = Number((await both.rpc("eth_getTransactionCount", [alice, "latest"])).node);
  const hash = await sent(both, 0, { data: deployment(alice), gas: 1_500_000n, nonce });
  const receipt = await both.rpc("eth_getTransactionReceipt", [hash]);
  return { hash, nonce: nonce + 1, to: receipt.node.contractAddress };
}

/** Deploys a token of which Alice has a million; what both know of it. */
async function token(both, nonce) {
  const data = encodeDeployData({ abi: Coin.abi, bytecode: Coin.bytecode, args: [1_000_000n] });
  const hash = await sent(both, 0, { data, gas: 3_000_000n, nonce });
  return (await both.rpc("eth_getTransactionReceipt", [hash])).node.contractAddress;
}

module.exports = { Board, GWEI, NOBODY, accounts, alice, board, bob, carol, coin, deployment, hex, input, sent, signed, tick, token };
