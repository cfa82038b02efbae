// Transactions on their way into a block, and the pool they wait in.
const { alice, bob, carol, board, GWEI, hex, input, sent, signed, tick, NOBODY, accounts } = require("./world.cjs");

module.exports = async (both) => {
  await both.learn();
  const { to } = await board(both);

  // The node's accounts, with what it fills in.
  const prices = { maxFeePerGas: hex(50n * GWEI), maxPriorityFeePerGas: hex(GWEI) };
  const fields = { from: carol, to: NOBODY, value: "0x1", gas: "0x5208", ...prices };
  for (const [as, given] of Object.entries({
    everything: { ...fields, nonce: "0x0" },
    "no nonce": fields,
    "a gas price": { from: carol, to: NOBODY, gas: "0x5208", gasPrice: hex(3n * GWEI) },
    "no gas": { from: carol, to, data: input("post", "no gas"), ...prices },
    input: { from: carol, to, input: input("post", "input"), gas: "0x30d40", ...prices },
  })) {
    await tick(both);
    // How much gas it has, and so its hash, is the node's choice where nobody says it.
    const only = as === "no gas" ? () => "sent" : undefined;
    await both.settle(await both.ask("eth_sendTransaction", [given], { as, only }));
  }
  await tick(both);
  await both.ask("eth_sendRawTransactionSync", [await signed(1, { to: NOBODY, nonce: 0, value: 1n })],
    { only: ({ blockHash, ...receipt }) => receipt });
  await both.learn();
  await both.ask("eth_getBlockByNumber", ["latest", true], { as: "what was sent" });

  await both.ask("eth_sign", [alice, "0x68656c6c6f"]);
  await both.ask("personal_sign", ["0x68656c6c6f", alice]);
  await both.ask("eth_signTransaction", [{ ...fields, nonce: "0x9" }], {
    geth: (result) => typeof result === "string" || /^0x02/.test(result.raw) });
  const typed = { domain: { name: "Board", chainId: 31337 }, primaryType: "Note", message: { text: "a" },
    types: { EIP712Domain: [{ name: "name", type: "string" }, { name: "chainId", type: "uint256" }], Note: [{ name: "text", type: "string" }] } };
  await both.ask("eth_signTypedData_v4", [alice, typed]);
  await both.ask("eth_signTypedData_v4", [alice, JSON.stringify(typed)], { as: "a string" });
  await both.ask("eth_signTypedData_v4", [NOBODY, typed], { as: "nobody's", geth: [/-/, /account|signer/i] });

  // An authorization.
  const nonce = 1;
  const authorization = await accounts[3].signAuthorization({ contractAddress: to, chainId: 31337, nonce: 0 });
  const lent = await sent(both, 1, { to: accounts[3].address, nonce, gas: 300_000n, type: "eip7702",
    authorizationList: [authorization], data: input("post", "lent") });
  await both.ask("eth_getTransactionByHash", [lent], { as: "EIP-7702" });
  await both.ask("eth_getTransactionReceipt", [lent], { as: "EIP-7702" });
  await both.ask("eth_getCode", [accounts[3].address, "latest"], { as: "EIP-7702" });

  // The pool.
  await both.rpc("evm_setAutomine", [false]);
  const pool = async (as) => {
    for (const method of ["txpool_status", "txpool_content", "txpool_inspect"]) await both.ask(method, [], { as });
    await both.ask("txpool_contentFrom", [bob], { as, geth: (content) => "pending" in content && "queued" in content });
  };
  await pool("empty");
  const raws = [];
  for (const [index, next] of [2, 3, 5].entries()) raws.push(await signed(1, { to: NOBODY, nonce: next, value: BigInt(index) }));
  for (const raw of raws) await both.ask("eth_sendRawTransaction", [raw], { as: "not mined yet" });
  await pool("two and one");
  await both.ask("eth_getTransactionCount", [bob, "pending"], { as: "not mined yet" });
  await both.ask("eth_getTransactionCount", [bob, "latest"], { as: "not mined yet" });
  await both.ask("eth_getBalance", [bob, "pending"], { as: "not mined yet" });
  await both.ask("eth_getBlockByNumber", ["pending", true], { as: "not mined yet" });
  await both.ask("eth_sendRawTransaction", [raws[0]], { as: "known", geth: [-32000, "already known"] });
  await both.ask("eth_sendRawTransaction", [await signed(1, { to: NOBODY, nonce: 2, value: 77n })],
    { as: "underpriced", geth: [-32000, /^replacement transaction underpriced/] });
  const better = { to: NOBODY, nonce: 2, value: 78n, maxFeePerGas: 200n * GWEI, maxPriorityFeePerGas: 5n * GWEI };
  const hash = await both.ask("eth_sendRawTransaction", [await signed(1, better)], { as: "a better price" });
  await both.ask("eth_getTransactionByHash", [hash], { as: "pending" });
  await both.ask("eth_getTransactionReceipt", [hash], { as: "pending" });
  await both.ask("eth_getRawTransactionByHash", [hash], { as: "pending" });
  // Several senders, in the order of their tips, and of the most that they offer.
  await both.rpc("eth_sendRawTransaction", [await signed(2, { to: NOBODY, nonce: 5, maxFeePerGas: 250n * GWEI, maxPriorityFeePerGas: 9n * GWEI })]);
  await both.rpc("eth_sendRawTransaction", [await signed(0, { to: NOBODY, nonce: 1, maxFeePerGas: 120n * GWEI, maxPriorityFeePerGas: 3n * GWEI })]);
  await tick(both);
  await both.ask("evm_mine", []);
  await both.learn();
  await both.ask("eth_getBlockByNumber", ["latest", true], { as: "several" });
  await both.ask("eth_getBlockReceipts", ["latest"], { as: "several" });
  await pool("one left");
  await both.ask("anvil_dropTransaction", [hash], { as: "mined already" });
  await both.ask("anvil_removePoolTransactions", [bob]);
  await pool("removed");
  await both.rpc("eth_sendRawTransaction", [await signed(0, { to: NOBODY, nonce: 2 })]);
  await both.ask("anvil_dropAllTransactions", []);
  await pool("dropped");
  await both.rpc("evm_setAutomine", [true]);
};
