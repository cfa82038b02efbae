// Logs and filters.
const { keccak256, toHex } = require("viem");
const { bob, board, hex, input, sent, signed, tick, NOBODY } = require("./world.cjs");

const POSTED = keccak256(toHex("Posted(uint256,address,string)"));
const word = (address) => `0x${address.slice(2).padStart(64, "0")}`;

module.exports = async (both) => {
  await both.learn();
  const { to, nonce } = await board(both);
  const first = Number((await both.rpc("eth_blockNumber")).node);
  const filters = {
    logs: await both.rpc("eth_newFilter", [{ address: to }]),
    some: await both.rpc("eth_newFilter", [{ address: to, topics: [POSTED, null, word(bob)], fromBlock: "latest" }]),
    blocks: await both.rpc("eth_newBlockFilter"),
    pending: await both.rpc("eth_newPendingTransactionFilter"),
  };
  for (let index = 0; index < 3; index++) {
    await sent(both, 0, { to, data: input("post", `alice ${index}`), gas: 200_000n, nonce: nonce + index });
    await sent(both, 1, { to, data: input("post", `bob ${index}`), gas: 200_000n, nonce: index });
  }
  // Several in a block.
  await both.rpc("evm_setAutomine", [false]);
  for (let index = 3; index < 6; index++) {
    await both.rpc("eth_sendRawTransaction", [await signed(1, { to, data: input("post", `bob ${index}`), gas: 200_000n, nonce: index })]);
  }
  await tick(both);
  await both.rpc("evm_mine");
  await both.rpc("evm_setAutomine", [true]);
  await both.learn();
  const last = first + 7;
  const hash = (await both.rpc("eth_getBlockByNumber", [hex(last), false])).map((block) => block.hash);

  const logs = (as, filter, options) => both.ask("eth_getLogs", [filter], { as, ...options });
  await logs("all", { fromBlock: "0x0" });
  await logs("of the latest", {});
  await logs("an address", { fromBlock: "0x0", toBlock: "latest", address: to });
  await logs("addresses", { fromBlock: "earliest", address: [to, NOBODY] });
  await logs("a topic", { fromBlock: "0x0", topics: [POSTED] });
  await logs("a later topic", { fromBlock: "0x0", topics: [null, null, word(bob)] });
  await logs("one of two", { fromBlock: "0x0", topics: [POSTED, [hex(0n).replace("0x0", `0x${"0".repeat(64)}`), `0x${"0".repeat(63)}3`]] });
  await logs("no topic", { fromBlock: "0x0", topics: [] });
  await logs("more topics than a log has", { fromBlock: "0x0", topics: [null, null, null, null] });
  await logs("a range", { fromBlock: hex(first + 1), toBlock: hex(first + 3), address: to });
  await logs("a block", { blockHash: hash });
  await logs("nobody", { fromBlock: "0x0", address: NOBODY });
  await logs("up to the pending block", { fromBlock: hex(last), toBlock: "pending" });
  await logs("an empty range", { fromBlock: hex(last), toBlock: hex(first) }, { geth: [/-32000|-32602/, /invalid block range/] });
  await logs("a block and a range", { blockHash: hash, fromBlock: "0x0" }, { geth: [/-32602|-32000/, /cannot specify both|both/i] });
  await logs("an unknown block", { blockHash: `0x${"33".repeat(32)}` }, { geth: [-32000, /unknown block/] });
  await logs("from the future", { fromBlock: "0xffffff", toBlock: "0xfffffff" }, { geth: (found) => found.length === 0 });

  await both.ask("eth_getFilterChanges", [filters.logs], { as: "logs" });
  await both.ask("eth_getFilterChanges", [filters.some], { as: "some" });
  await both.ask("eth_getFilterChanges", [filters.blocks], { as: "blocks" });
  await both.ask("eth_getFilterChanges", [filters.pending], { as: "pending" });
  for (const kind of Object.keys(filters)) await both.ask("eth_getFilterChanges", [filters[kind]], { as: `${kind}, again` });
  await both.ask("eth_getFilterLogs", [filters.logs]);
  await both.ask("eth_getFilterLogs", [filters.blocks], { as: "no logs", geth: [-32000, "filter not found"] });
  for (const kind of Object.keys(filters)) await both.ask("eth_uninstallFilter", [filters[kind]], { as: kind });
  await both.ask("eth_uninstallFilter", [filters.logs], { as: "again" });
  await both.ask("eth_getFilterChanges", [filters.logs], { as: "gone", geth: [-32000, "filter not found"] });
  await both.ask("eth_getFilterLogs", [filters.logs], { as: "gone", geth: [-32000, "filter not found"] });
  await both.ask("eth_getFilterChanges", ["0xabcdef"], { as: "never there", geth: [-32000, "filter not found"] });
  await both.ask("eth_subscribe", ["newHeads"], { as: "over HTTP", geth: [/-3260[01]|-32000/, /notifications not supported|not (supported|found|available)|does not exist/i] });
};
