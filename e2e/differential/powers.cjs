// What only a development chain can do. Each is tried by every name it has.
const { alice, bob, board, carol, coin, GWEI, hex, input, NOBODY, signed, tick, token } = require("./world.cjs");

const SLOT = `0x${"0".repeat(64)}`;
const ONE = `0x${"0".repeat(63)}1`;
const PREFIXES = ["anvil", "hardhat"];

module.exports = async (both) => {
  await both.learn();
  const { to } = await board(both);
  const head = () => both.ask("eth_blockNumber", [], { as: "after it" });
  const latest = async (as, ...fields) => {
    await both.learn();
    await both.ask("eth_getBlockByNumber", ["latest", false], { as, only: (block) => Object.fromEntries(fields.map((field) => [field, block[field]])) });
  };

  for (const prefix of PREFIXES) {
    const own = (name) => `${prefix}_${name}`;
    await both.ask(own("setBalance"), [NOBODY, "0x1234"]);
    await both.ask("eth_getBalance", [NOBODY, "latest"], { as: own("setBalance") });
    await both.ask(own("setNonce"), [NOBODY, "0x7"]);
    await both.ask("eth_getTransactionCount", [NOBODY, "latest"], { as: own("setNonce") });
    await both.ask(own("setNonce"), [NOBODY, "0x3"], { as: "lower", geth: () => true });
    await both.ask(own("setCode"), [NOBODY, "0x602a5f5260205ff3"]);
    await both.ask("eth_call", [{ to: NOBODY }, "latest"], { as: own("setCode") });
    await both.ask(own("setStorageAt"), [to, "0x0", `0x${"0".repeat(24)}${bob.slice(2)}`]);
    await both.ask("eth_getStorageAt", [to, SLOT, "latest"], { as: own("setStorageAt") });
    await both.ask(own("setStorageAt"), [to, SLOT, ONE], { as: "a whole key" });
    await both.ask(own("setCoinbase"), [bob]);
    await both.ask(own("setMinGasPrice"), ["0x0"], { geth: [-32602, /EIP-1559/] });
    await both.ask(own("setNextBlockBaseFeePerGas"), [hex(7n * GWEI)]);
    await tick(both);
    await both.ask(own("mine"), ["0x1"]);
    await latest(own("mine"), "number", "baseFeePerGas", "miner", "timestamp");
    await both.ask(own("mine"), ["0x3", "0xa"], { as: "three, ten seconds apart" });
    await latest("three, ten seconds apart", "number", "timestamp", "baseFeePerGas");
    await both.ask(own("impersonateAccount"), [NOBODY]);
    await both.ask(own("setBalance"), [NOBODY, hex(10n ** 19n)]);
    await both.ask(own("setCode"), [NOBODY, "0x"]);
    await tick(both);
    const count = (await both.rpc("eth_getTransactionCount", [NOBODY, "latest"])).node;
    const send = { from: NOBODY, to: alice, value: "0x5", gas: "0x5208", gasPrice: hex(20n * GWEI), nonce: count };
    const hash = await both.ask("eth_sendTransaction", [send], { as: own("impersonateAccount"), only: () => "sent" });
    await both.settle(hash);
    await both.learn();
    both.name(hash, `an impersonated transaction, ${prefix}`);
    await both.ask("eth_getTransactionReceipt", [hash], { as: own("impersonateAccount") });
    await both.ask("eth_getTransactionByHash", [hash], { as: own("impersonateAccount") });
    await both.ask(own("stopImpersonatingAccount"), [NOBODY]);
    await both.ask("eth_sendTransaction", [{ ...send, nonce: undefined }], { as: own("stopImpersonatingAccount"), geth: [/-/, /unknown account|No Signer available/i] });
    await both.ask(own("setLoggingEnabled"), [false], { geth: () => true });
  }
  await both.ask("hardhat_getAutomine", []);
  await both.ask("anvil_getAutomine", []);
  await both.ask("anvil_autoImpersonateAccount", [true]);
  await both.ask("anvil_autoImpersonateAccount", [false]);
  await both.ask("hardhat_metadata", [], { geth: (metadata) => metadata.chainId === 31337 });
  await both.ask("anvil_metadata", [], { only: ({ chainId, latestBlockNumber }) => ({ chainId, latestBlockNumber }) });
  await both.ask("anvil_nodeInfo", [], { only: (info) => Object.keys(info).sort() });

  // Tokens.
  const nonce = Number((await both.rpc("eth_getTransactionCount", [alice, "latest"])).node);
  await both.rpc("anvil_setBalance", [alice, hex(10n ** 21n)]);
  const money = await token(both, nonce);
  const told = (as, ...question) => both.ask("eth_call", [{ to: money, data: coin(...question) }, "latest"], { as });
  await both.ask("anvil_dealERC20", [bob, money, "0x1234"]);
  await told("anvil_dealERC20", "balanceOf", bob);
  await both.ask("hardhat_dealERC20", [NOBODY, money, hex(10n ** 30n)]);
  await told("hardhat_dealERC20", "balanceOf", NOBODY);
  await both.ask("anvil_setERC20Allowance", [bob, alice, money, "0x55"]);
  await told("anvil_setERC20Allowance", "allowance", bob, alice);
  await told("all tokens", "totalSupply");
  await both.ask("anvil_dealERC20", [bob, NOBODY, "0x1"], { as: "no token", geth: [-32000, /slot/] });

  // Transactions.
  await tick(both);
  const sync = { from: alice, to: bob, value: "0x1", gas: "0x5208", maxFeePerGas: hex(500n * GWEI), maxPriorityFeePerGas: hex(GWEI) };
  await both.ask("eth_sendTransactionSync", [sync], { only: ({ status, gasUsed, from, to, type }) => ({ status, gasUsed, from, to, type }) });
  await both.rpc("anvil_setBalance", [NOBODY, hex(10n ** 19n)]);
  const unsigned = await both.ask("eth_sendUnsignedTransaction", [{ ...sync, from: NOBODY }], { only: () => "sent" });
  await both.settle(unsigned);
  await both.learn();
  await both.ask("eth_getTransactionReceipt", [unsigned], { as: "eth_sendUnsignedTransaction", only: ({ from, status }) => ({ from, status }) });
  await both.ask("eth_pendingTransactions", [], { geth: (all) => Array.isArray(all) && all.length === 0 });
  await both.ask("anvil_getBlobsByTransactionHash", [`0x${"66".repeat(32)}`]);
  await both.ask("anvil_getBlobByHash", [`0x${"66".repeat(32)}`]);
  await both.ask("anvil_getGenesisTime", []);
  for (const own of ["hardhat_addBalance", "tenderly_addBalance", "tenderly_setBalance"]) {
    await both.ask(own, [NOBODY, "0x7"]);
    await both.ask("eth_getBalance", [NOBODY, "latest"], { as: own });
  }
  await both.ask("hardhat_autoImpersonateAccount", [false]);
  await both.ask("hardhat_dropAllTransactions", []);

  // Mining.
  await tick(both);
  await both.ask("evm_mine", []);
  await head();
  await both.ask("evm_mine", [{ timestamp: 2_100_000_000 }], { as: "a time in an object" });
  await latest("a time in an object", "number", "timestamp");
  await both.ask("evm_mine", [2_100_000_100], { as: "a time" });
  await latest("a time", "number", "timestamp");
  await both.ask("evm_mine", ["0x7d2b75c8"], { as: "a time in hexadecimal" });
  await both.ask("anvil_mine_detailed", [], { geth: () => true });
  await both.ask("evm_mine_detailed", [{ timestamp: 2_100_000_300, blocks: 1 }], { only: (blocks) => blocks.length });
  await both.ask("anvil_mine", [], { as: "no number" });
  await both.ask("anvil_mine", [2], { as: "a number" });
  await head();
  for (const on of [false, true]) {
    await both.ask("evm_setAutomine", [on], { as: String(on) });
    await both.ask("anvil_getAutomine", [], { as: String(on) });
  }
  await both.ask("evm_setIntervalMining", [0]);
  await both.ask("anvil_getIntervalMining", []);
  await both.ask("evm_setAutomine", [true]);

  // Time.
  await both.ask("evm_setNextBlockTimestamp", [2_200_000_000]);
  await both.ask("evm_mine", []);
  await latest("the next block's time", "timestamp");
  await both.ask("evm_setNextBlockTimestamp", ["0x83215601"], { as: "in hexadecimal" });
  await both.ask("evm_mine", []);
  await latest("the next block's time", "timestamp");
  await both.ask("evm_setNextBlockTimestamp", [5], { as: "in the past", geth: [/-/, /lower|past|timestamp/i] });
  await both.ask("anvil_setBlockTimestampInterval", [30]);
  await both.ask("anvil_mine", ["0x2"], { as: "an interval" });
  await latest("an interval", "timestamp");
  await both.ask("anvil_mine", ["0x2", "0x0"], { as: "no other interval" });
  await latest("no other interval", "timestamp");
  await both.ask("anvil_removeBlockTimestampInterval", []);
  await both.ask("anvil_removeBlockTimestampInterval", [], { as: "again" });
  await both.ask("evm_increaseTime", [3600], { only: (seconds) => typeof seconds });
  await both.ask("evm_increaseTime", ["0xe10"], { as: "in hexadecimal", only: (seconds) => typeof seconds });
  await both.ask("anvil_setTime", [2_300_000_000], { only: (seconds) => typeof seconds });

  // Blocks.
  await both.ask("evm_setBlockGasLimit", [hex(40_000_000)]);
  await both.ask("anvil_setBlockGasLimit", [40_000_000], { as: "a number" });
  await tick(both).catch(() => {});
  await both.ask("evm_mine", []);
  await latest("its gas limit", "gasLimit");
  await both.ask("hardhat_setPrevRandao", [`0x${"55".repeat(32)}`], { geth: () => true });

  // The past.
  const snapshot = await both.ask("evm_snapshot", [], { only: (id) => typeof id });
  const block = await both.rpc("eth_blockNumber");
  await both.rpc("anvil_mine", ["0x5"]);
  await both.rpc("anvil_setBalance", [bob, "0x1"]);
  await both.ask("evm_revert", [snapshot]);
  await head();
  both.compare("the number before the snapshot", await both.rpc("eth_blockNumber").then((now) => ({ anvil: now.anvil === block.anvil, node: now.node === block.node })));
  await both.ask("eth_getBalance", [bob, "latest"], { as: "evm_revert" });
  await both.ask("evm_revert", [snapshot], { as: "again" });
  await both.ask("evm_revert", ["0x7777"], { as: "unknown" });
  await both.ask("anvil_snapshot", [], { only: (id) => typeof id });
  const depth = Number((await both.rpc("eth_blockNumber")).node);
  await both.ask("anvil_rollback", [2]);
  await both.ask("eth_blockNumber", [], { as: "anvil_rollback" });
  if (Number((await both.rpc("eth_blockNumber")).node) !== depth - 2) both.differs("anvil_rollback", { node: "did not go back by two" });

  // Other blocks in place of the last.
  await both.rpc("anvil_mine", ["0x3"]);
  const height = await both.rpc("eth_blockNumber");
  const before = await both.rpc("eth_getBlockByNumber", ["latest", false]);
  const next = Number((await both.rpc("eth_getTransactionCount", [carol, "latest"])).node);
  const raw = await signed(2, { to: NOBODY, value: 3n, nonce: next });
  const price = { gas: "0x5208", gasPrice: hex(300n * GWEI) };
  const pairs = [[raw, 0], [{ from: bob, to: NOBODY, value: "0x1", ...price }, 1], [{ from: carol, to: NOBODY, value: "0x2", ...price, nonce: hex(next + 1) }, 1]];
  await both.ask("anvil_reorg", [3, pairs]);
  await head();
  for (const [index, count] of [1, 2, 0].entries()) {
    const number = height.map((height) => hex(Number(height) - 2 + index));
    await both.ask("eth_getBlockTransactionCountByNumber", [number], { as: `anvil_reorg, block ${index}` });
    const found = await both.rpc("eth_getBlockTransactionCountByNumber", [number]);
    if (Number(found.node) !== count) both.differs("anvil_reorg", { node: `${found.node} transactions in block ${index}` });
  }
  await both.ask("eth_getTransactionCount", [carol, "latest"], { as: "anvil_reorg" });
  const after = await both.rpc("eth_getBlockByNumber", ["latest", false]);
  for (const side of ["anvil", "node"]) if (before[side].hash === after[side].hash) both.differs("anvil_reorg", { [side]: "the same block" });
  // Bob has the fees of these blocks, and each node its own base fee there.
  await both.rpc("anvil_setBalance", [bob, hex(10n ** 20n)]);
  await both.ask("anvil_reorg", [1_000_000, []], { as: "more than there is", geth: [-32602, /depth/] });
  await both.ask("anvil_reorg", [1, [[raw, 1]]], { as: "a block too many", geth: [-32602, /exceed/] });

  // The whole state.
  const state = await both.ask("anvil_dumpState", [], { only: (dump) => typeof dump });
  await both.rpc("anvil_setBalance", [bob, "0x2"]);
  await both.ask("anvil_loadState", [state]);
  await both.ask("eth_getBalance", [bob, "latest"], { as: "anvil_loadState" });
  await both.ask("eth_call", [{ to, data: input("count") }, "latest"], { as: "anvil_loadState" });
  await both.ask("anvil_addBalance", [bob, "0x10"]);
  await both.ask("eth_getBalance", [bob, "latest"], { as: "anvil_addBalance" });
  await both.ask("evm_setAccountBalance", [bob, "0x11"], { geth: () => true });
  await both.ask("evm_setAccountNonce", [NOBODY, "0x20"], { geth: () => true });
  await both.ask("anvil_setChainId", [1338]);
  await both.ask("eth_chainId", [], { as: "anvil_setChainId" });
  await both.ask("anvil_setChainId", [31337]);
};
