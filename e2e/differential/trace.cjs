// Traces of transactions, blocks and calls.
const { alice, bob, board, deployment, hex, input, sent, signed, tick, NOBODY } = require("./world.cjs");

module.exports = async (both) => {
  await both.learn();
  const { to, nonce, hash: creation } = await board(both);
  const post = await sent(both, 0, { to, data: input("post", "traced"), gas: 200_000n, value: 5n, nonce });
  const failed = await sent(both, 1, { to, data: input("post", "x"), value: 13n, gas: 200_000n, nonce: 0 });
  const transfer = await sent(both, 1, { to: NOBODY, value: 9n, nonce: 1 });
  await both.rpc("evm_setAutomine", [false]);
  for (let index = 2; index < 4; index++) {
    await both.rpc("eth_sendRawTransaction", [await signed(1, { to, data: input("post", `x ${index}`), gas: 200_000n, nonce: index })]);
  }
  await tick(both);
  await both.rpc("evm_mine");
  await both.rpc("evm_setAutomine", [true]);
  await both.learn();
  const block = await both.rpc("eth_getBlockByNumber", ["latest", false]);
  const head = Number(block.node.number);

  const tracers = {
    callTracer: { tracer: "callTracer" },
    "callTracer with logs": { tracer: "callTracer", tracerConfig: { withLog: true } },
    "callTracer, top only": { tracer: "callTracer", tracerConfig: { onlyTopCall: true } },
    prestateTracer: { tracer: "prestateTracer" },
    "prestateTracer, difference": { tracer: "prestateTracer", tracerConfig: { diffMode: true } },
    "4byteTracer": { tracer: "4byteTracer" },
    noopTracer: { tracer: "noopTracer" },
    flatCallTracer: { tracer: "flatCallTracer" },
    muxTracer: { tracer: "muxTracer", tracerConfig: { callTracer: {}, "4byteTracer": null } },
    "struct logs": {},
    "struct logs, all": { enableMemory: true, enableReturnData: true },
    "struct logs, few": { disableStorage: true, disableStack: true },
  };
  for (const [kind, options] of Object.entries(tracers)) {
    for (const [as, hash] of Object.entries({ creation, post, failed, transfer })) {
      await both.ask("debug_traceTransaction", [hash, options], { as: `${kind}: ${as}` });
    }
    const call = { from: alice, to, data: input("post", "called"), gas: "0x30d40" };
    await both.ask("debug_traceCall", [call, "latest", options], { as: kind });
  }
  await both.ask("debug_traceTransaction", [post], { as: "no options" });
  await both.ask("debug_traceTransaction", [`0x${"44".repeat(32)}`, {}], { as: "unknown", geth: [-32000, "transaction not found"] });
  await both.ask("debug_traceTransaction", [post, { tracer: "noSuchTracer" }], { as: "unknown tracer", geth: [/-/, /./] });
  await both.ask("debug_traceCall", [{ from: alice, to, data: input("post", "x"), value: "0xd" }, "latest", tracers.callTracer], { as: "a revert" });
  await both.ask("debug_traceCall", [{ from: alice, to: undefined, data: deployment(alice) }, "latest", tracers.callTracer], { as: "a deployment" });
  await both.ask("debug_traceCall", [{ from: NOBODY, to, data: input("count") }, "latest",
    { ...tracers.callTracer, stateOverrides: { [NOBODY]: { balance: "0x64" } } }], { as: "overrides" });
  await both.ask("debug_traceBlockByNumber", ["latest", tracers.callTracer]);
  await both.ask("debug_traceBlockByHash", [block.map(({ hash }) => hash), tracers.callTracer]);
  const rawBlock = await both.ask("debug_getRawBlock", ["latest"], { geth: (raw) => /^0xf9/.test(raw) });
  await both.ask("debug_traceBlock", [rawBlock, tracers.callTracer], { geth: (traces) => traces.length === 2 && traces[1].result.to === to });
  const range = [block.map(({ hash }) => hash), 1, to, "0x", 3];
  await both.ask("debug_storageRangeAt", range, { geth: ({ storage, nextKey }) => Object.keys(storage).length === 3 && nextKey > Object.keys(storage)[2] });
  await both.ask("debug_getRawTransaction", [post]);
  await both.ask("debug_getRawHeader", ["latest"], { geth: (raw) => /^0xf9/.test(raw) });
  await both.ask("debug_getRawReceipts", ["latest"], { geth: (raws) => raws.length === 2 });
  await both.ask("debug_codeByHash", [(await both.rpc("eth_getProof", [to, [], "latest"])).map(({ codeHash }) => codeHash)]);

  for (const [as, hash] of Object.entries({ creation, post, failed, transfer })) {
    await both.ask("trace_transaction", [hash], { as });
    await both.ask("trace_replayTransaction", [hash, ["trace"]], { as, geth: (replay) => Array.isArray(replay.trace) && "output" in replay });
  }
  await both.ask("trace_transaction", [`0x${"44".repeat(32)}`], { as: "unknown" });
  await both.ask("trace_block", ["latest"]);
  await both.ask("trace_get", [post, ["0x0"]], { geth: (trace) => trace === null || typeof trace === "object" });
  await both.ask("trace_filter", [{ fromBlock: "0x1", toBlock: hex(head), fromAddress: [bob] }]);
  await both.ask("trace_filter", [{ fromBlock: "0x1", toBlock: hex(head), toAddress: [NOBODY] }], { as: "to" });
  await both.ask("trace_replayBlockTransactions", ["latest", ["trace"]]);
  await both.ask("trace_replayBlockTransactions", ["latest", ["trace", "stateDiff"]], { as: "differences" });
  await both.ask("trace_call", [{ from: alice, to, data: input("count") }, ["trace"], "latest"], { geth: ({ trace }) => trace.length === 1 });

  await both.ask("eth_getBlockByNumber", [hex(1), false], { as: "after all traces" });
};
