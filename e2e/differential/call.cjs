// Calls and estimates, and all the ways in which they are refused.
const { alice, bob, board, deployment, GWEI, hex, input, sent, NOBODY } = require("./world.cjs");

module.exports = async (both) => {
  await both.learn();
  const { to, nonce } = await board(both);
  await sent(both, 0, { to, data: input("post", "first"), gas: 200_000n, nonce });
  const old = hex(Number((await both.rpc("eth_blockNumber")).node) - 1);
  const call = (fields, ...rest) => [{ to, ...fields }, "latest", ...rest];
  const ask = (as, params, options) => both.ask("eth_call", params, { as, ...options });

  await ask("count", call({ data: input("count") }));
  await ask("input", call({ input: input("count") }));
  await ask("both", call({ input: input("count"), data: input("count") }));
  await ask("no block", [{ to, data: input("count") }]);
  await ask("an old block", [{ to, data: input("count") }, old]);
  await ask("pending", [{ to, data: input("count") }, "pending"]);
  await ask("surroundings", call({ data: input("surroundings") }), { only: (words) => [0, 1, 2].map((at) => words.slice(2 + 64 * at, 66 + 64 * at)) });
  await ask("nobody", [{ to: NOBODY, data: "0x12345678" }, "latest"]);
  await ask("a precompile", [{ to: "0x0000000000000000000000000000000000000002", data: "0x68656c6c6f" }, "latest"]);
  await ask("a deployment", [{ data: deployment(alice) }, "latest"]);
  await ask("with a gas price", call({ from: alice, data: input("count"), gasPrice: hex(2n * GWEI) }));
  await ask("with fees", call({ from: alice, data: input("count"), maxFeePerGas: hex(50n * GWEI), maxPriorityFeePerGas: "0x1" }));
  await ask("from nobody", call({ from: NOBODY, data: input("count") }));

  // Reverts: code 3, the reason in the message, the data beside it.
  const reverts = {
    "a reason": { data: input("post", "x"), value: "0xd", from: alice },
    "a custom error": { data: input("post", "x".repeat(40)) },
    "a panic": { data: input("divide", 1n, 0n) },
    nothing: { data: "0x12345678" },
  };
  const messages = {
    "a reason": [3, "execution reverted: an unlucky gift", /^0x08c379a0/],
    "a custom error": [3, "execution reverted", /^0x9e7e8b4c|^0x[0-9a-f]{136}$/],
    "a panic": [3, "execution reverted: division or modulo by zero", /^0x4e487b71/],
    nothing: [3, "execution reverted", "0x"],
  };
  for (const [as, fields] of Object.entries(reverts)) {
    const geth = messages[as];
    await ask(as, call(fields), { geth });
    await both.ask("eth_estimateGas", [{ to, ...fields }], { as, geth });
  }
  await ask("out of gas", call({ data: input("forever"), gas: "0x186a0" }), { geth: [-32000, "out of gas"] });
  await ask("too little gas", call({ data: input("count"), gas: "0x5208" }), { geth: [-32000, /intrinsic gas too low|out of gas/] });
  await ask("no money", call({ from: NOBODY, value: "0x1" }), { geth: [-32000, /insufficient funds for (gas \* price \+ value|transfer)/] });
  await ask("a price below the base fee", call({ from: alice, data: input("count"), maxFeePerGas: "0x1", maxPriorityFeePerGas: "0x0" }),
    { geth: [-32000, /max fee per gas less than block base fee/] });
  await ask("a tip above the fee", call({ from: alice, data: input("count"), maxFeePerGas: "0x1", maxPriorityFeePerGas: "0x2" }),
    { geth: [/-3200[03]|-32602/, /max priority fee per gas higher than max fee per gas|higher than/] });
  await ask("both kinds of price", call({ from: alice, gasPrice: "0x1", maxFeePerGas: "0x2" }),
    { geth: [/-32000|-32602/, /both gasPrice and \(maxFeePerGas or maxPriorityFeePerGas\) specified/] });
  await ask("an unknown block", [{ to, data: input("count") }, "0xffffff"], { geth: [-32000, "header not found"] });
  await ask("an invalid opcode", [{ to: NOBODY }, "latest", { [NOBODY]: { code: "0xfe" } }], { geth: [-32000, /invalid opcode/] });
  await ask("a stack underflow", [{ to: NOBODY }, "latest", { [NOBODY]: { code: "0x01" } }], { geth: [-32000, /stack underflow/] });
  await ask("a bad jump", [{ to: NOBODY }, "latest", { [NOBODY]: { code: "0x600056" } }], { geth: [-32000, /invalid jump destination/] });
  await ask("code of 50,000 bytes", [{ data: "0x61c35080380380825ff3" }, "latest"], { geth: [-32000, /max code size exceeded|code size/i] });
  await ask("init code of 50,000 bytes", [{ data: `0x${"00".repeat(50_000)}` }, "latest"], { geth: [-32000, /max initcode size exceeded/] });

  // Another state than the chain's.
  const code = (await both.rpc("eth_getCode", [to, "latest"])).node;
  const one = `0x${"0".repeat(63)}1`;
  const slot = `0x${"0".repeat(64)}`;
  await ask("code", [{ to: NOBODY, data: input("divide", 8n, 2n) }, "latest", { [NOBODY]: { code } }]);
  await ask("a slot", call({ data: input("owner") }, { [to]: { stateDiff: { [slot]: one } } }));
  await ask("all slots", call({ data: input("count") }, { [to]: { state: { [slot]: one } } }));
  await ask("a balance", call({ from: NOBODY, value: "0x1", data: "0x" }, { [NOBODY]: { balance: "0x64" } }));
  await ask("state and stateDiff", call({ data: input("count") }, { [to]: { state: {}, stateDiff: {} } }),
    { geth: [/-32000|-32602/, /both 'state' and 'stateDiff'/] });
  await ask("another block", call({ data: input("surroundings") }, {}, { number: "0x63", time: "0x77359400", baseFeePerGas: "0x7", feeRecipient: bob }),
    { geth: (words) => words.slice(2, 66).endsWith("63") && words.slice(66, 130).endsWith("77359400") && words.includes(bob.slice(2)) });

  for (const [as, fields] of Object.entries({
    "a transfer": { from: alice, to: NOBODY, value: "0x1" },
    "a write": { from: alice, data: input("post", "hello") },
    "a deployment": { from: alice, to: undefined, data: deployment(alice) },
    "from nobody": { data: input("post", "hello") },
  })) await both.ask("eth_estimateGas", [{ to, ...fields }], { as });
  await both.ask("eth_estimateGas", [{ from: alice, to: NOBODY, value: "0x1" }, "pending"], { as: "pending" });
  await both.ask("eth_estimateGas", [{ from: NOBODY, to: alice, value: "0x1" }, "latest", { [NOBODY]: { balance: "0xffffffffffffffff" } }], { as: "overrides" });
  await both.ask("eth_estimateGas", [{ from: NOBODY, to: alice, value: "0x1" }], { as: "no money", geth: [-32000, /insufficient funds for (gas \* price \+ value|transfer)/] });
  await both.ask("eth_estimateGas", [{ to, data: input("forever"), gas: "0x186a0" }], { as: "too little", geth: [-32000, "gas required exceeds allowance (100000)"] });
  await both.ask("eth_estimateGas", [{ from: alice, to, data: input("post", "hello"), gasPrice: hex(10n ** 19n) }], { as: "too dear", geth: [-32000, /gas required exceeds allowance|insufficient funds/] });

  const list = { from: alice, to, data: input("post", "hello") };
  await both.ask("eth_createAccessList", [list]);
  await both.ask("eth_createAccessList", [list, "latest"], { as: "latest" });
  await both.ask("eth_createAccessList", [{ ...list, value: "0xd" }], { as: "a revert",
    geth: ({ error, accessList, gasUsed }) => /execution reverted/.test(error) && Array.isArray(accessList) && Number(gasUsed) > 21_000 });

  // The blocks around the calls are of each node's own making, as their hashes are.
  const simulated = (blocks) => blocks.map(({ gasUsed, calls }) => ({ gasUsed, calls: calls.map(({ status, returnData, gasUsed, logs, error }) =>
    ({ status, returnData, gasUsed, error: Boolean(error), logs: logs.map(({ address, topics, data, logIndex }) => ({ address, topics, data, logIndex })) })) }));
  const simulate = (as, payload, options) => both.ask("eth_simulateV1", [payload, "latest"], { as, only: simulated, ...options });
  const calls = [{ from: alice, to, data: input("post", "simulated") }, { to, data: input("count") }, { to, data: input("divide", 1n, 0n) }];
  await simulate("calls", { blockStateCalls: [{ calls }] });
  await simulate("two blocks", { blockStateCalls: [{ calls: calls.slice(0, 1) }, { calls: calls.slice(1, 2) }] });
  await simulate("overrides", { blockStateCalls: [{ stateOverrides: { [NOBODY]: { balance: "0x64" } }, calls: [{ from: NOBODY, to: alice, value: "0x1" }] }] });
  await simulate("traced transfers", { traceTransfers: true, blockStateCalls: [{ calls: [{ from: alice, to: NOBODY, value: "0x5" }] }] });
  await simulate("validated", { validation: true, blockStateCalls: [{ calls: [{ from: alice, to: NOBODY, value: "0x5", maxFeePerGas: hex(50n * GWEI), gas: "0x5208", nonce: hex(nonce + 1) }] }] });
  await simulate("no money", { blockStateCalls: [{ calls: [{ from: NOBODY, to: alice, value: "0x1" }] }] }, { geth: [-38014, /insufficient funds/] });
  await simulate("no blocks", { blockStateCalls: [] }, { geth: [-32602, /empty/] });
  await simulate("a low nonce", { validation: true, blockStateCalls: [{ calls: [{ from: alice, to: NOBODY, nonce: "0x0", maxFeePerGas: hex(50n * GWEI), gas: "0x5208" }] }] },
    { geth: [-38010, /nonce too low/] });
};
