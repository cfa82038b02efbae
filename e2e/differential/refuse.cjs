// What no node should take: bad JSON, bad types, bad transactions. The answers are geth's.
const { Pair } = require("./both.cjs");
const { alice, bob, board, deployment, GWEI, hex, input, NOBODY, signed } = require("./world.cjs");

module.exports = async (both) => {
  await both.learn();
  const { to } = await board(both);

  // HTTP and JSON-RPC itself.
  const post = async (as, body, check, options) => {
    const replies = await both.post(body, options);
    both.asked += 1;
    let node;
    try {
      node = JSON.parse(replies.node.text);
    } catch {
      node = undefined;
    }
    let right = false;
    try {
      right = check(node, replies.node);
    } catch {
      // It looked for what is not there.
    }
    const short = ({ status, text }) => `HTTP ${status}: ${text.slice(0, 200)}`;
    if (!right) both.differs(as, { geth: String(check), anvil: short(replies.anvil), node: short(replies.node) });
  };
  const code = (wanted, id = null) => (answer) => answer.error.code === wanted && answer.id === id;
  const call = { jsonrpc: "2.0", id: 7, method: "eth_chainId", params: [] };
  await post("half a request", '{"jsonrpc":"2.0","id":1,"method":"eth_cha', code(-32700));
  await post("no JSON", "hello", code(-32700));
  await post("two requests without a list", JSON.stringify(call) + JSON.stringify(call), (answer, { status }) => status !== 500 && (!answer?.error || answer.error.code === -32700));
  await post("nothing", "", (answer, { status }) => status < 500 && (!answer || answer.error.code <= -32600));
  await post("no method", { jsonrpc: "2.0", id: 7 }, code(-32600, 7));
  await post("a number", "7", code(-32600));
  await post("an object that is none", "{}", code(-32600));
  await post("an empty batch", "[]", code(-32600));
  await post("a batch with a fault", [call, 5, { ...call, id: 8, method: "eth_no" }], (answers) =>
    answers.length === 3 && answers[0].result === "0x7a69" && answers[1].error.code === -32600 && answers[2].error.code === -32601);
  await post("a notification", { jsonrpc: "2.0", method: "eth_chainId", params: [] }, (answer, { status, text }) => status < 300 && text.trim() === "");
  await post("a batch of notifications", [{ jsonrpc: "2.0", method: "eth_chainId" }], (answer, { status, text }) => status < 300 && text.trim() === "");
  await post("an id that is text", { ...call, id: "seven" }, (answer) => answer.id === "seven" && answer.result === "0x7a69");
  await post("a huge id", '{"jsonrpc":"2.0","id":18446744073709551615,"method":"eth_chainId","params":[]}', (answer, { text }) => text.includes("18446744073709551615"));
  await post("no parameters", { jsonrpc: "2.0", id: 7, method: "eth_chainId" }, (answer) => answer.result === "0x7a69");
  await post("parameters that are null", { ...call, params: null }, (answer) => answer.result === "0x7a69" || answer.error.code === -32602);
  await post("parameters by name", { ...call, params: { a: 1 } }, (answer) => "result" in answer || answer.error.code === -32602);
  await post("version 1.0", { ...call, jsonrpc: "1.0" }, (answer) => answer.result === "0x7a69" || answer.error.code === -32600);
  await post("deep lists", `${"[".repeat(20_000)}${"]".repeat(20_000)}`, (answer) => (Array.isArray(answer) ? answer[0] : answer).error.code <= -32600);
  await post("a body of 200 MB", new Pair("{}", "x".repeat(200 << 20)), (answer, { status }) => status === 413 || status === 0 || answer?.error);
  await post("after the huge body", call, (answer) => answer.result === "0x7a69");
  await post("a batch of 20,000", JSON.stringify(Array(20_000).fill(call)), (answer) => answer.length === 20_000 || (answer[0] ?? answer).error);
  await post("text/plain", JSON.stringify(call), (answer, { status }) => status === 415 || answer.result === "0x7a69", { headers: { "content-type": "text/plain" } });
  await post("a preflight of a browser", undefined, (answer, { status, headers }) =>
    status < 300 && ["*", "http://localhost:3000"].includes(headers.get("access-control-allow-origin")),
  { method: "OPTIONS", headers: { origin: "http://localhost:3000", "access-control-request-method": "POST", "access-control-request-headers": "content-type" } });
  await post("a page in a browser", call, (answer, { headers }) => answer.result === "0x7a69" && headers.has("access-control-allow-origin"),
    { headers: { origin: "http://localhost:3000", "content-type": "application/json" } });

  await both.ask("eth_doesNotExist", [], { geth: [-32601, /does not exist|not found/i] });
  await both.ask("nothing", [], { geth: [-32601, /does not exist|not found/i] });
  await both.ask("", [], { as: "no name", geth: [/-3260[01]/, /./] });

  // Types.
  const bad = (method, params, as) => both.ask(method, params, { as, geth: [-32602, /./] });
  await bad("eth_getBalance", [], "none");
  await bad("eth_getBalance", ["0x12", "latest"], "a short address");
  await bad("eth_getBalance", [`${alice}00`, "latest"], "a long address");
  await bad("eth_getBalance", [alice.replace("f", "g"), "latest"], "an address that is none");
  await bad("eth_getBalance", [5, "latest"], "a number for an address");
  await bad("eth_getBalance", [null, "latest"], "null");
  await bad("eth_getBalance", [alice, "soon"], "an unknown tag");
  await bad("eth_getBalance", [alice, "0x10000000000000000"], "a block beyond 64 bits");
  await bad("eth_getBalance", [alice, "0xzz"], "a block that is none");
  await bad("eth_getBalance", [alice, { blockHash: "0x12" }], "a short hash");
  await bad("eth_getBlockByNumber", ["latest", "yes"], "text for a truth");
  await bad("eth_getBlockByHash", ["0x1234", true], "a short hash");
  await bad("eth_getTransactionByHash", ["0x1234"], "a short hash");
  await bad("eth_getTransactionByHash", [{}], "an object");
  await bad("eth_getStorageAt", [alice, `0x${"11".repeat(40)}`, "latest"], "a long key");
  await bad("eth_call", ["hello", "latest"], "text");
  await bad("eth_call", [{ to: "0x12" }, "latest"], "a short address");
  await bad("eth_call", [{ to, data: "0x123" }, "latest"], "half a byte");
  await bad("eth_call", [{ to, data: "hello" }, "latest"], "no hexadecimal");
  await bad("eth_call", [{ to, value: `0x1${"0".repeat(64)}` }, "latest"], "a value beyond 256 bits");
  await bad("eth_call", [{ to, value: "-1" }, "latest"], "a negative value");
  await bad("eth_call", [{ to, gas: "0x1ffffffffffffffff" }, "latest"], "gas beyond 64 bits");
  await bad("eth_call", [{ to, data: input("count"), input: "0x12" }, "latest"], "data and input that differ");
  await bad("eth_estimateGas", [], "none");
  await bad("eth_sendRawTransaction", [], "none");
  await bad("eth_sendRawTransaction", [5], "a number");
  await bad("eth_sendRawTransaction", ["hello"], "no hexadecimal");
  await bad("eth_getLogs", [], "none");
  await bad("eth_getLogs", [{ address: "0x12" }], "a short address");
  await bad("eth_getLogs", [{ topics: ["0x12"] }], "a short topic");
  await bad("eth_getLogs", [{ topics: [null, null, null, null, null] }], "five topics");
  await bad("eth_feeHistory", ["0x1"], "no newest block");
  await bad("web3_sha3", ["hello"], "no hexadecimal");
  const surplus = (method, most, params) => both.ask(method, params, { as: "too many", geth: [-32602, `too many arguments, want at most ${most}`] });
  await surplus("eth_chainId", 0, [1]);
  await surplus("eth_getBalance", 2, [alice, "latest", {}]);
  await surplus("eth_getTransactionByHash", 1, [`0x${"22".repeat(32)}`, null]);
  await surplus("eth_call", 4, [{ to }, "latest", {}, {}, {}]);
  await surplus("web3_sha3", 1, ["0x", "0x"]);
  await bad("evm_setNextBlockTimestamp", [], "none");
  await bad("anvil_setBalance", [alice], "no balance");
  await bad("anvil_setBalance", [alice, "much"], "no number");
  await both.ask("eth_feeHistory", ["0x1", "latest", [101]], { as: "a percentile beyond 100", geth: [/-32000|-32602/, /percentile/] });
  await both.ask("eth_feeHistory", ["0x1", "latest", [50, 10]], { as: "percentiles that fall", geth: [/-32000|-32602/, /percentile/] });
  await both.ask("eth_feeHistory", ["0x1", "0xffffff", []], { as: "the future", geth: [-32000, /request beyond head block|unknown block|header not found/] });
  for (const method of ["eth_getBalance", "eth_getCode", "eth_getTransactionCount"]) {
    await both.ask(method, [alice, "0xffffff"], { as: "the future", geth: [-32000, "header not found"] });
    await both.ask(method, [alice, { blockHash: `0x${"66".repeat(32)}` }], { as: "an unknown hash", geth: [-32000, /header (for hash )?not found/] });
  }
  await both.ask("eth_getStorageAt", [alice, "0x0", "0xffffff"], { as: "the future", geth: [-32000, "header not found"] });

  // Transactions.
  const send = async (as, index, fields, geth) => both.ask("eth_sendRawTransaction", [await signed(index, fields)], { as, geth: [-32000, geth] });
  const raw = await signed(1, { to: NOBODY, nonce: 0, value: 1n });
  const broken = (as, raw, message = /./) => both.ask("eth_sendRawTransaction", [raw], { as, geth: [/-32000|-32602/, message] });
  await broken("nothing", "0x");
  await broken("cut off", raw.slice(0, -10));
  // Of another account, since anvil takes it.
  await broken("too long", `${await signed(3, { to: NOBODY, nonce: 0 })}00`);
  await broken("an unknown type", `0x7f${raw.slice(4)}`, /transaction type not supported|rlp|decode/);
  await broken("no list", "0x02c0");
  // The last word is `s`: too great for the curve's order.
  await broken("a signature that is none", `${raw.slice(0, -64)}${"ff".repeat(32)}`);
  await send("another chain", 1, { to: NOBODY, nonce: 0, chainId: 5 }, /invalid (sender|chain.?id)|chain.?id/i);
  await send("a low nonce", 0, { to: NOBODY, nonce: 0 }, /^nonce too low/);
  await send("no money", 1, { to: NOBODY, nonce: 0, value: 10n ** 24n }, /^insufficient funds for gas \* price \+ value/);
  await send("too little gas", 1, { to: NOBODY, nonce: 0, gas: 20_999n }, /^intrinsic gas too low/);
  await send("too little gas for the data", 1, { to: NOBODY, nonce: 0, data: `0x${"11".repeat(100)}` }, /^(intrinsic gas too low|insufficient gas for floor data gas cost)/);
  await send("more gas than a block has", 1, { to: NOBODY, nonce: 0, gas: 100_000_000n }, /^(exceeds block gas limit|transaction gas limit too high)/);
  await send("init code of 50,000 bytes", 1, { data: `0x${"00".repeat(50_000)}`, gas: 16_000_000n, nonce: 0 }, /^max initcode size exceeded/);
  const account = await both.rpc("eth_getTransactionCount", [bob, "latest"]);
  if (account.node !== "0x0") both.differs("what was refused", { node: "was sent in part" });
  await both.ask("eth_sendTransaction", [{ from: NOBODY, to: alice, value: "0x1" }], { as: "nobody's", geth: [/-32000|-32602/, /unknown account|No Signer available/i] });
  await both.ask("eth_sendTransaction", [{ from: bob, to, value: "0xd", data: input("post", "x") }], { as: "a revert", geth: [3, "execution reverted: an unlucky gift", /^0x08c379a0/] });
  await both.ask("eth_sendTransaction", [{ from: bob, to: NOBODY, value: hex(10n ** 24n), gas: "0x5208" }], { as: "no money", geth: [-32000, /^insufficient funds for gas \* price \+ value/] });
  await both.ask("eth_sendTransaction", [{ from: bob, data: deployment(NOBODY.replace("f0", "00")) }], { as: "a deployment that reverts", geth: [3, "execution reverted: an owner is needed"] });
};
