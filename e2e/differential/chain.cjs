// What a chain says of itself, and its blocks.
const { alice, bob, board, hex, input, sent, NOBODY } = require("./world.cjs");

module.exports = async (both) => {
  await both.learn();
  for (const method of ["eth_chainId", "net_version", "net_listening", "eth_syncing", "eth_mining",
    "eth_hashrate", "eth_coinbase", "eth_accounts", "eth_blockNumber", "net_peerCount", "eth_gasPrice",
    "eth_maxPriorityFeePerGas", "eth_blobBaseFee", "eth_protocolVersion", "web3_clientVersion"]) {
    await both.ask(method);
  }
  await both.ask("web3_sha3", ["0x68656c6c6f"]);
  for (const tag of ["latest", "earliest", "pending", "safe", "finalized", "0x0"]) {
    await both.ask("eth_getBlockByNumber", [tag, false], { as: tag });
  }
  await both.ask("eth_config", []);

  const { hash: creation, nonce, to } = await board(both);
  const post = await sent(both, 0, { to, data: input("post", "first"), gas: 200_000n, value: 5n, nonce });
  const legacy = await sent(both, 1, { to, data: input("post", "by bob"), gas: 200_000n, gasPrice: 3_000_000_000n, nonce: 0, type: "legacy" });
  const listed = await sent(both, 1, { to, data: input("post", "listed"), gas: 200_000n, gasPrice: 3_000_000_000n, nonce: 1,
    type: "eip2930", accessList: [{ address: to, storageKeys: [`0x${"0".repeat(63)}1`] }] });
  const failed = await sent(both, 1, { to, data: input("post", "x"), value: 13n, gas: 200_000n, nonce: 2 });
  const block = await both.rpc("eth_getBlockByNumber", ["latest", false]);
  const head = Number(block.node.number);

  for (let number = 0; number <= head; number++) {
    for (const full of [false, true]) await both.ask("eth_getBlockByNumber", [hex(number), full], { as: full ? "full" : "short" });
  }
  const hash = block.map((block) => block.hash);
  await both.ask("eth_getBlockByHash", [hash, true]);
  await both.ask("eth_getBlockByHash", [`0x${"11".repeat(32)}`, true], { as: "unknown" });
  await both.ask("eth_getBlockByNumber", [hex(head + 1), true], { as: "the future" });
  await both.ask("eth_getBlockTransactionCountByNumber", ["latest"]);
  await both.ask("eth_getBlockTransactionCountByHash", [hash]);
  await both.ask("eth_getBlockTransactionCountByNumber", [hex(head + 9)], { as: "the future", geth: (count) => count === null });
  await both.ask("eth_getUncleCountByBlockNumber", ["latest"]);
  await both.ask("eth_getUncleCountByBlockHash", [hash]);
  await both.ask("eth_getUncleByBlockNumberAndIndex", ["latest", "0x0"]);
  await both.ask("eth_getUncleByBlockHashAndIndex", [hash, "0x0"]);
  await both.ask("eth_getBlockReceipts", ["latest"]);
  await both.ask("eth_getBlockReceipts", [hex(head - 1)], { as: "by number" });
  await both.ask("eth_getBlockReceipts", [hash], { as: "by hash" });
  await both.ask("eth_getBlockReceipts", [hex(head + 9)], { as: "the future" });
  await both.ask("eth_getHeaderByNumber", ["latest"], { geth: (header) => header?.number === hex(head) && !("transactions" in header) });
  await both.ask("eth_getHeaderByHash", [hash], { geth: (header) => header?.number === hex(head) });

  for (const [as, transaction] of Object.entries({ creation, post, legacy, listed, failed })) {
    await both.ask("eth_getTransactionByHash", [transaction], { as });
    await both.ask("eth_getTransactionReceipt", [transaction], { as });
    await both.ask("eth_getRawTransactionByHash", [transaction], { as });
  }
  const unknown = `0x${"22".repeat(32)}`;
  await both.ask("eth_getTransactionByHash", [unknown], { as: "unknown" });
  await both.ask("eth_getTransactionReceipt", [unknown], { as: "unknown" });
  await both.ask("eth_getRawTransactionByHash", [unknown], { as: "unknown", geth: (raw) => raw === null || raw === "0x" });
  await both.ask("eth_getTransactionByBlockNumberAndIndex", ["latest", "0x0"]);
  await both.ask("eth_getTransactionByBlockNumberAndIndex", ["latest", "0x5"], { as: "beyond" });
  await both.ask("eth_getTransactionByBlockHashAndIndex", [hash, "0x0"]);
  await both.ask("eth_getRawTransactionByBlockNumberAndIndex", ["latest", "0x0"]);
  await both.ask("eth_getRawTransactionByBlockHashAndIndex", [hash, "0x0"]);
  await both.ask("eth_getTransactionBySenderAndNonce", [bob, "0x1"]);
  await both.ask("eth_getTransactionBySenderAndNonce", [bob, "0x77"], { as: "unknown" });

  const blocks = { latest: "latest", pending: "pending", "an old block": hex(head - 1),
    "a hash": { blockHash: hash }, "a number": { blockNumber: hex(head) } };
  for (const [as, block] of Object.entries(blocks)) {
    const at = [block];
    await both.ask("eth_getBalance", [bob, ...at], { as });
    await both.ask("eth_getTransactionCount", [bob, ...at], { as });
    await both.ask("eth_getCode", [to, ...at], { as });
    await both.ask("eth_getStorageAt", [to, "0x0", ...at], { as });
  }
  await both.ask("eth_getStorageAt", [to, `0x${"0".repeat(63)}1`, "latest"], { as: "a whole key" });
  await both.ask("eth_getBalance", [NOBODY, "latest"], { as: "nobody" });
  await both.ask("eth_getCode", [NOBODY, "latest"], { as: "nobody" });
  await both.ask("eth_getTransactionCount", [NOBODY, "latest"], { as: "nobody" });
  for (const [as, account] of Object.entries({ "a contract": to, "an account": alice, nobody: NOBODY })) {
    await both.ask("eth_getAccount", [account, "latest"], { as });
  }
  await both.ask("eth_getAccount", [to, hex(head - 2)], { as: "an old block" });
  await both.ask("eth_getStorageValues", [{ [to]: [0, 1, 9].map((slot) => `0x${String(slot).padStart(64, "0")}`) }, "latest"]);
  await both.ask("eth_getAccountInfo", [to, "latest"]);
  await both.ask("eth_getProof", [to, ["0x0", "0x7"].map((slot) => `0x${slot.slice(2).padStart(64, "0")}`), "latest"], { only: ({ accountProof, storageProof, ...rest }) =>
    ({ ...rest, storageProof: storageProof.map(({ key, value }) => ({ key, value })) }) });
  await both.ask("eth_getProof", [alice, [], "latest"], { as: "no contract", only: ({ balance, nonce, codeHash }) => ({ balance, nonce, codeHash }) });

  await both.ask("eth_feeHistory", ["0x3", "latest", [10, 50, 90]]);
  await both.ask("eth_feeHistory", [2, "latest", []], { as: "no rewards" });
  await both.ask("eth_feeHistory", ["0x2", hex(head - 1)], { as: "no percentiles" });
  await both.ask("eth_feeHistory", ["0x400", "latest", [50]], { as: "many", only: (history) => Object.keys(history).sort() });
  await both.ask("eth_feeHistory", ["0x0", "latest", []], { as: "none", geth: ({ oldestBlock }) => oldestBlock === "0x0" });
};
